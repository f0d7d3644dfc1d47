//! Users, roles and service accounts.

use async_trait::async_trait;
use domain::{Actor, ServiceAccountId, UserId};
use uuid::Uuid;

use crate::error::StoreError;
use crate::identity::{RoleAssignment, ServiceAccountView, UserProfile};

/// Users, their roles, and service accounts, in a unit of work.
#[async_trait]
pub trait Identities: Send {
    /// The user with this identity, whose row is locked; made with this id if there is none. Gives whether it is new.
    async fn sign_in(
        &mut self,
        id: UserId,
        provider: &str,
        external_id: &str,
        display_name: &str,
    ) -> Result<(UserProfile, bool), StoreError>;
    /// A user, whose row is locked.
    async fn lock_user(&mut self, id: UserId) -> Result<Option<UserProfile>, StoreError>;
    /// Serialises changes of who is superadmin until the end of the unit of work; gives who is.
    async fn lock_superadmins(&mut self) -> Result<Vec<UserId>, StoreError>;
    /// Gives a role; `None` when the user has it.
    async fn grant_role(
        &mut self,
        id: Uuid,
        user: UserId,
        role: &str,
        by: Option<UserId>,
    ) -> Result<Option<RoleAssignment>, StoreError>;
    /// Takes a role; gives whether the user had it.
    async fn revoke_role(&mut self, user: UserId, role: &str) -> Result<bool, StoreError>;
    /// Disables a service account, or enables it with `None`. Gives it as it is afterwards and whether that changed anything.
    async fn set_disabled(
        &mut self,
        id: ServiceAccountId,
        disabled: Option<(&Actor, &str)>,
    ) -> Result<Option<(ServiceAccountView, bool)>, StoreError>;
}
