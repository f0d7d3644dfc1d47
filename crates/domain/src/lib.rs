//! The domain model of Hallmark: hooks and their releases, conventions, schemas, records, ingest runs, hook runs, tasks
//! and delegations, and the rules between them.
//!
//! The crate performs no I/O, reads no clock and creates no random numbers: times and ids are arguments. Types that are
//! stored or sent as documents (field definitions, columns, limits, docs) carry their serde form, because that form is
//! part of the contract; all other types are converted at the edge.
//!
//! ```
//! use domain::{Digest, HookName, MemoryLimit};
//!
//! let name: HookName = "body_shape".parse()?;
//! let memory: MemoryLimit = "512m".parse()?;
//! assert_eq!(memory.bytes(), 512 * 1024 * 1024);
//! assert!("Body Shape".parse::<HookName>().is_err());
//! assert!("sha256:abc".parse::<Digest>().is_err());
//! # Ok::<(), domain::Invalid>(())
//! ```

pub mod data;
pub mod deposit;
pub mod identity;
pub mod ids;
pub mod ingest;
pub mod json;
pub mod kind;
pub mod ledger;
pub mod names;
pub mod registry;
pub mod work;

pub use data::activity::{Actor, EntryId, Event};
pub use data::cell::{Cell, ColumnType};
pub use data::filter::{Filter, FilterColumn, FilterOp, FilterValue};
pub use data::record::{RecordSource, RecordSrn};
pub use data::sort::SortKey;
pub use data::withdrawal::{Withdrawal, WithdrawalSubject};
pub use deposit::deposition::{DepositionId, DepositionStatus, SubmissionStatus};
pub use deposit::file::{FileName, FileRequirements};
pub use ids::{IngestRunId, RecordId, ReleaseId, RunId, ServiceAccountId, TaskId, UserId};
pub use ingest::run::{IngestMode, IngestStatus};
pub use ingest::schedule::Schedule;
pub use ingest::source_id::SourceId;
pub use kind::{Fault, Invalid, Kind, Loc};
pub use ledger::delegation::{DelegationId, DelegationStatus, Party};
pub use ledger::task::{TaskAccess, TaskKind, TaskStatus};
pub use names::{ColumnName, ConventionSlug, HookName, NodeDomain, SchemaId};
pub use registry::convention::{Convention, ConventionDocs, ConventionExample, Curation, IngesterDefinition};
pub use registry::digest::Digest;
pub use registry::hook::{
    Cardinality, ColumnDef, FeatureContract, Hook, HookRelease, ImageLocation, JsonType, LiveMove, Locations,
    NewRelease, Reason, ReleaseContent, Yank,
};
pub use registry::limits::{CpuLimit, Limits, MemoryLimit};
pub use registry::schema::{FieldCardinality, FieldConstraints, FieldDefinition, FieldType, Schema};
pub use registry::version::{ReleaseVersion, SchemaRef, SchemaVersion};
pub use work::failure::{FailureAction, FailureKind};
pub use work::outcome::RecordOutcome;
pub use work::rows::Rows;
pub use work::run::{HookRun, RunCounts, RunStatus};
