//! Ingest runs: pushed, pulled, and their reads.

mod detail;
mod ingests;
mod pulls;
mod queries;

pub use detail::{
    BatchHook, BatchView, IngestDetailQueries, IngestRecordView, PullView, RefusalView, RefusedLineView,
};
pub use ingests::{
    BatchCounts, BatchRecord, BatchRun, IngestLine, Ingests, LineResult, LockedIngestRun, NewIngestRun,
    RecordEnd,
};
pub use pulls::{PullEnd, Pulls};
pub use queries::{IngestQueries, IngestRunView, ReasonCount, ScheduleView};
