//! Laying out the files of records for hooks.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use domain::TaskId;
use futures::TryStreamExt as _;
use ports::{Blobs, RecordFile, RunnerError, StagedFiles};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::workdir::{fresh, remove};

/// A directory of staged files.
struct Staged(std::path::PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // Remnants are removed by `remove_all` at the next start.
        let _ = remove(&self.0);
    }
}

/// Copies `files` out of `blobs` into a new directory below `root`, as `<record>/<name>`, where the record's
/// directory is named by [`domain::SourceId::directory_name`] (WC-D11). The files are readable by all users and writable by none.
///
/// Fails if a file is missing: a record whose file is lost must not be judged as one that never had it.
pub async fn stage(
    root: &Path,
    task: TaskId,
    blobs: &dyn Blobs,
    files: &[RecordFile],
) -> Result<StagedFiles, RunnerError> {
    let failed = |e: io::Error| RunnerError::new("lay the records' files out", e);
    let path = fresh(root, task.as_uuid()).map_err(failed)?;
    let guard = Arc::new(Staged(path.clone()));
    for file in files {
        let directory = path.join(file.record.directory_name());
        match fs::create_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let content = blobs.get_stream(&file.key).await;
        let content = content.map_err(|e| RunnerError::new("fetch a record's file", e))?;
        let Some((_, content)) = content else {
            return Err(RunnerError::new(
                "lay the records' files out",
                format!(
                    "the file {:?} of {:?} is missing in the blob store",
                    file.name.as_str(),
                    file.record.as_str()
                ),
            ));
        };
        let mut content = content;
        let mut to = tokio::fs::File::create_new(directory.join(file.name.as_str()))
            .await
            .map_err(failed)?;
        let mut hash = Sha256::new();
        while let Some(piece) = content.try_next().await.map_err(failed)? {
            hash.update(&piece);
            to.write_all(&piece).await.map_err(failed)?;
        }
        to.flush().await.map_err(failed)?;
        if hash.finalize()[..] != file.sha256 {
            return Err(RunnerError::new(
                "lay the records' files out",
                format!(
                    "the file {:?} of {:?} in the blob store is not what was stored",
                    file.name.as_str(),
                    file.record.as_str()
                ),
            ));
        }
        to.set_permissions(Permissions::from_mode(0o444))
            .await
            .map_err(failed)?;
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).map_err(failed)?;
    }
    // The random part of its name keeps other hooks out, as with work directories.
    fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(failed)?;
    Ok(StagedFiles::new(path, guard))
}
