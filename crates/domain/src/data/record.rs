//! Records: published, immutable, versioned units of data (WC-4.7).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use uuid::Uuid;

use crate::data::filter::QueryError;
use crate::data::withdrawal::Withdrawal;
use crate::ids::{IngestRunId, RecordId};
use crate::ingest::source_id::SourceId;
use crate::kind::{Coded, Invalid, Kind};
use crate::names::{ConventionSlug, NodeDomain};

/// A record at one version: `urn:osa:<domain>:rec:<id>@<version>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordSrn {
    /// The node that published the record.
    pub node: NodeDomain,
    /// Id of the record.
    pub id: RecordId,
    /// Version number, from 1.
    pub version: NonZeroU32,
}

impl fmt::Display for RecordSrn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "urn:osa:{}:rec:{}@{}", self.node, self.id, self.version)
    }
}

impl FromStr for RecordSrn {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = || Invalid::value("must be urn:osa:<domain>:rec:<uuid>@<version>");
        let lower = text.trim().to_ascii_lowercase();
        let parts: Vec<&str> = lower.split(':').collect();
        let ["urn", "osa", node, "rec", reference] = parts.as_slice() else {
            return Err(rule());
        };
        let RecordRef {
            id,
            version: Some(version),
        } = reference.parse().map_err(|_| rule())?
        else {
            return Err(rule());
        };
        Ok(Self {
            node: node.parse().map_err(|_| rule())?,
            id,
            version,
        })
    }
}

/// A reference to a record on this node: `<id>` for the newest version, or `<id>@<n>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef {
    /// Id of the record.
    pub id: RecordId,
    /// The version, if the reference names one.
    pub version: Option<NonZeroU32>,
}

impl FromStr for RecordRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = || Invalid::value("must be a record id (a UUID), optionally with a version: <id>@<n>");
        let (id, version) = text.split_once('@').map_or((text, None), |(id, v)| (id, Some(v)));
        let id = Uuid::parse_str(id).map(RecordId::from_uuid).map_err(|_| rule())?;
        let number = |v: &str| {
            v.parse::<NonZeroU32>()
                .ok()
                .filter(|n| i32::try_from(n.get()).is_ok())
        };
        match version {
            None => Ok(Self { id, version: None }),
            Some(v) => number(v).map(|n| Self { id, version: Some(n) }).ok_or_else(rule),
        }
    }
}

/// Source of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordSource {
    /// A line of an ingest run.
    Ingest {
        /// Convention of the run.
        convention: ConventionSlug,
        /// The ingest run.
        run: IngestRunId,
        /// Id of the record in its source.
        source_id: SourceId,
    },
}

/// Reason why a record or table cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The name is a path of the server itself.
    #[error("{0:?} is a reserved name and not a schema")]
    Reserved(String),
    /// The schema, or this version of it, does not exist.
    #[error("there is no schema {0}")]
    UnknownSchema(String),
    /// The schema has no such feature table.
    #[error("schema {schema} has no feature table {feature}")]
    UnknownFeature {
        /// Schema of the request.
        schema: String,
        /// Feature table of the request.
        feature: String,
    },
    /// The record, or this version of it, does not exist.
    #[error("there is no record {0}")]
    UnknownRecord(String),
    /// The record is withdrawn.
    #[error("record {record} was withdrawn on {}: {}", withdrawal.at.date(), withdrawal.reason)]
    Withdrawn {
        /// The record, as the request names it.
        record: String,
        /// The withdrawal.
        withdrawal: Withdrawal,
    },
    /// The record is withdrawn together with the others of its run, so it cannot be restored alone.
    #[error("record {record} is withdrawn with ingest run {run}; restore the run")]
    WithdrawnWithRun {
        /// The record.
        record: RecordId,
        /// The run.
        run: IngestRunId,
    },
    /// The cursor belongs to another table or order, or is malformed.
    #[error(transparent)]
    Cursor(Invalid),
    /// The filter or the sort order breaks a rule.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The time is in the future.
    #[error("as_of: is in the future of the archive's clock")]
    AsOfAhead,
    /// The state at that time may still change.
    #[error(
        "as_of: transactions that belong to a time before it are still in progress; \
         retry in a moment, or use an earlier time"
    )]
    AsOfUnsettled,
}

impl DataError {
    /// Creates the refusal of a cursor.
    pub fn cursor(rule: &'static str) -> Self {
        Self::Cursor(Invalid::value(rule).of_field("cursor"))
    }
}

impl Coded for DataError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) | Self::Cursor(_) | Self::Query(_) | Self::AsOfAhead => Kind::Invalid,
            Self::AsOfUnsettled | Self::WithdrawnWithRun { .. } => Kind::Conflict,
            Self::Withdrawn { .. } => Kind::Gone,
            _ => Kind::NotFound,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(e) => e.code(),
            Self::Reserved(_) => "reserved_name",
            Self::UnknownSchema(_) => "schema_not_found",
            Self::UnknownFeature { .. } => "table_not_found",
            Self::UnknownRecord(_) => "record_not_found",
            Self::Withdrawn { .. } => "record_withdrawn",
            Self::WithdrawnWithRun { .. } => "ingest_run_withdrawn",
            Self::Cursor(_) => "invalid_cursor",
            Self::Query(e) => e.code(),
            Self::AsOfAhead => "as_of_ahead",
            Self::AsOfUnsettled => "as_of_unsettled",
        }
    }
    fn faults(&self) -> &[crate::kind::Fault] {
        match self {
            Self::Invalid(e) | Self::Cursor(e) => e.faults(),
            Self::Query(e) => e.faults(),
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_cursor_names_its_parameter() {
        let refused = DataError::cursor("was not issued by this server");
        assert_eq!(refused.code(), "invalid_cursor");
        assert_eq!(refused.faults().first().unwrap().field(), "cursor");
        assert_eq!(refused.to_string(), "cursor: was not issued by this server");
    }

    #[test]
    fn record_references_may_name_a_version() {
        let id = "018f4e2a-6b1c-7c3e-9d52-0a1b2c3d4e5f";
        assert_eq!(id.parse::<RecordRef>().unwrap().version, None);
        assert_eq!(
            format!("{id}@2").parse::<RecordRef>().unwrap().version,
            NonZeroU32::new(2)
        );
        for bad in [
            "",
            "x",
            "018f",
            &format!("{id}@0"),
            &format!("{id}@"),
            &format!("{id}@1.0"),
            &format!("{id}@99999999999"),
        ] {
            assert!(bad.parse::<RecordRef>().is_err(), "{bad:?}");
        }
    }
}
