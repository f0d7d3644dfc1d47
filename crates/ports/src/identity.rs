//! Users, roles, service accounts and sign-in: what the use cases around identities need.

use std::time::Duration;

use async_trait::async_trait;
use domain::{Actor, ServiceAccountId, UserId};
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
    /// Makes the local administrator of dev mode (wire contract 3), if there is none.
    async fn ensure_local_admin(&self) -> Result<(), StoreError>;
}

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

/// A refresh token as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The tokens that came of one sign-in.
    pub family: Uuid,
    /// Whose it is.
    pub user: UserId,
    /// Whether it was used before.
    pub used: bool,
    /// Whether its time is over.
    pub expired: bool,
    /// Whether its family was revoked.
    pub revoked: bool,
}

/// A device's request to be let in (RFC 8628), as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// What the person types.
    pub user_code: String,
    /// The user who said yes, if one did.
    pub user: Option<UserId>,
    /// Whether the device has fetched its tokens.
    pub consumed: bool,
    /// Whether its time is over.
    pub expired: bool,
}

/// Refresh tokens and devices, in a unit of work. Only hashes of secrets are kept; times are by the database's clock.
#[async_trait]
pub trait Sessions: Send {
    /// Opens a family of refresh tokens.
    async fn open_family(&mut self, family: Uuid, user: UserId) -> Result<(), StoreError>;
    /// Keeps a new refresh token; forgets some that expired long ago.
    async fn keep_token(
        &mut self,
        hash: [u8; 32],
        family: Uuid,
        user: UserId,
        lifetime: Duration,
    ) -> Result<(), StoreError>;
    /// The token with this hash, and locks its family until the end of the unit of work.
    async fn lock_token(&mut self, hash: [u8; 32]) -> Result<Option<RefreshToken>, StoreError>;
    /// Marks a token as used.
    async fn use_token(&mut self, hash: [u8; 32]) -> Result<(), StoreError>;
    /// Revokes a family; one that is revoked stays so.
    async fn revoke_family(&mut self, family: Uuid, why: &str) -> Result<(), StoreError>;
    /// Keeps a device's request; forgets those whose time is over. `false` when the code is taken, or when `most` requests are waiting.
    async fn keep_device(
        &mut self,
        hash: [u8; 32],
        user_code: &str,
        lifetime: Duration,
        most: u32,
    ) -> Result<bool, StoreError>;
    /// The request that a person typed the code of; its row is locked.
    async fn lock_user_code(&mut self, user_code: &str) -> Result<Option<DeviceRequest>, StoreError>;
    /// A user says yes to a request.
    async fn authorize_device(&mut self, user_code: &str, user: UserId) -> Result<(), StoreError>;
    /// The device's own request; its row is locked.
    async fn lock_device(&mut self, hash: [u8; 32]) -> Result<Option<DeviceRequest>, StoreError>;
    /// The device has its tokens.
    async fn consume_device(&mut self, hash: [u8; 32]) -> Result<(), StoreError>;
}

/// Who somebody is at an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalIdentity {
    /// The provider's id of the person, such as an ORCID iD.
    pub external_id: String,
    /// What people call them.
    pub display_name: String,
}

/// Why an identity provider did not say who somebody is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityProviderError {
    /// It refused the code.
    #[error("the identity provider refused the code")]
    Refused,
    /// It could not be reached, or answered what cannot be read.
    #[error("the identity provider cannot be used now: {0}")]
    Unavailable(String),
}

/// Where people sign in, by OAuth 2.0 with PKCE (RFC 6749 4.1, RFC 7636).
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// Its name: the `provider` of its users.
    fn name(&self) -> &str;
    /// Our id there.
    fn client_id(&self) -> &str;
    /// Where to send a browser.
    fn authorization_url(&self, redirect_uri: &str, state: &str, code_challenge: &str) -> String;
    /// Who the person is that came back with this code.
    async fn identify(
        &self,
        code: &str,
        redirect_uri: &str,
        code_verifier: &str,
    ) -> Result<ExternalIdentity, IdentityProviderError>;
}

/// Public keys as they are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyDocument {
    /// One key in PEM.
    Pem {
        /// Its id, as configured.
        kid: Option<String>,
        /// The PEM.
        text: String,
    },
    /// A JWKS document (RFC 7517 5).
    Jwks(String),
}

/// Where an issuer publishes keys: a file or a URL.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// What it is called in logs.
    fn describe(&self) -> String;
    /// Reads it now; bounded in time and size. The error is a sentence for the log.
    async fn read(&self) -> Result<KeyDocument, String>;
}

/// Random bytes that nobody can guess.
pub trait Randomness: Send + Sync {
    /// 32 of them.
    fn bytes(&self) -> [u8; 32];
}
