//! `PUT /hooks/{name}/live`: rollback and roll forward (REG-4).

use std::sync::Arc;

use auth::{Permit, act};
use domain::hook::{HookError, HookRelease};
use domain::{Actor, Event, HookName, ReleaseVersion};
use ports::{Committed, Store, UnitOfWork};
use serde_json::json;

use crate::failure::Failure;
use crate::retry::retried;

/// Moves pointers.
pub struct SetLive {
    store: Arc<dyn Store>,
}

impl SetLive {
    /// A use case on this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Makes a release live; gives it. Repeating it changes nothing.
    pub async fn run(
        &self,
        permit: Permit<act::WriteHooks>,
        hook: HookName,
        version: u32,
    ) -> Result<Committed<HookRelease>, Failure> {
        let unknown = || HookError::UnknownVersion {
            hook: hook.clone(),
            version,
        };
        let number = ReleaseVersion::new(version).ok_or_else(unknown)?;
        let actor = permit.actor();
        retried!(self.attempt(&actor, &hook, number))
    }

    async fn attempt(
        &self,
        actor: &Actor,
        hook: &HookName,
        version: ReleaseVersion,
    ) -> Result<Committed<HookRelease>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = uow
            .hooks()
            .lock(hook)
            .await?
            .ok_or_else(|| HookError::UnknownHook(hook.clone()))?;
        let release = uow.hooks().find_version(hook, version).await?;
        let release = release.ok_or_else(|| HookError::UnknownVersion {
            hook: hook.clone(),
            version: version.get(),
        })?;
        if locked.live.map(|(id, _)| id) != Some(release.id) {
            uow.hooks().set_live(hook, release.id).await?;
            let payload = json!({"hook_name": hook.as_str(), "version": version.get(), "previous_live_version": locked.live.map(|(_, v)| v.get())});
            uow.activity()
                .append(&Event {
                    kind: "HookLiveMoved",
                    subject: format!("hook:{hook}"),
                    actor: actor.clone(),
                    payload,
                })
                .await?;
        }
        Ok(uow.commit(release).await?)
    }
}
