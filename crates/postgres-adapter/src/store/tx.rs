//! The unit of work: one transaction that is every repository.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::NodeDomain;
use ports::registry::HooksState;
use ports::{
    Activity, Callees, Conventions, Delegations, Depositions, Disk, Features, Hooks, Identities, Ingests,
    Pulls, Records, Repos, Runs, Schemas, Sessions, Store, StoreError, Tasks, Tx, Withdrawals,
};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::registry::release_reads::ReleaseReads;
use crate::store::error::store_error;
use crate::store::pool::{for_streams, streams};
use crate::store::read_batcher::ReadBatcher;
use crate::store::refusal;

/// How long a check may take whether there is room.
const ROOM_CHECK: Duration = Duration::from_millis(1500);

/// Opens units of work, and is every query port.
#[derive(Clone, Debug)]
pub struct PgStore {
    pub(crate) pool: PgPool,
    /// Connections for whole tables alone.
    pub(crate) stream_pool: PgPool,
    pub(crate) node: NodeDomain,
    /// The places of whole tables, one for each of their connections.
    pub(crate) streams: Arc<Semaphore>,
    /// Reads may take their full timeout, so only a part of the pool is theirs, too.
    pub(crate) reads: Arc<Semaphore>,
    /// Reads that may scan a whole table have only a part of the places of reads, so that those of a few rows find one.
    pub(crate) scans: Arc<Semaphore>,
    /// Coalesced reads of releases.
    pub(crate) releases: Arc<ReleaseReads>,
    /// Coalesced reads of what the list of hooks depends on.
    pub(crate) hooks_state: Arc<ReadBatcher<(), HooksState>>,
    threads: Option<Handle>,
    /// Lowers the priority of a backend, and returns whether it did.
    pub(crate) lower_backend: Option<fn(i32) -> bool>,
}

impl PgStore {
    /// Creates a store on this pool, for this node.
    pub fn new(pool: PgPool, node: NodeDomain) -> Self {
        let most = pool.options().get_max_connections() as usize;
        Self {
            stream_pool: streams(&pool),
            streams: Arc::new(Semaphore::new(for_streams(&pool) as usize)),
            pool,
            node,
            reads: Arc::new(Semaphore::new((most * 2 / 3).max(1))),
            scans: Arc::new(Semaphore::new((most / 3).max(1))),
            releases: Arc::default(),
            hooks_state: Arc::default(),
            threads: None,
            lower_backend: None,
        }
    }

    /// Reads streams on the threads of this runtime: whole tables keep a processor busy, and requests that are answered
    /// in a moment should not wait behind them.
    #[must_use]
    pub fn with_stream_threads(self, threads: Handle) -> Self {
        Self {
            threads: Some(threads),
            ..self
        }
    }

    /// Lowers the priority of backends that read streams, with a function that gets the process id of one and returns
    /// whether it did. Such a backend reads whole tables and nothing else. It is only used for a PostgreSQL on the same
    /// machine, which is reached by a socket in a directory: there, a backend that reads a table at full speed takes as
    /// much of the processors as one that a request waits for.
    #[must_use]
    pub fn with_lowered_backends(self, lower: fn(i32) -> bool) -> Self {
        let is_near = self.pool.connect_options().get_socket().is_some();
        Self {
            lower_backend: is_near.then_some(lower),
            ..self
        }
    }

    pub(crate) fn stream_threads(&self) -> Handle {
        self.threads.clone().unwrap_or_else(Handle::current)
    }
}

/// One open transaction.
pub(crate) struct PgTx {
    tx: Transaction<'static, Postgres>,
    failed: bool,
    pub(crate) node: NodeDomain,
    published_at: Option<OffsetDateTime>,
}

impl PgTx {
    /// Returns the one time of everything that this unit of work publishes and supersedes. It is taken on first use,
    /// under the locks of the records' heads: the times of a record's versions follow their order, regardless of who
    /// began first.
    pub(crate) async fn published_at(&mut self) -> Result<OffsetDateTime, StoreError> {
        if let Some(at) = self.published_at {
            return Ok(at);
        }
        let at = sqlx::query_scalar!(r#"select clock_timestamp() as "at!""#)
            .fetch_one(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        self.published_at = Some(at);
        Ok(at)
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Maps a statement's failure and remembers it: PostgreSQL would answer COMMIT with a silent rollback.
    pub(crate) fn fail(&mut self, error: sqlx::Error) -> StoreError {
        self.failed = true;
        store_error(error)
    }

    /// Remembers that this unit of work failed.
    pub(crate) fn poison(&mut self, error: StoreError) -> StoreError {
        self.failed = true;
        error
    }
}

#[async_trait]
impl Store for PgStore {
    #[tracing::instrument(name = "db.store.open", skip_all)]
    async fn open(&self) -> Result<Box<dyn Tx>, StoreError> {
        let pool = self.pool.clone();
        // sqlx 0.9.0: a `begin` that is dropped half-way leaves the pooled connection inside a transaction. A spawned
        // one is never dropped.
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where a transaction opens"
        )]
        let begun = tokio::spawn(async move { pool.begin().await });
        let tx = begun
            .await
            .map_err(|e| StoreError::Internal(e.into()))?
            .map_err(store_error)?;
        Ok(Box::new(PgTx {
            tx,
            failed: false,
            node: self.node.clone(),
            published_at: None,
        }))
    }

    #[tracing::instrument(name = "db.store.ping", skip_all)]
    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!(r#"select 1 as "one!""#)
            .fetch_one(&self.pool)
            .await
            .map(|_| ())
            .map_err(store_error)
    }

    #[tracing::instrument(name = "db.store.room", skip_all)]
    async fn room(&self) -> Result<(), StoreError> {
        if !refusal::is_remembered() {
            return Ok(());
        }
        // Extends a table by more than a megabyte, as a batch does; with random values, because PostgreSQL compresses.
        let writing = sqlx::query!(
            "create temporary table room_check on commit drop as
             select gen_random_uuid() as a, gen_random_uuid() as b from generate_series(1, 20000)"
        )
        .execute(&self.pool);
        let written = tokio::time::timeout(ROOM_CHECK, writing).await;
        let written = written.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        match written.map_err(store_error) {
            Ok(_) => {
                refusal::forget();
                Ok(())
            }
            // Also if the database cannot be reached since.
            Err(full @ StoreError::Full { .. }) => Err(full),
            // The role may lack the right to temporary tables, and then nothing can be tried.
            Err(other) if refusal::is_recent() => Err(StoreError::full(Disk::Database, other)),
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Tx for PgTx {
    #[tracing::instrument(name = "db.tx.commit", skip_all)]
    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Poisoned);
        }
        self.tx.commit().await.map_err(store_error)
    }
}

macro_rules! is_every_repository {
    ($($name:ident: $port:ident),+) => {
        impl Repos for PgTx {
            $(fn $name(&mut self) -> &mut dyn $port { self })+
        }
    };
}
is_every_repository!(
    schemas: Schemas, hooks: Hooks, conventions: Conventions, features: Features, ingests: Ingests, pulls: Pulls, depositions: Depositions,
    records: Records, runs: Runs, tasks: Tasks, delegations: Delegations, callees: Callees, activity: Activity, withdrawals: Withdrawals,
    identities: Identities, sessions: Sessions
);
