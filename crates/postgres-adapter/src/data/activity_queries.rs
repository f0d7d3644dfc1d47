//! Reads of the activity log: a feed whose followers cannot miss an entry (LED-8).
//!
//! The order is (writing transaction, sequence), and only entries of transactions older than every open one are shown
//! (`pg_snapshot_xmin`): a transaction that commits later comes after all entries that were ever shown. So the feed
//! waits for the oldest open transaction of the whole server; transactions that write the log are short.
//! `log_position` adds the offset of the newest epoch, which a restore into another cluster opens.

use async_trait::async_trait;
use domain::{Actor, EntryId, ServiceAccountId, UserId};
use ports::data::{ActivityEntry, ActivityFilter, ActivityPage};
use ports::{ActivityQueries, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::error::store_error;
use crate::store::rows::actor;
use crate::store::tx::PgStore;

const TABLE: &str = "activity_log";
/// The maximum number of entries that one read searches, if a filter matches only some of them.
const MAX_LOOKED_AT: i64 = 5000;

/// The maximum number of entries that one statement returns if some of them may name every record of a batch.
const STEP: i64 = 50;
/// The size in bytes after which a page takes no further entry.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// The kind of entries that name every record of a batch (WC-1.7).
const LARGE: &str = "IngestBatchPublished";

/// An entry that was searched. Its content is present only if it matches the filter.
struct Looked {
    transaction: String,
    sequence: i64,
    kind: Option<String>,
    subject: Option<String>,
    actor_user_id: Option<Uuid>,
    actor_service_account_id: Option<Uuid>,
    payload: Option<Value>,
    created_at: Option<OffsetDateTime>,
}

/// `query_as!` of entries: an index's own condition, the side of the cursor, the order. $1 and $2 are the cursor, $3
/// the number of searched entries, $4 kinds, $5 and $6 an actor, $7 a subject; every statement has them all.
macro_rules! entries {
    // Spelled as in the index on actors, so that the planner recognises it.
    (actor, $side:tt, $order:tt, $arguments:expr) => {
        entries!(
            "coalesce(actor_user_id, actor_service_account_id) = coalesce($5::uuid, $6::uuid) and (actor_user_id is not null or actor_service_account_id is not null)",
            $side, $order, $arguments
        )
    };
    ($through:tt, $side:tt, $order:tt, $arguments:expr) => {
        sqlx::query_as!(
            Looked,
            r#"select s.transaction_id::text as "transaction!", s.sequence, f.kind as "kind?", f.subject as "subject?", f.actor_user_id as "actor_user_id?",
                 f.actor_service_account_id as "actor_service_account_id?", f.payload as "payload?", f.created_at as "created_at?"
               from (select * from activity_log where (transaction_id, sequence) "# + $side + r#" ($1::text::xid8, $2)
                       and transaction_id < log_position(pg_snapshot_xmin(pg_current_snapshot())) and "# + $through + r#"
                     order by transaction_id "# + $order + ", sequence " + $order + r#" limit $3) s
               left join lateral (select s.* where (cardinality($4::text[]) = 0 or s.kind = any($4))
                 and ($5::uuid is null or s.actor_user_id = $5) and ($6::uuid is null or s.actor_service_account_id = $6)
                 and ($7::text is null or s.subject = $7)) f on true
               order by s.transaction_id "# + $order + ", s.sequence " + $order,
            $arguments.0,
            $arguments.1,
            $arguments.2,
            $arguments.3 as &[String],
            $arguments.4 as Option<Uuid>,
            $arguments.5 as Option<Uuid>,
            $arguments.6 as Option<&str>
        )
    };
}

impl Looked {
    /// Returns the position of the entry, and its content if it matches.
    fn read(self) -> Result<(EntryId, Option<ActivityEntry>), StoreError> {
        let transaction = self.transaction.parse::<u64>();
        let id = EntryId {
            transaction: transaction.map_err(|e| StoreError::corrupt(TABLE, e))?,
            sequence: self.sequence,
        };
        let (Some(kind), Some(subject), Some(payload), Some(created_at)) =
            (self.kind, self.subject, self.payload, self.created_at)
        else {
            return Ok((id, None));
        };
        let entry = ActivityEntry {
            id,
            kind,
            subject,
            actor: actor(self.actor_user_id, self.actor_service_account_id),
            payload,
            created_at,
        };
        Ok((id, Some(entry)))
    }
}

/// Returns roughly the size of a value as JSON, in bytes.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 3,
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.iter().map(|(key, item)| key.len() + 4 + size(item)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

impl PgStore {
    /// Returns the next entries after a place, at most `most`, with the content of those that match.
    async fn looked(
        &self,
        filter: &ActivityFilter,
        (transaction, sequence): (String, i64),
        most: i64,
    ) -> Result<Vec<Looked>, StoreError> {
        let user = filter.actor.as_ref().and_then(Actor::user).map(UserId::as_uuid);
        let account = filter
            .actor
            .as_ref()
            .and_then(Actor::service_account)
            .map(ServiceAccountId::as_uuid);
        let by_actor = user.is_some() || account.is_some();
        let subject = filter.subject.as_deref();
        let arguments = (
            transaction,
            sequence,
            most,
            filter.kinds.as_slice(),
            user,
            account,
            subject,
        );
        // Each index has its own statement in each direction.
        let rows = match (subject, by_actor, filter.newest_first) {
            (Some(_), _, false) => {
                entries!("subject = $7", ">", "asc", arguments)
                    .fetch_all(&self.pool)
                    .await
            }
            (Some(_), _, true) => {
                entries!("subject = $7", "<", "desc", arguments)
                    .fetch_all(&self.pool)
                    .await
            }
            (None, true, false) => entries!(actor, ">", "asc", arguments).fetch_all(&self.pool).await,
            (None, true, true) => {
                entries!(actor, "<", "desc", arguments)
                    .fetch_all(&self.pool)
                    .await
            }
            (None, false, false) => {
                entries!("true", ">", "asc", arguments)
                    .fetch_all(&self.pool)
                    .await
            }
            (None, false, true) => {
                entries!("true", "<", "desc", arguments)
                    .fetch_all(&self.pool)
                    .await
            }
        };
        rows.map_err(store_error)
    }
}

#[async_trait]
impl ActivityQueries for PgStore {
    #[tracing::instrument(name = "db.activity_queries.activity", skip_all)]
    async fn activity(&self, filter: &ActivityFilter, most: u32) -> Result<ActivityPage, StoreError> {
        let most = most as usize;
        let by_actor = matches!(filter.actor, Some(Actor::User(_) | Actor::ServiceAccount(_)));
        let filtered = by_actor || filter.subject.is_some() || !filter.kinds.is_empty();
        let mut left = if filtered {
            MAX_LOOKED_AT
        } else {
            i64::try_from(most).unwrap_or(MAX_LOOKED_AT)
        };
        // Only the server itself writes large entries.
        let large = filter.kinds.is_empty() || filter.kinds.iter().any(|kind| kind == LARGE);
        let step = if large && !by_actor { STEP } else { left };
        let start = if filter.newest_first {
            (u64::MAX.to_string(), i64::MAX)
        } else {
            ("0".to_owned(), 0)
        };
        let place = |id: EntryId| (id.transaction.to_string(), id.sequence);
        let mut after = filter.after.map_or(start, place);
        let (mut page, mut bytes) = (ActivityPage::default(), 0);
        loop {
            let looking = left.min(step);
            let rows = self.looked(filter, after, looking).await?;
            let found = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            let mut rows = rows.into_iter();
            let mut full = false;
            for row in rows.by_ref() {
                let (id, entry) = row.read()?;
                page.next = Some(id);
                if let Some(entry) = entry {
                    bytes += size(&entry.payload);
                    page.entries.push(entry);
                    full = page.entries.len() == most || bytes > MAX_PAGE_BYTES;
                }
                if full {
                    break;
                }
            }
            left -= found;
            page.has_more = found == looking || rows.len() > 0;
            match page.next {
                Some(id) if page.has_more && !full && left > 0 => after = place(id),
                _ => return Ok(page),
            }
        }
    }

    #[tracing::instrument(name = "db.activity_queries.has_entry", skip_all)]
    async fn has_entry(&self, id: EntryId) -> Result<bool, StoreError> {
        sqlx::query_scalar!(
            r#"select exists (select 1 from activity_log where transaction_id = $1::text::xid8 and sequence = $2) as "there!""#,
            id.transaction.to_string(),
            id.sequence
        )
        .fetch_one(&self.pool)
        .await
        .map_err(store_error)
    }
}
