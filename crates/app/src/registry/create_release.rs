//! `POST /hooks/{name}/releases`: a new release, or the existing one of the same content (REG-2, REG-3, REG-4).

use std::sync::Arc;

use auth::{HookGrant, Permit, act};
use domain::registry::hook::{HookError, HookRelease};
use domain::{Event, HookName, NewRelease, ReleaseId, ReleaseVersion};
use ports::registry::LockedHook;
use ports::{Committed, Ids, Repos, Store, StoreError, UnitOfWork};
use serde_json::json;

use crate::failure::Failure;
use crate::registry::hook_limiter::HookLimiter;
use crate::retry::retried;

/// The result of submitting a release; all of it was true under the hook's lock.
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
    turns: HookLimiter,
}

impl CreateRelease {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>, ids: Arc<dyn Ids>) -> Self {
        Self {
            store,
            ids,
            turns: HookLimiter::default(),
        }
    }

    /// Submits a release.
    #[tracing::instrument(name = "app.create_release", skip_all, fields(hook = %hook))]
    pub async fn run(
        &self,
        permit: Permit<act::WriteHooks>,
        hook: HookName,
        release: NewRelease,
    ) -> Result<Committed<Released>, Failure> {
        release.check()?;
        let grant = permit.over_hook(&hook)?;
        let _turn = self.turns.turn(&hook).await;
        retried!(self.attempt(&grant, &release))
    }

    async fn attempt(&self, grant: &HookGrant, release: &NewRelease) -> Result<Committed<Released>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = uow
            .hooks()
            .lock(grant.hook(), Some(release.content.key()))
            .await?
            .ok_or_else(|| HookError::UnknownHook(grant.hook().clone()))?;
        let released = release_under_lock(&mut *uow, &*self.ids, grant, &locked, release).await?;
        Ok(uow.commit(released).await?)
    }
}

/// Submits a release of a hook whose row this unit of work has locked with the release's content.
pub(crate) async fn release_under_lock(
    repos: &mut dyn Repos,
    ids: &dyn Ids,
    grant: &HookGrant,
    locked: &LockedHook,
    release: &NewRelease,
) -> Result<Released, Failure> {
    let (hook, actor) = (grant.hook(), grant.actor());
    if let Some(same) = locked.same {
        let found = repos.hooks().find_version(hook, same).await?;
        let release = found
            .ok_or_else(|| StoreError::corrupt("hook_releases", "a release that was just found is gone"))?;
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
    let id = ReleaseId::from_uuid(ids.new_id());
    let log = Event {
        kind: "HookReleased",
        subject: format!("hook:{hook}"),
        actor: actor.clone(),
        payload: json!({
            "hook_name": hook.as_str(), "version": version.get(), "release_id": id.to_string(), "digest": release.content.digest.as_str(),
            "source_ref": release.source_ref, "previous_live_version": locked.live.map(|(_, v)| v.get()),
        }),
    };
    let release = repos
        .hooks()
        .insert_live(id, hook, version, release, actor, &log)
        .await?;
    Ok(Released {
        release,
        created: true,
        live: Some(version),
    })
}
