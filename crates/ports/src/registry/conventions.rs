//! Conventions.

use async_trait::async_trait;
use domain::ConventionSlug;
use domain::registry::convention::{Convention, DeployPlan};

use crate::error::StoreError;

/// Conventions.
#[async_trait]
pub trait Conventions: Send {
    /// Serialises deploys of one slug until the end of the unit of work, even before its row exists.
    async fn lock(&mut self, slug: &ConventionSlug) -> Result<(), StoreError>;
    /// Returns the convention.
    async fn find(&mut self, slug: &ConventionSlug) -> Result<Option<Convention>, StoreError>;
    /// Inserts the convention, or replaces the existing one but keeps its creation time. Records which schema version
    /// has had which hooks (WC-D17).
    async fn put(&mut self, plan: &DeployPlan) -> Result<Convention, StoreError>;
}
