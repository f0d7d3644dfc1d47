//! The work queue: claims, beats and wake-ups (ledger.md 6.3, 6.4, 6.6).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{DelegationId, TaskId};
use ports::{Claim, StoreError, WorkQueue, WorkerIdentity};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;

use crate::error::store_error;
use crate::rows::{parsed, small};

const CHANNEL: &str = "hallmark_work";

/// The queue of one callee on PostgreSQL.
///
/// `NOTIFY` inside a writing transaction would serialise commits (ledger.md 1.5), so writers set a flag and one task per process
/// sends at most one `NOTIFY` per [`PgQueue::COALESCE`]. Missing one costs a poll's wait, never work.
#[derive(Debug)]
pub struct PgQueue {
    pool: PgPool,
    callee: String,
    /// Set by writers in this process; drained by the sender task.
    to_send: Arc<Notify>,
    /// Set when work may be there; drained by waiting workers.
    arrived: Arc<Notify>,
}

impl PgQueue {
    /// The least time between two `NOTIFY`s of one process.
    pub const COALESCE: Duration = Duration::from_millis(25);

    /// A queue for `callee`, with its sender and listener running until it is dropped.
    pub fn start(pool: PgPool, callee: impl Into<String>) -> Self {
        let (to_send, arrived) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (sender_pool, flag, waiting) = (pool.clone(), Arc::downgrade(&to_send), Arc::downgrade(&arrived));
        let watched = Arc::clone(&to_send);
        drop(tokio::spawn(async move {
            loop {
                // Woken at least once a second to see whether the queue is still there.
                let told = tokio::time::timeout(Duration::from_secs(1), watched.notified())
                    .await
                    .is_ok();
                // This task holds one reference itself.
                if flag.strong_count() <= 1 || sender_pool.is_closed() {
                    return;
                }
                if told {
                    if let Err(error) = sqlx::query!("select pg_notify($1, '')", CHANNEL)
                        .execute(&sender_pool)
                        .await
                    {
                        tracing::debug!(%error, "no wake-up was sent; workers will poll");
                    }
                    tokio::time::sleep(Self::COALESCE).await;
                }
            }
        }));
        let listener_pool = pool.clone();
        drop(tokio::spawn(async move {
            while waiting.strong_count() > 0 && !listener_pool.is_closed() {
                if let Err(error) = listen(&listener_pool, &waiting).await {
                    tracing::debug!(%error, "not listening for wake-ups; workers poll");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }));
        Self {
            pool,
            callee: callee.into(),
            to_send,
            arrived,
        }
    }
}

/// Listens until the queue is gone or the connection fails. It is always drained: a listener that is not read holds back vacuum.
async fn listen(pool: &PgPool, arrived: &std::sync::Weak<Notify>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        let told = tokio::time::timeout(Duration::from_secs(1), listener.recv()).await;
        let Some(arrived) = arrived.upgrade() else {
            return Ok(());
        };
        if pool.is_closed() {
            return Ok(());
        }
        if let Ok(notification) = told {
            notification?;
            arrived.notify_waiters();
            arrived.notify_one();
        }
    }
}

#[async_trait]
impl WorkQueue for PgQueue {
    async fn claim(&self, worker: &WorkerIdentity, most: u32) -> Result<Vec<Claim>, StoreError> {
        // The time in the queue is no part of the deadline; a hook may take 24 hours, four times (the runner holds it to its own limits).
        // The queue row is a hint, the ledger is the truth: its status is checked again. `materialized` keeps the planner from running
        // the limited select more than once.
        let rows = sqlx::query!(
            r#"with ready as materialized (
                 select callee_id, ready_at, delegation_id from delegation_ready
                 where callee_id = $1 and ready_at <= clock_timestamp() order by ready_at, delegation_id limit $2 for update skip locked
               ), gone as (
                 delete from delegation_ready q using ready r
                 where q.callee_id = r.callee_id and q.ready_at = r.ready_at and q.delegation_id = r.delegation_id returning q.delegation_id
               ), taken as (
                 update delegations d set status = 'in_progress', attempt = d.attempt + 1, last_heartbeat = clock_timestamp(), updated_at = clock_timestamp(),
                   deadline = greatest(d.deadline, clock_timestamp() + interval '5 days')
                 from gone g where d.delegation_id = g.delegation_id and d.status in ('queued', 'dispatched')
                 returning d.delegation_id, d.attempt, d.task_id, d.retry_count, d.deadline
               ), leased as (
                 insert into delegation_leases (delegation_id, attempt, worker_id, boot_id, last_heartbeat, deadline)
                 select delegation_id, attempt, $3, $4, clock_timestamp(), deadline from taken
               ), logged as (
                 insert into delegation_attempts (delegation_id, attempt, event, worker_id) select delegation_id, attempt, 'claimed', $3 from taken
               ), started as (
                 update tasks t set status = 'running', updated_at = now() from taken k where t.id = k.task_id and t.status = 'queued'
               )
               select k.delegation_id, k.attempt, k.retry_count, t.id as task_id, t.kind, t.params from taken k join tasks t on t.id = k.task_id"#,
            self.callee,
            i64::from(most),
            worker.name,
            worker.boot
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                Ok(Claim {
                    delegation: parsed("delegations", &row.delegation_id)?,
                    attempt: row.attempt,
                    task: TaskId::from_uuid(row.task_id),
                    kind: parsed("tasks", &row.kind)?,
                    params: row.params,
                    retry_count: small("delegations", row.retry_count)?,
                    worker: worker.clone(),
                })
            })
            .collect()
    }

    async fn beat(&self, claims: &[(DelegationId, i64)]) -> Result<Vec<DelegationId>, StoreError> {
        let ids: Vec<String> = claims.iter().map(|(id, _)| id.to_string()).collect();
        let attempts: Vec<i64> = claims.iter().map(|(_, attempt)| *attempt).collect();
        // A lease that is locked is being ended or taken away in this moment; it is passed over, and stays held until that commits.
        sqlx::query!(
            "with mine as materialized (
               select l.delegation_id from delegation_leases l join unnest($1::text[], $2::bigint[]) as c (id, attempt) on l.delegation_id = c.id and l.attempt = c.attempt
               order by l.delegation_id for update of l skip locked
             )
             update delegation_leases l set last_heartbeat = clock_timestamp() from mine m where l.delegation_id = m.delegation_id",
            &ids,
            &attempts
        )
        .execute(&self.pool)
        .await
        .map_err(store_error)?;
        let held = sqlx::query_scalar!(
            "select l.delegation_id from delegation_leases l join unnest($1::text[], $2::bigint[]) as c (id, attempt) on l.delegation_id = c.id and l.attempt = c.attempt",
            &ids,
            &attempts
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        // The ledger's copy is for readers: once a minute is enough, and every write to its index costs (ledger.md 1.2).
        sqlx::query!(
            "update delegations set last_heartbeat = clock_timestamp()
             where delegation_id = any($1) and status = 'in_progress' and last_heartbeat < clock_timestamp() - interval '60 seconds'",
            &held
        )
        .execute(&self.pool)
        .await
        .map_err(store_error)?;
        held.iter().map(|id| parsed("delegation_leases", id)).collect()
    }

    async fn refuse_late(&self, claim: &Claim, what: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into delegation_attempts (delegation_id, attempt, event, worker_id, detail) values ($1, $2, 'refused-late', $3, $4)",
            claim.delegation.as_str(),
            claim.attempt,
            claim.worker.name,
            domain::delegation::preview(what)
        )
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(store_error)
    }

    async fn wait(&self, most: Duration) {
        // Time-out or wake-up, both mean: look again.
        let _ = tokio::time::timeout(most, self.arrived.notified()).await;
    }

    fn wake(&self) {
        self.arrived.notify_one();
        self.to_send.notify_one();
    }
}
