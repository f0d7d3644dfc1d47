//! The work directory of one attempt: fresh, laid out as the container contract says, gone afterwards
//! (wire contract 5.1, D19, D30).

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ports::HookJob;
use rustix::fs::{Mode, OFlags};
use serde_json::Value;
use uuid::Uuid;

use crate::image::starting;

/// The uid and gid that hooks run as when the server is root (wire contract 5.1, "other").
pub(crate) const NOBODY: u32 = 65_534;

/// One attempt's work directory; removed when dropped.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    out: OwnedFd,
}

/// The directories that the hook may write to.
const WRITABLE: [&str; 3] = ["out", "tmp", "shm"];
/// The directories that it may only read.
const READABLE: [&str; 3] = ["in", "files", "image"];

impl WorkDir {
    /// A new directory below `root` with the job's input files; its writable parts belong to uid 65534 if `drop_to_nobody`.
    pub(crate) fn create(root: &Path, job: &HookJob, drop_to_nobody: bool) -> io::Result<Self> {
        // The random half is what keeps hooks, which share a uid, out of each other's directories: `root` cannot be listed.
        let path = root.join(format!("{}-{}", job.run, Uuid::new_v4().simple()));
        fs::create_dir(&path)?;
        // From here on the directory is removed whatever fails.
        let out_path = path.join("out");
        let made = fs::create_dir(&out_path).and_then(|()| open_dir(&out_path));
        let this = match made {
            Ok(out) => Self { path, out },
            Err(error) => {
                remove(&path)?;
                return Err(error);
            }
        };
        this.fill(job, drop_to_nobody)?;
        Ok(this)
    }

    fn fill(&self, job: &HookJob, drop_to_nobody: bool) -> io::Result<()> {
        for name in READABLE.iter().chain(&WRITABLE[1..]) {
            fs::create_dir(self.part(name))?;
        }
        write_inputs(&self.part("in"), job)?;
        for name in WRITABLE {
            if drop_to_nobody {
                std::os::unix::fs::chown(self.part(name), Some(NOBODY), Some(NOBODY))?;
            }
            fs::set_permissions(self.part(name), Permissions::from_mode(0o700))?;
        }
        for name in &READABLE[..2] {
            fs::set_permissions(self.part(name), Permissions::from_mode(0o555))?;
        }
        fs::set_permissions(self.part("image"), Permissions::from_mode(0o711))?;
        fs::set_permissions(&self.path, Permissions::from_mode(0o711))
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// One of its directories: `in`, `out`, `files`, `tmp`, `shm` (what `/dev/shm` is in bubblewrap) or `image`.
    pub(crate) fn part(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The output directory, opened before the hook could put anything else in its place.
    pub(crate) const fn out(&self) -> &OwnedFd {
        &self.out
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What cannot be removed now is removed by `clean_stale` at the next start.
        let _ = remove(&self.path);
    }
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

fn write_inputs(dir: &Path, job: &HookJob) -> io::Result<()> {
    let mut records = BufWriter::new(File::create_new(dir.join("records.jsonl"))?);
    for record in &job.records {
        records.write_all(b"{\"id\":")?;
        serde_json::to_writer(&mut records, record.id.as_str())?;
        records.write_all(b",\"metadata\":")?;
        serde_json::to_writer(&mut records, &record.metadata)?;
        // A size that is no number becomes null.
        writeln!(
            records,
            ",\"size_hint_mb\":{}}}",
            Value::from(record.size_hint_mb)
        )?;
    }
    let file = records.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.set_permissions(Permissions::from_mode(0o444))?;
    if !job.config.is_empty() {
        let mut config = File::create_new(dir.join("config.json"))?;
        serde_json::to_writer(&mut config, &job.config)?;
        config.set_permissions(Permissions::from_mode(0o444))?;
    }
    Ok(())
}

/// Removes an attempt's directory. Nothing in it is followed if it is a link.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    for name in READABLE {
        // Without being root, what is in a directory of mode 0555 cannot be removed.
        let _ = fs::set_permissions(path.join(name), Permissions::from_mode(0o700));
    }
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    // A tree deeper than there are file descriptors, or directories that the hook locked: the tools know a way.
    for (tool, arguments) in [("chmod", ["-R", "u+rwX"]), ("rm", ["-r", "-f"])] {
        let _lock = starting();
        let _ = Command::new(tool)
            .args(arguments)
            .arg("--")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
    if fs::exists(path)? {
        Err(io::Error::other(format!("{} cannot be removed", path.display())))
    } else {
        Ok(())
    }
}

/// Removes every attempt's directory below `root`, and says how many it were.
pub(crate) fn remove_all(root: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name().to_str().is_some_and(is_attempt) {
            remove(&entry.path())?;
            count += 1;
        }
    }
    Ok(count)
}

/// Whether a directory's name is one that [`WorkDir::create`] gives.
fn is_attempt(name: &str) -> bool {
    name.len() == 36 + 1 + 32 && name.is_char_boundary(36) && {
        let (run, random) = name.split_at(36);
        Uuid::parse_str(run).is_ok()
            && random
                .strip_prefix('-')
                .is_some_and(|r| Uuid::parse_str(r).is_ok())
    }
}

/// The first directory above (and including) `path` that uid 65534 cannot pass through, if there is one.
pub(crate) fn closed_to_nobody(path: &Path) -> io::Result<Option<PathBuf>> {
    for dir in path.ancestors() {
        if !dir.as_os_str().is_empty() && fs::metadata(dir)?.permissions().mode() & 0o001 == 0 {
            return Ok(Some(dir.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_that_are_named_like_attempts_are_stale_ones() {
        let run = Uuid::new_v4();
        let random = Uuid::new_v4().simple();
        assert!(is_attempt(&format!("{run}-{random}")));
        for other in [
            "",
            "data",
            &run.to_string(),
            &format!("{run}_{random}"),
            &format!("{random}-{run}"),
            &"é".repeat(34),
        ] {
            assert!(!is_attempt(other), "{other:?}");
        }
    }

    #[test]
    fn a_deep_and_locked_tree_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let attempt = root.path().join("x");
        fs::create_dir(&attempt).unwrap();
        let script = "mkdir 'out' or die; chdir 'out'; for (1..1500) { mkdir 'd' or die; chdir 'd' or die } chmod 0, '.'";
        assert!(
            Command::new("perl")
                .current_dir(&attempt)
                .args(["-e", script])
                .status()
                .unwrap()
                .success()
        );
        remove(&attempt).unwrap();
        assert!(!attempt.exists());
    }
}
