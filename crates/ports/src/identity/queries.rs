//! Reads of users, roles and service accounts.

use async_trait::async_trait;
use domain::{ServiceAccountId, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::StoreError;

/// A role that was granted to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Its id.
    pub id: Uuid,
    /// The user.
    pub user: UserId,
    /// The role, by name.
    pub role: String,
    /// Who granted it; `None` if the node itself did.
    pub assigned_by: Option<UserId>,
    /// When it was granted.
    pub assigned_at: OffsetDateTime,
}

/// A user as stored in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserProfile {
    /// The id.
    pub id: UserId,
    /// The display name.
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
    /// The issuer of its tokens.
    pub issuer: String,
    /// The issuer's name for it.
    pub subject: String,
    /// When it was first seen.
    pub first_seen: OffsetDateTime,
    /// When it was last seen, to about a minute.
    pub last_seen: OffsetDateTime,
    /// When, by whom and why it was disabled, while it is.
    pub disabled: Option<Disabled>,
}

/// Users and service accounts, outside any unit of work.
#[async_trait]
pub trait IdentityQueries: Send + Sync {
    /// Returns a user.
    async fn user(&self, id: UserId) -> Result<Option<UserProfile>, StoreError>;
    /// Returns the roles of a user, lowest name first; `None` for an unknown user.
    async fn roles(&self, id: UserId) -> Result<Option<Vec<RoleAssignment>>, StoreError>;
    /// Returns at most `most` users after this id, ordered by id.
    async fn users(&self, after: Option<UserId>, most: u32) -> Result<Vec<UserProfile>, StoreError>;
    /// Records that a service account was seen (AUT-3), at most about once a minute per account. Returns whether it
    /// is enabled.
    async fn see_service_account(&self, issuer: &str, subject: &str) -> Result<bool, StoreError>;
    /// Returns whether a sign-in, which is a family of refresh tokens, exists and was not revoked.
    async fn is_session_open(&self, family: Uuid) -> Result<bool, StoreError>;
    /// Returns a service account.
    async fn service_account(&self, id: ServiceAccountId) -> Result<Option<ServiceAccountView>, StoreError>;
    /// Returns at most `most` service accounts after this id, ordered by id.
    async fn service_accounts(
        &self,
        after: Option<ServiceAccountId>,
        most: u32,
    ) -> Result<Vec<ServiceAccountView>, StoreError>;
    /// Creates the local administrator of dev mode (WC-3), if it does not exist.
    async fn ensure_local_admin(&self) -> Result<(), StoreError>;
}

/// When, by whom and why a service account was disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// When it was disabled.
    pub at: OffsetDateTime,
    /// Who disabled it.
    pub by: Option<UserId>,
    /// The reason.
    pub reason: Option<String>,
}
