//! Reading the hook catalogue, histories and releases (REG-6).

use std::sync::Arc;

use auth::{Permit, act};
use domain::registry::hook::{HookError, HookRelease, LiveMove};
use domain::{HookName, ReleaseVersion};
use ports::RegistryQueries;
use ports::registry::HookSummary;
use time::OffsetDateTime;

use crate::failure::Failure;

/// Reads hooks.
pub struct ReadHooks {
    registry: Arc<dyn RegistryQueries>,
}

impl ReadHooks {
    /// A use case on these queries.
    pub fn new(registry: Arc<dyn RegistryQueries>) -> Self {
        Self { registry }
    }

    /// Every hook, by name.
    pub async fn list(&self, _permit: Permit<act::ReadHooks>) -> Result<Vec<HookSummary>, Failure> {
        Ok(self.registry.hooks().await?)
    }

    /// A hook and its releases, newest first.
    pub async fn history(
        &self,
        _permit: Permit<act::ReadHooks>,
        name: &HookName,
    ) -> Result<(HookSummary, Vec<HookRelease>), Failure> {
        let hook = self.hook(name).await?;
        Ok((hook, self.registry.releases(name).await?))
    }

    /// One release, and whether it is live. An unknown hook and an unknown version are told apart.
    pub async fn release(
        &self,
        _permit: Permit<act::ReadHooks>,
        name: &HookName,
        version: u32,
    ) -> Result<(HookRelease, bool), Failure> {
        let number = ReleaseVersion::new(version);
        let found = match number {
            Some(number) => self.registry.release(name, number).await?,
            None => None,
        };
        match found {
            Some(found) => Ok(found),
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

    /// The moves of a hook's pointer, newest first: at most `most` of those before the move `before`; and whether there are more.
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

    /// What was live at a time, which is now where none is given, and the move that made it so; nothing before the hook's first release.
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
