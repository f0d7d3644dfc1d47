//! Ingest runs: their states, the source ids of their records, and the conversion of a pushed line to a record.

use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::data::cell::{Cell, has_nul};
use crate::ids::{HALLMARK, IngestRunId};
use crate::ingest::source_id::SourceId;
use crate::json::{canonical_json, canonical_number, parse_exact};
use crate::kind::{Coded, Fault, Invalid, Kind};
use crate::names::{ConventionSlug, NodeDomain};
use crate::registry::schema::{FieldType, MAX_FAULTS, MetadataChecker, shortened};
use crate::{RecordId, TaskId};

/// Default batch size.
pub const DEFAULT_BATCH_SIZE: u32 = 1000;
/// Maximum batch size: a batch's records and outputs are held in memory once.
pub const MAX_BATCH_SIZE: u32 = 10_000;
/// Maximum length of a line of a push, in bytes.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Origin of an ingest run's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestMode {
    /// The client pushes the records.
    Push,
    /// The server pulls from an ingester image.
    Pull,
}

impl IngestMode {
    /// Returns the wire name.
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

/// State of an ingest run (WC-6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestStatus {
    /// Opened; no record has arrived.
    Pending,
    /// Records are arriving or being processed.
    Running,
    /// Every record that arrived has an outcome.
    Completed,
    /// Failed or cancelled.
    Failed,
}

impl IngestStatus {
    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Returns whether the run may still change; a convention has at most one such run (WC-D32).
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

/// Returns the SRN of an ingest run.
pub fn ingest_run_srn(node: &NodeDomain, run: IngestRunId) -> String {
    format!("urn:osa:{node}:ing:{run}")
}

/// One pushed record that passed every check of its line.
#[derive(Clone, Debug, PartialEq)]
pub struct PushedRecord {
    /// Id of the record in its source.
    pub source_id: SourceId,
    /// Metadata as received.
    pub metadata: Map<String, Value>,
    /// The metadata as typed cells, in the order of the schema's fields.
    pub cells: Vec<Cell>,
    /// A hash that is equal only for equal metadata (WC-D21).
    pub content_hash: [u8; 32],
}

/// Returns a hash that is equal only for equal metadata (WC-D21). A field set to null counts as absent. In a number
/// field the value counts and not its spelling: `3750`, `3750.0` and `3.75e3` are equal.
pub fn metadata_hash(metadata: &Map<String, Value>, checker: &MetadataChecker) -> [u8; 32] {
    let is_number = |key: &str| {
        let field = checker.fields().find(|field| field.name.as_str() == key);
        field.is_some_and(|field| field.field_type == FieldType::Number)
    };
    let by_value = |key: &str, value: &Value| match value {
        Value::Number(number) if is_number(key) => Value::Number(canonical_number(number)),
        other => other.clone(),
    };
    let given = metadata.iter().filter(|(_, value)| !value.is_null());
    let given: Map<String, Value> = given
        .map(|(key, value)| (key.clone(), by_value(key, value)))
        .collect();
    Sha256::digest(canonical_json(&Value::Object(given)).as_bytes()).into()
}

impl PushedRecord {
    pub(crate) fn new(
        source_id: SourceId,
        metadata: Map<String, Value>,
        checker: &MetadataChecker,
    ) -> Result<Self, Invalid> {
        let cells = checker.check(&metadata).map_err(|e| e.of_field("metadata"))?;
        let content_hash = metadata_hash(&metadata, checker);
        Ok(Self {
            source_id,
            metadata,
            cells,
            content_hash,
        })
    }

    /// Parses a line of JSON Lines: `{"source_id": ..., "metadata": {...}}`, in which `id` is an alias of `source_id`
    /// as in the ingester's contract (5.2). A field set to `null` counts as absent.
    pub fn from_json_line(line: &[u8], checker: &MetadataChecker) -> Result<Self, Invalid> {
        let Value::Object(mut object) = parse_exact(line)? else {
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
        // `files` and `fetched_at` belong to the ingester's form of this line. Files cannot be pushed yet, and an error
        // is better than losing them.
        if object
            .remove("files")
            .is_some_and(|files| files.as_array().is_none_or(|f| !f.is_empty()))
        {
            faults.push(Fault::value(
                ["files".into()],
                "cannot be pushed; only records without files are supported",
            ));
        }
        object.remove("fetched_at");
        for key in object.keys().take(MAX_FAULTS) {
            faults.push(Fault {
                loc: vec![shortened(key).into()],
                message: "is not a key of a record line".to_owned(),
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

    /// Returns the id that a refused line of JSON Lines names, if the line is JSON that names one.
    pub fn id_in_json_line(line: &[u8]) -> Option<String> {
        let named: NamedLine = serde_json::from_slice(line).ok()?;
        named.source_id.or(named.id)
    }
}

/// The keys of a line that name its record. A key that comes twice is an error, so no id is one of two.
#[derive(Deserialize)]
struct NamedLine {
    source_id: Option<String>,
    id: Option<String>,
}

/// Reason for refusing an operation on an ingest run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The convention does not exist.
    #[error("there is no convention {0}")]
    UnknownConvention(ConventionSlug),
    /// The ingest run does not exist.
    #[error("there is no ingest run {0}")]
    UnknownRun(IngestRunId),
    /// The pull does not exist or is not stored yet.
    #[error("ingest run {run} has no pull {pull}")]
    UnknownPull {
        /// The ingest run.
        run: IngestRunId,
        /// Number of the pull.
        pull: u64,
    },
    /// The pull has no log.
    #[error("pull {pull} of ingest run {run} has no log; logs are stored for failed pulls only")]
    NoLog {
        /// The ingest run.
        run: IngestRunId,
        /// Number of the pull.
        pull: u64,
    },
    /// The convention has no ingester to pull from.
    #[error("convention {0} has no ingester; deploy one, or push records with \"mode\": \"push\"")]
    NoIngester(ConventionSlug),
    /// A client cannot push records into a run in pull mode.
    #[error(
        "ingest run {0} pulls from its convention's ingester; \
         clients can neither push records into it nor close it"
    )]
    NotPushed(IngestRunId),
    /// The run has ended and cannot be cancelled.
    #[error("ingest run {run} is {}; only an active run can be cancelled", status.as_str())]
    Over {
        /// The ingest run.
        run: IngestRunId,
        /// Final status of the run.
        status: IngestStatus,
    },
    /// The run is active, so its records cannot be withdrawn or restored together.
    #[error(
        "ingest run {run} is {}; only the records of a run that has ended can be withdrawn or restored together",
        status.as_str()
    )]
    Active {
        /// The ingest run.
        run: IngestRunId,
        /// Status of the run.
        status: IngestStatus,
    },
    /// The convention has an active run (WC-D32).
    #[error("convention {convention} has the active ingest run {run}; close it or wait until it ends")]
    AlreadyRunning {
        /// The convention.
        convention: ConventionSlug,
        /// The active run.
        run: IngestRunId,
    },
    /// The run was closed and accepts no more records.
    #[error("ingest run {0} is closed and accepts no more records")]
    Closed(IngestRunId),
    /// The caller has as many active runs as it may.
    #[error(
        "you have {0} active ingest runs, as many as a caller may have; close some of them before you open another"
    )]
    TooManyRuns(u32),
    /// Another party opened the run.
    #[error(
        "ingest run {run} was opened by another party; to {what} it you need to be its opener, or the role admin"
    )]
    NotOpener {
        /// The ingest run.
        run: IngestRunId,
        /// The operation.
        what: &'static str,
    },
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
            Self::AlreadyRunning { .. }
            | Self::Closed(_)
            | Self::NotPushed(_)
            | Self::TooManyRuns(_)
            | Self::Over { .. }
            | Self::Active { .. } => Kind::Conflict,
            Self::NotOpener { .. } => Kind::Forbidden,
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
            Self::Active { .. } => "ingest_active",
            Self::AlreadyRunning { .. } => "ingest_already_running",
            Self::Closed(_) => "ingest_closed",
            Self::TooManyRuns(_) => "too_many_ingest_runs",
            Self::NotOpener { .. } => "access_denied",
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
    /// Returns the task that runs the hooks over one batch of an ingest run.
    pub fn of_batch(run: IngestRunId, batch: u32) -> Self {
        Self::from_uuid(Uuid::new_v5(&run.as_uuid(), format!("batch:{batch}").as_bytes()))
    }

    /// Returns the task that pulls the next records of an ingest run.
    pub fn of_pull(run: IngestRunId, pull: u64) -> Self {
        Self::from_uuid(Uuid::new_v5(&run.as_uuid(), format!("pull:{pull}").as_bytes()))
    }
}

impl RecordId {
    /// Returns the record that a source of a convention knows as `source`. It is the same in every ingest run, so that
    /// a changed record becomes its next version.
    pub fn of_source(convention: &ConventionSlug, source: &SourceId) -> Self {
        Self::from_uuid(Uuid::new_v5(
            &HALLMARK,
            format!("record:{convention}:{}", source.as_str()).as_bytes(),
        ))
    }
}

#[cfg(test)]
mod tests;
