//! `PUT /hooks/{name}/live`: rollback and roll forward (REG-4).

use std::sync::Arc;

use auth::{HookGrant, Permit, act};
use domain::registry::hook::HookRelease;
use domain::{HookName, Reason};
use ports::{Committed, Store, UnitOfWork};

use crate::failure::Failure;
use crate::registry::locked_hook::{lock, move_under_lock, release_of};
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
        let locked = lock(&mut *uow, grant, None).await?;
        let release = release_of(&mut *uow, grant, version).await?;
        move_under_lock(&mut *uow, grant, &locked, &release, reason).await?;
        Ok(uow.commit(release).await?)
    }
}
