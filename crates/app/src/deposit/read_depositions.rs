//! Reading depositions, their files, and the results of their hooks.

use std::sync::Arc;

use auth::{Permit, act};
use domain::deposit::deposition::{DepositionError, DepositionUse};
use domain::{NodeDomain, Schema, TaskId};
use ports::deposit::{DepositionFile, DepositionView, ValidationView};
use ports::{Blobs, ByteStream, DepositionQueries, RegistryQueries, StoreError};

use crate::access::deposition::{DepositionAsker, id_of};
use crate::failure::Failure;

/// The maximum number of listed depositions: the newest.
pub const MAX_LISTED: u32 = 1000;

/// Reads depositions.
pub struct ReadDepositions {
    depositions: Arc<dyn DepositionQueries>,
    registry: Arc<dyn RegistryQueries>,
    blobs: Arc<dyn Blobs>,
    node: NodeDomain,
}

impl ReadDepositions {
    /// Creates the use case over these ports.
    pub fn new(
        depositions: Arc<dyn DepositionQueries>,
        registry: Arc<dyn RegistryQueries>,
        blobs: Arc<dyn Blobs>,
        node: NodeDomain,
    ) -> Self {
        Self {
            depositions,
            registry,
            blobs,
            node,
        }
    }

    /// Returns the newest depositions and their total number: the caller's own, or all of them for curators.
    #[tracing::instrument(name = "app.read_depositions.list", skip_all)]
    pub async fn list(
        &self,
        permit: Permit<act::UseDepositions>,
    ) -> Result<(Vec<DepositionView>, u64), Failure> {
        let asker = DepositionAsker::of(&permit);
        let owner = if asker.is_curator {
            None
        } else {
            Some(asker.user()?)
        };
        Ok(self.depositions.depositions(owner, MAX_LISTED).await?)
    }

    /// Returns one deposition with its files.
    #[tracing::instrument(name = "app.read_depositions.get", skip_all)]
    pub async fn get(
        &self,
        permit: &Permit<act::UseDepositions>,
        srn: &str,
    ) -> Result<(DepositionView, Vec<DepositionFile>), Failure> {
        let id = id_of(srn, &self.node)?;
        let found = self.depositions.deposition(&id).await?;
        let found = found.ok_or_else(|| DepositionError::Unknown(id.to_string()))?;
        DepositionAsker::of(permit).need(DepositionUse::Read, &id, found.owner)?;
        Ok((found, self.depositions.deposition_files(&id).await?))
    }

    /// Returns the content of a file, with its size in bytes.
    #[tracing::instrument(name = "app.read_depositions.file", skip_all)]
    pub async fn file(
        &self,
        permit: &Permit<act::UseDepositions>,
        srn: &str,
        name: &str,
    ) -> Result<(DepositionFile, ByteStream), Failure> {
        let (_, files) = self.get(permit, srn).await?;
        let unknown = || DepositionError::UnknownFile(name.chars().take(300).collect());
        let file = files
            .into_iter()
            .find(|file| file.name.as_str() == name)
            .ok_or_else(unknown)?;
        let content = self.blobs.get_stream(&file.key).await?;
        let lost = || StoreError::corrupt("deposition_files", "a listed file is missing in the blob store");
        let (_, content) = content.ok_or_else(lost)?;
        Ok((file, content))
    }

    /// Returns the title and the schema of a deposition's convention, for its template.
    #[tracing::instrument(name = "app.read_depositions.schema", skip_all)]
    pub async fn schema(
        &self,
        permit: &Permit<act::UseDepositions>,
        srn: &str,
    ) -> Result<(String, Schema), Failure> {
        let (found, _) = self.get(permit, srn).await?;
        let convention = self.registry.convention(&found.convention).await?;
        let convention = convention.ok_or(DepositionError::UnknownConvention(found.convention))?;
        let schema = self.registry.schema(&convention.schema).await?;
        let schema =
            schema.ok_or_else(|| StoreError::corrupt("conventions", "a convention without its schema"))?;
        Ok((convention.title, schema.0))
    }

    /// Returns a validation run to the deposition's owner and to curators. For others it does not exist (WC-D6).
    #[tracing::instrument(name = "app.read_depositions.validation", skip_all, fields(task = %id))]
    pub async fn validation(
        &self,
        permit: Permit<act::ReadValidations>,
        id: TaskId,
    ) -> Result<ValidationView, Failure> {
        let found = self.depositions.validation(id).await?;
        let unknown = || DepositionError::UnknownValidation(id);
        let found = found.ok_or_else(unknown)?;
        let asker = DepositionAsker::of(&permit);
        asker
            .need(DepositionUse::Read, &found.deposition, found.owner)
            .map_err(|_| unknown())?;
        Ok(found)
    }
}
