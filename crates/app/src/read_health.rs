//! Health checks of the server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use ports::{Clock, Runner, Store};

use crate::cached::Cached;
use crate::metrics::Metrics;

/// The timeout of a check (WC-1.8).
const MOST: Duration = Duration::from_secs(2);
/// How long the runner check is cached: the route is public, and each check costs disk work.
const RUNNER_KEPT: Duration = Duration::from_secs(5);

/// Whether a part of the server works. The error is the reason, in words that reveal nothing internal.
pub type Check = Result<(), &'static str>;

/// The result for each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The database responds.
    pub database: Check,
    /// The workers claim work, or are busy.
    pub workers: Check,
    /// Hooks can be run; `None` if not checked.
    pub runner: Option<Check>,
}

impl Health {
    /// Returns whether every part works.
    pub const fn is_ready(&self) -> bool {
        self.database.is_ok() && self.workers.is_ok() && !matches!(self.runner, Some(Err(_)))
    }
}

/// Checks what the server needs.
pub struct ReadHealth {
    store: Arc<dyn Store>,
    runner: Arc<dyn Runner>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    ran: Cached<Option<Check>>,
}

impl ReadHealth {
    /// Creates the use case over these ports.
    pub fn new(
        store: Arc<dyn Store>,
        runner: Arc<dyn Runner>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            runner,
            metrics,
            clock,
            ran: Cached::new(),
        }
    }

    /// Checks every part, concurrently.
    #[tracing::instrument(name = "app.read_health.check", skip_all)]
    pub async fn check(&self, _permit: Permit<act::ReadHealth>) -> Health {
        let (database, runner) = tokio::join!(self.database(), self.runner());
        Health {
            database,
            workers: self.metrics.workers(),
            runner,
        }
    }

    async fn database(&self) -> Check {
        match tokio::time::timeout(MOST, self.store.ping()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the database cannot be reached"),
            Err(_) => Err("the database did not answer within 2 s"),
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
                    Some(Err("hooks cannot be run; see the server's log"))
                }
                Err(_) => Some(Err("the runner did not answer within 2 s")),
            };
            Ok::<_, Infallible>(found)
        };
        match self.ran.get(&*self.clock, RUNNER_KEPT, check).await {
            Ok((_, found)) => found,
            Err(never) => match never {},
        }
    }
}
