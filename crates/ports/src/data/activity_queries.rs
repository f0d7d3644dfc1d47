//! Reads of the activity log.

use async_trait::async_trait;
use domain::{Actor, EntryId};
use serde_json::Value;
use time::OffsetDateTime;

use crate::error::StoreError;

/// An entry of the activity log as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityEntry {
    /// Its place and name.
    pub id: EntryId,
    /// What happened.
    pub kind: String,
    /// What it happened to.
    pub subject: String,
    /// Who did it.
    pub actor: Actor,
    /// What else is known.
    pub payload: Value,
    /// When its transaction began.
    pub created_at: OffsetDateTime,
}

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct ActivityFilter {
    /// Who did it.
    pub actor: Option<Actor>,
    /// What it happened to.
    pub subject: Option<String>,
    /// What happened: one of these. All where none is named.
    pub kinds: Vec<String>,
    /// Newest first, and not oldest first.
    pub newest_first: bool,
    /// Only those after this one, in the order of the list.
    pub after: Option<EntryId>,
}

/// Entries of the activity log.
#[derive(Clone, Debug, Default)]
pub struct ActivityPage {
    /// The entries.
    pub entries: Vec<ActivityEntry>,
    /// How far was looked, where the next page begins; nothing where nothing was there to look at.
    pub next: Option<EntryId>,
    /// Whether there is more to look at now.
    pub has_more: bool,
}

/// Reads of the activity log.
#[async_trait]
pub trait ActivityQueries: Send + Sync {
    /// At most `most` entries, in the log's order (LED-8). Only what no open transaction can still put something before is shown, so a
    /// follower that goes on from `next` misses nothing. One look is bounded: where the filter lets few through, a page may be short or
    /// empty although there is more.
    async fn activity(&self, filter: &ActivityFilter, most: u32) -> Result<ActivityPage, StoreError>;
    /// Whether there is such an entry.
    async fn has_entry(&self, id: EntryId) -> Result<bool, StoreError>;
}
