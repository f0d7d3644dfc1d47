//! Delegations, as far as they belong to the transaction of their cause or effect (LEDGER-6). Locks are taken in one
//! order everywhere: leases by id, queue rows, the ledger, tasks.
//!
//! A row of `delegation_leases` is the right to write: deleting it ends the delegation, and that can happen only
//! once. A row of `delegation_ready` is a hint; a claim checks the ledger. No statement that names a delegation by
//! its id says `status = ...` plainly, because the planner would then read a partial index instead of the primary key
//! (LEDGER-5.3).

use std::time::Duration;

use async_trait::async_trait;
use domain::ledger::delegation::preview;
use domain::{DelegationId, TaskId, TaskStatus};
use ports::ledger::{
    Completion, Deadline, Delegated, DelegationEnd, DelegationFacts, Existing, Nesting, NewDelegation, Stuck,
    Swept,
};
use ports::{Delegations, StoreError, WorkerIdentity};

use crate::store::rows::{hash, parsed, small};
use crate::store::tx::PgTx;

const TABLE: &str = "delegations";
/// How often a cancellation looks again for delegations that were claimed meanwhile.
const LOOKS: usize = 3;

#[async_trait]
impl Delegations for PgTx {
    #[tracing::instrument(name = "db.delegations.created_today", skip_all)]
    async fn created_today(&mut self, caller: &str, most: u32) -> Result<u32, StoreError> {
        let number = sqlx::query_scalar!(
            r#"select count(*) as "n!" from (select 1 as one from delegations where caller_id = $1 and created_at > now() - interval '1 day' limit $2) d"#,
            caller,
            i64::from(most)
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(u32::try_from(number).unwrap_or(most))
    }

    #[tracing::instrument(name = "db.delegations.create", skip_all)]
    async fn create(&mut self, delegation: &NewDelegation) -> Result<Delegated, StoreError> {
        if let Some(task) = delegation.task {
            let status = sqlx::query_scalar!(
                "select status from tasks where id = $1 for update",
                task.as_uuid()
            )
            .fetch_one(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
            let status: domain::TaskStatus = parsed("tasks", &status)?;
            if status.is_final() {
                return Ok(Delegated::TaskOver(status));
            }
            // The task's row is locked, so no other delegation of it is created meanwhile. A repeat of the same one
            // is handled below.
            let open = self.open_of_task(task).await?;
            if let Some(other) = open.into_iter().find(|open| *open != delegation.id) {
                return Ok(Delegated::TaskDelegated(other));
            }
        }
        // Looked up before the insert: the insert would wait for a transaction that is claiming the existing one, and
        // that may wait for the task.
        let key = delegation
            .request
            .as_ref()
            .and_then(|request| request.key.as_deref());
        if let Some(found) = self
            .find_existing(&delegation.id, &delegation.caller, key)
            .await?
        {
            return Ok(Delegated::Existing(found.id));
        }
        let (after, at) = match delegation.deadline {
            Deadline::Default => (None, None),
            Deadline::In(time) => (Some(time.as_secs_f64()), None),
            Deadline::At(at) => (None, Some(at)),
        };
        let nesting = delegation.nesting.as_ref();
        let request = delegation.request.as_ref();
        let done = sqlx::query_scalar!(
            r#"with made as (
                 insert into delegations (delegation_id, task_id, caller_id, callee_id, task_preview, input, idempotency_key, request_hash, retry_count,
                   retry_of, max_retries, parent_id, root_id, depth, deadline)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, coalesce($13, $1), $14,
                   least(coalesce($15, clock_timestamp() + make_interval(secs => coalesce($16::float8, 21600))), $17))
                 on conflict do nothing returning delegation_id, task_id, callee_id, deadline
               ), queued as (
                 insert into delegation_ready (callee_id, ready_at, delegation_id, deadline)
                 select callee_id, clock_timestamp() + make_interval(secs => $18), delegation_id, case when $19 then deadline end from made
               ), waiting as (
                 update tasks t set status = 'queued', updated_at = now() from made m where t.id = m.task_id and t.status = 'running'
               )
               select count(*) as "made!" from made"#,
            delegation.id.as_str(),
            delegation.task.map(TaskId::as_uuid),
            delegation.caller,
            delegation.callee,
            preview(&delegation.preview),
            delegation.input,
            key,
            request.map(|request| request.hash.as_slice()),
            delegation.retry_count.cast_signed(),
            delegation.retry_of.as_ref().map(DelegationId::as_str),
            i64::from(delegation.max_retries),
            nesting.map(|n| n.parent.as_str()),
            nesting.map(|n| n.root.as_str()),
            nesting.map_or(0, |n| i64::from(n.depth)),
            at,
            after,
            nesting.map(|n| n.deadline),
            delegation.delay.as_secs_f64(),
            delegation.may_expire,
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if done == 1 {
            return Ok(Delegated::New);
        }
        match self
            .find_existing(&delegation.id, &delegation.caller, key)
            .await?
        {
            Some(found) => Ok(Delegated::Existing(found.id)),
            // It was archived, or its writer rolled back, at this moment.
            None => Err(self.poison(StoreError::Contended(
                "a delegation of this id came and went".into(),
            ))),
        }
    }

    #[tracing::instrument(name = "db.delegations.hold_parent", skip_all, fields(delegation = %id))]
    async fn hold_parent(
        &mut self,
        id: &DelegationId,
        attempt: Option<i64>,
        callee: &str,
    ) -> Result<Option<Nesting>, StoreError> {
        // The lease cannot be deleted until the commit, and heartbeats continue.
        let row = sqlx::query!(
            r#"select coalesce(d.root_id, d.delegation_id) as "root!", coalesce(d.depth, 0) as "depth!", d.deadline
               from delegation_leases l join delegations d on d.delegation_id = l.delegation_id
               where l.delegation_id = $1 and ($2::bigint is null or l.attempt = $2) and l.callee_id = $3 for key share of l"#,
            id.as_str(),
            attempt,
            callee
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(|row| {
            Ok(Nesting {
                parent: id.clone(),
                root: parsed(TABLE, &row.root)?,
                depth: small(TABLE, row.depth)? + 1,
                deadline: row.deadline,
            })
        })
        .transpose()
    }

    #[tracing::instrument(name = "db.delegations.finish_all", skip_all)]
    async fn finish_all(
        &mut self,
        callee: Option<&str>,
        completions: &[Completion],
    ) -> Result<Vec<DelegationId>, StoreError> {
        let mut columns = EndingColumns::default();
        for ending in completions {
            columns.push(ending);
        }
        let ended = sqlx::query_scalar!(
            r#"with knowing as materialized (
                 select set_config('hallmark.ends_leases', 'yes', true)
               ), ends as (
                 select * from unnest($1::text[], $2::bigint[], $3::text[], $4::jsonb[], $5::text[], $6::text[], $7::boolean[])
                   as e (id, attempt, status, result, preview, error, goes_on)
               ), held as materialized (
                 select l.delegation_id from delegation_leases l join ends e on e.id = l.delegation_id and e.attempt = l.attempt
                 where (select count(*) from knowing) = 1 and ($8::text is null or l.callee_id = $8) order by l.delegation_id for update of l
               ), gone as (
                 delete from delegation_leases l using held h where l.delegation_id = h.delegation_id returning l.delegation_id, l.attempt, l.worker_id, l.last_heartbeat
               ), ended as (
                 update delegations d set status = e.status, result_preview = e.preview, error_detail = e.error, last_heartbeat = g.last_heartbeat, updated_at = clock_timestamp()
                 from gone g join ends e on e.id = g.delegation_id and e.attempt = g.attempt
                 where d.delegation_id = g.delegation_id and d.attempt = g.attempt and d.status || '' in ('dispatched', 'in_progress')
                 returning d.delegation_id, d.caller_id, d.attempt, d.task_id, g.worker_id, e.status, e.result, e.preview, e.error, e.goes_on
               ), logged as (
                 insert into delegation_attempts (delegation_id, attempt, event, worker_id, detail)
                 select delegation_id, attempt, status, worker_id, coalesce(preview, error) from ended
               ), notified as (
                 insert into delegation_inbox (caller_id, delegation_id, attempt, kind, result, error_detail)
                 select caller_id, delegation_id, attempt, status, result, error from ended where caller_id not like 'hallmark:%'
               ), tasks_ended as (
                 update tasks t set status = case when e.goes_on then 'queued' else e.status end, status_detail = e.error, updated_at = now()
                 from ended e where t.id = e.task_id and t.status in ('queued', 'running')
               )
               select delegation_id as "id!" from ended"#,
            &columns.ids,
            &columns.attempts,
            &columns.statuses as &[&str],
            &columns.results as &[Option<serde_json::Value>],
            &columns.previews as &[Option<String>],
            &columns.errors as &[Option<String>],
            &columns.goes_on,
            callee,
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        ended.iter().map(|id| parsed(TABLE, id)).collect()
    }

    #[tracing::instrument(name = "db.delegations.progress", skip_all, fields(delegation = %id))]
    async fn progress(
        &mut self,
        id: &DelegationId,
        attempt: i64,
        callee: &str,
        note: Option<&str>,
    ) -> Result<bool, StoreError> {
        let held = sqlx::query!(
            "update delegation_leases set last_heartbeat = clock_timestamp(), progress = coalesce($4, progress), progress_at = clock_timestamp()
             where delegation_id = $1 and attempt = $2 and callee_id = $3",
            id.as_str(),
            attempt,
            callee,
            note.map(preview)
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if held.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query!(
            "update delegations set status = 'in_progress', last_heartbeat = clock_timestamp(), updated_at = clock_timestamp()
             where delegation_id = $1 and attempt = $2 and status || '' = 'dispatched'",
            id.as_str(),
            attempt
        )
        .execute(self.conn())
        .await
        .map(|_| true)
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.delegations.cancel", skip_all)]
    async fn cancel(
        &mut self,
        ids: &[DelegationId],
        why: &str,
        task: TaskStatus,
    ) -> Result<Vec<DelegationId>, StoreError> {
        let mut wanted: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut ended: Vec<DelegationId> = Vec::new();
        for _ in 0..LOOKS {
            // A queued delegation has no lease. If it is claimed between this statement's two reads, the second skips
            // it, and the next round finds the lease. The deleted rows are joined: a separate condition would be
            // evaluated while PostgreSQL rechecks a changed row, when nothing can be deleted.
            let done = sqlx::query_scalar!(
                r#"with knowing as materialized (
                     select set_config('hallmark.ends_leases', 'yes', true)
                   ), held as materialized (
                     select delegation_id from delegation_leases where (select count(*) from knowing) = 1 and delegation_id = any($1) order by delegation_id for update
                   ), gone as (
                     delete from delegation_leases l using held h where l.delegation_id = h.delegation_id returning l.delegation_id, l.worker_id
                   ), ended as (
                     update delegations d set status = 'failed', error_detail = $2, updated_at = clock_timestamp()
                     from unnest($1::text[]) w (id) left join gone g on g.delegation_id = w.id
                     where d.delegation_id = w.id
                       and (d.status || '' = 'queued' or (d.status || '' in ('dispatched', 'in_progress') and g.delegation_id is not null))
                     returning d.delegation_id, d.caller_id, d.attempt, d.task_id
                   ), logged as (
                     insert into delegation_attempts (delegation_id, attempt, event, worker_id, detail)
                     select e.delegation_id, e.attempt, 'failed', g.worker_id, $2 from ended e left join gone g on g.delegation_id = e.delegation_id
                   ), notified as (
                     insert into delegation_inbox (caller_id, delegation_id, attempt, kind, error_detail)
                     select caller_id, delegation_id, attempt, 'failed', $2 from ended where caller_id not like 'hallmark:%'
                   ), tasks_ended as (
                     update tasks t set status = $3, status_detail = $2, updated_at = now()
                     from ended e where t.id = e.task_id and t.status in ('queued', 'running')
                   )
                   select delegation_id as "id!" from ended"#,
                &wanted,
                preview(why),
                task.as_str()
            )
            .fetch_all(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
            wanted.retain(|id| !done.contains(id));
            for id in &done {
                ended.push(parsed(TABLE, id)?);
            }
            if wanted.is_empty() {
                break;
            }
        }
        Ok(ended)
    }

    #[tracing::instrument(name = "db.delegations.open_of_task", skip_all, fields(task = %task))]
    async fn open_of_task(&mut self, task: TaskId) -> Result<Vec<DelegationId>, StoreError> {
        let ids = sqlx::query_scalar!(
            "select delegation_id from delegations where task_id = $1 and status || '' in ('queued', 'dispatched', 'in_progress') order by delegation_id",
            task.as_uuid()
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        ids.iter().map(|id| parsed(TABLE, id)).collect()
    }

    #[tracing::instrument(name = "db.delegations.failures_of_task", skip_all, fields(task = %task))]
    async fn failures_of_task(&mut self, task: TaskId) -> Result<u32, StoreError> {
        let failures = sqlx::query_scalar!(
            r#"select count(*) as "count!" from delegations where task_id = $1 and status || '' = 'failed'"#,
            task.as_uuid()
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        u32::try_from(failures).map_err(|e| StoreError::Internal(e.into()))
    }

    #[tracing::instrument(name = "db.delegations.take_stuck", skip_all)]
    async fn take_stuck(
        &mut self,
        worker: &WorkerIdentity,
        silence: Duration,
        most: u32,
    ) -> Result<Swept, StoreError> {
        self.sweep_leases(worker, silence, most).await
    }

    #[tracing::instrument(name = "db.delegations.take_expired", skip_all)]
    async fn take_expired(&mut self, most: u32) -> Result<Vec<Stuck>, StoreError> {
        self.sweep_waiting(most).await
    }

    #[tracing::instrument(name = "db.delegations.redelegate", skip_all, fields(delegation = %id))]
    async fn redelegate(
        &mut self,
        id: &DelegationId,
        next: &DelegationId,
        delay: Duration,
        anew: bool,
    ) -> Result<bool, StoreError> {
        self.insert_redelegation(id, next, delay, anew).await
    }

    #[tracing::instrument(name = "db.delegations.notify_stuck", skip_all)]
    async fn notify_stuck(
        &mut self,
        stuck: &Stuck,
        redelegated_as: Option<&DelegationId>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into delegation_inbox (caller_id, delegation_id, attempt, kind, error_detail, redelegated_as) values ($1, $2, $3, 'stuck', $4, $5)",
            stuck.caller,
            stuck.id.as_str(),
            stuck.attempt,
            stuck.why,
            redelegated_as.map(DelegationId::as_str)
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.delegations.give_up", skip_all, fields(task = %task))]
    async fn give_up(&mut self, task: TaskId, why: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "update tasks set status = 'failed', status_detail = $2, updated_at = now() where id = $1 and status in ('queued', 'running')",
            task.as_uuid(),
            why
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.delegations.acknowledge", skip_all)]
    async fn acknowledge(&mut self, caller: &str, messages: &[i64]) -> Result<Vec<i64>, StoreError> {
        sqlx::query_scalar!(
            "with waiting as materialized (
               select message_id from delegation_inbox where message_id = any($1) and caller_id = $2 and acknowledged_at is null
               order by message_id for update
             )
             update delegation_inbox m set acknowledged_at = clock_timestamp() from waiting w where m.message_id = w.message_id returning m.message_id",
            messages,
            caller
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.delegations.find_existing", skip_all, fields(delegation = %id))]
    async fn find_existing(
        &mut self,
        id: &DelegationId,
        caller: &str,
        key: Option<&str>,
    ) -> Result<Option<Existing>, StoreError> {
        // One statement reads both tables, so that a row that is moved meanwhile is seen in one of them.
        let found = sqlx::query!(
            r#"select delegation_id as "delegation_id!", caller_id as "caller_id!" from delegations where delegation_id = $1
               union all select delegation_id, caller_id from delegation_archive_ids where delegation_id = $1
               union all select delegation_id, caller_id from delegations where caller_id = $2 and idempotency_key = $3
               union all select delegation_id, caller_id from delegation_archive_ids where caller_id = $2 and idempotency_key = $3"#,
            id.as_str(),
            caller,
            key
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let same = found.iter().find(|found| found.delegation_id == id.as_str());
        let found = same.or_else(|| found.first());
        found
            .map(|found| {
                Ok(Existing {
                    id: parsed(TABLE, &found.delegation_id)?,
                    is_own: found.caller_id == caller,
                })
            })
            .transpose()
    }

    #[tracing::instrument(name = "db.delegations.find", skip_all, fields(delegation = %id))]
    async fn find(&mut self, id: &DelegationId) -> Result<Option<DelegationFacts>, StoreError> {
        let row = sqlx::query!(
            r#"select d.caller_id as "caller_id!", d.callee_id as "callee_id!", d.task_id, d.status as "status!", d.attempt as "attempt!",
                 d.request_hash, coalesce(d.result_preview, d.error_detail) as ended_with, d.retry_count::bigint as "retry_count!", d.parent_id,
                 (select n.delegation_id from delegations n where n.retry_of = d.delegation_id) as next
               from delegations d where d.delegation_id = $1
               union all
               select caller_id, callee_id, task_id, status, attempt, request_hash, coalesce(result_preview, error_detail), retry_count, parent_id, null from delegations_archive
               where delegation_id = $1 and created_at = (select created_at from delegation_archive_ids where delegation_id = $1)
               limit 1"#,
            id.as_str()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(|row| {
            Ok(DelegationFacts {
                id: id.clone(),
                caller: row.caller_id,
                callee: row.callee_id,
                task: row.task_id.map(TaskId::from_uuid),
                status: parsed(TABLE, &row.status)?,
                attempt: row.attempt,
                request_hash: row.request_hash.map(|bytes| hash(TABLE, &bytes)).transpose()?,
                ended_with: row.ended_with,
                retry_count: small(TABLE, row.retry_count)?,
                parent: row.parent_id.map(|id| parsed(TABLE, &id)).transpose()?,
                redelegated_as: row.next.map(|id| parsed(TABLE, &id)).transpose()?,
            })
        })
        .transpose()
    }
}

/// Completions, column by column.
#[derive(Default)]
struct EndingColumns {
    ids: Vec<String>,
    attempts: Vec<i64>,
    statuses: Vec<&'static str>,
    results: Vec<Option<serde_json::Value>>,
    previews: Vec<Option<String>>,
    errors: Vec<Option<String>>,
    goes_on: Vec<bool>,
}

impl EndingColumns {
    fn push(&mut self, ending: &Completion) {
        self.ids.push(ending.id.to_string());
        self.attempts.push(ending.attempt);
        let (status, result, summary, error, goes_on) = match &ending.end {
            DelegationEnd::Completed { result, preview } => {
                ("completed", result.clone(), Some(preview), None, false)
            }
            DelegationEnd::Failed(why) => ("failed", None, None, Some(why), false),
            DelegationEnd::FailedForNow(why) => ("failed", None, None, Some(why), true),
        };
        self.statuses.push(status);
        self.results.push(result);
        self.previews.push(summary.map(|text| preview(text)));
        self.errors.push(error.map(|text| preview(text)));
        self.goes_on.push(goes_on);
    }
}
