//! Reading depositions, their files, and what their hooks said.

use std::sync::Arc;

use auth::{Permit, act};
use domain::deposit::deposition::{DepositionError, DepositionUse};
use domain::{NodeDomain, Schema, TaskId};
use ports::deposit::{DepositionFile, DepositionView, ValidationView};
use ports::{Blobs, ByteStream, DepositionQueries, RegistryQueries, StoreError};

use crate::access::deposition::{DepositionAsker, id_of};
use crate::failure::Failure;

/// How many depositions a list shows: the newest.
pub const MAX_LISTED: u32 = 1000;

/// Reads depositions.
pub struct ReadDepositions {
    depositions: Arc<dyn DepositionQueries>,
    registry: Arc<dyn RegistryQueries>,
    blobs: Arc<dyn Blobs>,
    node: NodeDomain,
}

impl ReadDepositions {
    /// A use case on these ports.
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

    /// The caller's own, or, for curators, all; the newest, and how many there are.
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

    /// One, with its files.
    pub async fn get(
        &self,
        permit: &Permit<act::UseDepositions>,
        srn: &str,
    ) -> Result<(DepositionView, Vec<DepositionFile>), Failure> {
        let id = id_of(srn, &self.node)?;
        let found = self.depositions.deposition(&id).await?;
        let found = found.ok_or_else(|| DepositionError::Unknown(id.to_string()))?;
        DepositionAsker::of(permit).need(DepositionUse::Read, found.owner)?;
        Ok((found, self.depositions.deposition_files(&id).await?))
    }

    /// The content of a file, with its size.
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
        let lost = || {
            StoreError::corrupt(
                "deposition_files",
                "a listed file is missing in the store for files",
            )
        };
        let (_, content) = content.ok_or_else(lost)?;
        Ok((file, content))
    }

    /// The title and the schema of a deposition's convention, for its template.
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

    /// A validation run, for the deposition's owner and curators; to others there is none (WC-D6).
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
            .need(DepositionUse::Read, found.owner)
            .map_err(|_| unknown())?;
        Ok(found)
    }
}
