//! The server's own work queue: the ledger, seen by one callee.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::DelegationId;
use ports::ledger_queries::ClaimRequest;
use ports::{Claim, Ledger as _, Listening, StoreError, Wakes, WorkQueue, WorkerIdentity};
use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::ledger::PgLedger;
use crate::wakes::PgWakes;

/// The queue of one of the server's own callees on PostgreSQL.
pub struct PgQueue {
    ledger: PgLedger,
    callee: String,
    topic: String,
    wakes: Arc<dyn Wakes>,
    listening: Mutex<Box<dyn Listening>>,
}

impl PgQueue {
    /// A queue for `callee`.
    pub fn new(pool: PgPool, callee: impl Into<String>, wakes: Arc<dyn Wakes>) -> Self {
        let callee = callee.into();
        let topic = ports::work_topic(&callee);
        let listening = Mutex::new(wakes.listen(&topic));
        Self {
            ledger: PgLedger::new(pool),
            callee,
            topic,
            wakes,
            listening,
        }
    }

    /// A queue for `callee` with wake-ups of its own.
    pub fn start(pool: PgPool, callee: impl Into<String>) -> Self {
        let wakes = Arc::new(PgWakes::start(&pool));
        Self::new(pool, callee, wakes)
    }
}

#[async_trait]
impl WorkQueue for PgQueue {
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

    async fn beat(&self, claims: &[(DelegationId, i64)]) -> Result<Vec<DelegationId>, StoreError> {
        let held = self.ledger.beat(None, claims).await?;
        Ok(held.into_iter().map(|(id, ..)| id).collect())
    }

    async fn refuse_late(&self, claim: &Claim, what: &str) -> Result<(), StoreError> {
        self.ledger
            .refuse_late(&claim.delegation, claim.attempt, &claim.worker.name, what)
            .await
    }

    async fn wait(&self, most: Duration) {
        self.listening.lock().await.wait(most).await;
    }

    fn wake(&self) {
        self.wakes.wake(&self.topic);
    }
}
