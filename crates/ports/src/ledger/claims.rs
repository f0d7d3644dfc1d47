//! Claims and leases, each call a transaction of its own.

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
    /// Who claims: a party, or one of the server's own callees.
    pub callee: String,
    /// Which of its workers.
    pub worker: WorkerIdentity,
    /// The most delegations.
    pub most: u32,
    /// Whether it begins with them at once.
    pub begin: bool,
}

/// A delegation that was claimed; the token for every later write is (id, attempt).
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The delegation.
    pub id: DelegationId,
    /// The number of this claim.
    pub attempt: i64,
    /// Who handed it over.
    pub caller: String,
    /// What it is about.
    pub preview: String,
    /// What is needed for it.
    pub input: Option<Value>,
    /// The task with its kind and parameters.
    pub task: Option<(TaskId, TaskKind, Value)>,
    /// How often its task was delegated before.
    pub retry_count: u32,
    /// How deep it is below the delegation at the top.
    pub depth: u32,
    /// When its time is over.
    pub deadline: OffsetDateTime,
}

/// Claims and leases, and reads of the ledger, by the database's clock.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Claims delegations of a callee, oldest first. Two claimers never get the same one.
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, StoreError>;
    /// Beats for what this callee claims to hold; gives what it does hold, with the deadline of each. Where no callee is named, the server
    /// itself beats for its own work.
    async fn heartbeat(
        &self,
        callee: Option<&Party>,
        claims: &[(DelegationId, i64)],
    ) -> Result<Vec<(DelegationId, i64, OffsetDateTime)>, StoreError>;
    /// Keeps what came too late out of the effects and in the attempt log (LED-6), if it is about an attempt that there was.
    async fn refuse_late(
        &self,
        id: &DelegationId,
        attempt: i64,
        worker: &str,
        what: &str,
    ) -> Result<(), StoreError>;
    /// Moves at most `most` delegations that were final for `older_than` to the archive, where they stay readable, and lets go at most as
    /// many messages of theirs that were acknowledged as long ago; gives how many of both. Each row is moved once, however many call it.
    async fn archive(&self, older_than: Duration, most: u32) -> Result<u64, StoreError>;
}
