//! The blob store: files and logs.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::StoreError;

/// Content that arrives in pieces. An error comes from the reader or the writer, not from the store.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Size and checksum of a stored stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
}

/// Why a stream was not stored. Nothing exists under the key then.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The stream ended early.
    #[error("the content ended unexpectedly")]
    Source(#[source] io::Error),
    /// It exceeds the maximum size, in bytes.
    #[error("the content has more than {0} bytes")]
    TooLarge(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An immutable blob store, addressed by key. Every server of a node reaches the same files.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores `bytes` under `key`, whole or not at all. Replaces any earlier content.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError>;
    /// Returns the content under `key`.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError>;
    /// Stores `content` under `key` in bounded memory if it has at most `most` bytes, whole or not at all.
    async fn put_stream(&self, key: &str, content: ByteStream, most: u64) -> Result<StoredBlob, PutError>;
    /// Returns the content under `key` as a stream, with its size in bytes.
    async fn get_stream(&self, key: &str) -> Result<Option<(u64, ByteStream)>, StoreError>;
    /// Removes the content under `key`, if there is any.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
    /// Removes every key that begins with `prefix` and a slash. Returns the number of removed keys.
    async fn delete_all(&self, prefix: &str) -> Result<u64, StoreError>;
    /// Removes what servers that were killed while they stored something left, if nothing was written to it for so long.
    /// No key names it. Returns how much was removed.
    ///
    /// Servers that live may be storing something meanwhile, so `age` must be longer than any of them goes without
    /// writing; otherwise what it stores fails, and is not stored.
    async fn remove_unfinished(&self, age: Duration) -> Result<u64, StoreError>;
    /// Checks that something can be stored: [`StoreError::Full`] if there is no room.
    async fn check(&self) -> Result<(), StoreError>;
}
