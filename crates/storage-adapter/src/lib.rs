//! The blob store on the `object_store` crate: a local directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use ports::error::is_full;
use ports::{Blobs, ByteStream, Disk, PutError, StoreError, StoredBlob};
use sha2::{Digest as _, Sha256};

/// The part size of a stream, in bytes: S3 accepts no parts smaller than 5 MiB, except the last.
const PART: usize = 8 * 1024 * 1024;
/// A disk with less room than this, in bytes, counts as full.
const MIN_ROOM: u64 = 1024 * 1024;

/// Stores files in an object store.
#[derive(Clone, Debug)]
pub struct BlobStore {
    store: Arc<dyn ObjectStore>,
    /// The same store, if it is a local directory.
    local: Option<Arc<Local>>,
}

/// A local directory.
#[derive(Debug)]
struct Local {
    files: Arc<LocalFileSystem>,
    directory: PathBuf,
}

impl BlobStore {
    /// Opens a store in this directory, which is created if it does not exist.
    pub fn local(directory: &FilePath) -> Result<Self, StoreError> {
        // Logs are for the server alone; hooks run as another user and know the path of the data directory.
        let make = || {
            std::fs::create_dir_all(directory)?;
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
        };
        make().map_err(io_error)?;
        let store = LocalFileSystem::new_with_prefix(directory)
            .map_err(store_error)?
            .with_automatic_cleanup(true)
            // What the database lists must survive a power failure.
            .with_fsync(true);
        let store = Arc::new(store);
        let local = Local {
            files: Arc::clone(&store),
            directory: directory.to_owned(),
        };
        Ok(Self {
            local: Some(Arc::new(local)),
            store,
        })
    }
}

/// The key of a store's own id.
const ID: &str = "store-id";
/// The key of what a check writes and removes.
const CHECK: &str = "store-check";

impl BlobStore {
    /// Creates a store that ends with the process.
    pub fn in_memory() -> Self {
        Self {
            store: Arc::new(object_store::memory::InMemory::new()),
            local: None,
        }
    }

    /// Returns the store's permanent id; sets it to `new` if there is none yet. Two servers that concurrently use a
    /// new store get the same id.
    pub async fn id(&self, new: uuid::Uuid) -> Result<uuid::Uuid, StoreError> {
        let path = parsed(ID)?;
        let text = Bytes::from(new.to_string());
        let created = self
            .store
            .put_opts(&path, text.into(), object_store::PutMode::Create.into())
            .await;
        match created {
            Ok(_) => Ok(new),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let stored = self.get(ID).await?.unwrap_or_default();
                let stored = std::str::from_utf8(&stored)
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                stored.ok_or_else(|| StoreError::corrupt(ID, "the file store-id holds no UUID"))
            }
            Err(error) => Err(store_error(error)),
        }
    }
}

fn parsed(key: &str) -> Result<Path, StoreError> {
    Path::parse(key).map_err(|e| StoreError::Internal(e.into()))
}

fn store_error(error: object_store::Error) -> StoreError {
    match error {
        object_store::Error::InvalidPath { .. } => StoreError::Internal(error.into()),
        _ if is_full(&error) => StoreError::full(Disk::Files, error),
        _ => StoreError::Unavailable(error.into()),
    }
}

fn io_error(error: std::io::Error) -> StoreError {
    if is_full(&error) {
        StoreError::full(Disk::Files, error)
    } else {
        StoreError::Unavailable(error.into())
    }
}

/// Returns whether a disk has no room for more. One that does not tell its size is not full.
fn has_no_room(directory: &FilePath) -> std::io::Result<bool> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < MIN_ROOM)
}

#[async_trait]
impl Blobs for BlobStore {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let path = parsed(key)?;
        self.store
            .put(&path, bytes.into())
            .await
            .map(|_| ())
            .map_err(store_error)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let path = parsed(key)?;
        match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map(Some).map_err(store_error),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }

    async fn put_stream(&self, key: &str, content: ByteStream, most: u64) -> Result<StoredBlob, PutError> {
        let path = parsed(key)?;
        let mut parts = Parts {
            store: &*self.store,
            path: &path,
            upload: None,
        };
        match parts.write(content, most).await {
            Ok(stored) => Ok(stored),
            Err(error) => {
                if let Some(mut upload) = parts.upload {
                    // Parts that cannot be removed now are never visible under the key.
                    let _ = upload.abort().await;
                }
                Err(error)
            }
        }
    }

    async fn get_stream(&self, key: &str) -> Result<Option<(u64, ByteStream)>, StoreError> {
        match self.store.get(&parsed(key)?).await {
            Ok(found) => {
                let size = found.meta.size;
                Ok(Some((
                    size,
                    found.into_stream().map_err(std::io::Error::other).boxed(),
                )))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.store.delete(&parsed(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(store_error(error)),
        }
    }

    async fn delete_all(&self, prefix: &str) -> Result<u64, StoreError> {
        let prefix = parsed(prefix)?;
        let keys = self
            .store
            .list(Some(&prefix))
            .map_ok(|found| found.location)
            .boxed();
        let mut removed = 0;
        let mut gone = self.store.delete_stream(keys);
        while let Some(one) = gone.next().await {
            match one {
                Ok(_) => removed += 1,
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(store_error(error)),
            }
        }
        if let Some(local) = &self.local {
            // Partial writes of a killed server are not objects and are not listed, but they occupy the directory.
            let directory = local.files.path_to_filesystem(&prefix).map_err(store_error)?;
            match tokio::fs::remove_dir_all(directory).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io_error(error));
                }
                _ => {}
            }
        }
        Ok(removed)
    }

    async fn remove_unfinished(&self, age: Duration) -> Result<u64, StoreError> {
        let Some(local) = self.local.clone() else {
            return Ok(0);
        };
        tokio::task::spawn_blocking(move || remove_unfinished(&local.directory, age))
            .await
            .map_err(|e| StoreError::Internal(e.into()))?
            .map_err(io_error)
    }

    async fn check(&self) -> Result<(), StoreError> {
        if let Some(local) = self.local.clone() {
            let full = tokio::task::spawn_blocking(move || has_no_room(&local.directory)).await;
            if full
                .map_err(|e| StoreError::Internal(e.into()))?
                .map_err(io_error)?
            {
                let why = std::io::Error::from(std::io::ErrorKind::StorageFull);
                return Err(StoreError::full(Disk::Files, why));
            }
        }
        // A quota, or a disk that became read-only, shows only when something is written.
        self.put(CHECK, Bytes::from_static(&[0; 4096])).await?;
        self.delete(CHECK).await
    }
}

/// Removes the files below a directory in which nothing was written for `age` and which are named like a file that is
/// being written. Only these are looked at; of all others only the names are read. Links are not followed.
fn remove_unfinished(directory: &FilePath, age: Duration) -> std::io::Result<u64> {
    let mut removed = 0;
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        let entries = match std::fs::read_dir(&directory) {
            // A server removed it meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() && is_unfinished(&entry.file_name()) {
                match remove_if_old(&entry, age) {
                    Ok(old) => removed += u64::from(old),
                    // Its writer completed it meanwhile.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(removed)
}

/// Returns whether a file's name is one of those under which `object_store` writes: that of the object, `#`, and a number.
/// It refuses such names for objects.
fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    let name = name.to_str().and_then(|name| name.split_once('#'));
    name.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn remove_if_old(entry: &std::fs::DirEntry, age: Duration) -> std::io::Result<bool> {
    // A time in the future is that of another machine's clock, and is not old.
    let old = entry
        .metadata()?
        .modified()?
        .elapsed()
        .is_ok_and(|since| since >= age);
    if old {
        std::fs::remove_file(entry.path())?;
    }
    Ok(old)
}

/// A stream that is being written, part by part.
struct Parts<'a> {
    store: &'a dyn ObjectStore,
    path: &'a Path,
    /// Begun when the first part is full: content that fits into one part is put at once.
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Parts<'_> {
    async fn write(&mut self, mut content: ByteStream, most: u64) -> Result<StoredBlob, PutError> {
        let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
        let mut part = BytesMut::new();
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(PutError::Source)?;
            bytes = bytes.saturating_add(chunk.len() as u64);
            if bytes > most {
                return Err(PutError::TooLarge(most));
            }
            hash.update(&chunk);
            part.extend_from_slice(&chunk);
            while part.len() >= PART {
                let full = part.split_to(PART).freeze();
                self.put_part(full).await?;
            }
        }
        let rest = part.freeze();
        if self.upload.is_none() {
            self.store
                .put(self.path, rest.into())
                .await
                .map_err(store_error)?;
        } else {
            if !rest.is_empty() {
                self.put_part(rest).await?;
            }
            if let Some(upload) = &mut self.upload {
                upload.complete().await.map_err(store_error)?;
            }
        }
        Ok(StoredBlob {
            bytes,
            sha256: hash.finalize().into(),
        })
    }

    async fn put_part(&mut self, part: Bytes) -> Result<(), StoreError> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.store.put_multipart(self.path).await.map_err(store_error)?),
        };
        upload.put_part(part.into()).await.map_err(store_error)
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

    fn stream(chunks: Vec<std::io::Result<Bytes>>) -> ByteStream {
        futures::stream::iter(chunks).boxed()
    }

    #[tokio::test]
    async fn a_stream_is_stored_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let store = BlobStore::local(&directory.path().join("blobs")).unwrap();
        let chunk = Bytes::from(vec![7_u8; 3 * 1024 * 1024]);
        for count in [0_usize, 1, 7] {
            let chunks = vec![chunk.clone(); count];
            let stored = store
                .put_stream(
                    "files/a/b",
                    stream(chunks.into_iter().map(Ok).collect()),
                    u64::MAX,
                )
                .await
                .unwrap();
            let whole = vec![7_u8; count * chunk.len()];
            assert_eq!(stored.bytes, whole.len() as u64);
            assert_eq!(stored.sha256, <[u8; 32]>::from(Sha256::digest(&whole)));
            let (size, content) = store.get_stream("files/a/b").await.unwrap().unwrap();
            assert_eq!(size, stored.bytes);
            let read: Vec<Bytes> = content.try_collect().await.unwrap();
            assert_eq!(read.concat(), whole);
        }
        let broken = vec![
            Ok(chunk.clone()),
            Ok(chunk.clone()),
            Ok(chunk.clone()),
            Err(std::io::Error::other("gone")),
        ];
        let error = store
            .put_stream("files/c", stream(broken), u64::MAX)
            .await
            .unwrap_err();
        assert!(matches!(error, PutError::Source(_)));
        let large = vec![Ok(chunk.clone()); 4]
            .into_iter()
            .map(|c: Result<Bytes, ()>| Ok(c.unwrap()))
            .collect();
        let error = store
            .put_stream("files/c", stream(large), 10 * 1024 * 1024)
            .await
            .unwrap_err();
        assert!(matches!(error, PutError::TooLarge(_)));
        assert!(store.get_stream("files/c").await.unwrap().is_none());
        let names: Vec<_> = std::fs::read_dir(directory.path().join("blobs/files"))
            .unwrap()
            .collect();
        assert_eq!(
            names.len(),
            1,
            "nothing is left of the unfinished stream: {names:?}"
        );
    }

    // proves ISO-3
    #[tokio::test]
    async fn what_a_killed_server_left_goes_and_what_a_living_one_writes_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blobs");
        let store = BlobStore::local(&path).unwrap();
        let old = std::time::SystemTime::now() - Duration::from_secs(7200);
        let hour = Duration::from_secs(3600);
        for key in ["a/b/x", "e"] {
            store.put(key, Bytes::from_static(b"1")).await.unwrap();
        }
        // An upload of the other server, which is between two parts.
        let mut upload = store.store.put_multipart(&parsed("a/y").unwrap()).await.unwrap();
        upload.put_part(vec![1_u8; 10].into()).await.unwrap();
        for name in ["a/b/x#1", "e#12", "a/b/x", "c#d", "e"] {
            let file = std::fs::File::options()
                .create(true)
                .append(true)
                .open(path.join(name))
                .unwrap();
            file.set_modified(old).unwrap();
        }
        std::os::unix::fs::symlink(directory.path(), path.join("out")).unwrap();
        std::fs::write(directory.path().join("f#1"), b"not of the store").unwrap();
        assert_eq!(store.remove_unfinished(hour).await.unwrap(), 2);
        assert_eq!(store.remove_unfinished(hour).await.unwrap(), 0);
        assert!(directory.path().join("f#1").exists());
        upload.complete().await.unwrap();
        assert!(path.join("c#d").exists(), "such a name is none of those");
        for (key, length) in [("a/b/x", 1), ("e", 1), ("a/y", 10)] {
            assert_eq!(store.get(key).await.unwrap().unwrap().len(), length, "{key}");
        }
        assert_eq!(BlobStore::in_memory().remove_unfinished(hour).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_check_leaves_nothing_and_needs_a_directory_that_can_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blobs");
        let store = BlobStore::local(&path).unwrap();
        store.check().await.unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        BlobStore::in_memory().check().await.unwrap();
        std::fs::remove_dir(&path).unwrap();
        assert!(matches!(store.check().await, Err(StoreError::Unavailable(_))));
    }

    #[tokio::test]
    async fn what_is_below_a_prefix_goes_with_it_and_its_neighbours_stay() {
        let directory = tempfile::tempdir().unwrap();
        let store = BlobStore::local(&directory.path().join("blobs")).unwrap();
        for key in ["a/1/x", "a/1/y/z", "a/10", "b"] {
            store.put(key, Bytes::from_static(b"1")).await.unwrap();
        }
        assert_eq!(store.delete_all("a/1").await.unwrap(), 2);
        assert_eq!(store.delete_all("a/1").await.unwrap(), 0);
        assert!(store.get("a/10").await.unwrap().is_some());
        // Unfinished uploads are removed, too.
        store.put("a/1/x", Bytes::from_static(b"1")).await.unwrap();
        let begun = directory.path().join("blobs/a/1/y#1");
        std::fs::write(&begun, b"half").unwrap();
        assert_eq!(store.delete_all("a/1").await.unwrap(), 1);
        assert!(!begun.exists() && store.get("a/10").await.unwrap().is_some());
        store.delete("b").await.unwrap();
        store.delete("b").await.unwrap();
        assert!(store.get("b").await.unwrap().is_none());
    }
}
