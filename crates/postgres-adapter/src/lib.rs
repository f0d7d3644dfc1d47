//! Every port on PostgreSQL. All SQL of the project is here.
//!
//! Static statements are checked at compile time against the migrated schema (`.sqlx/`); statements over feature and metadata tables,
//! which are made at deploy, are built in `dynamic` from validated identifiers only.

mod activity;
mod activity_queries;
mod archiving;
mod conventions;
mod copy;
mod data;
mod delegations;
mod deposition_queries;
mod depositions;
mod dynamic;
mod error;
mod features;
mod file_store;
mod hooks;
mod identities;
mod identity_queries;
mod ingest_detail;
mod ingest_queries;
mod ingests;
mod ledger;
mod ledger_reads;
mod lineage;
mod migrate;
mod pool;
mod provenance;
mod pulls;
mod queue;
mod recall;
mod records;
mod registry;
mod release_reads;
mod rows;
mod runs;
mod schemas;
mod sessions;
mod stats;
mod sweeping;
mod task_queries;
mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
mod together;
mod tx;
mod wakes;

pub use ledger::PgLedger;
pub use migrate::{MigrateError, migrate};
pub use pool::{PoolOptions, connect};
pub use queue::PgQueue;
pub use tx::PgStore;
pub use wakes::PgWakes;
