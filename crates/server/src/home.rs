//! The server's data directory: its lock, its lasting name, its secret.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use uuid::Uuid;

/// The data directory of a running server. Two servers cannot share one.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    /// The lasting name of this directory's workers.
    pub(crate) worker: String,
    /// Held until the process ends, however it ends.
    _lock: File,
}

impl Home {
    /// Opens a data directory, which is made if it is not there.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        if !path.exists() {
            fs::create_dir_all(path).with_context(|| format!("data_dir: {shown} cannot be made"))?;
            // Hooks and the embedded PostgreSQL run as other users, who must get through, but not list.
            fs::set_permissions(path, fs::Permissions::from_mode(0o711))
                .with_context(|| format!("data_dir: {shown} cannot be opened for other users"))?;
        }
        let path = path
            .canonicalize()
            .with_context(|| format!("data_dir: {shown} cannot be opened"))?;
        let name = path.join("worker");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .with_context(|| format!("{} cannot be opened", name.display()))?;
        if lock.try_lock().is_err() {
            bail!("data_dir: {shown} is in use by another hallmark; each server needs its own");
        }
        let mut worker = String::new();
        lock.read_to_string(&mut worker)
            .with_context(|| format!("{} cannot be read", name.display()))?;
        let mut worker = worker.trim().to_owned();
        if worker.is_empty() {
            let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let host = host.trim();
            worker = format!(
                "{}-{}",
                if host.is_empty() { "worker" } else { host },
                &Uuid::new_v4().simple().to_string()[..12]
            );
            lock.write_all(worker.as_bytes())
                .and_then(|()| lock.sync_all())
                .with_context(|| format!("{} cannot be written", name.display()))?;
        }
        Ok(Self {
            path,
            worker,
            _lock: lock,
        })
    }

    /// A path in the directory.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The secret of this node's own tokens, made at the first start and readable by the server only.
    pub(crate) fn secret(&self) -> anyhow::Result<String> {
        let file = self.join("jwt-secret");
        if let Ok(secret) = fs::read_to_string(&file) {
            return Ok(secret.trim().to_owned());
        }
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        // Whole or not at all: a server that dies here must not leave half a secret.
        let fresh = self.join("jwt-secret.new");
        let write = || {
            let mut out = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            out.write_all(secret.as_bytes())?;
            out.sync_all()?;
            fs::rename(&fresh, &file)
        };
        write().with_context(|| format!("{} cannot be written", file.display()))?;
        Ok(secret)
    }
}
