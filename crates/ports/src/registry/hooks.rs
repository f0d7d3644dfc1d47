//! Hooks, their releases and live pointers.

use async_trait::async_trait;
use domain::registry::hook::HookRelease;
use domain::{Actor, Event, FeatureContract, HookName, NewRelease, Reason, ReleaseId, ReleaseVersion, Yank};

use crate::error::StoreError;

/// A hook whose row is locked.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedHook {
    /// Its contract.
    pub contract: FeatureContract,
    /// The live release.
    pub live: Option<(ReleaseId, ReleaseVersion)>,
    /// The highest version there is.
    pub last: Option<ReleaseVersion>,
    /// The release with the content that was asked for, if that was and there is one.
    pub same: Option<ReleaseVersion>,
}

/// Hooks, releases, and pointers. Everything about one hook happens under its row's lock.
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
    /// Replaces descriptions and units; the caller has checked that the contract is the same (WC-D14).
    async fn update_descriptions(
        &mut self,
        name: &HookName,
        contract: &FeatureContract,
    ) -> Result<(), StoreError>;
    /// The release with this version.
    async fn find_version(
        &mut self,
        name: &HookName,
        version: ReleaseVersion,
    ) -> Result<Option<HookRelease>, StoreError>;
    /// Keeps a new release and makes it live, which is the next move of the hook's history (REG-4), and appends `log` to the activity
    /// log; gives the release as kept, with the database's time. One call, because all who want this hook wait for each.
    async fn insert_live(
        &mut self,
        id: ReleaseId,
        name: &HookName,
        version: ReleaseVersion,
        release: &NewRelease,
        built_by: &Actor,
        log: &Event,
    ) -> Result<HookRelease, StoreError>;
    /// Moves the pointer to a release that there is, and keeps the move as the next of the hook's history.
    async fn move_live(
        &mut self,
        name: &HookName,
        to: ReleaseId,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError>;
    /// Withdraws a release; the caller has checked that it is not withdrawn. Gives what readers see from now on.
    async fn yank(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        by: &Actor,
        reason: &Reason,
    ) -> Result<Yank, StoreError>;
    /// Takes the withdrawal back; the caller has checked that there is one.
    async fn unyank(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError>;
}
