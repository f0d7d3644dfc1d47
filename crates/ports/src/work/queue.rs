//! The work queue: claiming and holding delegations (LEDGER-6). Each call is a transaction of its own. *Finishing*
//! and *taking back* are in [`crate::Delegations`], because they belong to the transaction of their effects.

use std::time::Duration;

use async_trait::async_trait;
use domain::{DelegationId, TaskId, TaskKind};
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;

/// The process that holds a lease. A restarted process is another holder, so the boot id is new at every start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerIdentity {
    /// The worker's lasting name: that of its data directory.
    pub name: String,
    /// New at every process start.
    pub boot: Uuid,
}

/// A delegation that was claimed; the token for every later write to it is (id, attempt).
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The delegation.
    pub delegation: DelegationId,
    /// The number of this claim.
    pub attempt: i64,
    /// The task it is about.
    pub task: TaskId,
    /// The kind of the task.
    pub kind: TaskKind,
    /// The task's parameters.
    pub params: Value,
    /// How often the task was delegated before this.
    pub retry_count: u32,
    /// How many servers ended while they worked on the task.
    pub crashes: u32,
    /// The worker that holds it.
    pub worker: WorkerIdentity,
}

/// Claims and leases, by the database's clock.
#[async_trait]
pub trait WorkQueue: Send + Sync {
    /// Claims at most `most` delegations for the callee that this queue serves, oldest first. Each delegation goes to
    /// one claimer only. Work on a claim has begun with it, unless its task had as many crashes as make it be worked on
    /// alone ([`domain::ledger::delegation::ALONE_AFTER_CRASHES`]).
    async fn claim(&self, worker: &WorkerIdentity, most: u32) -> Result<Vec<Claim>, StoreError>;

    /// Extends the leases of these claims. Returns those that are still held; the others are lost. A holder that is
    /// told so has not crashed, so a crash that was counted for such a claim is taken back.
    async fn heartbeat(&self, claims: &[(DelegationId, i64)]) -> Result<Vec<DelegationId>, StoreError>;

    /// Returns whether a claim is still held, and extends its lease. Unlike a heartbeat it waits for a transaction that
    /// ends the claim at this moment, even one whose connection broke after it had sent its commit.
    async fn confirm(&self, claim: &Claim) -> Result<bool, StoreError>;

    /// Begins the work on a claim that was to wait until nothing runs beside it: from now on the end of its server
    /// counts against its task. Returns whether the claim is still held.
    async fn begin(&self, claim: &Claim) -> Result<bool, StoreError>;

    /// Marks the leases of this worker as those of one that stopped in good order: they do not count against their
    /// tasks when they are taken back. Returns how many. Call it when nothing is worked on any more.
    async fn stopped(&self, worker: &WorkerIdentity) -> Result<u64, StoreError>;

    /// Disowns the leases of this worker that are not among `held`: claims whose response was lost. The next sweep
    /// takes them back, even if they are recent. Returns how many. Call it only while this worker makes no claim.
    async fn disown(&self, worker: &WorkerIdentity, held: &[(DelegationId, i64)]) -> Result<u64, StoreError>;

    /// Logs a late result as an attempt without applying its effects (LED-6).
    async fn refuse_late(&self, claim: &Claim, what: &str) -> Result<(), StoreError>;

    /// Waits until there may be something to claim, at most `most`.
    async fn wait(&self, most: Duration);

    /// Wakes the workers of every process, soon. Call it after the commit that queued something.
    fn notify(&self);

    /// Waits until claims may have been cancelled, at most `most`. A heartbeat tells which.
    async fn wait_cancelled(&self, most: Duration);

    /// Wakes the workers of every process that wait for cancelled claims, soon. Call it after the commit that cancelled
    /// something.
    fn notify_cancelled(&self);
}
