//! `POST /depositions`: a new draft.

use std::num::NonZeroU32;
use std::sync::Arc;

use auth::{Permit, act};
use domain::deposit::deposition::DepositionError;
use domain::{Actor, ConventionSlug, DepositionId, Event, UserId};
use ports::{Committed, Ids, Store, UnitOfWork};
use serde_json::json;
use uuid::Uuid;

use crate::access::deposition::DepositionAsker;
use crate::failure::Failure;
use crate::retry::retried;

/// Creates depositions.
pub struct CreateDeposition {
    store: Arc<dyn Store>,
    ids: Arc<dyn Ids>,
    /// The maximum number of a user's drafts.
    most: Option<NonZeroU32>,
}

impl CreateDeposition {
    /// Creates the use case over these ports. A user may have at most `most` drafts; `None` means no limit.
    pub fn new(store: Arc<dyn Store>, ids: Arc<dyn Ids>, most: Option<NonZeroU32>) -> Self {
        Self { store, ids, most }
    }

    /// Creates a draft that the caller owns.
    #[tracing::instrument(name = "app.create_deposition", skip_all, fields(convention = %convention))]
    pub async fn run(
        &self,
        permit: Permit<act::UseDepositions>,
        convention: ConventionSlug,
    ) -> Result<Committed<DepositionId>, Failure> {
        let asker = DepositionAsker::of(&permit);
        let owner = asker.user()?;
        // The first characters of a time-ordered UUID are the same for some seconds. The hash makes them differ.
        let id = DepositionId::of(Uuid::new_v5(&Uuid::NAMESPACE_OID, self.ids.new_id().as_bytes()));
        retried!(self.attempt(&asker.actor, owner, &convention, &id))
    }

    async fn attempt(
        &self,
        actor: &Actor,
        owner: UserId,
        convention: &ConventionSlug,
        id: &DepositionId,
    ) -> Result<Committed<DepositionId>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        if uow.conventions().find(convention).await?.is_none() {
            return Err(DepositionError::UnknownConvention(convention.clone()).into());
        }
        if let Some(most) = self.most.map(NonZeroU32::get)
            && uow.depositions().drafts(owner, most).await? >= most
        {
            return Err(DepositionError::TooManyDrafts(most).into());
        }
        uow.depositions().create(id, convention, owner).await?;
        let payload = json!({"deposition_id": id.as_str(), "convention_id": convention.as_str(), "owner_id": owner.to_string()});
        uow.activity()
            .append(&event("DepositionCreatedEvent", id, actor, payload))
            .await?;
        Ok(uow.commit(id.clone()).await?)
    }
}

/// Creates an event of a deposition, with the data keys of WC-1.7.
pub(crate) fn event(
    kind: &'static str,
    id: &DepositionId,
    actor: &Actor,
    payload: serde_json::Value,
) -> Event {
    Event {
        kind,
        subject: format!("deposition:{id}"),
        actor: actor.clone(),
        payload,
    }
}
