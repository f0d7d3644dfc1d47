//! The requester of an operation on a deposition, and the deposition as they may access it (WC-1.5).

use auth::{Permit, act};
use domain::data::record::DataError;
use domain::deposit::deposition::{DepositionError, DepositionUse, may};
use domain::{Actor, DepositionId, DepositionStatus, NodeDomain, UserId};
use ports::Repos;
use ports::deposit::LockedDeposition;

use crate::failure::Failure;

/// The requester.
pub(crate) struct DepositionAsker {
    pub(crate) actor: Actor,
    pub(crate) is_curator: bool,
}

impl DepositionAsker {
    pub(crate) fn of<A>(permit: &Permit<A>) -> Self {
        Self {
            actor: permit.actor(),
            is_curator: permit.principal().may::<act::CurateDepositions>(),
        }
    }

    /// Returns the requesting user. Service accounts have no depositions.
    pub(crate) fn user(&self) -> Result<UserId, DepositionError> {
        self.actor
            .user()
            .ok_or(DepositionError::NotAllowed(DepositionUse::Write))
    }

    /// Refuses a use of a deposition of this owner. To who may not even read it, it does not exist (AUT-8).
    pub(crate) fn need(
        &self,
        what: DepositionUse,
        id: &DepositionId,
        owner: UserId,
    ) -> Result<(), DepositionError> {
        let may = |what| may(what, owner, self.actor.user(), self.is_curator);
        match (may(what), may(DepositionUse::Read)) {
            (true, _) => Ok(()),
            (false, true) => Err(DepositionError::NotAllowed(what)),
            (false, false) => Err(DepositionError::Unknown(id.to_string())),
        }
    }
}

/// Parses the id out of a client's SRN. A malformed one is a fault of the path.
pub(crate) fn id_of(srn: &str, node: &NodeDomain) -> Result<DepositionId, Failure> {
    let id = DepositionId::from_srn(srn, node).map_err(|e| DataError::from(e.of_field("srn")))?;
    Ok(id.ok_or_else(|| DepositionError::Unknown(srn.chars().take(200).collect()))?)
}

/// Locks a deposition for a use if the requester may do that and its state allows it.
pub(crate) async fn lock(
    repos: &mut dyn Repos,
    id: &DepositionId,
    asker: &DepositionAsker,
    what: DepositionUse,
    (status, needs): (DepositionStatus, &'static str),
) -> Result<LockedDeposition, Failure> {
    let locked = repos.depositions().lock(id).await?;
    let locked = locked.ok_or_else(|| DepositionError::Unknown(id.to_string()))?;
    asker.need(what, id, locked.owner)?;
    if locked.status != status {
        return Err(DepositionError::State {
            status: locked.status,
            needs,
        }
        .into());
    }
    Ok(locked)
}

/// The state that edits and submission require, and the error text otherwise.
pub(crate) const DRAFT: (DepositionStatus, &str) = (
    DepositionStatus::Draft,
    "only a draft can be changed or submitted",
);
/// The state that a curator's decision requires, and the error text otherwise.
pub(crate) const IN_REVIEW: (DepositionStatus, &str) = (
    DepositionStatus::InReview,
    "only a deposition in review can be approved or rejected",
);
