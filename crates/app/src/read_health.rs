//! Health checks of the server.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use ports::error::is_full;
use ports::{Blobs, Clock, Disk, Runner, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::cached::Cached;
use crate::metrics::Metrics;

/// The timeout of a check (WC-1.8).
const MOST: Duration = Duration::from_secs(2);
/// How long checks of disks are cached: the route is public, and each check costs disk work.
const DISK_KEPT: Duration = Duration::from_secs(5);

/// Whether a part of the server works. The error is the reason, in words that reveal nothing internal.
pub type Check = Result<(), Cow<'static, str>>;

/// The result for each part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The database responds, and its disk has room.
    pub database: Check,
    /// The blob store can be written, and its disk has room.
    pub storage: Check,
    /// The workers claim work, or are busy.
    pub workers: Check,
    /// The background loops do their work.
    pub loops: Check,
    /// The loops that failed at some time and work now.
    pub loops_history: Option<String>,
    /// Hooks can be run; `None` if not checked.
    pub runner: Option<Check>,
}

impl Health {
    /// Returns whether every part works.
    pub fn is_ready(&self) -> bool {
        let parts = [&self.database, &self.storage, &self.workers, &self.loops];
        parts.iter().all(|part| part.is_ok()) && !matches!(self.runner, Some(Err(_)))
    }
}

/// Checks what the server needs.
pub struct ReadHealth {
    store: Arc<dyn Store>,
    blobs: Arc<dyn Blobs>,
    runner: Arc<dyn Runner>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
    ran: Cached<Option<Check>>,
    roomy: Cached<Check>,
    stored: Cached<Check>,
}

impl ReadHealth {
    /// Creates the use case over these ports. A server that is `stopping` is not ready.
    pub fn new(
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        runner: Arc<dyn Runner>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            store,
            blobs,
            runner,
            metrics,
            clock,
            stopping,
            ran: Cached::new(),
            roomy: Cached::new(),
            stored: Cached::new(),
        }
    }

    /// Checks every part, concurrently.
    #[tracing::instrument(name = "app.read_health.check", skip_all)]
    pub async fn check(&self, _permit: Permit<act::ReadHealth>) -> Health {
        let (database, storage, runner) = tokio::join!(self.database(), self.storage(), self.runner());
        let loops = self.metrics.loops();
        Health {
            database,
            storage,
            workers: if self.stopping.is_cancelled() {
                Err(Cow::Borrowed("the server is stopping"))
            } else {
                self.metrics.workers().map_err(Cow::Borrowed)
            },
            loops: loops.check().map_err(Cow::Owned),
            loops_history: loops.history(),
            runner,
        }
    }

    async fn database(&self) -> Check {
        let words = Words {
            failed: "the database cannot be reached",
            late: "the database did not answer within 2 s",
        };
        let room = async { Ok::<_, Infallible>(words.of(self.store.room()).await) };
        let room = self.roomy.get(&*self.clock, DISK_KEPT, room);
        // A database without room may be gone: then that is the reason.
        match tokio::join!(words.of(self.store.ping()), room) {
            (_, Ok((_, Err(full)))) => Err(full),
            (answers, Ok((_, Ok(())))) => answers,
            (_, Err(never)) => match never {},
        }
    }

    async fn storage(&self) -> Check {
        let words = Words {
            failed: "the blob store cannot be written; see the server's log",
            late: "the blob store did not answer within 2 s",
        };
        let check = async { Ok::<_, Infallible>(words.of(self.blobs.check()).await) };
        match self.stored.get(&*self.clock, DISK_KEPT, check).await {
            Ok((_, found)) => found,
            Err(never) => match never {},
        }
    }

    async fn runner(&self) -> Option<Check> {
        let check = async {
            let found = match tokio::time::timeout(MOST, self.runner.check()).await {
                Ok(Ok(looked)) => looked.then_some(Ok(())),
                Ok(Err(error)) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the runner check failed"
                    );
                    Some(Err(if is_full(&error) {
                        Cow::Owned(Disk::Work.to_string())
                    } else {
                        Cow::Borrowed("hooks cannot be run; see the server's log")
                    }))
                }
                Err(_) => Some(Err(Cow::Borrowed("the runner did not answer within 2 s"))),
            };
            Ok::<_, Infallible>(found)
        };
        match self.ran.get(&*self.clock, DISK_KEPT, check).await {
            Ok((_, found)) => found,
            Err(never) => match never {},
        }
    }
}

/// What a check says of a store.
#[derive(Clone, Copy)]
struct Words {
    failed: &'static str,
    late: &'static str,
}

impl Words {
    async fn of(self, check: impl Future<Output = Result<(), StoreError>>) -> Check {
        match tokio::time::timeout(MOST, check).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(full @ StoreError::Full { .. })) => Err(Cow::Owned(full.to_string())),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a readiness check failed"
                );
                Err(Cow::Borrowed(self.failed))
            }
            Err(_) => Err(Cow::Borrowed(self.late)),
        }
    }
}
