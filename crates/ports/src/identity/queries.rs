//! Reads of users, roles and service accounts.

use async_trait::async_trait;
use domain::{ServiceAccountId, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::StoreError;

/// A role that a user was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Its id.
    pub id: Uuid,
    /// The user.
    pub user: UserId,
    /// The role, by name.
    pub role: String,
    /// Who gave it; nobody where the node did itself.
    pub assigned_by: Option<UserId>,
    /// When.
    pub assigned_at: OffsetDateTime,
}

/// A user as the database knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserProfile {
    /// The id.
    pub id: UserId,
    /// What people call them.
    pub display_name: String,
    /// The identity provider.
    pub provider: String,
    /// The provider's id.
    pub external_id: String,
    /// The roles, by name.
    pub roles: Vec<String>,
}

/// A service account (AUT-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountView {
    /// Its stable id.
    pub id: ServiceAccountId,
    /// Who vouches for it.
    pub issuer: String,
    /// The issuer's name for it.
    pub subject: String,
    /// When it first came.
    pub first_seen: OffsetDateTime,
    /// When it last came, to about a minute.
    pub last_seen: OffsetDateTime,
    /// That it is disabled, while it is.
    pub disabled: Option<Disabled>,
}

/// Users and service accounts, outside any unit of work.
#[async_trait]
pub trait IdentityQueries: Send + Sync {
    /// A user.
    async fn user(&self, id: UserId) -> Result<Option<UserProfile>, StoreError>;
    /// The roles of a user, lowest name first; none where there is no such user.
    async fn roles(&self, id: UserId) -> Result<Option<Vec<RoleAssignment>>, StoreError>;
    /// At most `most` users after this id, by id.
    async fn users(&self, after: Option<UserId>, most: u32) -> Result<Vec<UserProfile>, StoreError>;
    /// Writes down that a service account was seen (AUT-3), at most about once a minute per account; gives whether it is enabled.
    async fn see_service_account(&self, issuer: &str, subject: &str) -> Result<bool, StoreError>;
    /// A service account.
    async fn service_account(&self, id: ServiceAccountId) -> Result<Option<ServiceAccountView>, StoreError>;
    /// At most `most` service accounts after this id, by id.
    async fn service_accounts(
        &self,
        after: Option<ServiceAccountId>,
        most: u32,
    ) -> Result<Vec<ServiceAccountView>, StoreError>;
    /// Makes the local administrator of dev mode (WC-3), if there is none.
    async fn ensure_local_admin(&self) -> Result<(), StoreError>;
}

/// That a service account is disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// When.
    pub at: OffsetDateTime,
    /// Who did it.
    pub by: Option<UserId>,
    /// Why.
    pub reason: Option<String>,
}
