//! Manual dependency injection: adapters, then use cases, then the API.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::{BaseUrl, Node, Services, paths};
use app::data::Data;
use app::deposit::Deposit;
use app::identity::sign_in::SignInOptions;
use app::identity::{IdentityOptions, IssuerKeys, Lifetimes};
use app::ingest::Ingest;
use app::memory::Memory;
use app::port_set::{LedgerPorts, MachinePorts};
use app::registry::Registry;
use app::{CallerLimits, Metrics, OWN_WORKERS, Ports, ReadHealth};
use auth::{Minter, TrustedIssuer, Verifier};
use domain::NodeDomain;
use identity_adapter::{InlinePem, JwksFile, JwksUrl, Orcid, OrcidOptions, PemFile};
use ports::{Blobs, Clock, IdentityProvider, Ids, KeySource, Randomness, Runner};
use postgres_adapter::{PgLedger, PgNotifier, PgQueue, PgStore};
use sqlx::PgPool;
use storage_adapter::BlobStore;
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::auth::Key;
use crate::config::{Config, WELL_KNOWN_SECRET};
use crate::home::Home;
use crate::output;
use crate::runners::Runners;

/// What `/ready` says of a database role that could switch guards off. It is public, so it has no names.
const OVERPOWERED: &str = "the server's database role can do more than a server needs; see the server's log";

/// The system clock.
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port's one implementation")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// `UUIDv7` ids.
pub(crate) struct SystemIds;

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is the port's one implementation")]
    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// The system's random number generator.
struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        // Without randomness every secret would be the same: a panic is better than that.
        getrandom::fill(&mut bytes)
            .unwrap_or_else(|error| panic!("cannot obtain random bytes from the system: {error}"));
        bytes
    }
}

/// Everything that the API needs to authenticate callers.
pub(crate) struct Identity {
    verifier: Verifier,
    keys: Vec<Arc<IssuerKeys>>,
    minter: Minter,
    lifetimes: Lifetimes,
    sign_in: SignInOptions,
    base: BaseUrl,
}

impl Identity {
    /// Creates it from the configuration, for a server that listens on `listening`. Keys of issuers are read once;
    /// unreachable issuers are retried later.
    pub(crate) async fn of(config: &Config, home: &Home, listening: SocketAddr) -> anyhow::Result<Self> {
        let auth = &config.auth;
        let secret = match &auth.jwt_secret {
            Some(secret) => secret.reveal().to_owned(),
            None if config.dev_mode => WELL_KNOWN_SECRET.to_owned(),
            None => home.secret()?,
        };
        let mut issuers = Vec::new();
        let mut keys = Vec::new();
        for issuer in &auth.issuers {
            let own = Arc::new(IssuerKeys::new(
                issuer.issuer.clone(),
                issuer.keys.iter().map(key_source).collect(),
                issuer.refresh_cool_down,
                issuer.refresh_every,
            ));
            own.refresh().await;
            issuers.push(TrustedIssuer {
                issuer: issuer.issuer.clone(),
                audience: issuer.audience.clone(),
                scope_claim: issuer.scope_claim.clone(),
                allowed_scopes: issuer.allowed_scopes.clone(),
                max_lifetime: i64::try_from(issuer.max_lifetime.as_secs())?,
                keys: own.ring(),
            });
            keys.push(own);
        }
        let base = config.base_url(listening).context("base_url")?;
        let provider = auth.orcid.as_ref().map(|orcid| {
            Arc::new(Orcid::new(OrcidOptions {
                base_url: orcid.base_url.clone(),
                client_id: orcid.client_id.clone(),
                client_secret: orcid.client_secret.reveal().to_owned(),
            })) as Arc<dyn IdentityProvider>
        });
        let home_url = match &auth.frontend_url {
            Some(url) => url.clone(),
            None => base.url(&paths::FRONT).parse().context("base_url")?,
        };
        Ok(Self {
            verifier: Verifier::new(secret.as_bytes(), config.own_audience(), issuers).context("auth")?,
            keys,
            minter: Minter::new(secret.as_bytes()),
            lifetimes: Lifetimes {
                access: auth.access_lifetime,
                refresh: auth.refresh_lifetime,
            },
            sign_in: SignInOptions {
                provider,
                callback_url: auth
                    .callback_url
                    .as_ref()
                    .map_or_else(|| base.url(&paths::CALLBACK), ToString::to_string),
                home: home_url,
                allowed_origins: auth.redirect_origins.clone(),
                admins: auth.admins.clone(),
                base_role: auth.base_role,
            },
            base,
        })
    }

    /// Returns the issuers whose keys are refreshed periodically.
    pub(crate) fn keys(&self) -> Vec<Arc<IssuerKeys>> {
        self.keys.clone()
    }

    /// Creates a placeholder for a server that only writes its document.
    fn placeholder() -> anyhow::Result<Self> {
        let secret = [0; 32];
        Ok(Self {
            verifier: Verifier::new(&secret, "https://localhost", Vec::new())?,
            keys: Vec::new(),
            minter: Minter::new(&secret),
            lifetimes: Lifetimes {
                access: Duration::from_secs(3600),
                refresh: Duration::from_secs(3600),
            },
            sign_in: SignInOptions {
                provider: None,
                callback_url: String::new(),
                home: "http://localhost/".parse()?,
                allowed_origins: Vec::new(),
                admins: BTreeSet::new(),
                base_role: None,
            },
            base: "http://localhost".parse()?,
        })
    }
}

fn key_source(key: &Key) -> Arc<dyn KeySource> {
    match key {
        Key::Pem { kid, text } => Arc::new(InlinePem {
            kid: kid.clone(),
            text: text.clone(),
        }),
        Key::PemFile { kid, path } => Arc::new(PemFile {
            kid: kid.clone(),
            path: path.clone(),
        }),
        Key::JwksFile(path) => Arc::new(JwksFile(path.clone())),
        Key::JwksUrl(url) => Arc::new(JwksUrl(url.to_string())),
    }
}

/// The delegation ledger of a database with its notifications, and the server's own queue in it.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) queue: Arc<PgQueue>,
    pub(crate) ledger: Arc<PgLedger>,
    pub(crate) notifier: Arc<PgNotifier>,
    /// The lease of a claim expires after this time without a heartbeat.
    silence: Duration,
}

impl Ledger {
    pub(crate) fn of(pool: &PgPool, silence: Duration) -> Self {
        let notifier = Arc::new(PgNotifier::new(pool));
        Self {
            queue: Arc::new(PgQueue::new(pool.clone(), OWN_WORKERS, notifier.clone())),
            ledger: Arc::new(PgLedger::new(pool.clone())),
            notifier,
            silence,
        }
    }
}

/// Dependencies of a server besides its database.
pub(crate) struct Work {
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) metrics: Arc<Metrics>,
    /// The memory for large bodies of requests.
    pub(crate) memory: Memory,
    /// Cancelled when the server is asked to stop.
    pub(crate) stopping: CancellationToken,
    /// The threads of whole tables.
    pub(crate) stream_threads: Handle,
}

/// Description of a server, which is public but for its limits.
#[derive(Default)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) runner: String,
    /// How much each caller may ask for.
    pub(crate) limits: CallerLimits,
    /// Whether the server's database role could switch guards off.
    pub(crate) is_overpowered: bool,
}

/// Creates the use cases of the API over a store.
pub(crate) fn services(
    store: &PgStore,
    ledger: &Ledger,
    domain: NodeDomain,
    identity: Identity,
    work: Work,
    about: About,
) -> Services {
    let metrics = work.metrics;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ports = Ports::new(
        Arc::new(store.clone()),
        LedgerPorts {
            queue: ledger.queue.clone(),
            ledger: ledger.ledger.clone(),
            queries: ledger.ledger.clone(),
            notifier: ledger.notifier.clone(),
        },
        MachinePorts {
            blobs: work.blobs,
            runner: work.runner,
            ids: Arc::new(SystemIds),
            clock: Arc::clone(&clock),
            randomness: Arc::new(SystemRandomness),
            memory: work.memory.clone(),
            stopping: work.stopping,
        },
        domain.clone(),
        about.limits,
    );
    Services {
        registry: Registry::new(&ports),
        ingest: Ingest::new(&ports),
        deposit: Deposit::new(&ports),
        ledger: app::ledger::Ledger::new(&ports, ledger.silence),
        identity: app::identity::Identity::new(
            &ports,
            IdentityOptions {
                verifier: identity.verifier,
                keys: identity.keys,
                minter: identity.minter,
                lifetimes: identity.lifetimes,
                sign_in: identity.sign_in,
            },
        ),
        data: Data::new(&ports, identity.base.as_str().to_owned(), Arc::clone(&metrics)),
        read_health: ReadHealth::new(
            ports.store,
            ports.blobs,
            ports.runner,
            Arc::clone(&metrics),
            clock,
            ports.stopping,
        ),
        metrics,
        memory: work.memory,
        node: Node {
            name: about.name,
            description: about.description,
            domain,
            base: identity.base,
            version: env!("CARGO_PKG_VERSION"),
            runner: about.runner,
            database: about.is_overpowered.then_some(OVERPOWERED),
        },
        stream_threads: work.stream_threads,
    }
}

/// Returns the OpenAPI document. It needs no database; the pool is never used.
pub(crate) fn openapi_document() -> anyhow::Result<String> {
    let pool = sqlx::postgres::PgPoolOptions::new()
        .connect_lazy("postgres://localhost/none")
        .context("a pool")?;
    let domain: NodeDomain = "localhost".parse()?;
    let store = PgStore::new(pool.clone(), domain.clone());
    Ok(api::openapi_document(services(
        &store,
        &Ledger::of(&pool, Duration::from_mins(10)),
        domain,
        Identity::placeholder()?,
        Work {
            blobs: Arc::new(BlobStore::in_memory()),
            runner: Arc::new(Runners::none()),
            metrics: Arc::new(Metrics::new(0, Duration::ZERO, output::dropped)),
            memory: Memory::new(0),
            stopping: CancellationToken::new(),
            stream_threads: Handle::current(),
        },
        About::default(),
    )))
}
