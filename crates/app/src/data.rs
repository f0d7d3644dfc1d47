//! Reading tables, provenance, lineage, statistics and the activity log, and withdrawing records.

use std::sync::Arc;

use crate::Metrics;
use crate::port_set::Ports;

pub mod read_activity;
pub mod read_data;
pub mod read_hook_run;
pub mod read_lineage;
pub mod read_overview;
pub mod read_provenance;
pub mod read_run_logs;
pub mod read_stats;
pub mod recall;
pub(crate) mod table_counts;
pub(crate) mod table_scope;
pub mod withdraw_record;

pub use read_activity::ReadActivity;
pub use read_data::ReadData;
pub use read_hook_run::ReadHookRun;
pub use read_lineage::{LineagePorts, ReadLineage};
pub use read_overview::{Described, Overview, ReadOverview};
pub use read_provenance::ReadProvenance;
pub use read_run_logs::ReadRunLogs;
pub use read_stats::ReadStats;
pub use recall::{Recall, RecallFilter, RecallOf, RecallSummary};
pub use table_counts::Counted;
pub use withdraw_record::WithdrawRecord;

/// The use cases of reading tables, provenance, statistics and the activity log, and of withdrawing records.
#[expect(missing_docs, reason = "each field is named after its use case")]
pub struct Data {
    pub read_data: Arc<ReadData>,
    pub recall: Recall,
    pub read_provenance: Arc<ReadProvenance>,
    pub read_lineage: ReadLineage,
    pub read_overview: ReadOverview,
    pub read_stats: ReadStats,
    pub read_activity: ReadActivity,
    pub read_hook_run: ReadHookRun,
    pub read_run_logs: Arc<ReadRunLogs>,
    pub withdraw_record: WithdrawRecord,
}

impl Data {
    /// Creates the use cases over these adapters. `base_url` is the node's address, which exports use as the base of
    /// their names.
    pub fn new(ports: &Ports, base_url: String, metrics: Arc<Metrics>) -> Self {
        let read_data = Arc::new(ReadData::new(
            ports.data.clone(),
            ports.registry.clone(),
            ports.clock.clone(),
            ports.node.clone(),
        ));
        let read_provenance = Arc::new(ReadProvenance::new(
            ports.provenance.clone(),
            Arc::clone(&read_data),
        ));
        let read_run_logs = Arc::new(ReadRunLogs::new(
            ports.provenance.clone(),
            ports.ingest_detail.clone(),
            ports.tasks.clone(),
            ports.blobs.clone(),
        ));
        let lineage = LineagePorts {
            lineage: ports.lineage.clone(),
            registry: ports.registry.clone(),
            clock: ports.clock.clone(),
        };
        Self {
            recall: Recall::new(ports.recall.clone(), ports.registry.clone()),
            read_lineage: ReadLineage::new(
                lineage,
                Arc::clone(&read_data),
                Arc::clone(&read_provenance),
                ports.node.clone(),
                base_url,
            ),
            read_overview: ReadOverview::new(Arc::clone(&read_data), ports.registry.clone()),
            read_stats: ReadStats::new(ports.stats.clone(), ports.clock.clone(), metrics),
            read_activity: ReadActivity::new(
                ports.activity.clone(),
                ports.data.clone(),
                ports.stopping.clone(),
            ),
            read_hook_run: ReadHookRun::new(Arc::clone(&read_provenance), Arc::clone(&read_run_logs)),
            read_run_logs,
            read_data,
            read_provenance,
            withdraw_record: WithdrawRecord::new(ports.store.clone()),
        }
    }
}
