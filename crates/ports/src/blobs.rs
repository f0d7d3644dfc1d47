//! Files and logs.

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;

/// Keeps immutable files by key.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Keeps `bytes` under `key`, whole or not at all; what was there before is replaced.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError>;
    /// What is kept under `key`.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError>;
}
