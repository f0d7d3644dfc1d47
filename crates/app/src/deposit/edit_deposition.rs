//! `PATCH /depositions/{srn}/metadata`, and deleting files: direct edits by a draft's owner.

use std::sync::Arc;

use auth::{Permit, act};
use domain::data::cell::has_nul;
use domain::deposit::deposition::{DepositionError, DepositionUse, MAX_METADATA_BYTES};
use domain::{DepositionId, FileName, Invalid, NodeDomain};
use ports::{Blobs, Committed, Store, UnitOfWork};
use serde_json::{Map, Value, json};

use crate::access::deposition::{DRAFT, DepositionAsker, id_of, lock};
use crate::deposit::create_deposition::event;
use crate::failure::Failure;
use crate::retry::retried;

/// Edits drafts.
pub struct EditDeposition {
    store: Arc<dyn Store>,
    blobs: Arc<dyn Blobs>,
    node: NodeDomain,
}

impl EditDeposition {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>, blobs: Arc<dyn Blobs>, node: NodeDomain) -> Self {
        Self { store, blobs, node }
    }

    /// Replaces the metadata as a whole. It is checked when the draft is submitted; until then fields may be missing.
    #[tracing::instrument(name = "app.edit_deposition.set_metadata", skip_all)]
    pub async fn set_metadata(
        &self,
        permit: Permit<act::UseDepositions>,
        srn: &str,
        metadata: Map<String, Value>,
    ) -> Result<Committed<()>, Failure> {
        let asker = DepositionAsker::of(&permit);
        let id = id_of(srn, &self.node)?;
        let value = Value::Object(metadata);
        if has_nul(&value) {
            return Err(Invalid::value("must not contain the character NUL")
                .of_field("metadata")
                .into());
        }
        if value.to_string().len() > MAX_METADATA_BYTES {
            let why = format!("must have at most {MAX_METADATA_BYTES} bytes");
            return Err(Invalid::value(why).of_field("metadata").into());
        }
        let Value::Object(metadata) = value else {
            return Err(Invalid::value("must be an object").into());
        };
        retried!(self.set_metadata_once(&asker, &id, &metadata))
    }

    async fn set_metadata_once(
        &self,
        asker: &DepositionAsker,
        id: &DepositionId,
        metadata: &Map<String, Value>,
    ) -> Result<Committed<()>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        lock(&mut *uow, id, asker, DepositionUse::Write, DRAFT).await?;
        uow.depositions().set_metadata(id, metadata).await?;
        let payload = json!({"deposition_id": id.as_str(), "metadata": metadata});
        uow.activity()
            .append(&event("MetadataUpdatedEvent", id, &asker.actor, payload))
            .await?;
        Ok(uow.commit(()).await?)
    }

    /// Deletes a file.
    #[tracing::instrument(name = "app.edit_deposition.delete_file", skip_all)]
    pub async fn delete_file(
        &self,
        permit: Permit<act::UseDepositions>,
        srn: &str,
        name: &str,
    ) -> Result<(), Failure> {
        let asker = DepositionAsker::of(&permit);
        let id = id_of(srn, &self.node)?;
        let unknown = || DepositionError::UnknownFile(name.chars().take(300).collect());
        // A text that is not a valid file name cannot name a file.
        let name: FileName = name.parse().map_err(|_| unknown())?;
        let key = retried!(self.delete_file_once(&asker, &id, &name))?.into_inner();
        let key = key.ok_or_else(unknown)?;
        // The entry is gone. If this fails, the remaining content is unreachable.
        if let Err(error) = self.blobs.delete(&key).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                key,
                "a deleted file's content could not be removed"
            );
        }
        Ok(())
    }

    async fn delete_file_once(
        &self,
        asker: &DepositionAsker,
        id: &DepositionId,
        name: &FileName,
    ) -> Result<Committed<Option<String>>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        lock(&mut *uow, id, asker, DepositionUse::Write, DRAFT).await?;
        let key = uow.depositions().remove_file(id, name).await?;
        if key.is_some() {
            let payload = json!({"deposition_id": id.as_str(), "filename": name.as_str()});
            uow.activity()
                .append(&event("FileDeletedEvent", id, &asker.actor, payload))
                .await?;
        }
        Ok(uow.commit(key).await?)
    }
}
