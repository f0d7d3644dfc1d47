//! Hooks, their releases and live pointers.

use async_trait::async_trait;
use domain::registry::hook::{HookRelease, ImageLocation};
use domain::{Actor, Event, FeatureContract, HookName, NewRelease, Reason, ReleaseId, ReleaseVersion, Yank};

use crate::error::StoreError;

/// A hook whose row is locked.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedHook {
    /// Its contract.
    pub contract: FeatureContract,
    /// The live release.
    pub live: Option<(ReleaseId, ReleaseVersion)>,
    /// The highest existing version.
    pub last: Option<ReleaseVersion>,
    /// The release with the requested content, if content was requested and it exists.
    pub same: Option<ReleaseVersion>,
}

/// Hooks, releases, and pointers. Every write about one hook happens under its row's lock.
#[async_trait]
pub trait Hooks: Send {
    /// Registers a hook if it is new, and locks it as [`Hooks::lock`] does. Lock several in the order of their names.
    async fn register(
        &mut self,
        name: &HookName,
        contract: &FeatureContract,
        content: Option<[u8; 32]>,
    ) -> Result<LockedHook, StoreError>;
    /// Locks a hook until the end of the unit of work, and looks for its release with this content (REG-3).
    async fn lock(
        &mut self,
        name: &HookName,
        content: Option<[u8; 32]>,
    ) -> Result<Option<LockedHook>, StoreError>;
    /// Replaces descriptions and units. The caller has checked that the contract is the same (WC-D14).
    async fn update_descriptions(
        &mut self,
        name: &HookName,
        contract: &FeatureContract,
    ) -> Result<(), StoreError>;
    /// Returns the release with this version.
    async fn find_version(
        &mut self,
        name: &HookName,
        version: ReleaseVersion,
    ) -> Result<Option<HookRelease>, StoreError>;
    /// Inserts a new release and makes it live as the next move in the hook's history (REG-4), and appends `log` to
    /// the activity log. Returns the stored release, with the database's time. It is one call, because everyone who
    /// wants this hook waits for each call.
    async fn insert_live(
        &mut self,
        id: ReleaseId,
        name: &HookName,
        version: ReleaseVersion,
        release: &NewRelease,
        built_by: &Actor,
        log: &Event,
    ) -> Result<HookRelease, StoreError>;
    /// Registers the next location of a release's image (REG-8). The caller has checked that it is another one than that
    /// in use. Returns it as stored, with the database's time. Every later read of the release uses it.
    async fn add_location(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        image: &str,
        by: &Actor,
    ) -> Result<ImageLocation, StoreError>;
    /// Moves the pointer to an existing release, and records the move as the next one in the hook's history.
    async fn move_live(
        &mut self,
        name: &HookName,
        to: ReleaseId,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError>;
    /// Yanks a release. The caller has checked that it is not yanked. Returns the yank as readers see it from now on.
    async fn yank(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        by: &Actor,
        reason: &Reason,
    ) -> Result<Yank, StoreError>;
    /// Revokes a yank. The caller has checked that there is one.
    async fn unyank(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError>;
}
