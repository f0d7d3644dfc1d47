//! The use cases, one file each. A use case takes a permit, which only the gate makes, and a write gives a receipt, which only a
//! commit makes. Nothing but port calls stands between `begin` and `commit`.

pub mod archive;
pub mod authenticate;
pub mod call_off_delegation;
pub mod cancel_ingestion;
pub mod cancel_task;
pub mod claim_delegations;
pub mod close_ingestion;
pub mod create_deposition;
pub mod create_release;
pub mod create_task;
pub mod curate_deposition;
pub mod delegate;
pub mod deploy;
pub mod edit_deposition;
pub mod end_session;
pub mod failure;
pub mod fetch_device_tokens;
pub mod fill_from_spreadsheet;
pub mod finish_delegations;
pub mod grant_role;
pub mod hook_execution;
mod hook_turns;
pub mod issuer_keys;
mod kept;
pub mod meters;
pub mod open_device;
pub mod open_ingestion;
pub mod principals;
pub mod process_batch;
pub mod process_submission;
pub mod pull_records;
pub mod push_decoder;
pub mod push_records;
pub mod read_activity;
pub mod read_conventions;
pub mod read_data;
pub mod read_delegations;
pub mod read_depositions;
pub mod read_health;
pub mod read_hooks;
pub mod read_identities;
pub mod read_inbox;
pub mod read_ingest_detail;
pub mod read_ingestions;
pub mod read_lineage;
pub mod read_overview;
mod read_profile;
pub mod read_provenance;
pub mod read_run_logs;
pub mod read_schemas;
pub mod read_stats;
pub mod read_tasks;
pub mod recall;
mod redelegate;
pub mod refresh_session;
pub mod register_schema;
pub mod revoke_role;
pub mod run_hooks;
pub mod schedule_ingestions;
pub mod set_live;
pub mod set_service_account_state;
pub mod share_task;
pub mod sign_in;
pub mod submit_deposition;
pub mod sweep;
mod table_counts;
mod table_scope;
pub mod tokens;
pub mod unyank_release;
pub mod update_task;
pub mod upload_file;
pub mod worker;
pub mod yank_release;

mod batches;
mod claims;
mod cursor;
mod delegation_access;
mod deposition_access;
mod pulled;
mod pulls;
mod request_hash;
mod retry;
mod submissions;
mod task_access;
mod waiting;

pub use archive::Archive;
pub use authenticate::Authenticate;
pub use call_off_delegation::CallOffDelegation;
pub use cancel_ingestion::CancelIngestion;
pub use cancel_task::CancelTask;
pub use claim_delegations::ClaimDelegations;
pub use close_ingestion::CloseIngestion;
pub use create_deposition::CreateDeposition;
pub use create_release::CreateRelease;
pub use create_task::CreateTask;
pub use curate_deposition::CurateDeposition;
pub use delegate::Delegate;
pub use deploy::Deploy;
pub use edit_deposition::EditDeposition;
pub use end_session::EndSession;
pub use failure::Failure;
pub use fetch_device_tokens::FetchDeviceTokens;
pub use fill_from_spreadsheet::FillFromSpreadsheet;
pub use finish_delegations::FinishDelegations;
pub use grant_role::GrantRole;
pub use issuer_keys::IssuerKeys;
pub use meters::Meters;
pub use open_device::OpenDevice;
pub use open_ingestion::OpenIngestion;
pub use ports::Committed;
pub use principals::Principals;
pub use process_batch::ProcessBatch;
pub use process_submission::ProcessSubmission;
pub use pull_records::PullRecords;
pub use push_records::PushRecords;
pub use read_activity::ReadActivity;
pub use read_conventions::ReadConventions;
pub use read_data::ReadData;
pub use read_delegations::ReadDelegations;
pub use read_depositions::ReadDepositions;
pub use read_health::ReadHealth;
pub use read_hooks::ReadHooks;
pub use read_identities::ReadIdentities;
pub use read_inbox::ReadInbox;
pub use read_ingest_detail::ReadIngestDetail;
pub use read_ingestions::ReadIngestions;
pub use read_lineage::{LineagePorts, ReadLineage};
pub use read_overview::{Described, Overview, ReadOverview};
pub use read_profile::ReadProfile;
pub use read_provenance::ReadProvenance;
pub use read_run_logs::ReadRunLogs;
pub use read_schemas::ReadSchemas;
pub use read_stats::ReadStats;
pub use read_tasks::ReadTasks;
pub use recall::{Recall, RecallFilter, RecallOf, RecallSummary};
pub use redelegate::Redelegate;
pub use refresh_session::RefreshSession;
pub use register_schema::RegisterSchema;
pub use revoke_role::RevokeRole;
pub use run_hooks::RunHooks;
pub use schedule_ingestions::ScheduleIngestions;
pub use set_live::SetLive;
pub use set_service_account_state::SetServiceAccountState;
pub use share_task::ShareTask;
pub use sign_in::SignIn;
pub use submit_deposition::SubmitDeposition;
pub use sweep::Sweep;
pub use table_counts::Counted;
pub use tokens::{Lifetimes, TokenMaker};
pub use unyank_release::UnyankRelease;
pub use update_task::UpdateTask;
pub use upload_file::UploadFile;
pub use worker::{OwnWork, Worker, WorkerOptions};
pub use yank_release::YankRelease;

/// What readers get, as the query ports give it; `api` renders these and has no other way to the data.
pub mod views {
    pub use ports::ByteStream;
    pub use ports::depositions::{DepositionFile, DepositionView, ValidationResult, ValidationView};
    pub use ports::identity::{RoleAssignment, ServiceAccountView, UserProfile};
    pub use ports::ingest_detail::{BatchHook, BatchView, IngestRecordView, PullView, RefusedLineView};
    pub use ports::ledger::{DelegationEnd, Ending};
    pub use ports::ledger_queries::{
        AttemptEntry, Claimed, DelegationStates, DelegationView, Message, Payload, Side, TaskFilter,
        TaskGrant, TaskView,
    };
    pub use ports::queries::{
        ActivityEntry, ActivityFilter, ActivityPage, HookSummary, Identity, IngestRunView, ReasonCount,
        RecordView, RowStream, RowTrace, Table, TableColumn, TableCounts, TableKind, TraceDelegation,
        TraceDeposition, TraceSource, TraceTask,
    };
    pub use ports::stats::{FIGURES, Family, Figure, Part};
}

/// The callee of the server's own work.
pub const OWN_WORKERS: &str = "hallmark:workers";
