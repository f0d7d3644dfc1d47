//! The disk use of a work directory.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// The content of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Bytes of allocated blocks; a hole in a sparse file takes none.
    pub bytes: u64,
    /// Files and directories.
    pub files: usize,
}

/// The maximum depth of the scan; a file descriptor is open for each level.
const MAX_DEPTH: usize = 64;

/// Measures the content of `path`, following no link even while the hook is changing it. Counting ends at
/// `most_files`, to bound the time that the watchdog spends on it; a tree deeper than 64 levels counts as
/// `most_files`.
pub fn measure(path: &Path, most_files: usize) -> DiskUse {
    let mut found = DiskUse::default();
    if let Ok(dir) = rustix::fs::open(path, flags(), Mode::empty()) {
        walk(&dir, most_files, 0, &mut found);
    }
    found
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn walk(dir: &OwnedFd, most_files: usize, depth: usize, found: &mut DiskUse) {
    if depth > MAX_DEPTH {
        found.files = most_files.saturating_add(1);
        return;
    }
    let Ok(entries) = Dir::read_from(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if found.files > most_files {
            return;
        }
        let Ok(stat) = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        found.files += 1;
        found.bytes = found
            .bytes
            .saturating_add(u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512));
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && let Ok(inner) = rustix::fs::openat(dir, name, flags(), Mode::empty())
        {
            walk(&inner, most_files, depth + 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocated_bytes_are_counted_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), vec![1; 100_000]).unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/b"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("usr")).unwrap();
        std::fs::File::create(dir.path().join("sparse"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        let found = measure(dir.path(), 100);
        assert_eq!(found.files, 5);
        assert!((200_000..400_000).contains(&found.bytes), "{found:?}");
        assert_eq!(measure(dir.path(), 2).files, 3);
    }
}
