//! The cluster's own directory: its names, its lock, its password, its log.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::error::{Error, io};

/// A log larger than this, in bytes, is renamed at the next start.
const LOG_LIMIT: u64 = 10 * 1024 * 1024;
/// How much of the log an error shows, in bytes and in lines.
const TAIL: (u64, usize) = (8 * 1024, 20);

/// The names inside the cluster's directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Returns the path where `initdb` works, before it becomes `data`.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.root.join("data.init")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("socket")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.root.join("password")
    }

    /// Takes the lock, which lasts while the returned file is open. The kernel releases it when this process ends,
    /// however it ends.
    pub(crate) async fn lock(&self, wait: Duration) -> Result<File, Error> {
        let path = self.root.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io("open", &path))?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
                Err(TryLockError::WouldBlock) if begin.elapsed() >= wait => {
                    return Err(Error::Locked {
                        directory: self.root.clone(),
                        waited: wait,
                    });
                }
                Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Returns the password; a new one if there is no data that an old one belongs to.
    pub(crate) fn password(&self) -> Result<String, Error> {
        let file = self.password_file();
        match fs::read_to_string(&file) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io("read", &file)(error)),
        }
        let data = self.data();
        if data.exists() {
            return Err(Error::PasswordMissing { file, data });
        }
        let password = random_hex(32)?;
        // Whole or not at all: the data directory is useless without it.
        let part = self.root.join("password.part");
        write_private(&part, &password)?;
        fs::rename(&part, &file).map_err(io("write", &file))?;
        sync(&self.root)?;
        Ok(password)
    }

    /// Opens the log for appending, and returns where this start's part begins.
    pub(crate) fn open_log(&self) -> Result<(File, u64), Error> {
        let path = self.log();
        if fs::metadata(&path).is_ok_and(|found| found.len() > LOG_LIMIT) {
            fs::rename(&path, self.root.join("postgres.log.1")).map_err(io("rename", &path))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(io("open the log", &path))?;
        let begin = file.metadata().map_err(io("read", &path))?.len();
        Ok((file, begin))
    }

    /// Returns the last lines of the log, from the position `begin` on.
    pub(crate) fn log_tail(&self, begin: u64) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(self.log())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(begin.max(length.saturating_sub(TAIL.0))))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes)),
            Err(error) => format!("(not readable: {error})"),
        }
    }
}

/// Returns the last lines of a program's output.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(TAIL.1)..].join("\n")
}

/// Writes a file that only the current user can read, and flushes it to disk.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    // A leftover may have another mode or owner: the mode counts for a new file only.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("remove", path)(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io("write", path))?;
    writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .map_err(io("write", path))
}

/// Flushes a directory to disk, so that a rename in it is durable.
pub(crate) fn sync(directory: &Path) -> Result<(), Error> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(io("flush", directory))
}

/// Removes a directory tree if it exists.
pub(crate) async fn remove_tree(path: &Path) -> Result<(), Error> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Returns `bytes` random bytes from the system, as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> Result<String, Error> {
    let source = Path::new("/dev/urandom");
    let mut buffer = vec![0_u8; bytes];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut buffer))
        .map_err(io("read", source))?;
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    Ok(buffer
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect())
}
