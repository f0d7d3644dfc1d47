//! What processes hold and neither their resident memory nor their directories show: files without a name, in memory
//! (memfds, removed files of a tmpfs) or on disk.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// The file systems that are in memory (statfs(2)): tmpfs, which has the memfds too, and ramfs.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// What a set of processes holds, in bytes; a file that several hold counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Memory of files without a name.
    pub(crate) memory: u64,
    /// The part of it that is in the resident memory of the processes too; a page counts for each of them.
    pub(crate) mapped: u64,
    /// Disk space of files without a name.
    pub(crate) disk: u64,
}

impl Held {
    /// Returns the memory that no resident memory shows.
    pub(crate) const fn unmapped(self) -> u64 {
        self.memory.saturating_sub(self.mapped)
    }
}

/// Measures what these processes hold. Files on the device `disk` count as disk, even if that is in memory: so do the
/// files there that have names. A file that is in flight, in a message between two sockets, is not found.
pub(crate) fn held(pids: impl Iterator<Item = i32> + Clone, disk: u64) -> Held {
    let mut all = Held::default();
    let mut seen = BTreeSet::new();
    for pid in pids.clone() {
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            // Follows the link to the open file itself, which need not have a path.
            let Ok(about) = fs::metadata(entry.path()) else {
                continue;
            };
            if !about.is_file() || about.nlink() != 0 || !seen.insert(about.ino()) {
                continue;
            }
            let bytes = about.blocks().saturating_mul(512);
            let in_memory = about.dev() != disk
                && rustix::fs::statfs(entry.path()).is_ok_and(|system| IN_MEMORY.contains(&system.f_type));
            let total = if in_memory { &mut all.memory } else { &mut all.disk };
            *total = total.saturating_add(bytes);
        }
    }
    for pid in pids.clone() {
        // A removed file can be mapped without being open. How much of it is on the disk cannot be seen.
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        for (inode, bytes) in maps.lines().filter_map(removed_file) {
            if seen.insert(inode) {
                all.disk = all.disk.saturating_add(bytes);
            }
        }
    }
    if all.memory > 0 {
        let shared = pids
            .map(|pid| shared_memory(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()));
        all.mapped = shared.sum();
    }
    all
}

/// Returns the inode and the length of a mapping in `/proc/<pid>/maps` if it is of a removed file on disk.
fn removed_file(line: &str) -> Option<(u64, u64)> {
    let line = line.strip_suffix(" (deleted)")?;
    let mut fields = line.split_ascii_whitespace();
    let (begin, end) = fields.next()?.split_once('-')?;
    let inode = fields.nth(3)?.parse().ok()?;
    let path = fields.next()?;
    let in_memory = ["/memfd:", "/SYSV", "/dev/zero", "/dev/shm/", "/anon_hugepage"];
    if in_memory.iter().any(|name| path.starts_with(name)) {
        return None;
    }
    let address = |text: &str| u64::from_str_radix(text, 16).ok();
    Some((inode, address(end)?.saturating_sub(address(begin)?)))
}

/// Returns the resident shared memory of a process, in bytes, from `/proc/<pid>/status`.
fn shared_memory(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("RssShmem:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    // proves ISO-3
    #[test]
    fn a_removed_file_counts_while_it_is_open() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; 3 << 20]).unwrap();
        file.sync_all().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let found = held([own, own].into_iter(), file.metadata().unwrap().dev());
        assert!(found.disk >= 3 << 20, "{found:?}");
    }

    #[test]
    fn only_removed_files_on_disk_count_by_their_mappings() {
        let of = |path: &str| removed_file(&format!("7f00-8f00 rw-s 00000000 08:01 42 {path}"));
        assert_eq!(of("/tmp/x (deleted)"), Some((42, 0x1000)));
        for path in [
            "/tmp/x",
            "/memfd:a (deleted)",
            "/dev/zero (deleted)",
            "/SYSV00 (deleted)",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(shared_memory("VmRSS: 3 kB\nRssShmem:\t   12 kB\n"), 12 * 1024);
        assert_eq!(shared_memory("VmRSS: 3 kB\n"), 0);
    }
}
