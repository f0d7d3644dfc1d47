//! `POST /hooks/{name}/releases/{version}/yank`: withdraws a release. It stays readable and keeps its rows, but cannot
//! be made live.

use std::sync::Arc;

use auth::{HookGrant, Permit, act};
use domain::registry::hook::{HookError, HookRelease};
use domain::{HookName, Invalid, Reason, ReleaseVersion};
use ports::{Committed, Store, UnitOfWork};
use serde_json::json;

use crate::failure::Failure;
use crate::registry::locked_hook::{hook_event, live_version, lock, move_under_lock, release_of};
use crate::retry::retried;

/// A release after a yank or unyank; all of it was true under the hook's lock.
#[derive(Clone, Debug)]
pub struct Yanked {
    /// The release.
    pub release: HookRelease,
    /// Which version is live.
    pub live: Option<ReleaseVersion>,
}

/// Yanks releases.
pub struct YankRelease {
    store: Arc<dyn Store>,
}

impl YankRelease {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Yanks a release. The live release is yanked only together with a move of the pointer to `fallback`. Yanking
    /// again changes nothing: the first reason stays.
    #[tracing::instrument(name = "app.yank_release", skip_all, fields(hook = %hook))]
    pub async fn run(
        &self,
        permit: Permit<act::WriteHooks>,
        hook: HookName,
        version: u32,
        reason: Reason,
        fallback: Option<u32>,
    ) -> Result<Committed<Yanked>, Failure> {
        if fallback == Some(version) {
            let rule = Invalid::value("must be another release than the one that is yanked");
            return Err(rule.of_field("fallback_version").into());
        }
        let grant = permit.over_hook(&hook)?;
        retried!(self.attempt(&grant, version, &reason, fallback))
    }

    async fn attempt(
        &self,
        grant: &HookGrant,
        version: u32,
        reason: &Reason,
        fallback: Option<u32>,
    ) -> Result<Committed<Yanked>, Failure> {
        let hook = grant.hook();
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock(&mut *uow, grant, None).await?;
        let mut release = release_of(&mut *uow, grant, version).await?;
        let mut live = live_version(&locked);
        if release.yanked.is_some() {
            return Ok(uow.commit(Yanked { release, live }).await?);
        }
        if live == Some(release.version) {
            let fallback = fallback.ok_or_else(|| HookError::YankedLive {
                hook: hook.clone(),
                version: release.version,
            })?;
            let fallback = release_of(&mut *uow, grant, fallback).await?;
            let why = reason.of_fallback(release.version);
            move_under_lock(&mut *uow, grant, &locked, &fallback, Some(&why)).await?;
            live = Some(fallback.version);
        }
        let yank = uow.hooks().yank(hook, release.id, grant.actor(), reason).await?;
        let payload = json!({"hook_name": hook.as_str(), "version": version, "reason": reason.as_str(), "live_version": live.map(ReleaseVersion::get)});
        uow.activity()
            .append(&hook_event(grant, "HookReleaseYanked", payload))
            .await?;
        release.yanked = Some(yank);
        Ok(uow.commit(Yanked { release, live }).await?)
    }
}
