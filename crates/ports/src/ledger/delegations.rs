//! Delegations, as far as they belong to the transaction of their cause or effect.

use std::time::Duration;

use async_trait::async_trait;
use domain::{DelegationId, DelegationStatus, TaskId, TaskKind, TaskStatus};
use serde_json::Value;
use time::OffsetDateTime;

use crate::error::StoreError;
use crate::ledger::RequestKey;
use crate::work::WorkerIdentity;

/// The deadline of a new delegation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deadline {
    /// Six hours from now (LED-1).
    Default,
    /// After this time span.
    In(Duration),
    /// At this time.
    At(OffsetDateTime),
}

/// The position of a delegation below others. All of it comes from the parent's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Nesting {
    /// The parent: its holder creates the new delegation.
    pub parent: DelegationId,
    /// The root delegation.
    pub root: DelegationId,
    /// The depth of the new one: 1 directly below the root.
    pub depth: u32,
    /// The parent's deadline, which limits that of the new one.
    pub deadline: OffsetDateTime,
}

/// A new delegation.
#[derive(Clone, Debug)]
pub struct NewDelegation {
    /// Its id, chosen by the caller.
    pub id: DelegationId,
    /// The task.
    pub task: Option<TaskId>,
    /// The party that delegates.
    pub caller: String,
    /// The party that it is delegated to.
    pub callee: String,
    /// A summary for people.
    pub preview: String,
    /// The input for the callee.
    pub input: Option<Value>,
    /// The caller's idempotency key and the hash of the request. Two delegations of one caller with one key are one.
    pub request: Option<RequestKey>,
    /// Its position below others.
    pub nesting: Option<Nesting>,
    /// Its deadline.
    pub deadline: Deadline,
    /// Whether it can expire while it waits; the server's own work may wait forever.
    pub may_expire: bool,
    /// How often its task was delegated before this.
    pub retry_count: u32,
    /// The delegation that got stuck or failed before it.
    pub retry_of: Option<DelegationId>,
    /// How often it is redelegated automatically after it got stuck.
    pub max_retries: u32,
    /// How long it waits before it can be claimed.
    pub delay: Duration,
}

/// The result of creating a delegation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delegated {
    /// It is new and queued.
    New,
    /// A delegation with this id, or with this caller's key, existed; this is its id (LED-3).
    Existing(DelegationId),
    /// Its task has ended. Nothing was changed.
    TaskOver(TaskStatus),
    /// Its task already has this open delegation. Nothing was changed.
    TaskDelegated(DelegationId),
}

/// A delegation that a new one would repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Its id.
    pub id: DelegationId,
    /// Whether it is of the caller in question.
    pub is_own: bool,
}

/// How a delegation ends.
#[derive(Clone, Debug, PartialEq)]
pub enum DelegationEnd {
    /// Done.
    Completed {
        /// The result, for the caller's inbox.
        result: Option<Value>,
        /// Its first characters, for people.
        preview: String,
    },
    /// Failed for good, for this reason.
    Failed(String),
    /// Failed, but its task continues under another delegation; the reason.
    FailedForNow(String),
}

/// The end of one delegation, sent by its holder.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The delegation.
    pub id: DelegationId,
    /// The attempt under which it is held.
    pub attempt: i64,
    /// How it ends.
    pub end: DelegationEnd,
}

/// A delegation whose lease was revoked because its worker fell silent, died, or ran out of time, or that expired
/// unclaimed.
#[derive(Clone, Debug, PartialEq)]
pub struct Stuck {
    /// The delegation; its state is `stuck`, which is final.
    pub id: DelegationId,
    /// Its last attempt; 0 if it was never claimed.
    pub attempt: i64,
    /// The party that delegated.
    pub caller: String,
    /// The party that it was delegated to.
    pub callee: String,
    /// A summary for people.
    pub preview: String,
    /// The task, which can be delegated again.
    pub task: Option<(TaskId, TaskKind, Value)>,
    /// How often its task was delegated before this.
    pub retry_count: u32,
    /// How often it is redelegated automatically.
    pub max_retries: u32,
    /// Whether its own deadline has passed, so that a retry would be in vain.
    pub expired: bool,
    /// Why its lease was revoked, or that it expired.
    pub why: String,
    /// How many servers ended while they worked on its task, the last one included.
    pub crashes: u32,
}

/// The result of a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Swept {
    /// The delegations that are stuck now.
    pub stuck: Vec<Stuck>,
    /// How many more are silent and were left alone, because so many at once look like a fault of the network or the
    /// database and not of their workers (LEDGER-6.2). They become stuck once they have been silent for twice as
    /// long.
    pub held_back: u64,
}

/// What a use case reads of a delegation before it changes it.
#[derive(Clone, Debug, PartialEq)]
pub struct DelegationFacts {
    /// Its id.
    pub id: DelegationId,
    /// The party that delegated.
    pub caller: String,
    /// The party that it is delegated to.
    pub callee: String,
    /// The task.
    pub task: Option<TaskId>,
    /// Its state.
    pub status: DelegationStatus,
    /// The number of its last claim.
    pub attempt: i64,
    /// The hash of the request that made it.
    pub request_hash: Option<[u8; 32]>,
    /// The first characters of its result, or why it failed or got stuck.
    pub ended_with: Option<String>,
    /// How often its task was delegated before this.
    pub retry_count: u32,
    /// The delegation whose holder made it.
    pub parent: Option<DelegationId>,
    /// The delegation that continues its task.
    pub redelegated_as: Option<DelegationId>,
}

/// Delegations, as far as they belong to the transaction of their cause or effect.
///
/// Locks are taken in one order everywhere: leases by id, queue rows, the ledger, tasks. Claims, heartbeats and reads
/// are in [`crate::Ledger`].
#[async_trait]
pub trait Delegations: Send {
    /// Stores and queues a new delegation, and marks its task as waiting (LED-3).
    async fn create(&mut self, delegation: &NewDelegation) -> Result<Delegated, StoreError>;
    /// Returns how many delegations this caller created within the last day, counting no further than `most`.
    async fn created_today(&mut self, caller: &str, most: u32) -> Result<u32, StoreError>;
    /// Locks a delegation that `callee` holds, under this attempt if one is named, in its state until the end of the
    /// unit of work. Returns the nesting of a delegation below it.
    async fn hold_parent(
        &mut self,
        id: &DelegationId,
        attempt: Option<i64>,
        callee: &str,
    ) -> Result<Option<Nesting>, StoreError>;
    /// Ends delegations and their tasks, each if its attempt still holds it and belongs to this callee, and puts the
    /// ends into their callers' inboxes (LED-6, LED-7). Returns the delegations that it ended. Call it first: it
    /// locks the leases, so that no sweep can revoke them before the commit.
    async fn finish_all(
        &mut self,
        callee: Option<&str>,
        completions: &[Completion],
    ) -> Result<Vec<DelegationId>, StoreError>;
    /// Ends one of the server's own delegations as [`Delegations::finish_all`] does. Returns whether it ended.
    async fn finish(
        &mut self,
        id: &DelegationId,
        attempt: i64,
        end: DelegationEnd,
    ) -> Result<bool, StoreError> {
        let ending = Completion {
            id: id.clone(),
            attempt,
            end,
        };
        Ok(!self.finish_all(None, &[ending]).await?.is_empty())
    }
    /// Records that the holder has begun, and its progress; counts as a heartbeat. Returns `false` if the caller does
    /// not hold the delegation.
    async fn progress(
        &mut self,
        id: &DelegationId,
        attempt: i64,
        callee: &str,
        note: Option<&str>,
    ) -> Result<bool, StoreError>;
    /// Cancels delegations that are not final, even if they are held, and sets their tasks to `task`. Returns those
    /// that it ended. Their holders learn of it at the next heartbeat.
    async fn cancel(
        &mut self,
        ids: &[DelegationId],
        why: &str,
        task: TaskStatus,
    ) -> Result<Vec<DelegationId>, StoreError>;
    /// Returns the delegations of a task that are not final.
    async fn open_of_task(&mut self, task: TaskId) -> Result<Vec<DelegationId>, StoreError>;
    /// Returns how many delegations of a task have failed: how often it was tried and handed back.
    async fn failures_of_task(&mut self, task: TaskId) -> Result<u32, StoreError>;
    /// Revokes at most `most` leases that are silent for longer than `silence`, are past their deadline, or are held
    /// by an earlier boot of `worker`: the state of their delegations becomes `stuck`. Several servers may call it at
    /// once; each row is taken once (LED-5).
    ///
    /// A silent or restarted holder of the server's own work counts as a crash of the task, if it had begun
    /// ([`crate::WorkQueue::begin`]) and neither stopped ([`crate::WorkQueue::stopped`]) nor lost the claim's response.
    async fn take_stuck(
        &mut self,
        worker: &WorkerIdentity,
        silence: Duration,
        most: u32,
    ) -> Result<Swept, StoreError>;
    /// Marks at most `most` delegations as stuck that were not claimed before their deadline.
    async fn take_expired(&mut self, most: u32) -> Result<Vec<Stuck>, StoreError>;
    /// Redelegates a stuck or failed delegation as `next`, with all of its data. Returns `false` if it was
    /// redelegated before, or if its task has ended. Keeps the deadline, unless `anew`: then the new one gets the
    /// same time span as the first.
    async fn redelegate(
        &mut self,
        id: &DelegationId,
        next: &DelegationId,
        delay: Duration,
        anew: bool,
    ) -> Result<bool, StoreError>;
    /// Puts the end of a stuck delegation into its caller's inbox (LED-7).
    async fn notify_stuck(
        &mut self,
        stuck: &Stuck,
        redelegated_as: Option<&DelegationId>,
    ) -> Result<(), StoreError>;
    /// Marks a task as failed for good.
    async fn give_up(&mut self, task: TaskId, why: &str) -> Result<(), StoreError>;
    /// Acknowledges messages of this caller's inbox. Returns those that were waiting.
    async fn acknowledge(&mut self, caller: &str, messages: &[i64]) -> Result<Vec<i64>, StoreError>;
    /// Returns the delegation with this id, of any caller, or else the one with this caller's key, from the ledger
    /// or the archive.
    async fn find_existing(
        &mut self,
        id: &DelegationId,
        caller: &str,
        key: Option<&str>,
    ) -> Result<Option<Existing>, StoreError>;
    /// Returns a delegation.
    async fn find(&mut self, id: &DelegationId) -> Result<Option<DelegationFacts>, StoreError>;
}
