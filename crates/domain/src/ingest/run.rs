//! Ingest runs: their states, the ids that sources give their records, and how a pushed line becomes a record.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::data::cell::{Cell, has_nul};
use crate::ids::{HALLMARK, IngestRunId};
use crate::json::canonical_json;
use crate::kind::{Coded, Fault, Invalid, Kind};
use crate::names::{ConventionSlug, NodeDomain};
use crate::registry::schema::{MAX_FAULTS, MetadataChecker, shortened};
use crate::{RecordId, TaskId};

/// The batch size of a run that names none.
pub const DEFAULT_BATCH_SIZE: u32 = 1000;
/// The greatest batch size: a batch's records and outputs are held in memory once.
pub const MAX_BATCH_SIZE: u32 = 10_000;
/// The longest line of a push, in bytes.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// The id that a source gives its record. It is also a directory's name in the container contract (WC-D11), so it
/// holds no slash, no control character, and is neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(String);

impl SourceId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = !text.chars().any(|c| c.is_control() || matches!(c, '/' | '\\'));
        if text.is_empty() || text.len() > 200 || !plain || text.trim() != text || matches!(text, "." | "..")
        {
            return Err(Invalid::value(
                "must have 1 to 200 bytes, no slash, backslash or control character, no space at either end, and be neither \".\" nor \"..\"",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an ingest run's records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestMode {
    /// The client sends them.
    Push,
    /// An ingester image is pulled from.
    Pull,
}

impl IngestMode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

impl FromStr for IngestMode {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "push" => Ok(Self::Push),
            "pull" => Ok(Self::Pull),
            _ => Err(Invalid::value("must be push or pull")),
        }
    }
}

/// The state of an ingest run (WC-6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestStatus {
    /// Opened; nothing came yet.
    Pending,
    /// Records come or are worked on.
    Running,
    /// Everything that came has an outcome.
    Completed,
    /// Given up.
    Failed,
}

impl IngestStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether the run may still change; a convention has at most one such run (WC-D32).
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

impl FromStr for IngestStatus {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Pending, Self::Running, Self::Completed, Self::Failed]
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| Invalid::value("must be pending, running, completed or failed"))
    }
}

/// The SRN of an ingest run.
pub fn ingest_run_srn(node: &NodeDomain, run: IngestRunId) -> String {
    format!("urn:osa:{node}:ing:{run}")
}

/// One pushed record that passed every check of its line.
#[derive(Clone, Debug, PartialEq)]
pub struct PushedRecord {
    /// The source's id.
    pub source_id: SourceId,
    /// The metadata as given.
    pub metadata: Map<String, Value>,
    /// The same, typed, in the order of the schema's fields.
    pub cells: Vec<Cell>,
    /// A hash that is equal for equal metadata only (WC-D21).
    pub content_hash: [u8; 32],
}

/// A hash that is equal for equal metadata only (WC-D21). A field set to null is a field that is not there.
pub fn metadata_hash(metadata: &Map<String, Value>) -> [u8; 32] {
    let told = metadata.iter().filter(|(_, value)| !value.is_null());
    let told: Map<String, Value> = told.map(|(key, value)| (key.clone(), value.clone())).collect();
    Sha256::digest(canonical_json(&Value::Object(told)).as_bytes()).into()
}

impl PushedRecord {
    pub(crate) fn new(
        source_id: SourceId,
        metadata: Map<String, Value>,
        checker: &MetadataChecker,
    ) -> Result<Self, Invalid> {
        let cells = checker.check(&metadata).map_err(|e| e.of_field("metadata"))?;
        let content_hash = metadata_hash(&metadata);
        Ok(Self {
            source_id,
            metadata,
            cells,
            content_hash,
        })
    }

    /// The record of a line of JSON Lines: `{"source_id": ..., "metadata": {...}}`, where `id` stands for `source_id`
    /// as in the ingester's contract (5.2). A field set to `null` is a field that is not there.
    pub fn from_json_line(line: &[u8], checker: &MetadataChecker) -> Result<Self, Invalid> {
        // serde_json refuses what is nested more than 128 deep, so the stack is safe.
        let value: Value =
            serde_json::from_slice(line).map_err(|e| Invalid::value(format!("is not JSON: {e}")))?;
        let Value::Object(mut object) = value else {
            return Err(Invalid::value("must be a JSON object"));
        };
        let mut faults = Vec::new();
        let id = match object.remove("source_id").or_else(|| object.remove("id")) {
            Some(Value::String(text)) => text
                .parse::<SourceId>()
                .map_err(|e| faults.extend(e.of_field("source_id").faults))
                .ok(),
            Some(_) => {
                faults.push(Fault::value(["source_id".into()], "must be a string"));
                None
            }
            None => {
                faults.push(Fault::missing(["source_id".into()], "is required"));
                None
            }
        };
        let metadata = match object.remove("metadata") {
            Some(Value::Object(map)) => Some(map),
            Some(_) => {
                faults.push(Fault::value(["metadata".into()], "must be an object"));
                None
            }
            None => {
                faults.push(Fault::missing(["metadata".into()], "is required"));
                None
            }
        };
        // `files` and `fetched_at` belong to the ingester's form of this line; files cannot be pushed yet, and saying so beats losing them.
        if object
            .remove("files")
            .is_some_and(|files| files.as_array().is_none_or(|f| !f.is_empty()))
        {
            faults.push(Fault::value(
                ["files".into()],
                "cannot be pushed; only records without files can",
            ));
        }
        object.remove("fetched_at");
        for key in object.keys().take(MAX_FAULTS) {
            faults.push(Fault {
                loc: vec![shortened(key).into()],
                message: "is no key of a record line".to_owned(),
                rule: "extra_forbidden",
            });
        }
        match (id, metadata) {
            (Some(id), Some(metadata)) if faults.is_empty() => {
                if has_nul(&Value::Object(metadata.clone())) {
                    return Err(Invalid::value("must not contain the character NUL").of_field("metadata"));
                }
                Self::new(id, metadata, checker)
            }
            _ => Err(Invalid { faults }),
        }
    }
}

/// Why an ingest run was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// What was sent breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such convention.
    #[error("there is no convention {0}")]
    UnknownConvention(ConventionSlug),
    /// There is no such run.
    #[error("there is no ingest run {0}")]
    UnknownRun(IngestRunId),
    /// There is no such pull, or it is not stored yet.
    #[error("ingest run {run} has no pull {pull}")]
    UnknownPull {
        /// The run.
        run: IngestRunId,
        /// The number.
        pull: u64,
    },
    /// The pull has no log.
    #[error("pull {pull} of ingest run {run} has no log; only of pulls that were given up one is kept")]
    NoLog {
        /// The run.
        run: IngestRunId,
        /// The number.
        pull: u64,
    },
    /// The convention has no ingester to pull from.
    #[error("convention {0} has no ingester; deploy one, or push records with \"mode\": \"push\"")]
    NoIngester(ConventionSlug),
    /// Records are pushed into a run that pulls.
    #[error(
        "ingest run {0} pulls from its convention's ingester; records cannot be pushed into it, nor can it be closed"
    )]
    NotPushed(IngestRunId),
    /// The run has ended and cannot be cancelled.
    #[error("ingest run {run} is {}; only an active run can be cancelled", status.as_str())]
    Over {
        /// The run.
        run: IngestRunId,
        /// How it ended.
        status: IngestStatus,
    },
    /// The convention has an active run (WC-D32).
    #[error("convention {convention} has the active ingest run {run}; close it or wait for its end")]
    AlreadyRunning {
        /// The convention.
        convention: ConventionSlug,
        /// The active run.
        run: IngestRunId,
    },
    /// The run was closed and takes no more records.
    #[error("ingest run {0} is closed and takes no more records")]
    Closed(IngestRunId),
}

impl Coded for IngestError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::UnknownConvention(_)
            | Self::UnknownRun(_)
            | Self::UnknownPull { .. }
            | Self::NoLog { .. }
            | Self::NoIngester(_) => Kind::NotFound,
            Self::AlreadyRunning { .. } | Self::Closed(_) | Self::NotPushed(_) | Self::Over { .. } => {
                Kind::Conflict
            }
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(e) => e.code(),
            Self::UnknownConvention(_)
            | Self::UnknownRun(_)
            | Self::UnknownPull { .. }
            | Self::NoLog { .. } => "NotFoundError",
            Self::NoIngester(_) => "no_ingester_configured",
            Self::NotPushed(_) => "ingest_not_pushed",
            Self::Over { .. } => "ingest_over",
            Self::AlreadyRunning { .. } => "ingest_already_running",
            Self::Closed(_) => "ingest_closed",
        }
    }
    fn faults(&self) -> &[Fault] {
        if let Self::Invalid(e) = self {
            e.faults()
        } else {
            &[]
        }
    }
}

impl TaskId {
    /// The task that runs the hooks over one batch of an ingest run.
    pub fn of_batch(run: IngestRunId, batch: u32) -> Self {
        Self::from_uuid(Uuid::new_v5(&run.as_uuid(), format!("batch:{batch}").as_bytes()))
    }

    /// The task that asks the ingester of an ingest run for its next records.
    pub fn of_pull(run: IngestRunId, pull: u64) -> Self {
        Self::from_uuid(Uuid::new_v5(&run.as_uuid(), format!("pull:{pull}").as_bytes()))
    }
}

impl RecordId {
    /// The record that a source of a convention knows by `source`: the same in every ingest run, so that
    /// what changed becomes its next version.
    pub fn of_source(convention: &ConventionSlug, source: &SourceId) -> Self {
        Self::from_uuid(Uuid::new_v5(
            &HALLMARK,
            format!("record:{convention}:{}", source.as_str()).as_bytes(),
        ))
    }
}

#[cfg(test)]
mod tests;
