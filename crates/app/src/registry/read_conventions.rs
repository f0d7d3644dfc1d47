//! Reading conventions.

use std::sync::Arc;

use auth::{Permit, act};
use domain::registry::convention::{Convention, ConventionError};
use domain::{ConventionSlug, Schema};
use ports::{RegistryQueries, StoreError};

use crate::failure::Failure;
use crate::machine::Places;

/// Reads conventions.
pub struct ReadConventions {
    registry: Arc<dyn RegistryQueries>,
}

impl ReadConventions {
    /// Creates the use case over these queries.
    pub fn new(registry: Arc<dyn RegistryQueries>) -> Self {
        Self { registry }
    }

    /// Returns every convention, newest first.
    #[tracing::instrument(name = "app.read_conventions.list", skip_all)]
    pub async fn list(&self, _permit: Permit<act::ReadConventions>) -> Result<Vec<Convention>, Failure> {
        Ok(self.registry.conventions().await?)
    }

    /// Returns the conventions that have an ingester, newest first.
    #[tracing::instrument(name = "app.read_conventions.with_ingester", skip_all)]
    pub async fn with_ingester(
        &self,
        permit: Permit<act::ReadIngesters>,
    ) -> Result<Vec<Convention>, Failure> {
        let mut all = self.registry.conventions().await?;
        all.retain(|convention| convention.ingester.is_some());
        for ingester in all
            .iter_mut()
            .filter_map(|convention| convention.ingester.as_mut())
        {
            Places::of(&permit).redact(&mut ingester.image);
        }
        Ok(all)
    }

    /// Returns one convention.
    #[tracing::instrument(name = "app.read_conventions.get", skip_all, fields(convention = %slug))]
    pub async fn get(
        &self,
        permit: Permit<act::ReadConventions>,
        slug: &ConventionSlug,
    ) -> Result<Convention, Failure> {
        let found = self.registry.convention(slug).await?;
        let mut convention = found.ok_or_else(|| ConventionError::Unknown(slug.to_string()))?;
        if let Some(ingester) = &mut convention.ingester {
            Places::of(&permit).redact(&mut ingester.image);
        }
        Ok(convention)
    }

    /// Returns a convention and its schema version, for filling in its template.
    #[tracing::instrument(name = "app.read_conventions.template", skip_all, fields(convention = %slug))]
    pub async fn template(
        &self,
        _permit: Permit<act::ReadTemplates>,
        slug: &ConventionSlug,
    ) -> Result<(Convention, Schema), Failure> {
        let convention = self.registry.convention(slug).await?;
        let convention = convention.ok_or_else(|| ConventionError::Unknown(slug.to_string()))?;
        let schema = self.registry.schema(&convention.schema).await?;
        let (schema, _) =
            schema.ok_or_else(|| StoreError::corrupt("conventions", "a convention without its schema"))?;
        Ok((convention, schema))
    }
}
