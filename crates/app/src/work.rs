//! The worker: claims, batches, submissions, hook execution, the sweep.

pub mod archive;
pub(crate) mod ask_ingester;
pub(crate) mod attempt;
pub(crate) mod claims;
pub mod hook_execution;
pub(crate) mod hook_work;
pub(crate) mod housekeeping;
pub(crate) mod letting_go;
pub mod process_batch;
pub mod process_submission;
pub mod pull_records;
pub mod run_hooks;
pub mod sweep;
mod unstorable;
pub mod worker;

pub use archive::Archive;
pub use process_batch::ProcessBatch;
pub use process_submission::ProcessSubmission;
pub use pull_records::PullRecords;
pub use run_hooks::RunHooks;
pub use sweep::Sweep;
pub use worker::{Worker, WorkerJobs, WorkerOptions};
