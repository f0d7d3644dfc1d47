//! Revoking the leases of silent or dead holders, and redelegating (LED-5, LED-6).

use std::time::Duration;

use domain::{DelegationId, TaskId};
use ports::ledger::{Stuck, Swept};
use ports::{StoreError, WorkerIdentity};
use serde_json::Value;
use uuid::Uuid;

use crate::store::rows::{count, parsed, small};
use crate::store::tx::PgTx;

const TABLE: &str = "delegations";
/// As many silent leases at once, if they are more than a fifth of all, look like a fault that is not their workers'
/// (LEDGER-6.2).
const MANY: i64 = 20;

/// What both sweeps return of a delegation.
struct StuckRow {
    delegation_id: String,
    attempt: i64,
    caller_id: String,
    callee_id: String,
    task_preview: Option<String>,
    retry_count: i32,
    max_retries: Option<i64>,
    expired: bool,
    why: String,
    crashes: i64,
    task: Option<(Uuid, String, Value)>,
}

impl StuckRow {
    fn stuck(self) -> Result<Stuck, StoreError> {
        let task = self
            .task
            .map(|(id, kind, params)| Ok((TaskId::from_uuid(id), parsed("tasks", &kind)?, params)));
        Ok(Stuck {
            id: parsed(TABLE, &self.delegation_id)?,
            attempt: self.attempt,
            caller: self.caller_id,
            callee: self.callee_id,
            preview: self.task_preview.unwrap_or_default(),
            task: task.transpose()?,
            retry_count: small(TABLE, self.retry_count)?,
            max_retries: small(TABLE, self.max_retries.unwrap_or(0))?,
            expired: self.expired,
            why: self.why,
            crashes: u32::try_from(self.crashes).unwrap_or(u32::MAX),
        })
    }
}

impl PgTx {
    /// Revokes leases in one statement, so nothing can happen between seeing a silent lease and taking it
    /// (LEDGER-6.7). Uses the database's clock, and skips silence before the database itself has been up for as long:
    /// while it was down, no heartbeats could arrive.
    pub(crate) async fn sweep_leases(
        &mut self,
        worker: &WorkerIdentity,
        silence: Duration,
        most: u32,
    ) -> Result<Swept, StoreError> {
        let rows = sqlx::query!(
            r#"with knowing as materialized (
                 select set_config('hallmark.ends_leases', 'yes', true)
               ), clock as materialized (
                 select clock_timestamp() as at
               ), candidates as materialized (
                 select l.delegation_id, l.last_heartbeat < c.at - make_interval(secs => $3) as is_silent,
                   l.last_heartbeat < c.at - make_interval(secs => 2 * $3) as is_long_silent
                 from delegation_leases l, clock c
                 where l.last_heartbeat < c.at - make_interval(secs => $3) or l.deadline < c.at
                   or (l.worker_id = $1 and l.boot_id <> $2 and coalesce(l.callee_id, 'hallmark:') like 'hallmark:%')
               ), counts as materialized (
                 select count(*) filter (where is_silent) as silent, count(*) filter (where is_long_silent) as long_silent from candidates
               ), brake as materialized (
                 select case when silent > $5 then silent * 5 > (select count(*) from delegation_leases) else false end as is_on from counts
               ), bound as materialized (
                 select case when c.at - pg_postmaster_start_time() < make_interval(secs => $3) then '-infinity'::timestamptz
                             when k.is_on then c.at - make_interval(secs => 2 * $3)
                             else c.at - make_interval(secs => $3) end as oldest,
                   case when k.is_on then n.silent - n.long_silent else 0 end as held_back, c.at
                 from counts n, brake k, clock c
               ), silent as materialized (
                 select l.delegation_id, l.attempt, l.worker_id, l.deadline < b.at as expired,
                        case when l.boot_id = '00000000-0000-0000-0000-000000000000' then 'its worker ' || l.worker_id || ' did not receive the claim'
                             when l.boot_id = 'ffffffff-ffff-ffff-ffff-ffffffffffff' then 'its worker ' || l.worker_id || ' was stopped'
                             when l.worker_id = $1 and l.boot_id <> $2 and coalesce(l.callee_id, 'hallmark:') like 'hallmark:%' then 'its worker ' || l.worker_id || ' was restarted'
                             when l.deadline < b.at then 'its deadline passed'
                             else 'its worker ' || l.worker_id || ' fell silent' end as why,
                        coalesce(l.callee_id, 'hallmark:') like 'hallmark:%' and not l.waits
                          and l.boot_id not in ('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff')
                          and (l.deadline >= b.at or (l.worker_id = $1 and l.boot_id <> $2)) as is_crash
                 from candidates k join delegation_leases l on l.delegation_id = k.delegation_id, bound b
                 where (select count(*) from knowing) = 1 and (l.last_heartbeat < b.oldest or l.deadline < b.at
                   or (l.worker_id = $1 and l.boot_id <> $2 and coalesce(l.callee_id, 'hallmark:') like 'hallmark:%'))
                 order by l.delegation_id limit $4 for update of l skip locked
               ), gone as (
                 delete from delegation_leases l using silent s where l.delegation_id = s.delegation_id and l.attempt = s.attempt
                 returning s.delegation_id, s.attempt, s.worker_id, s.expired, s.why, s.is_crash, l.last_heartbeat
               ), marked as (
                 update delegations d set status = 'stuck', error_detail = g.why, last_heartbeat = g.last_heartbeat, updated_at = clock_timestamp() from gone g
                 where d.delegation_id = g.delegation_id and d.attempt = g.attempt and d.status || '' in ('dispatched', 'in_progress')
                 returning d.delegation_id, d.task_id, d.caller_id, d.callee_id, d.task_preview, d.retry_count, d.max_retries, g.attempt, g.worker_id, g.expired, g.why, g.is_crash
               ), logged as (
                 insert into delegation_attempts (delegation_id, attempt, event, worker_id, detail)
                 select delegation_id, attempt, 'stuck', worker_id, why from marked
               ), crashed as (
                 insert into task_crashes (delegation_id, attempt, task_id, worker_id)
                 select delegation_id, attempt, task_id, worker_id from marked where is_crash and task_id is not null on conflict do nothing
               )
               select b.held_back as "held_back!", m.delegation_id as "delegation_id?", m.caller_id as "caller_id?", m.callee_id as "callee_id?", m.task_preview as "task_preview?",
                      m.retry_count as "retry_count?", m.max_retries as "max_retries?", m.attempt as "attempt?", m.expired as "expired?", m.why as "why?",
                      t.id as "task_id?", t.kind as "kind?", t.params as "params?",
                      (select count(*) from task_crashes c where c.task_id = m.task_id) + case when m.is_crash then 1 else 0 end as "crashes!"
               from bound b left join marked m on true left join tasks t on t.id = m.task_id"#,
            worker.name,
            worker.boot,
            silence.as_secs_f64(),
            i64::from(most),
            MANY,
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let mut swept = Swept::default();
        for row in rows {
            swept.held_back = count("delegation_leases", row.held_back)?;
            let (
                Some(delegation_id),
                Some(attempt),
                Some(caller_id),
                Some(callee_id),
                Some(retry_count),
                Some(why),
            ) = (
                row.delegation_id,
                row.attempt,
                row.caller_id,
                row.callee_id,
                row.retry_count,
                row.why,
            )
            else {
                continue;
            };
            let stuck = StuckRow {
                delegation_id,
                attempt,
                caller_id,
                callee_id,
                task_preview: row.task_preview,
                retry_count,
                max_retries: row.max_retries,
                expired: row.expired.unwrap_or(false),
                why,
                crashes: row.crashes,
                task: row
                    .task_id
                    .zip(row.kind)
                    .zip(row.params)
                    .map(|((id, kind), params)| (id, kind, params)),
            };
            swept.stuck.push(stuck.stuck()?);
        }
        Ok(swept)
    }

    /// Marks unclaimed delegations past their deadline as stuck. Deletes the queue row, and marks the ledger's row if
    /// it still waits.
    pub(crate) async fn sweep_waiting(&mut self, most: u32) -> Result<Vec<Stuck>, StoreError> {
        let rows = sqlx::query!(
            r#"with expired as materialized (
                 select callee_id, ready_at, delegation_id from delegation_ready where deadline < now() order by deadline limit $1 for update skip locked
               ), gone as (
                 delete from delegation_ready q using expired e
                 where q.callee_id = e.callee_id and q.ready_at = e.ready_at and q.delegation_id = e.delegation_id returning q.delegation_id
               ), marked as (
                 update delegations d set status = 'stuck', error_detail = 'no worker claimed it before its deadline', updated_at = clock_timestamp() from gone g
                 where d.delegation_id = g.delegation_id and d.status || '' = 'queued'
                 returning d.delegation_id, d.attempt, d.task_id, d.caller_id, d.callee_id, d.task_preview, d.retry_count, d.max_retries, d.error_detail
               ), logged as (
                 insert into delegation_attempts (delegation_id, attempt, event, detail) select delegation_id, attempt, 'stuck', error_detail from marked
               )
               select m.delegation_id, m.attempt, m.caller_id, m.callee_id, m.task_preview, m.retry_count, m.max_retries, m.error_detail as "why!",
                      t.id as "task_id?", t.kind as "kind?", t.params as "params?"
               from marked m left join tasks t on t.id = m.task_id"#,
            i64::from(most)
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|row| {
                StuckRow {
                    delegation_id: row.delegation_id,
                    attempt: row.attempt,
                    caller_id: row.caller_id,
                    callee_id: row.callee_id,
                    task_preview: row.task_preview,
                    retry_count: row.retry_count,
                    max_retries: row.max_retries,
                    expired: true,
                    why: row.why,
                    // No worker had it.
                    crashes: 0,
                    task: row
                        .task_id
                        .zip(row.kind)
                        .zip(row.params)
                        .map(|((id, kind), params)| (id, kind, params)),
                }
                .stuck()
            })
            .collect()
    }

    /// Redelegates. The index on `retry_of` allows only one successor per delegation.
    pub(crate) async fn insert_redelegation(
        &mut self,
        id: &DelegationId,
        next: &DelegationId,
        delay: Duration,
        anew: bool,
    ) -> Result<bool, StoreError> {
        // Locked before it is read, so that a task that is cancelled meanwhile gets no new delegation.
        let over = sqlx::query_scalar!(
            "select t.status from tasks t where t.id = (select task_id from delegations where delegation_id = $1) for update",
            id.as_str()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if matches!(over.as_deref(), Some("completed" | "cancelled")) {
            return Ok(false);
        }
        // A task has one holder at a time; its row is locked, so no other delegation of it is created meanwhile.
        let is_delegated = sqlx::query_scalar!(
            r#"select exists (select from delegations o where o.task_id = (select task_id from delegations where delegation_id = $1)
                 and o.status || '' in ('queued', 'dispatched', 'in_progress')) as "is_delegated!""#,
            id.as_str()
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if is_delegated {
            return Ok(false);
        }
        let made = sqlx::query_scalar!(
            r#"with made as (
                 insert into delegations (delegation_id, task_id, caller_id, callee_id, task_preview, input, max_retries, retry_count, retry_of, parent_id, root_id, depth, deadline)
                 select $2, task_id, caller_id, callee_id, task_preview, input, max_retries, retry_count + 1, $1, parent_id, root_id, depth,
                   case when $4 then least(clock_timestamp() + coalesce(
                          (select f.deadline - f.created_at from delegations f where f.delegation_id = split_part($1, '~', 1)), interval '6 hours'),
                        (select p.deadline from delegations p where p.delegation_id = d.parent_id)) else deadline end
                 from delegations d where delegation_id = $1 and status || '' in ('stuck', 'failed')
                   and not exists (select from delegation_archive_ids where delegation_id = $2)
                 on conflict do nothing returning delegation_id, task_id, callee_id, caller_id, deadline
               ), queued as (
                 insert into delegation_ready (callee_id, ready_at, delegation_id, deadline)
                 select callee_id, clock_timestamp() + make_interval(secs => $3), delegation_id, case when caller_id not like 'hallmark:%' then deadline end from made
               ), waiting as (
                 update tasks t set status = 'queued', status_detail = null, updated_at = now() from made m where t.id = m.task_id and t.status <> 'queued'
               )
               select count(*) as "made!" from made"#,
            id.as_str(),
            next.as_str(),
            delay.as_secs_f64(),
            anew
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(made == 1)
    }
}
