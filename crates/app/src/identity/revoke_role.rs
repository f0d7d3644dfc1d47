//! `DELETE /admin/users/{id}/roles/{role}`.

use std::sync::Arc;

use auth::{Permit, Role, act};
use domain::identity::IdentityError;
use domain::{Actor, Event, UserId};
use ports::{Committed, Store, UnitOfWork};
use serde_json::json;

use crate::failure::Failure;
use crate::identity::principals::Principals;
use crate::retry::retried;

/// Revokes roles.
pub struct RevokeRole {
    store: Arc<dyn Store>,
    principals: Arc<Principals>,
}

impl RevokeRole {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>, principals: Arc<Principals>) -> Self {
        Self { store, principals }
    }

    /// Revokes a role of a user. This server sees it at once, every other one within 5 s. The last superadmin cannot
    /// be revoked.
    #[tracing::instrument(name = "app.revoke_role", skip_all, fields(user = %user))]
    pub async fn run(
        &self,
        permit: Permit<act::ManageRoles>,
        user: UserId,
        role: Role,
    ) -> Result<Committed<()>, Failure> {
        let actor = permit.actor();
        let revoked = retried!(self.attempt(&actor, user, role))?;
        self.principals.forget_user(user).await;
        Ok(revoked)
    }

    async fn attempt(&self, actor: &Actor, user: UserId, role: Role) -> Result<Committed<()>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        if role == Role::Superadmin {
            // If two superadmins revoke each other at the same time, one must wait for the other.
            let superadmins = uow.identities().lock_superadmins().await?;
            if superadmins == [user] {
                return Err(IdentityError::LastSuperadmin(user).into());
            }
        }
        if uow.identities().lock_user(user).await?.is_none() {
            return Err(IdentityError::UnknownUser(user).into());
        }
        if !uow.identities().revoke_role(user, role.as_str()).await? {
            return Err(IdentityError::RoleNotAssigned {
                user,
                role: role.to_string(),
            }
            .into());
        }
        uow.activity()
            .append(&Event {
                kind: "RoleRevoked",
                subject: format!("user:{user}"),
                actor: actor.clone(),
                payload: json!({"user_id": user.to_string(), "role": role.as_str()}),
            })
            .await?;
        Ok(uow.commit(()).await?)
    }
}
