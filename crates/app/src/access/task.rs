//! Access rules for tasks (AUD-6): the creator and admins may do everything, others what was granted to them.

use auth::{Permit, act};
use domain::ledger::task::{TaskAccess, TaskError};
use domain::{Actor, TaskId};
use ports::TaskQueries;
use ports::ledger::TaskView;

use crate::failure::Failure;

/// The requester of an operation on tasks.
pub(crate) struct Asker {
    pub(crate) actor: Actor,
    /// Whether they may manage the tasks of all creators.
    pub(crate) manages_all: bool,
}

impl Asker {
    pub(crate) fn of<A>(permit: &Permit<A>) -> Self {
        Self {
            actor: permit.actor(),
            manages_all: permit.principal().may::<act::ManageAllTasks>(),
        }
    }

    /// Returns their access to a task of this creator, with this grant.
    pub(crate) fn access(&self, creator: &Actor, grant: Option<bool>) -> Option<TaskAccess> {
        // A task of the system has no owner.
        let made_it = *creator == self.actor && *creator != Actor::System;
        if self.manages_all || made_it {
            return Some(TaskAccess::Own);
        }
        grant.map(|can_operate| {
            if can_operate {
                TaskAccess::Operate
            } else {
                TaskAccess::Read
            }
        })
    }
}

/// Refuses an operation that exceeds the access: as an unknown task without any access, else with the access that it
/// needs.
pub(crate) fn need(
    task: TaskId,
    what: &'static str,
    access: Option<TaskAccess>,
    needed: TaskAccess,
) -> Result<(), TaskError> {
    match access {
        None => Err(TaskError::UnknownTask(task)),
        Some(access) if access >= needed => Ok(()),
        Some(_) => Err(TaskError::NotAllowed {
            task,
            what,
            needs: match needed {
                TaskAccess::Own => "being its creator, or the role admin",
                _ => "a grant to operate it, being its creator, or the role admin",
            },
        }),
    }
}

/// Returns a task as it is now with the requester's access to it, if that is sufficient.
pub(crate) async fn seen(
    tasks: &dyn TaskQueries,
    asker: &Asker,
    id: TaskId,
    what: &'static str,
    needed: TaskAccess,
) -> Result<(TaskView, TaskAccess), Failure> {
    let found = tasks.task(id, &asker.actor).await?;
    let (view, grant) = found.ok_or(TaskError::UnknownTask(id))?;
    let access = asker.access(&view.creator, grant);
    need(id, what, access, needed)?;
    Ok((view, access.unwrap_or(TaskAccess::Read)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ServiceAccountId, UserId};
    use uuid::Uuid;

    fn user(n: u128) -> Actor {
        Actor::User(UserId::from_uuid(Uuid::from_u128(n)))
    }

    // proves AUD-6
    #[test]
    fn creators_and_admins_own_and_others_have_what_was_granted() {
        let asker = |actor: Actor, manages_all| Asker { actor, manages_all };
        let task = TaskId::from_uuid(Uuid::from_u128(9));
        assert_eq!(
            asker(user(1), false).access(&user(1), None),
            Some(TaskAccess::Own)
        );
        assert_eq!(asker(user(2), true).access(&user(1), None), Some(TaskAccess::Own));
        assert_eq!(asker(user(2), false).access(&user(1), None), None);
        // The same number as another kind of principal is another principal, and the system's tasks have no owner.
        let machine = Actor::ServiceAccount(ServiceAccountId::from_uuid(Uuid::from_u128(1)));
        assert_eq!(asker(machine, false).access(&user(1), None), None);
        assert_eq!(asker(Actor::System, false).access(&Actor::System, None), None);
        for (grant, may) in [(false, TaskAccess::Read), (true, TaskAccess::Operate)] {
            let access = asker(user(2), false).access(&user(1), Some(grant));
            assert_eq!(access, Some(may));
            for needed in [TaskAccess::Read, TaskAccess::Operate, TaskAccess::Own] {
                let refused = need(task, "x", access, needed);
                assert_eq!(refused.is_ok(), may >= needed, "{may:?} {needed:?}");
                assert!(!matches!(refused, Err(TaskError::UnknownTask(_))));
            }
        }
        assert_eq!(
            need(task, "x", None, TaskAccess::Read),
            Err(TaskError::UnknownTask(task))
        );
    }
}
