//! Depositions, from draft to record.

use crate::port_set::Ports;

pub mod create_deposition;
pub mod curate_deposition;
pub mod edit_deposition;
pub mod fill_from_spreadsheet;
pub mod read_depositions;
pub(crate) mod submissions;
pub mod submit_deposition;
pub mod upload_file;

pub use create_deposition::CreateDeposition;
pub use curate_deposition::CurateDeposition;
pub use edit_deposition::EditDeposition;
pub use fill_from_spreadsheet::FillFromSpreadsheet;
pub use read_depositions::ReadDepositions;
pub use submit_deposition::SubmitDeposition;
pub use upload_file::UploadFile;

/// The use cases of depositions.
#[expect(missing_docs, reason = "each field is named after its use case")]
pub struct Deposit {
    pub create_deposition: CreateDeposition,
    pub edit_deposition: EditDeposition,
    pub upload_file: UploadFile,
    pub fill_from_spreadsheet: FillFromSpreadsheet,
    pub submit_deposition: SubmitDeposition,
    pub curate_deposition: CurateDeposition,
    pub read_depositions: ReadDepositions,
}

impl Deposit {
    /// Creates the use cases over these adapters.
    pub fn new(ports: &Ports) -> Self {
        Self {
            create_deposition: CreateDeposition::new(
                ports.store.clone(),
                ports.ids.clone(),
                ports.limits.drafts,
            ),
            edit_deposition: EditDeposition::new(
                ports.store.clone(),
                ports.blobs.clone(),
                ports.node.clone(),
            ),
            upload_file: UploadFile::new(
                ports.store.clone(),
                ports.blobs.clone(),
                ports.ids.clone(),
                ports.node.clone(),
            ),
            fill_from_spreadsheet: FillFromSpreadsheet::new(ports.store.clone()),
            submit_deposition: SubmitDeposition::new(
                ports.store.clone(),
                ports.queue.clone(),
                ports.node.clone(),
            ),
            curate_deposition: CurateDeposition::new(
                ports.store.clone(),
                ports.blobs.clone(),
                ports.runner.clone(),
                ports.node.clone(),
            ),
            read_depositions: ReadDepositions::new(
                ports.depositions.clone(),
                ports.registry.clone(),
                ports.blobs.clone(),
                ports.node.clone(),
            ),
        }
    }
}
