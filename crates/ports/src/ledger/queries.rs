//! Reads of the delegation ledger.

use async_trait::async_trait;
use domain::{DelegationId, DelegationStatus, Party, TaskId};
use serde_json::Value;
use time::OffsetDateTime;

use crate::error::StoreError;

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

/// Reads of the delegation ledger.
#[async_trait]
pub trait LedgerQueries: Send + Sync {
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
    /// What waits in a caller's inbox, oldest first: at most `most` after the message `after`.
    async fn inbox(&self, caller: &Party, after: i64, most: u32) -> Result<Vec<Message>, StoreError>;
}
