//! Delegations, as far as they belong to the transaction of their cause or effect (ledger.md 6). Locks are taken in one order
//! everywhere: lease, queue row, ledger.

use std::time::Duration;

use async_trait::async_trait;
use domain::delegation::preview;
use domain::{DelegationId, TaskId};
use ports::repos::{Delegated, DelegationEnd, DelegationView, NewDelegation, Stuck};
use ports::{Delegations, StoreError, WorkerIdentity};

use crate::rows::{parsed, small};
use crate::tx::PgTx;

const TABLE: &str = "delegations";

#[async_trait]
impl Delegations for PgTx {
    async fn create(&mut self, delegation: &NewDelegation) -> Result<Delegated, StoreError> {
        let done = sqlx::query!(
            "insert into delegations (delegation_id, task_id, caller_id, callee_id, task_preview, idempotency_key, retry_count)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
            delegation.id.as_str(),
            delegation.task.map(TaskId::as_uuid),
            delegation.caller,
            delegation.callee,
            preview(&delegation.preview),
            delegation.idempotency_key,
            delegation.retry_count.cast_signed(),
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if done.rows_affected() == 0 {
            let existing = sqlx::query_scalar!(
                "select delegation_id from delegations where delegation_id = $1 or (caller_id = $2 and idempotency_key = $3)
                 order by delegation_id = $1 desc limit 1",
                delegation.id.as_str(),
                delegation.caller,
                delegation.idempotency_key
            )
            .fetch_one(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
            return parsed(TABLE, &existing).map(Delegated::Existing);
        }
        sqlx::query!(
            "insert into delegation_ready (callee_id, ready_at, delegation_id) values ($1, clock_timestamp() + make_interval(secs => $2), $3)",
            delegation.callee,
            delegation.delay.as_secs_f64(),
            delegation.id.as_str()
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if let Some(task) = delegation.task {
            sqlx::query!("update tasks set status = 'queued', updated_at = now() where id = $1 and status in ('queued', 'running')", task.as_uuid())
                .execute(self.conn())
                .await
                .map_err(|e| self.fail(e))?;
        }
        Ok(Delegated::New)
    }

    async fn finish(
        &mut self,
        id: &DelegationId,
        attempt: i64,
        end: &DelegationEnd,
    ) -> Result<bool, StoreError> {
        let held = sqlx::query_scalar!(
            "delete from delegation_leases where delegation_id = $1 and attempt = $2 returning worker_id",
            id.as_str(),
            attempt
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let Some(worker) = held else { return Ok(false) };
        let (status, result, error) = match end {
            DelegationEnd::Completed(result) => ("completed", Some(preview(result)), None),
            DelegationEnd::Failed(error) => ("failed", None, Some(preview(error))),
        };
        let task = sqlx::query_scalar!(
            "update delegations set status = $3, result_preview = $4, error_detail = $5, updated_at = clock_timestamp()
             where delegation_id = $1 and attempt = $2 and status = 'in_progress' returning task_id",
            id.as_str(),
            attempt,
            status,
            result,
            error,
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let Some(task) = task else { return Ok(false) };
        sqlx::query!(
            "insert into delegation_attempts (delegation_id, attempt, event, worker_id, detail) values ($1, $2, $3, $4, $5)",
            id.as_str(),
            attempt,
            status,
            worker,
            result.or(error)
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        sqlx::query!("update tasks set status = $2, updated_at = now() where id = $1 and status in ('queued', 'running')", task, status)
            .execute(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        Ok(true)
    }

    async fn take_stuck(
        &mut self,
        worker: &WorkerIdentity,
        silence: Duration,
        most: u32,
    ) -> Result<Vec<Stuck>, StoreError> {
        // One statement, so nothing can happen between seeing a silent lease and taking it (ledger.md 6.7).
        let rows = sqlx::query!(
            r#"with silent as materialized (
                 select delegation_id, attempt, worker_id,
                        case when worker_id = $1 and boot_id <> $2 then 'its worker ' || worker_id || ' was restarted'
                             when deadline < clock_timestamp() then 'its deadline passed'
                             else 'its worker ' || worker_id || ' fell silent' end as why
                 from delegation_leases
                 where last_heartbeat < clock_timestamp() - make_interval(secs => $3) or deadline < clock_timestamp() or (worker_id = $1 and boot_id <> $2)
                 order by delegation_id limit $4 for update skip locked
               ), gone as (
                 delete from delegation_leases l using silent s where l.delegation_id = s.delegation_id and l.attempt = s.attempt
                 returning s.delegation_id, s.attempt, s.worker_id, s.why
               ), marked as (
                 update delegations d set status = 'stuck', error_detail = g.why, updated_at = clock_timestamp() from gone g
                 where d.delegation_id = g.delegation_id and d.attempt = g.attempt and d.status in ('dispatched', 'in_progress')
                 returning d.delegation_id, d.task_id, d.caller_id, d.callee_id, d.task_preview, d.retry_count, g.attempt, g.worker_id, g.why
               ), logged as (
                 insert into delegation_attempts (delegation_id, attempt, event, worker_id, detail)
                 select delegation_id, attempt, 'stuck', worker_id, why from marked
               )
               select m.delegation_id, m.caller_id, m.callee_id, m.task_preview, m.retry_count, m.why as "why!",
                      t.id as "task_id?", t.kind as "kind?", t.params as "params?"
               from marked m left join tasks t on t.id = m.task_id"#,
            worker.name,
            worker.boot,
            silence.as_secs_f64(),
            i64::from(most),
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|row| {
                let task = match (row.task_id, row.kind, row.params) {
                    (Some(id), Some(kind), Some(params)) => {
                        Some((TaskId::from_uuid(id), parsed("tasks", &kind)?, params))
                    }
                    _ => None,
                };
                Ok(Stuck {
                    id: parsed(TABLE, &row.delegation_id)?,
                    caller: row.caller_id,
                    callee: row.callee_id,
                    preview: row.task_preview.unwrap_or_default(),
                    task,
                    retry_count: small(TABLE, row.retry_count)?,
                    why: row.why,
                })
            })
            .collect()
    }

    async fn requeue(&mut self, task: TaskId) -> Result<(), StoreError> {
        sqlx::query!(
            "update tasks set status = 'queued', updated_at = now() where id = $1 and status = 'failed'",
            task.as_uuid()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    async fn give_up(&mut self, task: TaskId) -> Result<(), StoreError> {
        sqlx::query!("update tasks set status = 'failed', updated_at = now() where id = $1 and status in ('queued', 'running')", task.as_uuid())
            .execute(self.conn())
            .await
            .map(|_| ())
            .map_err(|e| self.fail(e))
    }

    async fn find(&mut self, id: &DelegationId) -> Result<Option<DelegationView>, StoreError> {
        let row = sqlx::query!(
            r#"select d.status, d.attempt, greatest(d.last_heartbeat, l.last_heartbeat) as last_heartbeat, d.retry_count
               from delegations d left join delegation_leases l on l.delegation_id = d.delegation_id where d.delegation_id = $1"#,
            id.as_str()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(|row| {
            Ok(DelegationView {
                id: id.clone(),
                status: parsed(TABLE, &row.status)?,
                attempt: row.attempt,
                last_heartbeat: row.last_heartbeat,
                retry_count: small(TABLE, row.retry_count)?,
            })
        })
        .transpose()
    }
}
