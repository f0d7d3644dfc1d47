//! `POST /hooks/{name}/releases`: a new release, or the existing one of the same content, perhaps with a new location
//! of its image (REG-2, REG-3, REG-4, REG-8).

use std::sync::Arc;

use auth::{HookGrant, Permit, act};
use domain::{HookName, Invalid, NewRelease};
use ports::{Committed, Ids, Store, UnitOfWork};

use crate::failure::Failure;
use crate::registry::hook_limiter::HookLimiter;
use crate::registry::image_check::{ImageCheck, Images};
pub use crate::registry::locked_hook::Released;
use crate::registry::locked_hook::{lock, release_under_lock};
use crate::retry::retried;

/// Submits releases.
pub struct CreateRelease {
    store: Arc<dyn Store>,
    ids: Arc<dyn Ids>,
    images: Arc<Images>,
    turns: HookLimiter,
}

impl CreateRelease {
    /// Creates the use case over this store.
    pub(crate) fn new(store: Arc<dyn Store>, ids: Arc<dyn Ids>, images: Arc<Images>) -> Self {
        Self {
            store,
            ids,
            images,
            turns: HookLimiter::default(),
        }
    }

    /// Submits a release. A new one, or a new location, is refused if the image is looked at and cannot be run.
    #[tracing::instrument(name = "app.create_release", skip_all, fields(hook = %hook))]
    pub async fn run(
        &self,
        permit: Permit<act::WriteHooks>,
        hook: HookName,
        release: NewRelease,
        check: ImageCheck,
    ) -> Result<Committed<Released>, Failure> {
        release.check()?;
        let grant = permit.over_hook(&hook)?;
        let finding = self.images.of_release(check, &release).await;
        let _turn = self.turns.turn(&hook).await;
        retried!(self.attempt(&grant, &release, finding.as_ref()))
    }

    async fn attempt(
        &self,
        grant: &HookGrant,
        release: &NewRelease,
        finding: Option<&Invalid>,
    ) -> Result<Committed<Released>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock(&mut *uow, grant, Some(release.content.key())).await?;
        let released = release_under_lock(&mut *uow, &*self.ids, grant, &locked, release, finding).await?;
        Ok(uow.commit(released).await?)
    }
}
