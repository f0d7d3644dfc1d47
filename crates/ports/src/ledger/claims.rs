//! Claims and leases. Each call is a transaction of its own.

use std::time::Duration;

use async_trait::async_trait;
use domain::{DelegationId, Party, TaskId, TaskKind};
use serde_json::Value;
use time::OffsetDateTime;

use crate::error::StoreError;
use crate::work::WorkerIdentity;

/// A claim by a callee.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The callee: a party, or one of the server's own callees.
    pub callee: String,
    /// Its worker that claims.
    pub worker: WorkerIdentity,
    /// The maximum number of delegations.
    pub most: u32,
    /// Whether work on them begins at once.
    pub begin: bool,
}

/// A delegation that was claimed; the token for every later write is (id, attempt).
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The delegation.
    pub id: DelegationId,
    /// The number of this claim.
    pub attempt: i64,
    /// The party that delegated.
    pub caller: String,
    /// A summary for people.
    pub preview: String,
    /// The input for the callee.
    pub input: Option<Value>,
    /// The task with its kind and parameters.
    pub task: Option<(TaskId, TaskKind, Value)>,
    /// How often its task was delegated before this.
    pub retry_count: u32,
    /// Its depth below the root delegation.
    pub depth: u32,
    /// Its deadline.
    pub deadline: OffsetDateTime,
    /// How many servers ended while they worked on its task. Only the server's own work is counted.
    pub crashes: u32,
}

/// Claims and leases, and reads of the ledger, by the database's clock.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Claims delegations of a callee, oldest first. Each delegation goes to one claimer only.
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, StoreError>;
    /// Extends the leases of claims that this callee names. Returns those that it still holds, with the deadline of
    /// each. If no callee is named, the server extends the leases of its own work.
    async fn heartbeat(
        &self,
        callee: Option<&Party>,
        claims: &[(DelegationId, i64)],
    ) -> Result<Vec<(DelegationId, i64, OffsetDateTime)>, StoreError>;
    /// Logs a late result as an attempt without applying its effects (LED-6), if that attempt exists.
    async fn refuse_late(
        &self,
        id: &DelegationId,
        attempt: i64,
        worker: &str,
        what: &str,
    ) -> Result<(), StoreError>;
    /// Moves at most `most` delegations that were final for `older_than` to the archive, where they stay readable,
    /// and deletes at most as many of their messages that were acknowledged as long ago. Returns the total of both.
    /// Each row is moved once, even if several servers call this concurrently.
    async fn archive(&self, older_than: Duration, most: u32) -> Result<u64, StoreError>;
}
