//! Statistics of the whole archive.

use async_trait::async_trait;

use crate::error::StoreError;

/// How much the archive holds (WC-1.8, `/stats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records, each counted once, with all of its versions.
    pub records: u64,
    /// Records whose newest version was published in this calendar month (UTC).
    pub records_this_month: u64,
    /// Bytes of files of depositions and ingested records.
    pub storage_bytes: u64,
    /// Current feature rows of all hooks.
    pub feature_rows: u64,
}

/// Which number of a metric family a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The only one.
    Whole,
    /// The sum of a summary.
    Sum,
    /// How many values a summary has.
    Count,
}

impl Part {
    /// Returns the suffix that Prometheus adds to the family's name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }
}

/// One sample of the archive's metrics: its family, its labels, its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The family.
    pub family: &'static str,
    /// Which number of the family.
    pub part: Part,
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// Returns the only sample of its family.
    pub const fn plain(family: &'static str, value: f64) -> Self {
        Self {
            family,
            part: Part::Whole,
            labels: Vec::new(),
            value,
        }
    }
}

/// A metric family (WC-1.8, `/metrics`), of Prometheus' type `counter`, `gauge` or `summary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// What it counts.
    pub help: &'static str,
}

/// Creates a family with this name, type and help text.
pub const fn family(name: &'static str, kind: &'static str, help: &'static str) -> Family {
    Family { name, kind, help }
}

/// Every family that the store can report. They cover the whole archive, so every server reports the same.
pub const FAMILIES: &[Family] = &[
    family("osa_hook_runs_total", "counter", "Hook runs that ended."),
    family(
        "osa_hook_run_duration_seconds",
        "summary",
        "How long hooks ran, in seconds.",
    ),
    family(
        "osa_hook_oom_retries_total",
        "counter",
        "Times that hooks were run again with more memory.",
    ),
    family("osa_ingest_batches_total", "counter", "Batches that ended."),
    family("osa_ingest_runs_total", "counter", "Ingest runs by their state."),
    family(
        "osa_records_published_total",
        "counter",
        "Published versions of records.",
    ),
    family(
        "osa_outbox_pending",
        "gauge",
        "Work of the server that is waiting for a worker.",
    ),
    family(
        "osa_outbox_lag_seconds",
        "gauge",
        "How long the oldest waiting work has waited, in seconds.",
    ),
    family(
        "osa_outbox_failed",
        "gauge",
        "Delegations of the server's own work that failed or got stuck.",
    ),
];

/// Statistics and samples of the whole archive.
#[async_trait]
pub trait StatsQueries: Send + Sync {
    /// Counts what the archive holds. It is expensive, so callers cache it.
    async fn stats(&self) -> Result<Stats, StoreError>;
    /// Returns samples of the families in [`FAMILIES`].
    async fn samples(&self) -> Result<Vec<Sample>, StoreError>;
    /// Returns how many connections of the pool are in use, and how many it has.
    fn pool(&self) -> (u32, u32);
}
