//! The users that hooks run as when the server is root: one for each attempt, so that no attempt can touch the files
//! or the processes of another one.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

/// A range of uids. A gid of the same number belongs to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UidRange {
    /// The first one.
    pub base: u32,
    /// How many there are, at least 1.
    pub count: u32,
}

impl UidRange {
    /// The default: numbers that systemd's table of uids leaves unused, far from those of users, of directory services
    /// and of containers.
    pub const DEFAULT: Self = Self {
        base: 2_000_000_000,
        count: 65_536,
    };
    /// The range of systemd's `DynamicUser`, for containers that have only the lowest 65536 uids. No systemd hands
    /// them out there.
    pub const SMALL: Self = Self {
        base: 61_184,
        count: 4_336,
    };

    /// Returns whether a uid is in the range.
    pub const fn contains(self, uid: u32) -> bool {
        uid >= self.base && uid - self.base < self.count
    }

    /// Returns the last one.
    const fn last(self) -> u32 {
        self.base.saturating_add(self.count.saturating_sub(1))
    }

    /// Returns the default range of this machine.
    pub fn of_this_machine() -> Self {
        if is_mapped(Self::DEFAULT) {
            Self::DEFAULT
        } else {
            Self::SMALL
        }
    }
}

/// Returns whether the user namespace of the server has all uids and gids of a range.
fn is_mapped(range: UidRange) -> bool {
    ["/proc/self/uid_map", "/proc/self/gid_map"]
        .iter()
        .all(|file| fs::read_to_string(file).map_or(true, |map| map.lines().any(|line| covers(line, range))))
}

/// Returns whether a line of `/proc/<pid>/uid_map` (first uid inside, first uid outside, count) has a whole range.
fn covers(line: &str, range: UidRange) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let mut number = || fields.next().and_then(|field| field.parse::<u32>().ok());
    let (Some(inside), Some(_), Some(count)) = (number(), number(), number()) else {
        return false;
    };
    inside <= range.base && range.last() - inside < count
}

/// The uids of a server's attempts.
#[derive(Debug)]
pub(crate) struct Uids {
    range: UidRange,
    /// How many were tried.
    tried: Mutex<u32>,
}

/// A uid that belongs to one attempt until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) uid: u32,
    /// A name that only one process of the machine can have: two servers never hand out one uid at the same time.
    _name: UnixListener,
}

impl Uids {
    /// Opens a range, or the default one of this machine. Fails if the machine does not have these uids.
    pub(crate) fn open(range: Option<UidRange>) -> io::Result<Self> {
        let range = range.unwrap_or_else(UidRange::of_this_machine);
        if range.count == 0 || range.base == 0 {
            return Err(io::Error::other(
                "the range of uids of hooks has no uid, or has root's",
            ));
        }
        if !is_mapped(range) {
            return Err(io::Error::other(format!(
                "the uids {} to {} do not all exist in this container; set runner.uid_base and runner.uid_count to uids that it has and that nothing else uses",
                range.base,
                range.last()
            )));
        }
        // A file that an earlier attempt left somewhere should not belong to the next one.
        let mut random = [0; 4];
        random.copy_from_slice(&Uuid::new_v4().as_bytes()[..4]);
        Ok(Self {
            range,
            tried: Mutex::new(u32::from_ne_bytes(random) % range.count),
        })
    }

    /// Takes a uid that no other attempt and no process has.
    pub(crate) fn take(&self) -> io::Result<Lease> {
        for _ in 0..self.range.count {
            let uid = {
                let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
                *tried = tried.wrapping_add(1);
                self.range.base + *tried % self.range.count
            };
            let address = SocketAddr::from_abstract_name(format!("hallmark-hook-uid-{uid}"))?;
            match UnixListener::bind_addr(&address) {
                Ok(name) if !is_in_use(uid) => return Ok(Lease { uid, _name: name }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(
            "every uid of runner.uid_base and runner.uid_count is in use; raise runner.uid_count",
        ))
    }
}

/// Returns whether a process of this machine has the uid.
fn is_in_use(uid: u32) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else {
        return false;
    };
    entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.parse::<u32>().is_ok())
        })
        .any(|entry| entry.metadata().is_ok_and(|about| about.uid() == uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_covers_a_range_only_as_a_whole() {
        assert!(covers("         0          0 4294967295", UidRange::DEFAULT));
        assert!(covers("0 100000 65536", UidRange::SMALL));
        for map in [
            "0 100000 65536",
            "0 0 2000000001",
            "2000000001 0 65536",
            "",
            "x y z",
        ] {
            assert!(!covers(map, UidRange::DEFAULT), "{map:?}");
        }
        assert!(UidRange::SMALL.contains(61_184) && UidRange::SMALL.contains(65_519));
        assert!(!UidRange::SMALL.contains(61_183) && !UidRange::SMALL.contains(65_520));
    }

    // proves ISO-1
    #[test]
    fn two_attempts_never_have_one_uid_also_of_two_servers() {
        // Far from the ranges of the servers that other tests start.
        let range = UidRange {
            base: 1_990_000_000,
            count: 2,
        };
        if !is_mapped(range) {
            return;
        }
        let (one, other) = (Uids::open(Some(range)).unwrap(), Uids::open(Some(range)).unwrap());
        let (first, second) = (one.take().unwrap(), other.take().unwrap());
        assert_ne!(first.uid, second.uid);
        assert!(one.take().unwrap_err().to_string().contains("runner.uid_count"));
        drop(first);
        let third = other.take().unwrap();
        assert!(range.contains(third.uid) && third.uid != second.uid);
    }
}
