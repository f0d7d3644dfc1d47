//! Adapters, then use cases, then the API; by hand.

use std::sync::Arc;

use anyhow::Context as _;
use api::{Node, Services};
use app::{
    Authenticate, CloseIngestion, CreateRelease, Deploy, OWN_WORKERS, OpenIngestion, PushRecords,
    ReadConventions, ReadData, ReadHealth, ReadHooks, ReadIngestions, ReadProfile, ReadProvenance, SetLive,
};
use auth::{IssuerKey, TrustedIssuer, Verifier};
use domain::NodeDomain;
use ports::{Clock, Ids};
use postgres_adapter::{PgQueue, PgStore};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::config::{Config, WELL_KNOWN_SECRET};
use crate::home::Home;

/// The machine's clock.
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port's one implementation")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// `UUIDv7`.
struct SystemIds;

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is the port's one implementation")]
    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// The verifier of this configuration.
pub(crate) fn verifier(config: &Config, home: &Home) -> anyhow::Result<Verifier> {
    let secret = match &config.jwt_secret {
        Some(secret) => secret.reveal().to_owned(),
        None if config.dev_mode => WELL_KNOWN_SECRET.to_owned(),
        None => home.secret()?,
    };
    let key = |(kid, pem): &(Option<String>, String)| IssuerKey::from_pem(kid.clone(), pem);
    let issuer = |i: &crate::config::Issuer| -> Result<TrustedIssuer, auth::VerifierConfigError> {
        let keys = i.keys.iter().map(key).collect::<Result<_, _>>()?;
        Ok(TrustedIssuer {
            issuer: i.issuer.clone(),
            audience: i.audience.clone(),
            scope_claim: i.scope_claim.clone(),
            keys,
        })
    };
    let issuers = config
        .issuers
        .iter()
        .map(issuer)
        .collect::<Result<_, _>>()
        .context("auth.issuers")?;
    Verifier::new(secret.as_bytes(), config.own_audience(), issuers).context("auth")
}

/// The use cases of the API over a store.
pub(crate) fn services(
    store: &PgStore,
    queue: &Arc<PgQueue>,
    domain: NodeDomain,
    verifier: Verifier,
    runner: String,
) -> Services {
    let store = Arc::new(store.clone());
    let ids: Arc<dyn Ids> = Arc::new(SystemIds);
    let queue: Arc<PgQueue> = Arc::clone(queue);
    let read_data = Arc::new(ReadData::new(store.clone(), store.clone(), domain.clone()));
    Services {
        authenticate: Arc::new(Authenticate::new(verifier, store.clone(), Arc::new(SystemClock))),
        deploy: Deploy::new(store.clone(), Arc::clone(&ids)),
        read_conventions: ReadConventions::new(store.clone()),
        create_release: CreateRelease::new(store.clone(), Arc::clone(&ids)),
        set_live: SetLive::new(store.clone()),
        read_hooks: ReadHooks::new(store.clone()),
        open_ingestion: OpenIngestion::new(store.clone(), ids, store.clone()),
        push_records: PushRecords::new(store.clone(), queue.clone()),
        close_ingestion: CloseIngestion::new(store.clone(), queue, store.clone()),
        read_ingestions: ReadIngestions::new(store.clone()),
        read_provenance: ReadProvenance::new(store.clone(), Arc::clone(&read_data), domain.clone()),
        read_data,
        read_profile: ReadProfile::new(store.clone()),
        read_health: ReadHealth::new(store),
        node: Node {
            domain,
            version: env!("CARGO_PKG_VERSION"),
            runner,
        },
    }
}

/// The OpenAPI document. No database is asked; the pool is never used.
pub(crate) fn openapi_document() -> anyhow::Result<String> {
    let pool = sqlx::postgres::PgPoolOptions::new()
        .connect_lazy("postgres://localhost/none")
        .context("a pool")?;
    let domain: NodeDomain = "localhost".parse()?;
    let store = PgStore::new(pool.clone(), domain.clone());
    let verifier = Verifier::new(&[0; 32], "https://localhost", Vec::new())?;
    let queue = Arc::new(PgQueue::start(pool, OWN_WORKERS));
    Ok(api::openapi_document(services(
        &store,
        &queue,
        domain,
        verifier,
        String::new(),
    )))
}
