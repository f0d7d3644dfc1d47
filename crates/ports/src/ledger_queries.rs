//! Claims, beats and reads of the ledger, each a transaction of its own; and the wake-ups that make waiting short.

use std::time::Duration;

use async_trait::async_trait;
use domain::{Actor, DelegationId, DelegationStatus, Party, TaskId, TaskKind, TaskStatus};
use serde_json::Value;
use time::OffsetDateTime;

use crate::error::StoreError;
use crate::worker::WorkerIdentity;

/// A task as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// What kind.
    pub kind: TaskKind,
    /// Its name.
    pub name: String,
    /// What it needs.
    pub params: Value,
    /// Its state.
    pub status: TaskStatus,
    /// Why it failed or was called off.
    pub status_detail: Option<String>,
    /// Who asked for it; the system is nobody.
    pub creator: Actor,
    /// When.
    pub created_at: OffsetDateTime,
    /// When its state last changed.
    pub updated_at: OffsetDateTime,
}

/// What was granted to somebody about a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskGrant {
    /// To whom.
    pub grantee: Actor,
    /// Whether they may operate it, and not only see it.
    pub can_operate: bool,
    /// By whom.
    pub granted_by: Actor,
    /// When.
    pub granted_at: OffsetDateTime,
}

/// Which tasks.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Those that this one may see, by having made them or by a grant; all of them where nobody is named.
    pub visible_to: Option<Actor>,
    /// Who asked for them.
    pub creator: Option<Actor>,
    /// What kind.
    pub kind: Option<TaskKind>,
    /// Their state.
    pub status: Option<TaskStatus>,
    /// Only those after this one, in the order of the list.
    pub after: Option<(OffsetDateTime, TaskId)>,
}

/// A page of a list whose every look is bounded: it may hold fewer than were asked for and still have a next one.
#[derive(Clone, Debug)]
pub struct BoundedPage<T, K> {
    /// What was found.
    pub items: Vec<T>,
    /// Where the next page begins, if there may be more.
    pub next: Option<K>,
}

/// Reads of tasks.
#[async_trait]
pub trait TaskQueries: Send + Sync {
    /// The task, and what was granted to the one who asks: whether they may operate it too.
    async fn task(&self, id: TaskId, who: &Actor) -> Result<Option<(TaskView, Option<bool>)>, StoreError>;
    /// Tasks, newest first, at most `most`.
    async fn tasks(
        &self,
        filter: &TaskFilter,
        most: u32,
    ) -> Result<BoundedPage<TaskView, (OffsetDateTime, TaskId)>, StoreError>;
    /// What was granted about a task, oldest first.
    async fn grants(&self, id: TaskId) -> Result<Vec<TaskGrant>, StoreError>;
}

/// A delegation as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct DelegationView {
    /// Its id.
    pub id: DelegationId,
    /// The task.
    pub task: Option<TaskId>,
    /// Who handed it over.
    pub caller: String,
    /// To whom.
    pub callee: String,
    /// What it is about.
    pub preview: String,
    /// Its state.
    pub status: DelegationStatus,
    /// The number of its last claim.
    pub attempt: i64,
    /// Which worker holds it.
    pub worker: Option<String>,
    /// The last beat: the lease's, if it is held.
    pub last_heartbeat: Option<OffsetDateTime>,
    /// What its holder last told.
    pub progress: Option<String>,
    /// When.
    pub progress_at: Option<OffsetDateTime>,
    /// When its time is over.
    pub deadline: OffsetDateTime,
    /// The first characters of its result.
    pub result_preview: Option<String>,
    /// Why it failed or got stuck.
    pub error_detail: Option<String>,
    /// How often its task was delegated before.
    pub retry_count: u32,
    /// The delegation before it.
    pub retry_of: Option<String>,
    /// The delegation after it.
    pub redelegated_as: Option<String>,
    /// The delegation whose holder made it.
    pub parent: Option<String>,
    /// The delegation at the top.
    pub root: Option<String>,
    /// How deep it is below that.
    pub depth: u32,
    /// When it was handed over.
    pub created_at: OffsetDateTime,
    /// When its state last changed.
    pub updated_at: OffsetDateTime,
}

/// What a delegation was given and what it gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Payload {
    /// What its callee needs.
    pub input: Option<Value>,
    /// Its result.
    pub result: Option<Value>,
}

/// One entry of a delegation's attempt log.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptEntry {
    /// Which attempt.
    pub attempt: i64,
    /// What happened: `claimed`, `completed`, `failed`, `stuck` or `refused-late`.
    pub event: String,
    /// The worker.
    pub worker: Option<String>,
    /// What else is known.
    pub detail: Option<String>,
    /// When.
    pub at: OffsetDateTime,
}

/// Which side of a delegation a party is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It hands over.
    Caller,
    /// It is handed to.
    Callee,
}

/// In which states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelegationStates {
    /// Those that are not final (LED-9).
    InFlight,
    /// Those that are stuck (LED-9).
    Stuck,
    /// All that were not moved to the archive.
    All,
    /// Those that were moved to the archive, which all are final.
    Archived,
}

/// Which delegations.
#[derive(Clone, Debug)]
pub struct DelegationFilter {
    /// Those of this party; those of all where nobody is named, which is for [`DelegationStates::Stuck`] only.
    pub party: Option<(Side, String)>,
    /// In which states.
    pub states: DelegationStates,
    /// Only those after this one, in the order of the list.
    pub after: Option<(OffsetDateTime, String)>,
}

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

/// A message in a caller's inbox: the end of one of its delegations (LED-7).
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id, by which it is acknowledged.
    pub id: i64,
    /// The delegation.
    pub delegation: DelegationId,
    /// Its last attempt.
    pub attempt: i64,
    /// How it ended.
    pub status: DelegationStatus,
    /// The result.
    pub result: Option<Value>,
    /// Why it failed or got stuck.
    pub error_detail: Option<String>,
    /// The delegation that goes on with the task.
    pub redelegated_as: Option<String>,
    /// When.
    pub arrived_at: OffsetDateTime,
}

/// Claims and leases, and reads of the ledger, by the database's clock.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Claims delegations of a callee, oldest first. Two claimers never get the same one.
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, StoreError>;
    /// Beats for what this callee claims to hold; gives what it does hold, with the deadline of each. Where no callee is named, the server
    /// itself beats for its own work.
    async fn beat(
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
    /// The delegation.
    async fn delegation(&self, id: &DelegationId) -> Result<Option<DelegationView>, StoreError>;
    /// What it was given and what it gave.
    async fn payload(&self, id: &DelegationId) -> Result<Payload, StoreError>;
    /// Its attempt log, oldest first.
    async fn attempts(&self, id: &DelegationId) -> Result<Vec<AttemptEntry>, StoreError>;
    /// Delegations, newest first, at most `most`.
    async fn delegations(
        &self,
        filter: &DelegationFilter,
        most: u32,
    ) -> Result<Vec<DelegationView>, StoreError>;
    /// Moves at most `most` delegations that were final for `older_than` to the archive, where they stay readable, and lets go at most as
    /// many messages of theirs that were acknowledged as long ago; gives how many of both. Each row is moved once, however many call it.
    async fn archive(&self, older_than: Duration, most: u32) -> Result<u64, StoreError>;
    /// What waits in a caller's inbox, oldest first: at most `most` after the message `after`.
    async fn inbox(&self, caller: &Party, after: i64, most: u32) -> Result<Vec<Message>, StoreError>;
}

/// Hints that something may be there, across processes. One that is missed costs a poll's wait, never work.
pub trait Wakes: Send + Sync {
    /// Listens for a topic from now on: what is woken after this call is not missed.
    fn listen(&self, topic: &str) -> Box<dyn Listening>;
    /// Wakes whoever listens for a topic in any process, soon. Called after the commit.
    fn wake(&self, topic: &str);
}

/// The topic of those who wait for something to claim.
pub fn work_topic(callee: &str) -> String {
    format!("work:{callee}")
}

/// The topic of those who wait for messages in an inbox.
pub fn inbox_topic(caller: &str) -> String {
    format!("inbox:{caller}")
}

/// Somebody who listens.
#[async_trait]
pub trait Listening: Send {
    /// Waits for the next hint since the last wait, at most `most`.
    async fn wait(&mut self, most: Duration);
}
