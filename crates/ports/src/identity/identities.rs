//! Users, roles and service accounts.

use async_trait::async_trait;
use domain::{Actor, ServiceAccountId, UserId};
use uuid::Uuid;

use crate::error::StoreError;
use crate::identity::{RoleAssignment, ServiceAccountView, UserProfile};

/// Users, their roles, and service accounts, in a unit of work.
#[async_trait]
pub trait Identities: Send {
    /// Finds or creates the user with this identity, and locks its row. Uses this id for a new user. Returns whether
    /// the user is new.
    async fn sign_in(
        &mut self,
        id: UserId,
        provider: &str,
        external_id: &str,
        display_name: &str,
    ) -> Result<(UserProfile, bool), StoreError>;
    /// Returns a user and locks its row.
    async fn lock_user(&mut self, id: UserId) -> Result<Option<UserProfile>, StoreError>;
    /// Serialises changes to the set of superadmins until the end of the unit of work. Returns the superadmins.
    async fn lock_superadmins(&mut self) -> Result<Vec<UserId>, StoreError>;
    /// Grants a role. Returns `None` if the user already has it.
    async fn grant_role(
        &mut self,
        id: Uuid,
        user: UserId,
        role: &str,
        by: Option<UserId>,
    ) -> Result<Option<RoleAssignment>, StoreError>;
    /// Revokes a role. Returns whether the user had it.
    async fn revoke_role(&mut self, user: UserId, role: &str) -> Result<bool, StoreError>;
    /// Disables a service account, or enables it with `None`. Returns its new state and whether it changed.
    async fn set_disabled(
        &mut self,
        id: ServiceAccountId,
        disabled: Option<(&Actor, &str)>,
    ) -> Result<Option<(ServiceAccountView, bool)>, StoreError>;
}
