//! A disk that a test can fill.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::world::open_directory;

/// A small disk in memory. Dropped, it is gone.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// A disk of so many MiB; none where the test may not mount one.
    pub fn new(mebibytes: u32) -> Option<Self> {
        let directory = open_directory();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={mebibytes}m,mode=0711"),
                "none",
            ])
            .arg(directory.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self(directory))
    }

    /// The same; where there is none, the test is left out.
    #[track_caller]
    pub fn or_left_out(mebibytes: u32) -> Option<Self> {
        let disk = Self::new(mebibytes);
        if disk.is_none() {
            test_needs::left_out("the right to mount a small disk");
        }
        disk
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves no byte.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while ballast.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}
