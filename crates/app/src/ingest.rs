//! Ingest runs: opening, pushing, pulling, ending, reading, withdrawing.

use crate::port_set::Ports;

pub(crate) mod batches;
pub mod cancel_ingestion;
pub mod close_ingestion;
pub(crate) mod ending;
pub mod follow_withdrawals;
pub mod open_ingestion;
pub(crate) mod pulled;
pub(crate) mod pulls;
pub mod push_decoder;
pub mod push_records;
pub mod push_report;
pub mod read_ingest_detail;
pub mod read_ingestions;
pub mod schedule_ingestions;
pub mod withdraw_ingestion;

pub use cancel_ingestion::CancelIngestion;
pub use close_ingestion::CloseIngestion;
pub use follow_withdrawals::FollowWithdrawals;
pub use open_ingestion::OpenIngestion;
pub use push_records::PushRecords;
pub use read_ingest_detail::ReadIngestDetail;
pub use read_ingestions::ReadIngestions;
pub use schedule_ingestions::ScheduleIngestions;
pub use withdraw_ingestion::WithdrawIngestion;

/// The use cases of ingest runs.
#[expect(missing_docs, reason = "each field is named after its use case")]
pub struct Ingest {
    pub open_ingestion: OpenIngestion,
    pub push_records: PushRecords,
    pub close_ingestion: CloseIngestion,
    pub cancel_ingestion: CancelIngestion,
    pub read_ingestions: ReadIngestions,
    pub read_ingest_detail: ReadIngestDetail,
    pub withdraw_ingestion: WithdrawIngestion,
}

impl Ingest {
    /// Creates the use cases over these adapters.
    pub fn new(ports: &Ports) -> Self {
        Self {
            open_ingestion: OpenIngestion::new(
                ports.store.clone(),
                ports.ids.clone(),
                ports.queue.clone(),
                ports.ingests.clone(),
                ports.limits.open_runs,
            ),
            push_records: PushRecords::new(ports.store.clone(), ports.queue.clone(), ports.memory.clone()),
            close_ingestion: CloseIngestion::new(
                ports.store.clone(),
                ports.queue.clone(),
                ports.ingests.clone(),
            ),
            cancel_ingestion: CancelIngestion::new(
                ports.store.clone(),
                ports.ingests.clone(),
                ports.queue.clone(),
            ),
            read_ingestions: ReadIngestions::new(ports.ingests.clone()),
            read_ingest_detail: ReadIngestDetail::new(
                ports.ingests.clone(),
                ports.ingest_detail.clone(),
                ports.blobs.clone(),
            ),
            withdraw_ingestion: WithdrawIngestion::new(ports.store.clone()),
        }
    }
}
