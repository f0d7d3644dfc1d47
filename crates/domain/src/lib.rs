//! What Hallmark knows about its world: hooks and their releases, conventions, schemas, records,
//! ingest runs, hook runs, tasks and delegations, and the rules between them.
//!
//! Nothing here does I/O, reads a clock or makes a random number: times and ids are arguments.
//! Types that are stored or sent as documents (field definitions, columns, limits, docs) carry their
//! serde form, because that form is itself part of the contract; everything else is converted at the edge.
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

pub mod activity;
pub mod cell;
pub mod convention;
pub mod csv;
pub mod delegation;
pub mod deposition;
pub mod digest;
pub mod failure;
pub mod file;
pub mod filter;
pub mod hook;
pub mod identity;
pub mod ids;
pub mod ingest;
pub mod kind;
pub mod limits;
pub mod lineage;
pub mod names;
pub mod outcome;
pub mod page;
pub mod provenance;
pub mod record;
pub mod schedule;
pub mod schema;
pub mod sort;
pub mod spreadsheet;
pub mod task;
pub mod version;

pub use activity::{Actor, EntryId, Event};
pub use cell::{Cell, ColumnType};
pub use convention::{Convention, ConventionDocs, ConventionExample, FileRequirements, IngesterDefinition};
pub use delegation::{DelegationId, DelegationStatus, Party};
pub use deposition::{Curation, DepositionId, DepositionStatus, SubmissionStatus};
pub use digest::Digest;
pub use failure::{FailureAction, FailureKind};
pub use file::FileName;
pub use filter::{Filter, FilterColumn, FilterOp, FilterValue};
pub use hook::{
    Cardinality, ColumnDef, FeatureContract, Hook, HookRelease, JsonType, LiveMove, NewRelease, Reason,
    ReleaseContent, Yank,
};
pub use ids::{IngestRunId, RecordId, ReleaseId, RunId, ServiceAccountId, TaskId, UserId};
pub use ingest::{IngestMode, IngestStatus, SourceId};
pub use kind::{Fault, Invalid, Kind, Loc};
pub use limits::{CpuLimit, Limits, MemoryLimit};
pub use names::{ColumnName, ConventionSlug, HookName, NodeDomain, SchemaId};
pub use outcome::RecordOutcome;
pub use provenance::{HookRun, RunCounts, RunStatus};
pub use record::{RecordSource, RecordSrn};
pub use schedule::Schedule;
pub use schema::{FieldCardinality, FieldConstraints, FieldDefinition, FieldType, Schema};
pub use sort::SortKey;
pub use task::{TaskAccess, TaskKind, TaskStatus};
pub use version::{ReleaseVersion, SchemaRef, SchemaVersion};
