//! Hook runs: the append-only record of one execution of one release (PRV-4).

use std::str::FromStr;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::ids::{ReleaseId, RunId};
use crate::kind::{Coded, Invalid, Kind};
use crate::work::outcome::RecordOutcome;
use crate::{HookName, TaskId};

/// How a hook run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// The hook ended by itself with success; each record has its own outcome.
    Passed,
    /// The hook failed, or rejected the whole run.
    Failed,
    /// It could not be run to its end: time, memory, or the image itself.
    Error,
}

impl RunStatus {
    /// The name on the wire.
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

/// What a run said of its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Passed.
    pub passed: u64,
    /// Rejected.
    pub rejected: u64,
    /// Not judged.
    pub errored: u64,
}

impl RunCounts {
    /// The counts of these outcomes.
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

/// One execution of one release. It holds no ids of depositions or batches (PRV-4).
#[derive(Clone, Debug, PartialEq)]
pub struct HookRun {
    /// Its id, deterministic for its unit of work.
    pub id: RunId,
    /// The release that was executed.
    pub release: ReleaseId,
    /// How it ended.
    pub status: RunStatus,
    /// When it started, by the database's clock.
    pub started_at: OffsetDateTime,
    /// When it ended, by the database's clock.
    pub finished_at: OffsetDateTime,
    /// How long the hook itself ran, in seconds, over all tries.
    pub duration_s: f64,
    /// How often it was run again with more memory (PRV-5).
    pub oom_retries: u32,
    /// How many records it passed, rejected and could not judge; unknown for runs of servers of before.
    pub counts: Option<RunCounts>,
    /// Which worker ran it.
    pub worker: String,
    /// Where its log is kept, if there is one.
    pub log_ref: Option<String>,
    /// Why it failed, in a sentence.
    pub failure: Option<String>,
}

/// Why a question about provenance has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvenanceError {
    /// There is no such run.
    #[error("there is no hook run {0}")]
    UnknownRun(RunId),
    /// The run has no log: only of runs that failed one is kept.
    #[error("hook run {0} has no log; only of runs that failed one is kept")]
    NoLog(RunId),
    /// There is no such row.
    #[error("feature table {feature} has no row {row} for a record of {schema}")]
    UnknownRow {
        /// The feature table.
        feature: String,
        /// The schema asked about.
        schema: String,
        /// The row's id.
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
    /// The run of `hook` for a unit of work. It is the same however often the unit is attempted, so that
    /// a unit that is delivered twice records nothing twice (PRV-4).
    pub fn of_unit(task: TaskId, hook: &HookName) -> Self {
        Self::from_uuid(Uuid::new_v5(
            &task.as_uuid(),
            format!("hook-run:{hook}").as_bytes(),
        ))
    }
}
