//! Reading the hook catalogue, histories and releases (REG-6).

use std::sync::Arc;

use auth::{Permit, act};
use domain::hook::{HookError, HookRelease};
use domain::{HookName, ReleaseVersion};
use ports::RegistryQueries;
use ports::queries::HookSummary;

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
        let hook = self.hook(name).await?;
        let unknown = || HookError::UnknownVersion {
            hook: name.clone(),
            version,
        };
        let number = ReleaseVersion::new(version).ok_or_else(unknown)?;
        let release = self.registry.release(name, number).await?.ok_or_else(unknown)?;
        let live = hook.live.is_some_and(|live| live.version == number);
        Ok((release, live))
    }

    async fn hook(&self, name: &HookName) -> Result<HookSummary, Failure> {
        Ok(self
            .registry
            .hook(name)
            .await?
            .ok_or_else(|| HookError::UnknownHook(name.clone()))?)
    }
}
