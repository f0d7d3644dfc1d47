//! Refresh tokens and devices.

use std::time::Duration;

use async_trait::async_trait;
use domain::UserId;
use uuid::Uuid;

use crate::error::StoreError;

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
