//! The use cases, one file each. A use case takes a permit, which only the gate makes, and a write gives a receipt, which only a
//! commit makes. Nothing but port calls stands between `begin` and `commit`.

pub mod authenticate;
pub mod close_ingestion;
pub mod create_release;
pub mod deploy;
pub mod failure;
pub mod hook_execution;
pub mod open_ingestion;
pub mod process_batch;
pub mod push_decoder;
pub mod push_records;
pub mod read_conventions;
pub mod read_data;
pub mod read_health;
pub mod read_hooks;
pub mod read_ingestions;
pub mod read_profile;
pub mod read_provenance;
pub mod set_live;
pub mod sweep;
pub mod worker;

mod batches;
mod cursor;
mod retry;

pub use authenticate::Authenticate;
pub use close_ingestion::CloseIngestion;
pub use create_release::CreateRelease;
pub use deploy::Deploy;
pub use failure::Failure;
pub use open_ingestion::OpenIngestion;
pub use ports::Committed;
pub use process_batch::ProcessBatch;
pub use push_records::PushRecords;
pub use read_conventions::ReadConventions;
pub use read_data::ReadData;
pub use read_health::ReadHealth;
pub use read_hooks::ReadHooks;
pub use read_ingestions::ReadIngestions;
pub use read_profile::ReadProfile;
pub use read_provenance::ReadProvenance;
pub use set_live::SetLive;
pub use sweep::Sweep;
pub use worker::{Worker, WorkerOptions};

/// What readers get, as the query ports give it; `api` renders these and has no other way to the data.
pub mod views {
    pub use ports::queries::{
        HookSummary, Identity, IngestRunView, ReasonCount, RecordView, RowStream, RowTrace, Table,
        TableColumn, TableCounts, TableKind, TraceDelegation, TraceSource, TraceTask, UserProfile,
    };
}

/// The callee of the server's own work.
pub const OWN_WORKERS: &str = "hallmark:workers";
