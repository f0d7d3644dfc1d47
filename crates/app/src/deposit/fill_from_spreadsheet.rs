//! `POST /depositions/{srn}/spreadsheet`: metadata from the one data row of a filled-in template.

use std::sync::Arc;

use domain::deposit::deposition::{DepositionError, DepositionUse};
use domain::deposit::spreadsheet::cell::Sheet;
use domain::deposit::spreadsheet::{SheetMetadata, read};
use ports::{Committed, Store, StoreError, UnitOfWork};
use serde_json::json;

use crate::access::deposition::{DRAFT, lock};
use crate::deposit::create_deposition::event;
use crate::deposit::submissions::schema_of;
use crate::deposit::upload_file::UploadTicket;
use crate::failure::Failure;
use crate::retry::retried;

/// Fills drafts.
pub struct FillFromSpreadsheet {
    store: Arc<dyn Store>,
}

impl FillFromSpreadsheet {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Replaces the metadata with the values of the sheet's columns if they are valid. Reports what was read in
    /// either case.
    pub async fn run(&self, ticket: &UploadTicket, sheet: &Sheet) -> Result<SheetMetadata, Failure> {
        Ok(retried!(self.attempt(ticket, sheet))?.into_inner())
    }

    async fn attempt(
        &self,
        ticket: &UploadTicket,
        sheet: &Sheet,
    ) -> Result<Committed<SheetMetadata>, Failure> {
        let (id, asker) = (&ticket.id, &ticket.asker);
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock(&mut *uow, id, asker, DepositionUse::Write, DRAFT).await?;
        let convention = uow.conventions().find(&locked.convention).await?;
        let convention = convention.ok_or(DepositionError::UnknownConvention(locked.convention))?;
        let schema = schema_of(&mut *uow, &convention.schema).await?;
        let schema =
            schema.ok_or_else(|| StoreError::corrupt("conventions", "a convention without its schema"))?;
        let filled = read(&schema.fields, sheet);
        if filled.errors.is_empty() {
            uow.depositions().set_metadata(id, &filled.metadata).await?;
            let payload = json!({"deposition_id": id.as_str(), "metadata": filled.metadata});
            uow.activity()
                .append(&event("MetadataUpdatedEvent", id, &asker.actor, payload))
                .await?;
        }
        Ok(uow.commit(filled).await?)
    }
}
