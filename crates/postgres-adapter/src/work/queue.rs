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
use crate::store::error::store_error;

/// The queue of one of the server's own callees on PostgreSQL.
pub struct PgQueue {
    ledger: PgLedger,
    callee: String,
    topic: String,
    notifier: Arc<dyn Notifier>,
    listening: Mutex<Box<dyn Subscription>>,
    cancelled_topic: String,
    cancelled: Mutex<Box<dyn Subscription>>,
}

impl PgQueue {
    /// Creates a queue for `callee`.
    pub fn new(pool: PgPool, callee: impl Into<String>, notifier: Arc<dyn Notifier>) -> Self {
        let callee = callee.into();
        let topic = ports::work_topic(&callee);
        let listening = Mutex::new(notifier.subscribe(&topic));
        let cancelled_topic = ports::cancelled_topic(&callee);
        let cancelled = Mutex::new(notifier.subscribe(&cancelled_topic));
        Self {
            ledger: PgLedger::new(pool),
            callee,
            topic,
            notifier,
            listening,
            cancelled_topic,
            cancelled,
        }
    }

    /// Creates a queue for `callee` with its own wake-ups, for tests.
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
                    crashes: one.crashes,
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

    #[tracing::instrument(name = "db.work_queue.confirm", skip_all, fields(delegation = %claim.delegation, attempt = claim.attempt))]
    async fn confirm(&self, claim: &Claim) -> Result<bool, StoreError> {
        // Waits for the lock that ending and revoking take, and finds no row if either has committed.
        let confirmed = sqlx::query!(
            "update delegation_leases set last_heartbeat = clock_timestamp() where delegation_id = $1 and attempt = $2",
            claim.delegation.as_str(),
            claim.attempt
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(store_error)?;
        let held = confirmed.rows_affected() == 1;
        if !held {
            let (ids, attempts) = (vec![claim.delegation.to_string()], vec![claim.attempt]);
            self.ledger.take_back_crashes(&ids, &attempts).await?;
        }
        Ok(held)
    }

    #[tracing::instrument(name = "db.work_queue.begin", skip_all, fields(delegation = %claim.delegation, attempt = claim.attempt))]
    async fn begin(&self, claim: &Claim) -> Result<bool, StoreError> {
        let begun = sqlx::query!(
            "update delegation_leases set last_heartbeat = clock_timestamp(), waits = false where delegation_id = $1 and attempt = $2",
            claim.delegation.as_str(),
            claim.attempt
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(store_error)?;
        Ok(begun.rows_affected() == 1)
    }

    #[tracing::instrument(name = "db.work_queue.stopped", skip_all)]
    async fn stopped(&self, worker: &WorkerIdentity) -> Result<u64, StoreError> {
        // The sweep knows this boot id, as it knows that of `disown` (`sweeping.rs`).
        let stopped = sqlx::query!(
            "update delegation_leases set boot_id = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
             where worker_id = $1 and boot_id = $2 and callee_id = $3",
            worker.name,
            worker.boot,
            self.callee,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(store_error)?;
        Ok(stopped.rows_affected())
    }

    #[tracing::instrument(name = "db.work_queue.disown", skip_all)]
    async fn disown(&self, worker: &WorkerIdentity, held: &[(DelegationId, i64)]) -> Result<u64, StoreError> {
        let ids: Vec<String> = held.iter().map(|(id, _)| id.to_string()).collect();
        let attempts: Vec<i64> = held.iter().map(|(_, attempt)| *attempt).collect();
        // The sweep takes back what another boot of its worker holds (`sweeping.rs`).
        let disowned = sqlx::query!(
            "update delegation_leases l set boot_id = '00000000-0000-0000-0000-000000000000'
             where l.worker_id = $1 and l.boot_id = $2 and l.callee_id = $3
               and not exists (select from unnest($4::text[], $5::bigint[]) as h (id, attempt) where h.id = l.delegation_id and h.attempt = l.attempt)",
            worker.name,
            worker.boot,
            self.callee,
            &ids,
            &attempts,
        )
        .execute(&self.ledger.pool)
        .await
        .map_err(store_error)?;
        Ok(disowned.rows_affected())
    }

    #[tracing::instrument(name = "db.work_queue.refuse_late", skip_all, fields(delegation = %claim.delegation, attempt = claim.attempt, task = %claim.task))]
    async fn refuse_late(&self, claim: &Claim, what: &str) -> Result<(), StoreError> {
        let (ids, attempts) = (vec![claim.delegation.to_string()], vec![claim.attempt]);
        self.ledger.take_back_crashes(&ids, &attempts).await?;
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

    async fn wait_cancelled(&self, most: Duration) {
        self.cancelled.lock().await.wait(most).await;
    }

    fn notify_cancelled(&self) {
        self.notifier.notify(&self.cancelled_topic);
    }
}
