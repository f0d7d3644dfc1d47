//! The use cases, one file each. A use case takes a permit, which only the gate issues, and a write returns a
//! receipt, which only a commit creates. Nothing but port calls is between `begin` and `commit`.

mod access;
pub mod background;
pub mod data;
pub mod deposit;
pub mod failure;
pub mod identity;
pub mod ingest;
pub mod ledger;
pub mod read_health;
pub mod registry;
pub mod work;

mod cached;
mod cursor;
pub mod limits;
mod log_head;
mod machine;
pub mod memory;
pub mod metrics;
pub mod outputs;
mod own_tasks;
pub mod page;
mod pause;
pub mod port_set;
mod request_hash;
mod retry;

pub use failure::Failure;
pub use limits::CallerLimits;
pub use metrics::Metrics;
pub use port_set::Ports;
pub use ports::Committed;
pub use read_health::ReadHealth;

/// What readers get, as the query ports return it; `api` renders these and has no other way to the data.
pub mod views {
    pub use ports::ByteStream;
    pub use ports::data::{
        ActivityEntry, ActivityFilter, ActivityPage, FAMILIES, Family, Identity, Part, RecordView, RowStream,
        RowTrace, Sample, Table, TableColumn, TableCounts, TableKind, TraceDelegation, TraceDeposition,
        TraceSource, TraceTask,
    };
    pub use ports::deposit::{DepositionFile, DepositionView, ValidationResult, ValidationView};
    pub use ports::identity::{RoleAssignment, ServiceAccountView, UserProfile};
    pub use ports::ingest::{
        BatchHook, BatchView, IngestRecordView, IngestRunView, PullView, ReasonCount, RefusalView,
        RefusedLineView,
    };
    pub use ports::ledger::{
        AttemptEntry, Claimed, Completion, DelegationEnd, DelegationStates, DelegationView, Message, Payload,
        Side, TaskFilter, TaskGrant, TaskView,
    };
    pub use ports::registry::{HookSummary, HooksState};
}

/// The callee of the server's own work.
pub const OWN_WORKERS: &str = "hallmark:workers";
