//! Reading conventions.

use std::sync::Arc;

use auth::{Permit, act};
use domain::ConventionSlug;
use domain::convention::{Convention, ConventionError};
use ports::RegistryQueries;

use crate::failure::Failure;

/// Reads conventions.
pub struct ReadConventions {
    registry: Arc<dyn RegistryQueries>,
}

impl ReadConventions {
    /// A use case on these queries.
    pub fn new(registry: Arc<dyn RegistryQueries>) -> Self {
        Self { registry }
    }

    /// Every convention, newest first.
    pub async fn list(&self, _permit: Permit<act::ReadConventions>) -> Result<Vec<Convention>, Failure> {
        Ok(self.registry.conventions().await?)
    }

    /// One convention.
    pub async fn get(
        &self,
        _permit: Permit<act::ReadConventions>,
        slug: &ConventionSlug,
    ) -> Result<Convention, Failure> {
        Ok(self
            .registry
            .convention(slug)
            .await?
            .ok_or_else(|| ConventionError::Unknown(slug.to_string()))?)
    }
}
