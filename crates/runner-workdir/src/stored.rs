//! Files that the server reads at any place: the output of hooks, and what is too much for its memory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::work::rows::{Content, Spill};
use uuid::Uuid;

/// The first bytes of an open file. Its name may be gone.
#[derive(Debug)]
pub(crate) struct Stored {
    file: File,
    size: AtomicU64,
}

impl Stored {
    /// Wraps the first `size` bytes of a file.
    pub(crate) const fn new(file: File, size: u64) -> Self {
        Self {
            file,
            size: AtomicU64::new(size),
        }
    }
}

impl Content for Stored {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size().saturating_sub(offset);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        loop {
            match self.file.read_at(&mut buffer[..most], offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }
}

impl Spill for Stored {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let end = self.size();
        self.file.write_all_at(bytes, end)?;
        self.size.store(end + bytes.len() as u64, Ordering::Release);
        Ok(())
    }
}

/// What the name of a spill begins with, for the moment in which it has one.
const SPILL: &str = "spill-";

/// Returns whether a file's name is that of a spill.
pub(crate) fn is_spill(name: &str) -> bool {
    name.strip_prefix(SPILL)
        .is_some_and(|random| Uuid::try_parse(random).is_ok())
}

/// Makes an empty file on the disk of the work directories that no name leads to: it is gone when it is closed, and
/// when the server dies. A server that dies within this call leaves an empty one, which the next start removes.
pub fn spill(root: &Path) -> io::Result<Arc<dyn Spill>> {
    let path = root.join(format!("{SPILL}{}", Uuid::new_v4().simple()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    match fs::remove_file(&path) {
        // A server that starts with the same work directory has done it.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(Arc::new(Stored::new(file, 0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-3
    #[test]
    fn a_spill_has_what_was_appended_and_no_name() {
        let root = tempfile::tempdir().unwrap();
        let spill = spill(root.path()).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        spill.append(b"one").unwrap();
        spill.append(b"two").unwrap();
        let mut all = [0; 10];
        assert_eq!(spill.read_at(0, &mut all).unwrap(), 6);
        assert_eq!(&all[..6], b"onetwo");
        assert_eq!(spill.read_at(4, &mut all).unwrap(), 2);
        assert_eq!(spill.read_at(7, &mut all).unwrap(), 0);
        assert_eq!(spill.size(), 6);
    }

    #[test]
    fn what_is_written_after_a_file_was_measured_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        fs::write(&path, b"abcdef").unwrap();
        let stored = Stored::new(File::open(&path).unwrap(), 3);
        let mut all = [0; 10];
        assert_eq!(stored.read_at(0, &mut all).unwrap(), 3);
        assert_eq!(stored.read_at(3, &mut all).unwrap(), 0);
    }
}
