//! Tasks: units of work that somebody asked for.

use std::str::FromStr;

use crate::kind::Invalid;

/// What kind of work a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Running a convention's hooks over one batch of an ingest run.
    IngestBatch,
}

impl TaskKind {
    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IngestBatch => "ingest_batch",
        }
    }
}

impl FromStr for TaskKind {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == Self::IngestBatch.as_str() {
            Ok(Self::IngestBatch)
        } else {
            Err(Invalid::value("is no kind of task that this server knows"))
        }
    }
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// Nobody holds it.
    Queued,
    /// A delegation of it is held by a worker.
    Running,
    /// Done.
    Completed,
    /// Given up.
    Failed,
    /// Called off.
    Cancelled,
}

impl TaskStatus {
    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
