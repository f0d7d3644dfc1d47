//! Tasks, as far as they belong to the transaction of their cause or effect.

use async_trait::async_trait;
use domain::{Actor, TaskId, TaskKind, TaskStatus, UserId};
use serde_json::Value;

use crate::error::StoreError;

/// Identifies a repeated request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// SHA-256 of the request: the same key with another request is refused.
    pub hash: [u8; 32],
}

/// A new task.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// Its kind.
    pub kind: TaskKind,
    /// Its name, for people.
    pub name: String,
    /// Its parameters.
    pub params: Value,
    /// Who created it; the system if no principal did (AUD-3).
    pub creator: Actor,
    /// The request that creates it, if one does.
    pub request: Option<RequestKey>,
}

/// A task whose row is locked.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedTask {
    /// Its kind.
    pub kind: TaskKind,
    /// Its parameters.
    pub params: Value,
    /// Its state.
    pub status: TaskStatus,
    /// Who created it.
    pub creator: Actor,
    /// The requester's grant: whether they may operate it too.
    pub grant: Option<bool>,
}

/// Tasks.
#[async_trait]
pub trait Tasks: Send {
    /// Inserts a new task. Returns `false` and changes nothing if it exists, by its id or by its creator's key.
    async fn create(&mut self, task: &NewTask) -> Result<bool, StoreError>;
    /// Returns how many tasks this user created within the last day, counting no further than `most`.
    async fn created_today(&mut self, creator: UserId, most: u32) -> Result<u32, StoreError>;
    /// Returns the task that this creator made with this key, with the hash of its request.
    async fn find_request(
        &mut self,
        creator: &Actor,
        key: &str,
    ) -> Result<Option<(TaskId, [u8; 32])>, StoreError>;
    /// Locks a task until the end of the unit of work. Lock leases first (see [`Delegations`](crate::Delegations)).
    async fn lock(&mut self, id: TaskId, who: &Actor) -> Result<Option<LockedTask>, StoreError>;
    /// Sets the state of a locked task that has not ended, and the reason if there is one.
    async fn set_status(
        &mut self,
        id: TaskId,
        status: TaskStatus,
        detail: Option<&str>,
    ) -> Result<(), StoreError>;
    /// Grants a principal the right to see a task, and to operate it if `can_operate`. Replaces an earlier grant.
    /// Returns `false` if the principal is unknown.
    async fn share(
        &mut self,
        id: TaskId,
        grantee: &Actor,
        can_operate: bool,
        by: &Actor,
    ) -> Result<bool, StoreError>;
    /// Revokes a grant. Returns `false` if there was none.
    async fn unshare(&mut self, id: TaskId, grantee: &Actor) -> Result<bool, StoreError>;
}
