//! `PUT /hooks/{name}/live`: rollback and roll forward (REG-4).

use std::sync::Arc;

use auth::{HookGrant, Permit, act};
use domain::registry::hook::{HookError, HookRelease};
use domain::{Event, HookName, Reason, ReleaseVersion};
use ports::registry::LockedHook;
use ports::{Committed, Repos, Store, UnitOfWork};
use serde_json::json;

use crate::failure::Failure;
use crate::retry::retried;

/// Moves live pointers.
pub struct SetLive {
    store: Arc<dyn Store>,
}

impl SetLive {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Makes a release live, and returns it. Repeating it changes nothing.
    #[tracing::instrument(name = "app.set_live", skip_all, fields(hook = %hook))]
    pub async fn run(
        &self,
        permit: Permit<act::WriteHooks>,
        hook: HookName,
        version: u32,
        reason: Option<Reason>,
    ) -> Result<Committed<HookRelease>, Failure> {
        let grant = permit.over_hook(&hook)?;
        retried!(self.attempt(&grant, version, reason.as_ref()))
    }

    async fn attempt(
        &self,
        grant: &HookGrant,
        version: u32,
        reason: Option<&Reason>,
    ) -> Result<Committed<HookRelease>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = uow
            .hooks()
            .lock(grant.hook(), None)
            .await?
            .ok_or_else(|| HookError::UnknownHook(grant.hook().clone()))?;
        let release = release_of(&mut *uow, grant.hook(), version).await?;
        move_under_lock(&mut *uow, grant, &locked, &release, reason).await?;
        Ok(uow.commit(release).await?)
    }
}

/// Returns the release with this number, of a hook that exists.
pub(crate) async fn release_of(
    repos: &mut dyn Repos,
    hook: &HookName,
    version: u32,
) -> Result<HookRelease, Failure> {
    let unknown = || HookError::UnknownVersion {
        hook: hook.clone(),
        version,
    };
    let number = ReleaseVersion::new(version).ok_or_else(unknown)?;
    let release = repos.hooks().find_version(hook, number).await?;
    Ok(release.ok_or_else(unknown)?)
}

/// Makes a release of a hook live whose row this unit of work has locked. A release that is already live stays,
/// without an entry in the history.
pub(crate) async fn move_under_lock(
    repos: &mut dyn Repos,
    grant: &HookGrant,
    locked: &LockedHook,
    release: &HookRelease,
    reason: Option<&Reason>,
) -> Result<(), Failure> {
    let (hook, version) = (grant.hook(), release.version);
    if let Some(yank) = &release.yanked {
        return Err(HookError::Yanked {
            hook: hook.clone(),
            version,
            reason: yank.reason.clone(),
        }
        .into());
    }
    if locked.live.map(|(id, _)| id) == Some(release.id) {
        return Ok(());
    }
    repos
        .hooks()
        .move_live(hook, release.id, grant.actor(), reason)
        .await?;
    let payload = json!({
        "hook_name": hook.as_str(), "version": version.get(), "previous_live_version": locked.live.map(|(_, v)| v.get()),
        "reason": reason.map(Reason::as_str),
    });
    repos
        .activity()
        .append(&Event {
            kind: "HookLiveMoved",
            subject: format!("hook:{hook}"),
            actor: grant.actor().clone(),
            payload,
        })
        .await?;
    Ok(())
}
