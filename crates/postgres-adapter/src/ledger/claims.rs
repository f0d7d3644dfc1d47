//! Claims, heartbeats and reads of the ledger, each a transaction of its own (LEDGER-6).

use std::time::Duration;

use async_trait::async_trait;
use domain::ledger::delegation::ALONE_AFTER_CRASHES;
use domain::{DelegationId, Party, TaskId};
use ports::ledger::{ClaimRequest, Claimed};
use ports::{Ledger, StoreError};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::store::error::store_error;
use crate::store::rows::{parsed, small};

const TABLE: &str = "delegations";
/// The maximum number of late results that are logged per attempt; more of them carry no information.
const MAX_LATE: i64 = 20;
/// How often a claim retries if all delegations that it found were cancelled meanwhile.
const MAX_LOOKS: u32 = 100;

/// The ledger on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgLedger {
    pub(crate) pool: PgPool,
}

impl PgLedger {
    /// Creates the ledger of this database.
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Claims, and returns the number of queue rows that it took.
    async fn claim_once(&self, request: &ClaimRequest) -> Result<(Vec<Claimed>, i64), StoreError> {
        // The queue row is a hint; the ledger is authoritative, so its status is checked again. `materialized` keeps
        // the planner from running the limited select more than once. Rows of the queue are never updated, so the
        // locked ones can be named by their physical location; a join by their key made the planner read the whole
        // queue. Work of the server's own workers may take days, four times 24 hours for a hook, and its time counts
        // from the claim; the runner enforces the limits of hooks. Work that servers ended at is not begun yet.
        let rows = sqlx::query!(
            r#"with acting as materialized (
                 select set_config('hallmark.actor', $1, true)
               ), ready as materialized (
                 select q.ctid from delegation_ready q
                 where q.callee_id = $1 and q.ready_at <= clock_timestamp() and (q.deadline is null or q.deadline > clock_timestamp())
                   and (select count(*) from acting) = 1
                 order by q.ready_at, q.delegation_id limit $2 for update of q skip locked
               ), gone as (
                 delete from delegation_ready q where q.ctid = any(array(select r.ctid from ready r)) returning q.delegation_id
               ), taken as (
                 update delegations d set status = case when $5 then 'in_progress' else 'dispatched' end, attempt = d.attempt + 1,
                   last_heartbeat = clock_timestamp(), updated_at = clock_timestamp(),
                   deadline = case when $1 like 'hallmark:%' then greatest(d.deadline, clock_timestamp() + interval '5 days') else d.deadline end
                 from gone g where d.delegation_id = g.delegation_id and d.status || '' in ('queued', 'dispatched')
                 returning d.delegation_id, d.attempt, d.task_id, d.caller_id, d.task_preview, d.input, d.retry_count, d.depth, d.deadline, d.created_at
               ), leased as (
                 insert into delegation_leases (delegation_id, attempt, callee_id, worker_id, boot_id, last_heartbeat, deadline, waits)
                 select k.delegation_id, k.attempt, $1, $3, $4, clock_timestamp(), k.deadline,
                   (select count(*) from task_crashes c where c.task_id = k.task_id) >= $6 and $1 like 'hallmark:%' from taken k
               ), logged as (
                 insert into delegation_attempts (delegation_id, attempt, event, worker_id) select delegation_id, attempt, 'claimed', $3 from taken
               ), started as (
                 update tasks t set status = 'running', updated_at = now() from taken k where t.id = k.task_id and t.status = 'queued'
               )
               select h.hints as "hints!", k.delegation_id as "delegation_id?", k.attempt as "attempt?", k.caller_id as "caller_id?", k.task_preview as "task_preview?",
                 k.input as "input?", k.retry_count as "retry_count?", k.depth as "depth?", k.deadline as "deadline?",
                 t.id as "task_id?", t.kind as "kind?", t.params as "params?",
                 (select count(*) from task_crashes c where c.task_id = t.id) as "crashes!"
               from (select count(*) as hints from ready) h left join taken k on true left join tasks t on t.id = k.task_id
               order by k.created_at, k.delegation_id"#,
            request.callee,
            i64::from(request.most),
            request.worker.name,
            request.worker.boot,
            request.begin,
            i64::from(ALONE_AFTER_CRASHES),
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        let hints = rows.first().map_or(0, |row| row.hints);
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            let (Some(id), Some(attempt), Some(caller), Some(retry_count), Some(deadline)) = (
                row.delegation_id,
                row.attempt,
                row.caller_id,
                row.retry_count,
                row.deadline,
            ) else {
                continue;
            };
            let task = match (row.task_id, row.kind, row.params) {
                (Some(id), Some(kind), Some(params)) => {
                    Some((TaskId::from_uuid(id), parsed("tasks", &kind)?, params))
                }
                _ => None,
            };
            claimed.push(Claimed {
                id: parsed(TABLE, &id)?,
                attempt,
                caller,
                preview: row.task_preview.unwrap_or_default(),
                input: row.input,
                task,
                retry_count: small(TABLE, retry_count)?,
                depth: small(TABLE, row.depth.unwrap_or(0))?,
                deadline,
                crashes: u32::try_from(row.crashes).unwrap_or(u32::MAX),
            });
        }
        Ok((claimed, hints))
    }

    /// Takes back what was counted as crashes under these attempts: their holder lives.
    pub(crate) async fn take_back_crashes(&self, ids: &[String], attempts: &[i64]) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from task_crashes c using unnest($1::text[], $2::bigint[]) as h (id, attempt)
             where c.delegation_id = h.id and c.attempt = h.attempt",
            ids,
            attempts
        )
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(store_error)
    }

    /// Forgets crashes whose delegation is archived: its task has ended.
    async fn forget_crashes(&self, older_than: Duration, most: u32) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from task_crashes c using (
               select delegation_id, attempt from task_crashes o
               where o.crashed_at < now() - make_interval(secs => $1)
                 and exists (select from delegation_archive_ids i where i.delegation_id = o.delegation_id)
               limit $2 for update skip locked
             ) old where c.delegation_id = old.delegation_id and c.attempt = old.attempt",
            older_than.as_secs_f64(),
            i64::from(most)
        )
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(store_error)
    }
}

#[async_trait]
impl Ledger for PgLedger {
    #[tracing::instrument(name = "db.ledger.claim", skip_all)]
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, StoreError> {
        // A delegation that is cancelled while it waits leaves its queue row behind. Retrying clears such rows.
        for _ in 0..MAX_LOOKS {
            let (claimed, hints) = self.claim_once(request).await?;
            if !claimed.is_empty() || hints == 0 {
                return Ok(claimed);
            }
        }
        Ok(Vec::new())
    }

    #[tracing::instrument(name = "db.ledger.heartbeat", skip_all)]
    async fn heartbeat(
        &self,
        callee: Option<&Party>,
        claims: &[(DelegationId, i64)],
    ) -> Result<Vec<(DelegationId, i64, OffsetDateTime)>, StoreError> {
        let ids: Vec<String> = claims.iter().map(|(id, _)| id.to_string()).collect();
        let attempts: Vec<i64> = claims.iter().map(|(_, attempt)| *attempt).collect();
        // A locked lease is being ended or revoked at this moment; it is skipped, and counts as held until that
        // commits. The ledger's own copy of the heartbeat is written when the delegation ends: every write to its
        // index costs (LEDGER-1.2).
        let held = sqlx::query!(
            r#"with claims as materialized (
                 select * from unnest($1::text[], $2::bigint[]) as c (id, attempt)
               ), mine as materialized (
                 select l.delegation_id from delegation_leases l join claims c on l.delegation_id = c.id and l.attempt = c.attempt
                 where $3::text is null or l.callee_id = $3 order by l.delegation_id for update of l skip locked
               ), extended as (
                 update delegation_leases l set last_heartbeat = clock_timestamp() from mine m where l.delegation_id = m.delegation_id
               )
               select l.delegation_id, l.attempt, l.deadline from delegation_leases l
               join claims c on l.delegation_id = c.id and l.attempt = c.attempt
               where $3::text is null or l.callee_id = $3"#,
            &ids,
            &attempts,
            callee.map(Party::as_str)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        // Only the server's own work has crashes.
        if callee.is_none() && held.len() < claims.len() {
            let is_held = |id: &str, attempt: i64| {
                held.iter()
                    .any(|row| row.delegation_id == id && row.attempt == attempt)
            };
            let (lost, attempts): (Vec<String>, Vec<i64>) = claims
                .iter()
                .filter(|(id, attempt)| !is_held(id.as_str(), *attempt))
                .map(|(id, attempt)| (id.to_string(), *attempt))
                .unzip();
            self.take_back_crashes(&lost, &attempts).await?;
        }
        held.into_iter()
            .map(|row| {
                Ok((
                    parsed("delegation_leases", &row.delegation_id)?,
                    row.attempt,
                    row.deadline,
                ))
            })
            .collect()
    }

    #[tracing::instrument(name = "db.ledger.refuse_late", skip_all, fields(delegation = %id))]
    async fn refuse_late(
        &self,
        id: &DelegationId,
        attempt: i64,
        worker: &str,
        what: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into delegation_attempts (delegation_id, attempt, event, worker_id, detail)
             select $1, $2, 'refused-late', $3, $4 from (select count(*) as late from delegation_attempts
                    where delegation_id = $1 and attempt = $2 and event = 'refused-late') known
             where late < $5 and exists (select from delegation_attempts where delegation_id = $1 and attempt = $2 and event = 'claimed')",
            id.as_str(),
            attempt,
            worker,
            domain::ledger::delegation::preview(what),
            MAX_LATE
        )
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(store_error)
    }

    #[tracing::instrument(name = "db.ledger.archive", skip_all)]
    async fn archive(&self, older_than: Duration, most: u32) -> Result<u64, StoreError> {
        self.forget_crashes(older_than, most).await?;
        Ok(self.move_to_archive(older_than, most).await? + self.drop_acknowledged(older_than, most).await?)
    }
}
