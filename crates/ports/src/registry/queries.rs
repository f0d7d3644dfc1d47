//! Reads of the registry.

use async_trait::async_trait;
use domain::registry::convention::Convention;
use domain::registry::hook::{FeatureContract, HookRelease};
use domain::{ConventionSlug, HookName, LiveMove, ReleaseVersion, Schema, SchemaRef};
use time::OffsetDateTime;

use crate::error::StoreError;

/// A hook in the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct HookSummary {
    /// Its name.
    pub name: HookName,
    /// Its contract.
    pub contract: FeatureContract,
    /// The live release.
    pub live: Option<HookRelease>,
}

/// The state that a list of hooks was read from. Two are equal as long as no hook came, and no contract and no live
/// release changed, in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HooksState(pub String);

/// Hooks and conventions.
#[async_trait]
pub trait RegistryQueries: Send + Sync {
    /// Returns every hook, by name, and the state of the list.
    async fn hooks(&self) -> Result<(HooksState, Vec<HookSummary>), StoreError>;
    /// Returns the state of the list now, which costs less than the list.
    async fn hooks_state(&self) -> Result<HooksState, StoreError>;
    /// Returns one hook.
    async fn hook(&self, name: &HookName) -> Result<Option<HookSummary>, StoreError>;
    /// Returns the releases of a hook, newest first.
    async fn releases(&self, name: &HookName) -> Result<Vec<HookRelease>, StoreError>;
    /// Returns one release, and whether it is live; both from one snapshot.
    async fn release(
        &self,
        name: &HookName,
        version: ReleaseVersion,
    ) -> Result<Option<(HookRelease, bool)>, StoreError>;
    /// Returns the moves of a hook's pointer, newest first: at most `most` moves before the move `before`.
    async fn live_moves(
        &self,
        name: &HookName,
        before: Option<u32>,
        most: u32,
    ) -> Result<Vec<LiveMove>, StoreError>;
    /// Returns the last move at or before `at` with the release that it made live, and the time `at`. Default: now.
    async fn live_at(
        &self,
        name: &HookName,
        at: Option<OffsetDateTime>,
    ) -> Result<(OffsetDateTime, Option<(LiveMove, HookRelease)>), StoreError>;
    /// Returns one schema version, with the time of its registration.
    async fn schema(&self, reference: &SchemaRef) -> Result<Option<(Schema, OffsetDateTime)>, StoreError>;
    /// Returns every schema version, newest registration first.
    async fn schemas(&self) -> Result<Vec<(Schema, OffsetDateTime)>, StoreError>;
    /// Returns every convention, newest first.
    async fn conventions(&self) -> Result<Vec<Convention>, StoreError>;
    /// Returns one convention.
    async fn convention(&self, slug: &ConventionSlug) -> Result<Option<Convention>, StoreError>;
}
