//! What workers need: the queue, the runner, and the writes of a batch.

mod features;
mod queue;
mod records;
mod runner;
mod runs;

pub use features::{Features, RecordRows};
pub use queue::{Claim, WorkQueue, WorkerIdentity};
pub use records::{BatchSource, NewRecord, RecordBatch, Records};
pub use runner::{
    Attempt, HookJob, HookRecord, PullAttempt, PullJob, PulledFile, PulledFiles, RecordFile, RunStamp,
    Runner, RunnerError, StagedFiles,
};
pub use runs::{CheckpointRef, Pin, Runs};
