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
    /// The party that delegated.
    pub caller: String,
    /// The party that it is delegated to.
    pub callee: String,
    /// A summary for people.
    pub preview: String,
    /// Its state.
    pub status: DelegationStatus,
    /// The number of its last claim.
    pub attempt: i64,
    /// Which worker holds it.
    pub worker: Option<String>,
    /// The last heartbeat, if it is held.
    pub last_heartbeat: Option<OffsetDateTime>,
    /// The progress that its holder last reported.
    pub progress: Option<String>,
    /// When that was reported.
    pub progress_at: Option<OffsetDateTime>,
    /// Its deadline.
    pub deadline: OffsetDateTime,
    /// The first characters of its result.
    pub result_preview: Option<String>,
    /// Why it failed or got stuck.
    pub error_detail: Option<String>,
    /// How often its task was delegated before this.
    pub retry_count: u32,
    /// The delegation before it.
    pub retry_of: Option<String>,
    /// The delegation after it.
    pub redelegated_as: Option<String>,
    /// The delegation whose holder created it.
    pub parent: Option<String>,
    /// The root delegation.
    pub root: Option<String>,
    /// Its depth below the root.
    pub depth: u32,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When its state last changed.
    pub updated_at: OffsetDateTime,
}

/// Input and result of a delegation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Payload {
    /// The input for its callee.
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
    /// Further detail.
    pub detail: Option<String>,
    /// When it happened.
    pub at: OffsetDateTime,
}

/// Which side of a delegation a party is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The party that delegates.
    Caller,
    /// The party that it is delegated to.
    Callee,
}

/// Selects delegations by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelegationStates {
    /// Those that are not final (LED-9).
    InFlight,
    /// Those that are stuck (LED-9).
    Stuck,
    /// All that are not archived.
    All,
    /// The archived ones, all of which are final.
    Archived,
}

/// Selects delegations.
#[derive(Clone, Debug)]
pub struct DelegationFilter {
    /// Those of this party. `None` selects those of all parties, which is for [`DelegationStates::Stuck`] only.
    pub party: Option<(Side, String)>,
    /// Only those in these states.
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
    /// The delegation that continues the task.
    pub redelegated_as: Option<String>,
    /// When it arrived.
    pub arrived_at: OffsetDateTime,
}

/// Reads of the delegation ledger.
#[async_trait]
pub trait LedgerQueries: Send + Sync {
    /// Returns a delegation.
    async fn delegation(&self, id: &DelegationId) -> Result<Option<DelegationView>, StoreError>;
    /// Returns the input and the result of a delegation.
    async fn payload(&self, id: &DelegationId) -> Result<Payload, StoreError>;
    /// Returns the attempt log of a delegation, oldest first.
    async fn attempts(&self, id: &DelegationId) -> Result<Vec<AttemptEntry>, StoreError>;
    /// Returns delegations, newest first, at most `most`.
    async fn delegations(
        &self,
        filter: &DelegationFilter,
        most: u32,
    ) -> Result<Vec<DelegationView>, StoreError>;
    /// Returns the unacknowledged messages of a caller's inbox, oldest first: at most `most` after the message
    /// `after`.
    async fn inbox(&self, caller: &Party, after: i64, most: u32) -> Result<Vec<Message>, StoreError>;
}
