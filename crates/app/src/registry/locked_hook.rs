//! Writing a hook's releases, pointer and yanks under the lock of the hook's row.
//!
//! Invariant: what a write decides about a hook is still true when it commits, because it was read under the row's
//! lock, which lasts until then. Who can break it: a use case that reads a release before it locks, or that locks
//! several hooks in another order than that of their names (two of them would deadlock).

use auth::HookGrant;
use domain::registry::hook::{HookError, HookRelease};
use domain::{Event, Invalid, NewRelease, Reason, ReleaseId, ReleaseVersion};
use ports::registry::LockedHook;
use ports::{Ids, Repos, StoreError};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::registry::image_check::refuse;

/// The result of submitting a release; all of it was true under the hook's lock.
#[derive(Clone, Debug)]
pub struct Released {
    /// The release.
    pub release: HookRelease,
    /// Whether it is new.
    pub created: bool,
    /// Whether its image has a new location (REG-8). A new release's first location is none.
    pub located: bool,
    /// Which version is live.
    pub live: Option<ReleaseVersion>,
}

/// Locks the row of an existing hook until the end of the unit of work, and looks for its release with this content.
pub(crate) async fn lock(
    repos: &mut dyn Repos,
    grant: &HookGrant,
    content: Option<[u8; 32]>,
) -> Result<LockedHook, Failure> {
    let locked = repos.hooks().lock(grant.hook(), content).await?;
    Ok(locked.ok_or_else(|| HookError::UnknownHook(grant.hook().clone()))?)
}

/// Returns which version was live when the hook was locked.
pub(crate) fn live_version(locked: &LockedHook) -> Option<ReleaseVersion> {
    locked.live.map(|(_, version)| version)
}

/// Returns the release with this number, of a hook that exists.
pub(crate) async fn release_of(
    repos: &mut dyn Repos,
    grant: &HookGrant,
    version: u32,
) -> Result<HookRelease, Failure> {
    let unknown = || HookError::UnknownVersion {
        hook: grant.hook().clone(),
        version,
    };
    let number = ReleaseVersion::new(version).ok_or_else(unknown)?;
    let release = repos.hooks().find_version(grant.hook(), number).await?;
    Ok(release.ok_or_else(unknown)?)
}

/// Submits a release of a hook whose row this unit of work has locked with the release's content. `finding` is what is
/// wrong with its image: it counts for a new release and for a new location.
pub(crate) async fn release_under_lock(
    repos: &mut dyn Repos,
    ids: &dyn Ids,
    grant: &HookGrant,
    locked: &LockedHook,
    release: &NewRelease,
    finding: Option<&Invalid>,
) -> Result<Released, Failure> {
    let hook = grant.hook();
    if let Some(same) = locked.same {
        let found = repos.hooks().find_version(hook, same).await?;
        let mut existing = found
            .ok_or_else(|| StoreError::corrupt("hook_releases", "a release that was just found is gone"))?;
        let located = existing.locations.adds(&release.image);
        if located {
            refuse(finding)?;
            locate_under_lock(repos, grant, &mut existing, &release.image).await?;
        }
        return Ok(Released {
            release: existing,
            created: false,
            located,
            live: live_version(locked),
        });
    }
    refuse(finding)?;
    let version = match locked.last {
        None => ReleaseVersion::FIRST,
        Some(last) => {
            ReleaseVersion::new(last.get() + 1).ok_or_else(|| HookError::VersionsExhausted(hook.clone()))?
        }
    };
    let id = ReleaseId::from_uuid(ids.new_id());
    let payload = json!({
        "hook_name": hook.as_str(), "version": version.get(), "release_id": id.to_string(), "digest": release.content.digest.as_str(),
        "source_ref": release.source_ref, "previous_live_version": live_version(locked).map(ReleaseVersion::get),
    });
    let log = hook_event(grant, "HookReleased", payload);
    let release = repos
        .hooks()
        .insert_live(id, hook, version, release, grant.actor(), &log)
        .await?;
    Ok(Released {
        release,
        created: true,
        located: false,
        live: Some(version),
    })
}

/// Registers another location of a release of a hook whose row this unit of work has locked. The digest stays what
/// runs, so the pointer and a yank do not matter.
async fn locate_under_lock(
    repos: &mut dyn Repos,
    grant: &HookGrant,
    release: &mut HookRelease,
    image: &str,
) -> Result<(), Failure> {
    let (hook, version) = (grant.hook(), release.version);
    let in_use = release.release.image.clone();
    if release.locations.is_full() {
        return Err(HookError::LocationsExhausted {
            hook: hook.clone(),
            version,
            in_use,
        }
        .into());
    }
    let location = repos
        .hooks()
        .add_location(hook, release.id, image, grant.actor())
        .await?;
    release.relocate(location);
    let payload = json!({
        "hook_name": hook.as_str(), "version": version.get(), "digest": release.release.content.digest.as_str(),
        "location": release.locations.number(), "image": image, "previous_image": in_use,
    });
    let located = hook_event(grant, "HookReleaseLocated", payload);
    repos.activity().append(&located).await?;
    Ok(())
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
        "hook_name": hook.as_str(), "version": version.get(), "previous_live_version": live_version(locked).map(ReleaseVersion::get),
        "reason": reason.map(Reason::as_str),
    });
    let moved = hook_event(grant, "HookLiveMoved", payload);
    repos.activity().append(&moved).await?;
    Ok(())
}

/// Creates an event about the hook that this grant is for.
pub(crate) fn hook_event(grant: &HookGrant, kind: &'static str, payload: Value) -> Event {
    Event {
        kind,
        subject: format!("hook:{}", grant.hook()),
        actor: grant.actor().clone(),
        payload,
    }
}
