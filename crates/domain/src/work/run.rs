//! Hook runs: the append-only record of one execution of one release (PRV-4).

use std::str::FromStr;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::ids::{ReleaseId, RunId};
use crate::kind::{Coded, Invalid, Kind};
use crate::work::outcome::RecordOutcome;
use crate::{HookName, TaskId};

/// Final status of a hook run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// The hook exited successfully; each record has its own outcome.
    Passed,
    /// The hook failed, or rejected the whole run.
    Failed,
    /// The run was interrupted: by its time or memory limit, or because the image could not run.
    Error,
}

impl RunStatus {
    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
        }
    }
}

impl FromStr for RunStatus {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Passed, Self::Failed, Self::Error]
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| Invalid::value("must be passed, failed or error"))
    }
}

/// Counts of a run's outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Number of records that passed.
    pub passed: u64,
    /// Number of rejected records.
    pub rejected: u64,
    /// Number of records that could not be judged.
    pub errored: u64,
}

impl RunCounts {
    /// Counts these outcomes.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a RecordOutcome>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            match outcome {
                RecordOutcome::Passed(_) => counts.passed += 1,
                RecordOutcome::Rejected(_) => counts.rejected += 1,
                RecordOutcome::Errored(_) => counts.errored += 1,
            }
        }
        counts
    }
}

/// One execution of one release. It contains no ids of depositions or batches (PRV-4).
#[derive(Clone, Debug, PartialEq)]
pub struct HookRun {
    /// Id of the run, derived from its unit of work.
    pub id: RunId,
    /// The executed release.
    pub release: ReleaseId,
    /// Number of the release's location that the image was read from, from 1 (REG-8).
    pub location: u32,
    /// Final status of the run.
    pub status: RunStatus,
    /// When the run started, by the database's clock.
    pub started_at: OffsetDateTime,
    /// When the run ended, by the database's clock.
    pub finished_at: OffsetDateTime,
    /// Run time of the hook over all tries, in seconds.
    pub duration_s: f64,
    /// Number of retries with more memory (PRV-5).
    pub oom_retries: u32,
    /// Counts of the records' outcomes; `None` for runs of old servers.
    pub counts: Option<RunCounts>,
    /// Worker that ran the hook.
    pub worker: String,
    /// Location of the log, if there is one.
    pub log_ref: Option<String>,
    /// Reason for the failure, in a sentence.
    pub failure: Option<String>,
}

/// Reason why a provenance query has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvenanceError {
    /// The run does not exist.
    #[error("there is no hook run {0}")]
    UnknownRun(RunId),
    /// The run has no log: logs are stored for failed runs and runs with errored records only.
    #[error("hook run {0} has no log; logs are stored for failed runs and runs with errored records only")]
    NoLog(RunId),
    /// The row does not exist.
    #[error("feature table {feature} has no row {row} for a record of {schema}")]
    UnknownRow {
        /// The feature table.
        feature: String,
        /// Schema of the request.
        schema: String,
        /// Id of the row.
        row: i64,
    },
}

impl Coded for ProvenanceError {
    fn kind(&self) -> Kind {
        Kind::NotFound
    }
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownRun(_) | Self::NoLog(_) => "NotFoundError",
            Self::UnknownRow { .. } => "row_not_found",
        }
    }
}

impl RunId {
    /// Returns the run of `hook` for a unit of work. It is the same for every attempt, so that a unit that is delivered
    /// twice records nothing twice (PRV-4).
    pub fn of_unit(task: TaskId, hook: &HookName) -> Self {
        Self::from_uuid(Uuid::new_v5(
            &task.as_uuid(),
            format!("hook-run:{hook}").as_bytes(),
        ))
    }
}
