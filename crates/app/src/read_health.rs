//! Whether the server can do its work.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use ports::{Clock, Runner, Store};

use crate::cached::Cached;
use crate::metrics::Metrics;

/// How long a check may take (WC-1.8).
const MOST: Duration = Duration::from_secs(2);
/// How long it is kept whether hooks can be run: anybody may ask, and each answer is work for a disk.
const RUNNER_KEPT: Duration = Duration::from_secs(5);

/// Whether a part of the server works; if not, why, in words that tell nothing of the inside.
pub type Check = Result<(), &'static str>;

/// What was found of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The database answers.
    pub database: Check,
    /// The workers ask for work, or have some.
    pub workers: Check,
    /// Hooks can be run; `None` where nobody looks.
    pub runner: Option<Check>,
}

impl Health {
    /// Whether every part works.
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
    /// A use case on these ports.
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

    /// Checks every part, at the same time.
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
                    tracing::error!(error = &error as &dyn std::error::Error, "hooks cannot be run");
                    Some(Err("hooks cannot be run; the server's log says why"))
                }
                Err(_) => Some(Err("what runs hooks did not answer within 2 s")),
            };
            Ok::<_, Infallible>(found)
        };
        match self.ran.get(&*self.clock, RUNNER_KEPT, check).await {
            Ok((_, found)) => found,
            Err(never) => match never {},
        }
    }
}
