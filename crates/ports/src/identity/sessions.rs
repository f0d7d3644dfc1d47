//! Refresh tokens and devices.

use std::time::Duration;

use async_trait::async_trait;
use domain::UserId;
use uuid::Uuid;

use crate::error::StoreError;

/// A refresh token as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The family: all tokens of one sign-in.
    pub family: Uuid,
    /// Its user.
    pub user: UserId,
    /// Whether it was used before.
    pub used: bool,
    /// Whether it has expired.
    pub expired: bool,
    /// Whether its family was revoked.
    pub revoked: bool,
}

/// A device authorization request (RFC 8628) as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// The code that the person types.
    pub user_code: String,
    /// The user who approved it, if one did.
    pub user: Option<UserId>,
    /// Whether the device has fetched its tokens.
    pub consumed: bool,
    /// Whether it has expired.
    pub expired: bool,
}

/// Maximum numbers of pending requests of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceBounds {
    /// Of one client.
    pub per_client: u32,
    /// Of all clients.
    pub total: u32,
}

/// Refresh tokens and devices, in a unit of work. Only hashes of secrets are stored; times are by the database's
/// clock.
#[async_trait]
pub trait Sessions: Send {
    /// Opens a family of refresh tokens.
    async fn open_family(&mut self, family: Uuid, user: UserId) -> Result<(), StoreError>;
    /// Stores a new refresh token, and deletes some that expired long ago.
    async fn store_token(
        &mut self,
        hash: [u8; 32],
        family: Uuid,
        user: UserId,
        lifetime: Duration,
    ) -> Result<(), StoreError>;
    /// Returns the token with this hash, and locks its family until the end of the unit of work.
    async fn lock_token(&mut self, hash: [u8; 32]) -> Result<Option<RefreshToken>, StoreError>;
    /// Marks a token as used.
    async fn use_token(&mut self, hash: [u8; 32]) -> Result<(), StoreError>;
    /// Revokes a family. A revoked family stays revoked.
    async fn revoke_family(&mut self, family: Uuid, why: &str) -> Result<(), StoreError>;
    /// Stores a device's request, and deletes expired ones. If the client has as many pending requests as it may, its
    /// oldest ones are deleted: they make way for its own new one, and no other client's does. Returns `false` if the
    /// code is in use, or if as many requests of all clients are pending as may be.
    async fn store_device(
        &mut self,
        hash: [u8; 32],
        user_code: &str,
        client: [u8; 32],
        lifetime: Duration,
        bounds: DeviceBounds,
    ) -> Result<bool, StoreError>;
    /// Returns the request with this user code, and locks its row.
    async fn lock_user_code(&mut self, user_code: &str) -> Result<Option<DeviceRequest>, StoreError>;
    /// Records that a user approved a request.
    async fn authorize_device(&mut self, user_code: &str, user: UserId) -> Result<(), StoreError>;
    /// Returns the device's own request, and locks its row.
    async fn lock_device(&mut self, hash: [u8; 32]) -> Result<Option<DeviceRequest>, StoreError>;
    /// Marks that the device has fetched its tokens.
    async fn consume_device(&mut self, hash: [u8; 32]) -> Result<(), StoreError>;
}
