//! The ports: what the use cases need from outside, as traits.
//!
//! Writes go through a [`UnitOfWork`]: one transaction that *is* every repository. Reads go through the query ports on
//! a pool. A port never says how; `contract` (feature `testing`) says what, and every adapter must pass it.

pub mod blobs;
#[cfg(feature = "testing")]
pub mod contract;
pub mod data;
pub mod deposit;
pub mod error;
pub mod identity;
pub mod ingest;
pub mod ledger;
pub mod registry;
pub mod unit_of_work;
pub mod work;

pub use blobs::{Blobs, ByteStream, PutError, StoredBlob};
pub use data::{
    Activity, ActivityQueries, DataQueries, LineageQueries, ProvenanceQueries, RecallQueries, RowSetsOf,
    StatsQueries, Withdrawals,
};
pub use deposit::{DepositionQueries, Depositions};
pub use error::{Disk, StoreError};
pub use identity::{
    Identities, IdentityProvider, IdentityProviderError, IdentityQueries, KeyDocument, KeySource, Randomness,
    Sessions,
};
pub use ingest::{IngestDetailQueries, IngestQueries, Ingests, PullEnd, Pulls};
pub use ledger::{
    Callees, Delegations, Ledger, LedgerQueries, Notifier, Subscription, TaskQueries, Tasks, cancelled_topic,
    inbox_topic, work_topic,
};
pub use registry::{Conventions, Hooks, RegistryQueries, Schemas};
pub use unit_of_work::{Committed, Repos, Store, Tx, UnitOfWork};
pub use work::{
    Attempt, Claim, Features, HookJob, HookRecord, PullAttempt, PullJob, PulledFile, PulledFiles, RecordFile,
    Records, RunStamp, Runner, RunnerError, Runs, StagedFiles, WorkQueue, WorkerIdentity,
};

use time::OffsetDateTime;
use uuid::Uuid;

/// A source of new ids. It is a port, because a use case that makes ids itself cannot be repeated by a test.
pub trait Ids: Send + Sync {
    /// Returns a new `UUIDv7` (RFC 9562 5.7).
    fn new_id(&self) -> Uuid;
}

/// The local clock: for tokens and logs. Order, leases and stored times use the database's clock.
pub trait Clock: Send + Sync {
    /// Returns the current time, in UTC.
    fn now(&self) -> OffsetDateTime;
}
