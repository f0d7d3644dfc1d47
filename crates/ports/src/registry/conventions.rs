//! Conventions.

use async_trait::async_trait;
use domain::ConventionSlug;
use domain::registry::convention::{Convention, DeployPlan};

use crate::error::StoreError;

/// Conventions.
#[async_trait]
pub trait Conventions: Send {
    /// Serialises deploys of one slug until the end of the unit of work, also while there is no row yet.
    async fn lock(&mut self, slug: &ConventionSlug) -> Result<(), StoreError>;
    /// The convention.
    async fn find(&mut self, slug: &ConventionSlug) -> Result<Option<Convention>, StoreError>;
    /// Keeps it: new, or in place of what stood there (its first time of creation stays). Remembers which schema version has had
    /// which hooks (WC-D17).
    async fn put(&mut self, plan: &DeployPlan) -> Result<Convention, StoreError>;
}
