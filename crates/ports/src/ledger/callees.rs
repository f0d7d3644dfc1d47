//! From whom callees take work.

use async_trait::async_trait;
use time::OffsetDateTime;

use crate::error::StoreError;

/// The callers from whom a callee takes delegations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerList {
    /// Their names, sorted.
    pub callers: Vec<String>,
    /// When the list was set, by the database's clock.
    pub set_at: OffsetDateTime,
}

/// The lists of callees.
///
/// Invariant: once a new list is committed, no delegation is created that it does not accept; those that an older list
/// accepted were committed before. A reader of the list keeps it as it is until the end of its unit of work.
#[async_trait]
pub trait Callees: Send {
    /// Returns whether a callee takes delegations from this caller. Without a list it takes them from all. The answer
    /// stays true until the end of the unit of work. Call it before anything of the ledger is locked.
    async fn accepts(&mut self, callee: &str, caller: &str) -> Result<bool, StoreError>;
    /// Returns the list of a callee.
    async fn callers(&mut self, callee: &str) -> Result<Option<CallerList>, StoreError>;
    /// Replaces the list of a callee, or removes it. Waits for the units of work that read it.
    async fn set_callers(&mut self, callee: &str, callers: Option<&[String]>) -> Result<(), StoreError>;
}
