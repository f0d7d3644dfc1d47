//! `GET /schemas` and `GET /schemas/{id@version}`.

use std::sync::Arc;

use auth::{Permit, act};
use domain::data::record::DataError;
use domain::{Schema, SchemaRef};
use ports::RegistryQueries;
use time::OffsetDateTime;

use crate::failure::Failure;

/// Reads schemas.
pub struct ReadSchemas {
    registry: Arc<dyn RegistryQueries>,
}

impl ReadSchemas {
    /// A use case on these queries.
    pub fn new(registry: Arc<dyn RegistryQueries>) -> Self {
        Self { registry }
    }

    /// Every schema version with the time of its registration, newest first.
    pub async fn list(
        &self,
        _permit: Permit<act::ReadSchemas>,
    ) -> Result<Vec<(Schema, OffsetDateTime)>, Failure> {
        Ok(self.registry.schemas().await?)
    }

    /// One schema version.
    pub async fn get(
        &self,
        _permit: Permit<act::ReadSchemas>,
        reference: &SchemaRef,
    ) -> Result<(Schema, OffsetDateTime), Failure> {
        Ok(self
            .registry
            .schema(reference)
            .await?
            .ok_or_else(|| DataError::UnknownSchema(reference.to_string()))?)
    }
}
