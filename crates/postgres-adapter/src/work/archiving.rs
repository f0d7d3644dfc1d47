//! Retention: final delegations move out of the hot table into the archive, a bounded number at a time (LEDGER-6.8).

use std::time::Duration;

use ports::StoreError;

use crate::ledger::claims::PgLedger;
use crate::store::error::store_error;
use crate::store::rows::count;

impl PgLedger {
    /// Moves rows of one month, and returns how many. Servers that do it concurrently skip each other's rows.
    ///
    /// A final row has no writers: its lease and queue row are gone, and its state cannot change. A delegation under
    /// its id, or a redelegation, finds either the row or its id in `delegation_archive_ids` (`find_existing` reads
    /// both at once).
    pub(crate) async fn move_to_archive(&self, older_than: Duration, most: u32) -> Result<u64, StoreError> {
        let age = older_than.as_secs_f64();
        let month = sqlx::query_scalar!(
            "select created_at from delegations
             where status in ('completed', 'failed', 'stuck') and updated_at < now() - make_interval(secs => $1)
             order by updated_at limit 1",
            age
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        let Some(month) = month else { return Ok(0) };
        sqlx::query!("select make_archive_month($1)", month)
            .execute(&self.pool)
            .await
            .map_err(store_error)?;
        let moved = sqlx::query_scalar!(
            r#"with month as materialized (
                 select date_trunc('month', $3::timestamptz at time zone 'UTC') at time zone 'UTC' as begins,
                   (date_trunc('month', $3::timestamptz at time zone 'UTC') + interval '1 month') at time zone 'UTC' as ends
               ), old as materialized (
                 select d.delegation_id from delegations d, month
                 where d.status in ('completed', 'failed', 'stuck') and d.updated_at < now() - make_interval(secs => $1)
                   and d.created_at >= month.begins and d.created_at < month.ends
                 order by d.updated_at limit $2 for update of d skip locked
               ), gone as (
                 delete from delegations d using old o where d.delegation_id = o.delegation_id returning d.*
               ), archived_ids as (
                 insert into delegation_archive_ids (delegation_id, caller_id, idempotency_key, created_at)
                 select delegation_id, caller_id, idempotency_key, created_at from gone
               ), archived as (
                 insert into delegations_archive (delegation_id, task_id, caller_id, callee_id, task_preview, status, attempt, last_heartbeat, deadline,
                   result_preview, result, error_detail, retry_count, idempotency_key, created_at, updated_at, input, request_hash, max_retries, retry_of,
                   parent_id, root_id, depth)
                 select g.delegation_id, g.task_id, g.caller_id, g.callee_id, g.task_preview, g.status, g.attempt, g.last_heartbeat, g.deadline,
                   g.result_preview, m.result, g.error_detail, g.retry_count, g.idempotency_key, g.created_at, g.updated_at, g.input, g.request_hash,
                   g.max_retries, g.retry_of, g.parent_id, g.root_id, g.depth
                 from gone g left join delegation_inbox m on m.delegation_id = g.delegation_id
                 returning 1
               )
               select count(*) as "moved!" from archived"#,
            age,
            i64::from(most),
            month
        )
        .fetch_one(&self.pool)
        .await
        .map_err(store_error)?;
        count("delegations_archive", moved)
    }

    /// Deletes acknowledged messages whose delegation, with its result, is archived. Returns how many. Unacknowledged
    /// messages stay.
    pub(crate) async fn drop_acknowledged(&self, older_than: Duration, most: u32) -> Result<u64, StoreError> {
        sqlx::query!(
            "delete from delegation_inbox m using (
               select message_id from delegation_inbox w
               where w.acknowledged_at < now() - make_interval(secs => $1)
                 and exists (select from delegation_archive_ids i where i.delegation_id = w.delegation_id)
               limit $2 for update skip locked
             ) old where m.message_id = old.message_id",
            older_than.as_secs_f64(),
            i64::from(most)
        )
        .execute(&self.pool)
        .await
        .map(|done| done.rows_affected())
        .map_err(store_error)
    }
}
