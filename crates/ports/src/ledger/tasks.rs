//! Tasks, as far as they belong to the transaction of their cause or effect.

use async_trait::async_trait;
use domain::{Actor, TaskId, TaskKind, TaskStatus};
use serde_json::Value;

use crate::error::StoreError;

/// What makes a request the same as an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The caller's key.
    pub key: Option<String>,
    /// SHA-256 of what was asked for: the same key with another is refused.
    pub hash: [u8; 32],
}

/// A new task.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// What kind.
    pub kind: TaskKind,
    /// Its name, for people.
    pub name: String,
    /// What it needs.
    pub params: Value,
    /// Who asked for it; the system is nobody (AUD-3).
    pub creator: Actor,
    /// The request that makes it, if one does.
    pub request: Option<RequestKey>,
}

/// A task whose row is locked.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedTask {
    /// What kind.
    pub kind: TaskKind,
    /// What it needs.
    pub params: Value,
    /// Its state.
    pub status: TaskStatus,
    /// Who asked for it.
    pub creator: Actor,
    /// What was granted to the one who asks: whether they may operate it too.
    pub grant: Option<bool>,
}

/// Tasks.
#[async_trait]
pub trait Tasks: Send {
    /// Keeps a new task; a task that is kept already, by its id or by its creator's key, stays as it is, and the answer is `false`.
    async fn create(&mut self, task: &NewTask) -> Result<bool, StoreError>;
    /// The task that this creator made with this key, with the hash of its request.
    async fn find_request(
        &mut self,
        creator: &Actor,
        key: &str,
    ) -> Result<Option<(TaskId, [u8; 32])>, StoreError>;
    /// Locks a task until the end of the unit of work. Lock leases first (see [`Delegations`]).
    async fn lock(&mut self, id: TaskId, who: &Actor) -> Result<Option<LockedTask>, StoreError>;
    /// Sets the state of a locked task that has not ended, and why, if somebody said so.
    async fn set_status(
        &mut self,
        id: TaskId,
        status: TaskStatus,
        detail: Option<&str>,
    ) -> Result<(), StoreError>;
    /// Gives somebody the right to see a task, and to operate it if `can_operate`; in place of what they had. `false` when there is nobody
    /// of this name.
    async fn share(
        &mut self,
        id: TaskId,
        grantee: &Actor,
        can_operate: bool,
        by: &Actor,
    ) -> Result<bool, StoreError>;
    /// Takes what was granted to somebody; `false` when nothing was.
    async fn unshare(&mut self, id: TaskId, grantee: &Actor) -> Result<bool, StoreError>;
}
