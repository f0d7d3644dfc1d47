//! The server's own work queue: the ledger, as seen by one callee.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::DelegationId;
use ports::ledger::ClaimRequest;
use ports::{Claim, Ledger as _, Notifier, StoreError, Subscription, WorkQueue, WorkerIdentity};
use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::ledger::claims::PgLedger;
use crate::ledger::notifier::PgNotifier;

/// The queue of one of the server's own callees on PostgreSQL.
pub struct PgQueue {
    ledger: PgLedger,
    callee: String,
    topic: String,
    notifier: Arc<dyn Notifier>,
    listening: Mutex<Box<dyn Subscription>>,
}

impl PgQueue {
    /// Creates a queue for `callee`.
    pub fn new(pool: PgPool, callee: impl Into<String>, notifier: Arc<dyn Notifier>) -> Self {
        let callee = callee.into();
        let topic = ports::work_topic(&callee);
        let listening = Mutex::new(notifier.subscribe(&topic));
        Self {
            ledger: PgLedger::new(pool),
            callee,
            topic,
            notifier,
            listening,
        }
    }

    /// Creates a queue for `callee` with its own wake-ups.
    pub fn start(pool: PgPool, callee: impl Into<String>) -> Self {
        let notifier = Arc::new(PgNotifier::start(&pool));
        Self::new(pool, callee, notifier)
    }
}

#[async_trait]
impl WorkQueue for PgQueue {
    #[tracing::instrument(name = "db.work_queue.claim", skip_all)]
    async fn claim(&self, worker: &WorkerIdentity, most: u32) -> Result<Vec<Claim>, StoreError> {
        let request = ClaimRequest {
            callee: self.callee.clone(),
            worker: worker.clone(),
            most,
            begin: true,
        };
        let claimed = self.ledger.claim(&request).await?;
        claimed
            .into_iter()
            .map(|one| {
                let (task, kind, params) = one
                    .task
                    .ok_or_else(|| StoreError::corrupt("delegations", "own work without a task"))?;
                Ok(Claim {
                    delegation: one.id,
                    attempt: one.attempt,
                    task,
                    kind,
                    params,
                    retry_count: one.retry_count,
                    worker: worker.clone(),
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.work_queue.heartbeat", skip_all)]
    async fn heartbeat(&self, claims: &[(DelegationId, i64)]) -> Result<Vec<DelegationId>, StoreError> {
        let held = self.ledger.heartbeat(None, claims).await?;
        Ok(held.into_iter().map(|(id, ..)| id).collect())
    }

    #[tracing::instrument(name = "db.work_queue.refuse_late", skip_all, fields(delegation = %claim.delegation, attempt = claim.attempt, task = %claim.task))]
    async fn refuse_late(&self, claim: &Claim, what: &str) -> Result<(), StoreError> {
        self.ledger
            .refuse_late(&claim.delegation, claim.attempt, &claim.worker.name, what)
            .await
    }

    async fn wait(&self, most: Duration) {
        self.listening.lock().await.wait(most).await;
    }

    fn notify(&self) {
        self.notifier.notify(&self.topic);
    }
}
