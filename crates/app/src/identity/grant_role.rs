//! `POST /admin/users/{id}/roles`.

use std::sync::Arc;

use auth::{Permit, Role, act};
use domain::identity::IdentityError;
use domain::{Actor, Event, UserId};
use ports::identity::RoleAssignment;
use ports::{Committed, Ids, Store, UnitOfWork};
use serde_json::json;

use crate::failure::Failure;
use crate::identity::principals::Principals;
use crate::retry::retried;

/// Grants roles.
pub struct GrantRole {
    store: Arc<dyn Store>,
    ids: Arc<dyn Ids>,
    principals: Arc<Principals>,
}

impl GrantRole {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>, ids: Arc<dyn Ids>, principals: Arc<Principals>) -> Self {
        Self {
            store,
            ids,
            principals,
        }
    }

    /// Grants a role to a user. This server sees it at once, every other one within 5 s.
    #[tracing::instrument(name = "app.grant_role", skip_all, fields(user = %user))]
    pub async fn run(
        &self,
        permit: Permit<act::ManageRoles>,
        user: UserId,
        role: Role,
    ) -> Result<Committed<RoleAssignment>, Failure> {
        let actor = permit.actor();
        let granted = retried!(self.attempt(&actor, user, role))?;
        self.principals.forget_user(user).await;
        Ok(granted)
    }

    async fn attempt(
        &self,
        actor: &Actor,
        user: UserId,
        role: Role,
    ) -> Result<Committed<RoleAssignment>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        if uow.identities().lock_user(user).await?.is_none() {
            return Err(IdentityError::UnknownUser(user).into());
        }
        let granted = uow
            .identities()
            .grant_role(self.ids.new_id(), user, role.as_str(), actor.user())
            .await?;
        let granted = granted.ok_or_else(|| IdentityError::RoleAssigned {
            user,
            role: role.to_string(),
        })?;
        uow.activity()
            .append(&Event {
                kind: "RoleGranted",
                subject: format!("user:{user}"),
                actor: actor.clone(),
                payload: json!({"user_id": user.to_string(), "role": role.as_str()}),
            })
            .await?;
        Ok(uow.commit(granted).await?)
    }
}
