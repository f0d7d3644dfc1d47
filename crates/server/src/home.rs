//! The server's data directory: its lock, its persistent worker name, its secret.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use uuid::Uuid;

/// The data directory of a running server. Only one server can use it at a time.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    /// Persistent name of this directory's workers.
    pub(crate) worker: String,
    /// Held until the process ends, even abnormally.
    _lock: File,
}

impl Home {
    /// Opens a data directory and creates it if necessary.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        if !path.exists() {
            fs::create_dir_all(path).with_context(|| format!("data_dir: cannot create {shown}"))?;
            // Hooks and the embedded PostgreSQL run as other users. They must be able to traverse the directory, but
            // not list it.
            fs::set_permissions(path, fs::Permissions::from_mode(0o711))
                .with_context(|| format!("data_dir: cannot set the permissions of {shown}"))?;
        }
        let path = path
            .canonicalize()
            .with_context(|| format!("data_dir: cannot open {shown}"))?;
        let name = path.join("worker");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .with_context(|| format!("cannot open {}", name.display()))?;
        if lock.try_lock().is_err() {
            bail!("data_dir: {shown} is in use by another hallmark; each server needs its own");
        }
        let mut worker = String::new();
        lock.read_to_string(&mut worker)
            .with_context(|| format!("cannot read {}", name.display()))?;
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
                .with_context(|| format!("cannot write {}", name.display()))?;
        }
        Ok(Self {
            path,
            worker,
            _lock: lock,
        })
    }

    /// Returns a path inside the directory.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the path of the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the secret of this node's own tokens, created at the first start and readable by the server only.
    pub(crate) fn secret(&self) -> anyhow::Result<String> {
        let file = self.join("jwt-secret");
        if let Ok(secret) = fs::read_to_string(&file) {
            return Ok(secret.trim().to_owned());
        }
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        // Atomic: a server that dies here must not leave a partial secret.
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
        write().with_context(|| format!("cannot write {}", file.display()))?;
        Ok(secret)
    }
}
