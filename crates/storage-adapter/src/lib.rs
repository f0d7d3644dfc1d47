//! Files and logs on the `object_store` crate: a local directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ports::{Blobs, StoreError};

/// Keeps files in an object store.
#[derive(Clone, Debug)]
pub struct BlobStore {
    store: Arc<dyn ObjectStore>,
}

impl BlobStore {
    /// A store in this directory, which is made if it is not there.
    pub fn local(directory: &FilePath) -> Result<Self, StoreError> {
        // Logs are for the server alone; hooks run as another user and know where the data directory is.
        let make = || {
            std::fs::create_dir_all(directory)?;
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
        };
        make().map_err(|e| StoreError::Unavailable(e.into()))?;
        let store = LocalFileSystem::new_with_prefix(directory).map_err(store_error)?;
        Ok(Self {
            store: Arc::new(store),
        })
    }
}

fn store_error(error: object_store::Error) -> StoreError {
    match error {
        object_store::Error::InvalidPath { .. } => StoreError::Internal(error.into()),
        _ => StoreError::Unavailable(error.into()),
    }
}

#[async_trait]
impl Blobs for BlobStore {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let path = Path::parse(key).map_err(|e| StoreError::Internal(e.into()))?;
        self.store
            .put(&path, bytes.into())
            .await
            .map(|_| ())
            .map_err(store_error)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let path = Path::parse(key).map_err(|e| StoreError::Internal(e.into()))?;
        match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map(Some).map_err(store_error),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_put_is_got_and_what_was_not_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let store = BlobStore::local(&directory.path().join("blobs")).unwrap();
        assert_eq!(store.get("logs/a.log").await.unwrap(), None);
        for text in ["first", "second"] {
            store.put("logs/a.log", Bytes::from(text)).await.unwrap();
            assert_eq!(store.get("logs/a.log").await.unwrap(), Some(Bytes::from(text)));
        }
        assert!(store.put("../outside", Bytes::new()).await.is_err());
    }
}
