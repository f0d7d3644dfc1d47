//! Delegations, as far as they belong to the transaction of their cause or effect.

use std::time::Duration;

use async_trait::async_trait;
use domain::{DelegationId, DelegationStatus, TaskId, TaskKind, TaskStatus};
use serde_json::Value;
use time::OffsetDateTime;

use crate::error::StoreError;
use crate::ledger::RequestKey;
use crate::work::WorkerIdentity;

/// When a delegation's time is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deadline {
    /// After six hours (LED-1).
    Default,
    /// After this time.
    In(Duration),
    /// At this time.
    At(OffsetDateTime),
}

/// Where a delegation stands below others. All of it comes from the parent's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Nesting {
    /// The delegation whose holder delegates.
    pub parent: DelegationId,
    /// The delegation at the top.
    pub root: DelegationId,
    /// How deep the new one is: 1 below the top.
    pub depth: u32,
    /// The parent's deadline, after which the new one's cannot be.
    pub deadline: OffsetDateTime,
}

/// A new delegation.
#[derive(Clone, Debug)]
pub struct NewDelegation {
    /// Its id, chosen by the caller.
    pub id: DelegationId,
    /// The task.
    pub task: Option<TaskId>,
    /// Who hands it over.
    pub caller: String,
    /// To whom.
    pub callee: String,
    /// What it is about, for people.
    pub preview: String,
    /// What its callee needs.
    pub input: Option<Value>,
    /// Two delegations of one caller with one key are one; and what was asked for.
    pub request: Option<RequestKey>,
    /// Where it stands below others.
    pub nesting: Option<Nesting>,
    /// When its time is over.
    pub deadline: Deadline,
    /// Whether its time can be over while it waits; the server's own work may wait for ever.
    pub may_expire: bool,
    /// How often its task was delegated before.
    pub retry_count: u32,
    /// The delegation that got stuck or failed before it.
    pub retry_of: Option<DelegationId>,
    /// How often it is handed out again by itself after it got stuck.
    pub max_retries: u32,
    /// How long it waits before it can be claimed.
    pub delay: Duration,
}

/// What became of a new delegation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delegated {
    /// It is new and queued.
    New,
    /// One with this id, or with this caller's key, was there; this is its id (LED-3).
    Existing(DelegationId),
    /// Its task has ended; nothing was changed.
    TaskOver(TaskStatus),
    /// Its task is delegated, as this one, which is not final; nothing was changed.
    TaskDelegated(DelegationId),
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
    /// Given up; why.
    Failed(String),
    /// Given up, and its task goes on under another delegation; why.
    FailedForNow(String),
}

/// The end of one delegation, by whoever holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The delegation.
    pub id: DelegationId,
    /// The attempt under which it is held.
    pub attempt: i64,
    /// How it ends.
    pub end: DelegationEnd,
}

/// A delegation that was taken away from a worker that fell silent, died, or ran out of time, or that nobody claimed in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Stuck {
    /// The delegation; its state is `stuck`, which is final.
    pub id: DelegationId,
    /// Its last attempt; 0 if nobody ever claimed it.
    pub attempt: i64,
    /// Who handed it over.
    pub caller: String,
    /// To whom.
    pub callee: String,
    /// What it was about, for people.
    pub preview: String,
    /// The task, which can be delegated again.
    pub task: Option<(TaskId, TaskKind, Value)>,
    /// How often its task was delegated before.
    pub retry_count: u32,
    /// How often it is handed out again by itself.
    pub max_retries: u32,
    /// Whether its own time is over, so that handing it out again would be in vain.
    pub expired: bool,
    /// Why it was taken away.
    pub why: String,
}

/// What a sweep took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Swept {
    /// What was taken away.
    pub stuck: Vec<Stuck>,
    /// How many more are silent and were left alone, because so many at once look like a fault of the network or the database and not
    /// of their workers (LEDGER-6.2). They are taken when they are silent for twice as long.
    pub held_back: u64,
}

/// What a use case asks of a delegation before it changes it.
#[derive(Clone, Debug, PartialEq)]
pub struct DelegationFacts {
    /// Its id.
    pub id: DelegationId,
    /// Who handed it over.
    pub caller: String,
    /// To whom.
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
    /// How often its task was delegated before.
    pub retry_count: u32,
    /// The delegation whose holder made it.
    pub parent: Option<DelegationId>,
    /// The delegation that followed it.
    pub redelegated_as: Option<DelegationId>,
}

/// Delegations, as far as they belong to the transaction of their cause or effect.
///
/// Locks are taken in one order everywhere: leases by id, queue rows, the ledger, tasks. What is claimed, beaten for and read is in
/// [`crate::Ledger`].
#[async_trait]
pub trait Delegations: Send {
    /// Keeps and queues a new delegation, and marks its task as one that waits (LED-3).
    async fn create(&mut self, delegation: &NewDelegation) -> Result<Delegated, StoreError>;
    /// Holds a delegation that `callee` holds, under this attempt if one is named, in that state until the end of the unit of work; gives where
    /// a delegation below it stands.
    async fn hold_parent(
        &mut self,
        id: &DelegationId,
        attempt: Option<i64>,
        callee: &str,
    ) -> Result<Option<Nesting>, StoreError>;
    /// Ends delegations and their tasks, each if its attempt still holds it and it is this callee's, and puts the ends into their callers'
    /// inboxes (LED-6, LED-7); gives which did end. Call it first: it locks the leases, so that no sweep can take them away before
    /// the commit.
    async fn finish_all(
        &mut self,
        callee: Option<&str>,
        completions: &[Completion],
    ) -> Result<Vec<DelegationId>, StoreError>;
    /// [`Delegations::finish_all`] of one of the server's own; whether it did end.
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
    /// Says that the holder has begun, and what it tells; that is a beat too. `false` when it does not hold it.
    async fn progress(
        &mut self,
        id: &DelegationId,
        attempt: i64,
        callee: &str,
        note: Option<&str>,
    ) -> Result<bool, StoreError>;
    /// Ends delegations that are not final, whoever holds them, and their tasks as `task`; gives those that it ended. Their holders learn of
    /// it at the next beat.
    async fn call_off(
        &mut self,
        ids: &[DelegationId],
        why: &str,
        task: TaskStatus,
    ) -> Result<Vec<DelegationId>, StoreError>;
    /// The delegations of a task that are not final.
    async fn open_of_task(&mut self, task: TaskId) -> Result<Vec<DelegationId>, StoreError>;
    /// How many delegations of a task have failed: how often it was tried and handed back.
    async fn failures_of_task(&mut self, task: TaskId) -> Result<u32, StoreError>;
    /// Takes away at most `most` delegations whose lease is silent for longer than `silence`, is past its deadline, or is held by
    /// an earlier boot of `worker`: their state becomes `stuck`. Any number of servers may call it at once; each row is taken once (LED-5).
    async fn take_stuck(
        &mut self,
        worker: &WorkerIdentity,
        silence: Duration,
        most: u32,
    ) -> Result<Swept, StoreError>;
    /// The same for at most `most` delegations that nobody claimed before their deadline.
    async fn take_expired(&mut self, most: u32) -> Result<Vec<Stuck>, StoreError>;
    /// Hands a delegation that is stuck or failed out again, as `next`, with all that it was; `false` when that was done before, or its
    /// task has ended. Its deadline stays where it was, unless `anew`: then it is as far away as it was at first.
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
    /// Marks a task as given up.
    async fn give_up(&mut self, task: TaskId, why: &str) -> Result<(), StoreError>;
    /// Acknowledges messages of this caller's inbox; gives those that waited.
    async fn acknowledge(&mut self, caller: &str, messages: &[i64]) -> Result<Vec<i64>, StoreError>;
    /// The delegation that has this id, or else this caller's key, in the ledger or in the archive.
    async fn find_existing(
        &mut self,
        id: &DelegationId,
        caller: &str,
        key: Option<&str>,
    ) -> Result<Option<DelegationId>, StoreError>;
    /// The delegation.
    async fn find(&mut self, id: &DelegationId) -> Result<Option<DelegationFacts>, StoreError>;
}
