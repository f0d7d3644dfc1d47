//! Reads of the activity log.

use async_trait::async_trait;
use domain::{Actor, EntryId};
use serde_json::Value;
use time::OffsetDateTime;

use crate::error::StoreError;

/// An entry of the activity log as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityEntry {
    /// Its position in the log, which is also its name.
    pub id: EntryId,
    /// What happened.
    pub kind: String,
    /// The object of the event.
    pub subject: String,
    /// Who did it.
    pub actor: Actor,
    /// Further data of the event.
    pub payload: Value,
    /// When its transaction began.
    pub created_at: OffsetDateTime,
}

/// Selects entries of the activity log.
#[derive(Clone, Debug, Default)]
pub struct ActivityFilter {
    /// Only entries by this actor.
    pub actor: Option<Actor>,
    /// Only entries about this subject.
    pub subject: Option<String>,
    /// Only events of one of these kinds. All kinds if empty.
    pub kinds: Vec<String>,
    /// Newest first if set, else oldest first.
    pub newest_first: bool,
    /// Only entries after this one, in the order of the list.
    pub after: Option<EntryId>,
}

/// A page of the activity log.
#[derive(Clone, Debug, Default)]
pub struct ActivityPage {
    /// The entries.
    pub entries: Vec<ActivityEntry>,
    /// The position up to which the log was searched, where the next page begins. `None` if there was nothing to
    /// search.
    pub next: Option<EntryId>,
    /// Whether more entries can be searched now.
    pub has_more: bool,
}

/// Reads of the activity log.
#[async_trait]
pub trait ActivityQueries: Send + Sync {
    /// Returns at most `most` entries, in the log's order (LED-8). Shows only entries before which no open
    /// transaction can still insert one, so a follower that continues from `next` misses nothing. Each call searches
    /// a bounded part of the log: if the filter matches little, a page may be short or empty although there is more.
    async fn activity(&self, filter: &ActivityFilter, most: u32) -> Result<ActivityPage, StoreError>;
    /// Returns whether this entry exists.
    async fn has_entry(&self, id: EntryId) -> Result<bool, StoreError>;
}
