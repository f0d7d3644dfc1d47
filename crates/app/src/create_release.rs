//! `POST /hooks/{name}/releases`: a new release, or the existing one of the same content (REG-2, REG-3, REG-4).

use std::sync::Arc;

use auth::{HookGrant, Permit, act};
use domain::hook::{HookError, HookRelease};
use domain::{Event, HookName, NewRelease, ReleaseId, ReleaseVersion};
use ports::repos::LockedHook;
use ports::{Committed, Ids, Repos, Store, UnitOfWork};
use serde_json::json;

use crate::failure::Failure;
use crate::retry::retried;

/// What became of a submitted release; everything in it was true under the hook's lock.
#[derive(Clone, Debug)]
pub struct Released {
    /// The release.
    pub release: HookRelease,
    /// Whether it is new.
    pub created: bool,
    /// Which version is live.
    pub live: Option<ReleaseVersion>,
}

/// Submits releases.
pub struct CreateRelease {
    store: Arc<dyn Store>,
    ids: Arc<dyn Ids>,
}

impl CreateRelease {
    /// A use case on this store.
    pub fn new(store: Arc<dyn Store>, ids: Arc<dyn Ids>) -> Self {
        Self { store, ids }
    }

    /// Submits one.
    pub async fn run(
        &self,
        permit: Permit<act::WriteHooks>,
        hook: HookName,
        release: NewRelease,
    ) -> Result<Committed<Released>, Failure> {
        release.check()?;
        let grant = permit.over_hook(&hook)?;
        retried!(self.attempt(&grant, &release))
    }

    async fn attempt(&self, grant: &HookGrant, release: &NewRelease) -> Result<Committed<Released>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = uow
            .hooks()
            .lock(grant.hook())
            .await?
            .ok_or_else(|| HookError::UnknownHook(grant.hook().clone()))?;
        let released = release_under_lock(&mut *uow, &*self.ids, grant, &locked, release).await?;
        Ok(uow.commit(released).await?)
    }
}

/// Submits a release of a hook whose row this unit of work has locked.
pub(crate) async fn release_under_lock(
    repos: &mut dyn Repos,
    ids: &dyn Ids,
    grant: &HookGrant,
    locked: &LockedHook,
    release: &NewRelease,
) -> Result<Released, Failure> {
    let (hook, actor) = (grant.hook(), grant.actor());
    if let Some(release) = repos.hooks().find_content(hook, release.content.key()).await? {
        return Ok(Released {
            release,
            created: false,
            live: locked.live.map(|(_, version)| version),
        });
    }
    let version = match locked.last {
        None => ReleaseVersion::FIRST,
        Some(last) => {
            ReleaseVersion::new(last.get() + 1).ok_or_else(|| HookError::VersionsExhausted(hook.clone()))?
        }
    };
    let release = repos
        .hooks()
        .insert_live(ReleaseId::from_uuid(ids.new_id()), hook, version, release, actor)
        .await?;
    let payload = json!({
        "hook_name": hook.as_str(), "version": version.get(), "release_id": release.id.to_string(), "digest": release.release.content.digest.as_str(),
        "source_ref": release.release.source_ref, "previous_live_version": locked.live.map(|(_, v)| v.get()),
    });
    repos
        .activity()
        .append(&Event {
            kind: "HookReleased",
            subject: format!("hook:{hook}"),
            actor: actor.clone(),
            payload,
        })
        .await?;
    Ok(Released {
        release,
        created: true,
        live: Some(version),
    })
}
