//! Reads of the ledger: of its current content, and of the archive.

use async_trait::async_trait;
use domain::{DelegationId, Party, TaskId};
use ports::ledger::{
    AttemptEntry, DelegationFilter, DelegationStates, DelegationView, Message, Payload, Side,
};
use ports::{LedgerQueries, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::ledger::claims::PgLedger;
use crate::store::error::store_error;
use crate::store::rows::{parsed, small};

const TABLE: &str = "delegations";
/// The maximum number of entries that are read of an attempt log.
const MAX_ATTEMPTS: i64 = 500;

struct Row {
    delegation_id: String,
    task_id: Option<Uuid>,
    caller_id: String,
    callee_id: String,
    task_preview: Option<String>,
    status: String,
    attempt: i64,
    worker_id: Option<String>,
    last_heartbeat: Option<OffsetDateTime>,
    progress: Option<String>,
    progress_at: Option<OffsetDateTime>,
    deadline: OffsetDateTime,
    result_preview: Option<String>,
    error_detail: Option<String>,
    retry_count: i64,
    retry_of: Option<String>,
    redelegated_as: Option<String>,
    parent_id: Option<String>,
    root_id: Option<String>,
    depth: Option<i64>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Row {
    fn view(self) -> Result<DelegationView, StoreError> {
        Ok(DelegationView {
            id: parsed(TABLE, &self.delegation_id)?,
            task: self.task_id.map(TaskId::from_uuid),
            caller: self.caller_id,
            callee: self.callee_id,
            preview: self.task_preview.unwrap_or_default(),
            status: parsed(TABLE, &self.status)?,
            attempt: self.attempt,
            worker: self.worker_id,
            last_heartbeat: self.last_heartbeat,
            progress: self.progress,
            progress_at: self.progress_at,
            deadline: self.deadline,
            result_preview: self.result_preview,
            error_detail: self.error_detail,
            retry_count: small(TABLE, self.retry_count)?,
            retry_of: self.retry_of,
            redelegated_as: self.redelegated_as,
            parent: self.parent_id,
            root: self.root_id,
            depth: small(TABLE, self.depth.unwrap_or(0))?,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

/// `query_as!` of delegations: what comes after `where`. The exact heartbeat is the lease's (LED-1).
macro_rules! delegations {
    ([$($which:tt)+], $($argument:expr),*) => {
        sqlx::query_as!(
            Row,
            r#"select d.delegation_id, d.task_id, d.caller_id, d.callee_id, d.task_preview, d.status, d.attempt, l.worker_id as "worker_id?",
                 coalesce(l.last_heartbeat, d.last_heartbeat) as last_heartbeat, l.progress as "progress?", l.progress_at as "progress_at?", d.deadline,
                 d.result_preview, d.error_detail, d.retry_count::bigint as "retry_count!", d.retry_of,
                 (select n.delegation_id from delegations n where n.retry_of = d.delegation_id) as "redelegated_as?",
                 d.parent_id, d.root_id, d.depth, d.created_at, d.updated_at
               from delegations d left join delegation_leases l on l.delegation_id = d.delegation_id and l.attempt = d.attempt where "# + $($which)+,
            $($argument),*
        )
    };
}

/// The same for the archive.
macro_rules! archived {
    ([$($which:tt)+], $($argument:expr),*) => {
        sqlx::query_as!(
            Row,
            r#"select d.delegation_id, d.task_id, d.caller_id, d.callee_id, d.task_preview, d.status, d.attempt, null::text as worker_id,
                 d.last_heartbeat, null::text as progress, null::timestamptz as progress_at, d.deadline, d.result_preview, d.error_detail,
                 d.retry_count, d.retry_of,
                 coalesce((select n.delegation_id from delegations n where n.retry_of = d.delegation_id), (select i.delegation_id from delegation_archive_ids i
                   where i.delegation_id = split_part(d.delegation_id, '~', 1) || '~' || (d.retry_count + 1))) as "redelegated_as?", d.parent_id, d.root_id, d.depth, d.created_at, d.updated_at
               from delegations_archive d where "# + $($which)+,
            $($argument),*
        )
    };
}

/// `query_as!` of a page of delegations, by a condition that has a partial index. $1 and $2 are the cursor, $3 is the
/// party.
macro_rules! page {
    ($rows:ident, $which:tt, $arguments:expr, $pool:expr) => {
        $rows!(
            [
                "($1::timestamptz is null or (d.created_at, d.delegation_id) < ($1, $2::text)) and "
                    + $which
                    + " order by d.created_at desc, d.delegation_id desc limit $4"
            ],
            $arguments.0 as Option<OffsetDateTime>,
            $arguments.1 as Option<&str>,
            $arguments.2,
            $arguments.3
        )
        .fetch_all($pool)
        .await
        .map_err(store_error)?
    };
}

#[async_trait]
impl LedgerQueries for PgLedger {
    #[tracing::instrument(name = "db.ledger_queries.delegation", skip_all, fields(delegation = %id))]
    async fn delegation(&self, id: &DelegationId) -> Result<Option<DelegationView>, StoreError> {
        let row = delegations!(["d.delegation_id = $1"], id.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        if let Some(row) = row {
            return row.view().map(Some);
        }
        // The archive is searched after the hot table, so that a row that is moved meanwhile is found in one of them.
        let row = archived!(
            ["d.delegation_id = $1 and d.created_at = (select i.created_at from delegation_archive_ids i where i.delegation_id = $1)"],
            id.as_str()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        row.map(Row::view).transpose()
    }

    #[tracing::instrument(name = "db.ledger_queries.payload", skip_all, fields(delegation = %id))]
    async fn payload(&self, id: &DelegationId) -> Result<Payload, StoreError> {
        let row = sqlx::query!(
            r#"select d.input, m.result as "result?" from delegations d left join delegation_inbox m on m.delegation_id = d.delegation_id
               where d.delegation_id = $1
               union all
               select a.input, a.result from delegations_archive a
               where a.delegation_id = $1 and a.created_at = (select i.created_at from delegation_archive_ids i where i.delegation_id = $1)
               limit 1"#,
            id.as_str()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(row.map_or_else(Payload::default, |row| Payload {
            input: row.input,
            result: row.result,
        }))
    }

    #[tracing::instrument(name = "db.ledger_queries.attempts", skip_all, fields(delegation = %id))]
    async fn attempts(&self, id: &DelegationId) -> Result<Vec<AttemptEntry>, StoreError> {
        sqlx::query_as!(
            AttemptEntry,
            "select attempt, event, worker_id as worker, detail, at from delegation_attempts where delegation_id = $1 order by at, attempt limit $2",
            id.as_str(),
            MAX_ATTEMPTS
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)
    }

    #[tracing::instrument(name = "db.ledger_queries.delegations", skip_all)]
    async fn delegations(
        &self,
        filter: &DelegationFilter,
        most: u32,
    ) -> Result<Vec<DelegationView>, StoreError> {
        use DelegationStates::{All, Archived, InFlight, Stuck};
        let (at, after) = filter
            .after
            .as_ref()
            .map_or((None, None), |(at, id)| (Some(*at), Some(id.as_str())));
        let party = filter.party.as_ref().map_or("", |(_, name)| name.as_str());
        let side = filter.party.as_ref().map(|(side, _)| *side);
        let given = (at, after, party, i64::from(most));
        // Each condition is spelled as in its index, so that the planner recognises it.
        let pool = &self.pool;
        let rows = match (filter.states, side) {
            (Stuck, None) => page!(delegations, "d.status = 'stuck' and $3 = ''", given, pool),
            (Stuck, Some(Side::Caller)) => {
                page!(
                    delegations,
                    "d.status = 'stuck' and d.caller_id = $3",
                    given,
                    pool
                )
            }
            (Stuck, Some(Side::Callee)) => {
                page!(
                    delegations,
                    "d.status = 'stuck' and d.callee_id = $3",
                    given,
                    pool
                )
            }
            (InFlight, Some(Side::Caller)) => page!(
                delegations,
                "d.status in ('queued', 'dispatched', 'in_progress') and d.caller_id = $3",
                given,
                pool
            ),
            (InFlight, Some(Side::Callee)) => page!(
                delegations,
                "d.status in ('queued', 'dispatched', 'in_progress') and d.callee_id = $3",
                given,
                pool
            ),
            (All, Some(Side::Caller)) => page!(delegations, "d.caller_id = $3", given, pool),
            (All, Some(Side::Callee)) => page!(delegations, "d.callee_id = $3", given, pool),
            (Archived, Some(Side::Caller)) => page!(archived, "d.caller_id = $3", given, pool),
            (Archived, Some(Side::Callee)) => page!(archived, "d.callee_id = $3", given, pool),
            (InFlight | All | Archived, None) => Vec::new(),
        };
        rows.into_iter().map(Row::view).collect()
    }

    #[tracing::instrument(name = "db.ledger_queries.inbox", skip_all)]
    async fn inbox(&self, caller: &Party, after: i64, most: u32) -> Result<Vec<Message>, StoreError> {
        let rows = sqlx::query!(
            r#"select message_id, delegation_id, attempt, kind, result as "result: Value", error_detail, redelegated_as, arrived_at
               from delegation_inbox where caller_id = $1 and message_id > $2 and acknowledged_at is null order by message_id limit $3"#,
            caller.as_str(),
            after,
            i64::from(most)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                Ok(Message {
                    id: row.message_id,
                    delegation: parsed(TABLE, &row.delegation_id)?,
                    attempt: row.attempt,
                    status: parsed(TABLE, &row.kind)?,
                    result: row.result,
                    error_detail: row.error_detail,
                    redelegated_as: row.redelegated_as,
                    arrived_at: row.arrived_at,
                })
            })
            .collect()
    }
}
