//! `GET /schemas` and `GET /schemas/{id@version}`.

use std::sync::Arc;

use auth::{Permit, act};
use domain::registry::convention::ConventionError;
use domain::{Schema, SchemaRef};
use ports::RegistryQueries;
use time::OffsetDateTime;

use crate::failure::Failure;

/// Reads schemas.
pub struct ReadSchemas {
    registry: Arc<dyn RegistryQueries>,
}

impl ReadSchemas {
    /// Creates the use case over these queries.
    pub fn new(registry: Arc<dyn RegistryQueries>) -> Self {
        Self { registry }
    }

    /// Returns every schema version with the time of its registration, newest first.
    #[tracing::instrument(name = "app.read_schemas.list", skip_all)]
    pub async fn list(
        &self,
        _permit: Permit<act::ReadSchemas>,
    ) -> Result<Vec<(Schema, OffsetDateTime)>, Failure> {
        Ok(self.registry.schemas().await?)
    }

    /// Returns one schema version.
    #[tracing::instrument(name = "app.read_schemas.get", skip_all)]
    pub async fn get(
        &self,
        _permit: Permit<act::ReadSchemas>,
        reference: &SchemaRef,
    ) -> Result<(Schema, OffsetDateTime), Failure> {
        Ok(self
            .registry
            .schema(reference)
            .await?
            .ok_or_else(|| ConventionError::UnknownSchema(reference.clone()))?)
    }
}
