//! `POST /hooks/{name}/releases/{version}/unyank`: revokes a yank. The pointer stays where it is.

use std::sync::Arc;

use auth::{HookGrant, Permit, act};
use domain::{HookName, Reason};
use ports::{Committed, Store, UnitOfWork};
use serde_json::json;

use crate::failure::Failure;
use crate::registry::locked_hook::{hook_event, live_version, lock, release_of};
use crate::registry::yank_release::Yanked;
use crate::retry::retried;

/// Revokes yanks.
pub struct UnyankRelease {
    store: Arc<dyn Store>,
}

impl UnyankRelease {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Revokes a yank. A release that is not yanked stays as it is.
    #[tracing::instrument(name = "app.unyank_release", skip_all, fields(hook = %hook))]
    pub async fn run(
        &self,
        permit: Permit<act::WriteHooks>,
        hook: HookName,
        version: u32,
        reason: Option<Reason>,
    ) -> Result<Committed<Yanked>, Failure> {
        let grant = permit.over_hook(&hook)?;
        retried!(self.attempt(&grant, version, reason.as_ref()))
    }

    async fn attempt(
        &self,
        grant: &HookGrant,
        version: u32,
        reason: Option<&Reason>,
    ) -> Result<Committed<Yanked>, Failure> {
        let hook = grant.hook();
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock(&mut *uow, grant, None).await?;
        let mut release = release_of(&mut *uow, grant, version).await?;
        let live = live_version(&locked);
        if release.yanked.take().is_some() {
            uow.hooks()
                .unyank(hook, release.id, grant.actor(), reason)
                .await?;
            let payload =
                json!({"hook_name": hook.as_str(), "version": version, "reason": reason.map(Reason::as_str)});
            uow.activity()
                .append(&hook_event(grant, "HookReleaseUnyanked", payload))
                .await?;
        }
        Ok(uow.commit(Yanked { release, live }).await?)
    }
}
