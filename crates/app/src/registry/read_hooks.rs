//! Reading the hook catalogue, histories and releases (REG-6).

use std::sync::Arc;

use auth::{Permit, act};
use domain::registry::hook::{HookError, HookRelease, LiveMove};
use domain::{HookName, ReleaseVersion};
use ports::RegistryQueries;
use ports::registry::{HookSummary, HooksState};
use time::OffsetDateTime;

use crate::failure::Failure;
use crate::machine::Places;

/// A release as one caller sees it.
#[derive(Clone, Debug)]
pub struct SeenRelease {
    /// The release.
    pub release: HookRelease,
    /// Whether it is live.
    pub is_live: bool,
    /// Whether the caller sees where images are that are files (ISO-4).
    pub shows_places: bool,
}

/// Reads hooks.
pub struct ReadHooks {
    registry: Arc<dyn RegistryQueries>,
}

impl ReadHooks {
    /// Creates the use case over these queries.
    pub fn new(registry: Arc<dyn RegistryQueries>) -> Self {
        Self { registry }
    }

    /// Returns every hook, by name, and the state of the list.
    #[tracing::instrument(name = "app.read_hooks.list", skip_all)]
    pub async fn list(
        &self,
        _permit: &Permit<act::ReadHooks>,
    ) -> Result<(HooksState, Vec<HookSummary>), Failure> {
        Ok(self.registry.hooks().await?)
    }

    /// Returns the state of the list now: a list of the same state need not be read again.
    #[tracing::instrument(name = "app.read_hooks.state", skip_all)]
    pub async fn state(&self, _permit: &Permit<act::ReadHooks>) -> Result<HooksState, Failure> {
        Ok(self.registry.hooks_state().await?)
    }

    /// Returns a hook and its releases, newest first. Who may not release hooks sees no path of a file.
    #[tracing::instrument(name = "app.read_hooks.history", skip_all, fields(hook = %name))]
    pub async fn history(
        &self,
        permit: Permit<act::ReadReleases>,
        name: &HookName,
    ) -> Result<(HookSummary, Vec<HookRelease>), Failure> {
        let hook = self.hook(name).await?;
        let mut releases = self.registry.releases(name).await?;
        for release in &mut releases {
            Places::of(&permit).redact_release(release);
        }
        Ok((hook, releases))
    }

    /// Returns one release as the caller may see it. An unknown hook and an unknown version are distinct errors.
    #[tracing::instrument(name = "app.read_hooks.release", skip_all, fields(hook = %name))]
    pub async fn release(
        &self,
        permit: Permit<act::ReadReleases>,
        name: &HookName,
        version: u32,
    ) -> Result<SeenRelease, Failure> {
        let number = ReleaseVersion::new(version);
        let found = match number {
            Some(number) => self.registry.release(name, number).await?,
            None => None,
        };
        match found {
            Some((mut release, is_live)) => {
                let places = Places::of(&permit);
                places.redact_release(&mut release);
                Ok(SeenRelease {
                    release,
                    is_live,
                    shows_places: places.are_shown(),
                })
            }
            None => {
                self.hook(name).await?;
                Err(HookError::UnknownVersion {
                    hook: name.clone(),
                    version,
                }
                .into())
            }
        }
    }

    /// Returns at most `most` moves of a hook's pointer before the move `before`, newest first, and whether there are
    /// more.
    #[tracing::instrument(name = "app.read_hooks.live_history", skip_all, fields(hook = %name))]
    pub async fn live_history(
        &self,
        _permit: Permit<act::ReadHooks>,
        name: &HookName,
        before: Option<u32>,
        most: u32,
    ) -> Result<(Vec<LiveMove>, bool), Failure> {
        self.hook(name).await?;
        let mut moves = self.registry.live_moves(name, before, most + 1).await?;
        let more = moves.len() > most as usize;
        moves.truncate(most as usize);
        Ok((moves, more))
    }

    /// Returns what was live at a time and the move that made it so; nothing before the hook's first release.
    /// Default: now.
    #[tracing::instrument(name = "app.read_hooks.live_at", skip_all, fields(hook = %name))]
    pub async fn live_at(
        &self,
        _permit: Permit<act::ReadHooks>,
        name: &HookName,
        at: Option<OffsetDateTime>,
    ) -> Result<(OffsetDateTime, Option<(LiveMove, HookRelease)>), Failure> {
        self.hook(name).await?;
        Ok(self.registry.live_at(name, at).await?)
    }

    async fn hook(&self, name: &HookName) -> Result<HookSummary, Failure> {
        Ok(self
            .registry
            .hook(name)
            .await?
            .ok_or_else(|| HookError::UnknownHook(name.clone()))?)
    }
}
