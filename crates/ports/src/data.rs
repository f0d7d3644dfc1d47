//! Reads of the archive's content, the activity log, and withdrawals of records.

mod activity;
mod activity_queries;
mod lineage;
mod provenance;
mod queries;
mod recall;
mod stats;
mod withdrawals;

pub use activity::Activity;
pub use activity_queries::{ActivityEntry, ActivityFilter, ActivityPage, ActivityQueries};
pub use lineage::{LineageQueries, MAX_ROWS, RowSetsOf};
pub use provenance::{
    Identity, ProvenanceQueries, RowTrace, TraceDelegation, TraceDeposition, TraceSource, TraceTask,
};
pub use queries::{
    DataQueries, PageKey, RecordView, RowStream, Settled, Table, TableColumn, TableCounts, TableKind,
    TableQuery,
};
pub use recall::{Recall, RecallCounts, RecallQueries};
pub use stats::{FAMILIES, Family, Part, Sample, Stats, StatsQueries, family};
pub use withdrawals::{LockedRecord, WithdrawalProgress, Withdrawals};
