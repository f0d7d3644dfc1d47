//! What the use cases need of the outside, as traits.
//!
//! Writes go through a [`UnitOfWork`]: one transaction that *is* every repository. Reads go through the query ports on a pool.
//! A port never says how; `contract` (feature `testing`) says what, and every adapter must pass it.

pub mod blobs;
#[cfg(feature = "testing")]
pub mod contract;
pub mod depositions;
pub mod error;
pub mod identity;
pub mod ingest_detail;
pub mod ledger;
pub mod ledger_queries;
pub mod lineage;
pub mod pulls;
pub mod queries;
pub mod repos;
pub mod runner;
pub mod stats;
pub mod tables;
pub mod unit_of_work;
pub mod worker;

pub use blobs::{Blobs, ByteStream, KeptBlob, PutError};
pub use depositions::{DepositionQueries, Depositions};
pub use error::StoreError;
pub use identity::{
    Identities, IdentityProvider, IdentityProviderError, IdentityQueries, KeyDocument, KeySource, Randomness,
    Sessions,
};
pub use ingest_detail::IngestDetailQueries;
pub use ledger::{Delegations, Tasks};
pub use ledger_queries::{Ledger, Listening, TaskQueries, Wakes, inbox_topic, work_topic};
pub use lineage::{LineageQueries, RowSetsOf};
pub use pulls::{PullEnd, Pulls};
pub use queries::{
    ActivityQueries, DataQueries, IngestQueries, ProvenanceQueries, RecallQueries, RegistryQueries,
};
pub use repos::{Activity, Conventions, Features, Hooks, Ingests, Records, Repos, Runs, Schemas};
pub use runner::{
    Attempt, HookJob, HookRecord, PullAttempt, PullJob, PulledFile, PulledFiles, RecordFile, RunStamp,
    Runner, RunnerError, StagedFiles,
};
pub use stats::StatsQueries;
pub use unit_of_work::{Committed, Store, Tx, UnitOfWork};
pub use worker::{Claim, WorkQueue, WorkerIdentity};

use time::OffsetDateTime;
use uuid::Uuid;

/// New ids. A port, because a use case that makes them itself cannot be repeated by a test.
pub trait Ids: Send + Sync {
    /// A new `UUIDv7` (RFC 9562 5.7).
    fn new_id(&self) -> Uuid;
}

/// The local clock: for tokens and logs. Order, leases and stored times use the database's clock.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> OffsetDateTime;
}
