//! Files and logs.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::StoreError;

/// Content that comes in pieces; an error is the reader's or the writer's own, not the store's.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// What a stream was kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptBlob {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
}

/// Why a stream was not kept. Nothing is there under the key then.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The stream broke off.
    #[error("the content broke off")]
    Source(#[source] io::Error),
    /// It has more bytes than may be.
    #[error("the content has more than {0} bytes")]
    TooLarge(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps immutable files by key. Every server of a node reaches the same files.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Keeps `bytes` under `key`, whole or not at all; what was there before is replaced.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError>;
    /// What is kept under `key`.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError>;
    /// Keeps `content` under `key` in bounded memory, if it has at most `most` bytes; whole or not at all.
    async fn put_stream(&self, key: &str, content: ByteStream, most: u64) -> Result<KeptBlob, PutError>;
    /// What is kept under `key`, with its size.
    async fn get_stream(&self, key: &str) -> Result<Option<(u64, ByteStream)>, StoreError>;
    /// Removes what is kept under `key`, if anything is.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
    /// Removes everything whose key begins with `prefix` and a slash; gives how many it were.
    async fn delete_all(&self, prefix: &str) -> Result<u64, StoreError>;
}
