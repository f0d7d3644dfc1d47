//! What processes hold and neither their resident memory nor their directories show: files without a name, in memory
//! (memfds, removed files of a tmpfs) or on disk.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use rustix::fs::MemfdFlags;

/// The file systems that are in memory (statfs(2)): tmpfs, which has the memfds too, and ramfs.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// What a set of processes holds, in bytes; a file that several hold counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Memory of files without a name.
    pub memory: u64,
    /// The part of it that is in the resident memory of the processes too; a page counts for each of them.
    pub mapped: u64,
    /// Disk space of files without a name.
    pub disk: u64,
}

impl Held {
    /// Returns the memory that no resident memory shows.
    pub const fn unmapped(self) -> u64 {
        self.memory.saturating_sub(self.mapped)
    }
}

/// Measures what these processes hold. Files on the device `disk` count as disk, even if that is in memory: so do the
/// files there that have names. A file that is in flight, in a message between two sockets, is not found.
pub fn held(pids: impl Iterator<Item = i32> + Clone, disk: u64) -> Held {
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
        for mapping in maps.lines().filter_map(Mapping::of_removed_file) {
            // Names do not say what is in memory: a hook can choose the name of a file.
            if Some(mapping.device) != kernel_memory() && seen.insert(mapping.inode) {
                all.disk = all.disk.saturating_add(mapping.bytes);
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

/// Returns the children of all threads of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .filter_map(|t| fs::read_to_string(t.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .filter_map(|p| p.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Returns a process and all that are below it.
pub fn with_descendants(pid: i32) -> Vec<i32> {
    let mut all = vec![pid];
    let mut known = BTreeSet::from([pid]);
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        // A process that gets another parent meanwhile counts once.
        let more: Vec<i32> = children(*pid)
            .into_iter()
            .filter(|pid| known.insert(*pid))
            .collect();
        all.extend(more);
        next += 1;
    }
    all
}

/// Returns the device on which the kernel has memfds and other shared memory without a file.
fn kernel_memory() -> Option<u64> {
    static DEVICE: OnceLock<Option<u64>> = OnceLock::new();
    *DEVICE.get_or_init(|| {
        let file = rustix::fs::memfd_create(c"hallmark", MemfdFlags::CLOEXEC).ok()?;
        Some(File::from(file).metadata().ok()?.dev())
    })
}

/// A line of `/proc/<pid>/maps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    device: u64,
    inode: u64,
    bytes: u64,
}

impl Mapping {
    /// Reads a line if it is of a removed file.
    fn of_removed_file(line: &str) -> Option<Self> {
        let line = line.strip_suffix(" (deleted)")?;
        let mut fields = line.split_ascii_whitespace();
        let (begin, end) = fields.next()?.split_once('-')?;
        let (major, minor) = fields.nth(2)?.split_once(':')?;
        let inode = fields.next()?.parse().ok()?;
        let address = |text: &str| u64::from_str_radix(text, 16).ok();
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        Some(Self {
            device: rustix::fs::makedev(number(major)?, number(minor)?),
            inode,
            bytes: address(end)?.saturating_sub(address(begin)?),
        })
    }
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
    fn descendants_are_found_at_any_depth_and_once() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "(read x; exit) & read x; exit"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let found = with_descendants(own);
        assert_eq!(found[0], own);
        assert!(found.contains(&i32::try_from(child.id()).unwrap()), "{found:?}");
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
        assert_eq!(with_descendants(-1), [-1]);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_mapping_of_a_removed_file_is_read_whatever_its_name_is() {
        let of = |rest: &str| Mapping::of_removed_file(&format!("7f00-8f00 rw-s 00000000 {rest}"));
        let expected = Mapping {
            device: rustix::fs::makedev(0xfd, 0x1a),
            inode: 42,
            bytes: 0x1000,
        };
        for name in ["/tmp/x", "/memfd:x", "/dev/zero", "/a b"] {
            assert_eq!(
                of(&format!("fd:1a 42 {name} (deleted)")),
                Some(expected),
                "{name}"
            );
        }
        for rest in ["fd:1a 42 /tmp/x", "00:00 0", "fd 42 /x (deleted)"] {
            assert_eq!(of(rest), None, "{rest}");
        }
        assert!(kernel_memory().is_some());
        assert_eq!(shared_memory("VmRSS: 3 kB\nRssShmem:\t   12 kB\n"), 12 * 1024);
        assert_eq!(shared_memory("VmRSS: 3 kB\n"), 0);
    }
}
