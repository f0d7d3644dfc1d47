//! Who may withdraw and restore what was published (EDG-4): who published it, curators, and the scope `records:withdraw`;
//! and how the activity log names it.

use auth::{AuthError, Permit, act};
use domain::{Actor, Event, WithdrawalSubject};
use serde_json::Value;

/// The kind of the entry of a withdrawn record.
pub(crate) const RECORD_WITHDRAWN: &str = "RecordWithdrawn";
/// The kind of the entry of a restored record.
pub(crate) const RECORD_RESTORED: &str = "RecordRestored";
/// The kind of the entry of a run whose records were withdrawn.
pub(crate) const RUN_WITHDRAWN: &str = "IngestRunWithdrawn";
/// The kind of the entry of a run whose records were restored.
pub(crate) const RUN_RESTORED: &str = "IngestRunRestored";

/// Refuses callers who neither published it nor may withdraw what others published.
pub(crate) fn need(permit: &Permit<act::WithdrawOwnRecords>, owners: &[Actor]) -> Result<(), AuthError> {
    if is_owner(&permit.actor(), owners) {
        return Ok(());
    }
    permit.also::<act::WithdrawAllRecords>()
}

/// Returns whether the actor published it. What the system published has no owner.
fn is_owner(actor: &Actor, owners: &[Actor]) -> bool {
    *actor != Actor::System && owners.contains(actor)
}

/// Creates the entry of a withdrawal or restore.
pub(crate) fn event(kind: &'static str, subject: WithdrawalSubject, actor: &Actor, payload: Value) -> Event {
    Event {
        kind,
        subject: subject.to_string(),
        actor: actor.clone(),
        payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ServiceAccountId, UserId};
    use uuid::Uuid;

    // proves EDG-4
    #[test]
    fn publishers_own_what_they_published_and_the_system_owns_nothing() {
        let id = |n| Uuid::from_u128(n);
        let (me, other) = (
            Actor::User(UserId::from_uuid(id(1))),
            Actor::User(UserId::from_uuid(id(2))),
        );
        // The same number as another kind of principal is another principal.
        let machine = Actor::ServiceAccount(ServiceAccountId::from_uuid(id(1)));
        let owners = [me.clone(), Actor::System];
        assert!(is_owner(&me, &owners));
        for stranger in [other, machine, Actor::System] {
            assert!(!is_owner(&stranger, &owners), "{stranger}");
        }
    }
}
