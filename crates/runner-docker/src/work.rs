//! Work directories on an async runtime: everything that blocks runs on a thread for blocking work.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use domain::{FileName, SourceId};
use ports::{PulledFile, PulledFiles, RunnerError};
use runner_workdir::WorkDir;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// Runs `body` on a thread for blocking work.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RunnerError> {
    spawn_blocking(body).await.map_err(|e| RunnerError::new(what, e))
}

/// A work directory that is removed on a thread for blocking work, wherever it is dropped.
#[derive(Debug)]
pub(crate) struct Work {
    path: PathBuf,
    /// `None` only while it is read or removed.
    dir: Option<WorkDir>,
}

impl Work {
    /// Creates a work directory with `make`.
    pub(crate) async fn make(
        make: impl FnOnce() -> std::io::Result<WorkDir> + Send + 'static,
    ) -> Result<Self, RunnerError> {
        const WHAT: &str = "make a work directory";
        let dir = blocking(WHAT, make)
            .await?
            .map_err(|e| RunnerError::new(WHAT, e))?;
        Ok(Self {
            path: dir.path().to_owned(),
            dir: Some(dir),
        })
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads from it with `body`.
    pub(crate) async fn read<T: Send + 'static>(
        mut self,
        body: impl FnOnce(&WorkDir) -> T + Send + 'static,
    ) -> Result<(Self, T), RunnerError> {
        const WHAT: &str = "read the output";
        let dir = self
            .dir
            .take()
            .ok_or_else(|| RunnerError::new(WHAT, "it is gone"))?;
        let (dir, read) = blocking(WHAT, move || {
            let read = body(&dir);
            (dir, read)
        })
        .await?;
        self.dir = Some(dir);
        Ok((self, read))
    }

    /// Removes it, and waits for that.
    pub(crate) async fn remove(mut self) {
        if let Some(dir) = self.dir.take() {
            // What cannot be removed is left for `clean_stale`.
            let _ = blocking("remove the work directory", move || drop(dir)).await;
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Without a runtime, the field's own drop removes it.
        if let (Some(dir), Ok(runtime)) = (self.dir.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(dir));
        }
    }
}

#[async_trait]
impl PulledFiles for Work {
    async fn open(&self, record: &SourceId, name: &FileName) -> Result<Option<PulledFile>, RunnerError> {
        match &self.dir {
            Some(dir) => dir.open(record, name).await,
            None => Ok(None),
        }
    }
}
