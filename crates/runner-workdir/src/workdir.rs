//! The work directory of one attempt: fresh, laid out as the container contract requires, removed afterwards (WC-5.1,
//! WC-D19, WC-D30).

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use domain::RunId;
use ports::{HookJob, PullJob, RunStamp};
use rustix::fs::{Mode, OFlags};
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::spawning::starting;
use crate::stored::is_spill;

/// The uid and gid that hooks run as in containers (WC-5.1, "other").
pub const NOBODY: u32 = 65_534;

/// The user that writes into a work directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The server's own user.
    Server,
    /// This uid, which is that of one attempt: it owns the writable parts, and no other user gets through the
    /// directory. The directory itself belongs to the server and to the gid of the same number, because the hook must
    /// not replace what is in it.
    User(u32),
    /// The user of an arbitrary image: the writable parts are open to all (WC-D19). The random half of the
    /// directory's name, and the directories above it, keep others out.
    AnyUser,
}

/// One attempt's work directory; removed when dropped.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    out: OwnedFd,
    files: OwnedFd,
}

/// The directories that hooks and ingesters may write to, besides an ingester's `files`.
const WRITABLE: [&str; 3] = ["out", "tmp", "shm"];
/// The directories that are read-only for them.
const READABLE: [&str; 3] = ["in", "files", "image"];

impl WorkDir {
    /// Creates a new directory below `root` with a hook's input files, and the `run.json` that names the run and the
    /// release of its output (PRV-3).
    pub fn for_hook(root: &Path, job: &HookJob, owner: Owner) -> io::Result<Self> {
        let this = Self::create(root, job.run.as_uuid())?;
        let stamp = json!({"run_id": job.run.to_string(), "release_id": job.release.to_string()});
        this.write("run.json", &stamp)?;
        write_records(&this.part("in"), job)?;
        this.write_config(&job.config)?;
        this.close(owner, &WRITABLE)?;
        Ok(this)
    }

    /// Creates a new directory below `root` with an ingester's input files.
    pub fn for_pull(root: &Path, job: &PullJob, owner: Owner) -> io::Result<Self> {
        let this = Self::create(root, job.task.as_uuid())?;
        this.write_config(&job.config)?;
        if let Some(session) = &job.session {
            this.write("in/session.json", session)?;
        }
        this.close(owner, &["out", "tmp", "shm", "files"])?;
        Ok(this)
    }

    /// Creates a new directory below `root` without input files.
    pub fn empty(root: &Path, owner: Owner) -> io::Result<Self> {
        let this = Self::create(root, Uuid::new_v4())?;
        this.close(owner, &WRITABLE)?;
        Ok(this)
    }

    fn create(root: &Path, unit: Uuid) -> io::Result<Self> {
        let path = fresh(root, unit)?;
        // From here on the directory is removed on any failure.
        let made = || {
            for name in READABLE.iter().chain(&WRITABLE) {
                fs::create_dir(path.join(name))?;
            }
            Ok((open_dir(&path.join("out"))?, open_dir(&path.join("files"))?))
        };
        match made() {
            Ok((out, files)) => Ok(Self { path, out, files }),
            Err(error) => {
                remove(&path)?;
                Err(error)
            }
        }
    }

    fn write(&self, name: &str, what: &impl serde::Serialize) -> io::Result<()> {
        let file = File::create_new(self.path.join(name))?;
        serde_json::to_writer(&file, what)?;
        file.set_permissions(Permissions::from_mode(0o444))
    }

    fn write_config(&self, config: &Map<String, Value>) -> io::Result<()> {
        if config.is_empty() {
            return Ok(());
        }
        self.write("in/config.json", config)
    }

    /// Sets the owners and modes that the directories have during a run.
    fn close(&self, owner: Owner, writable: &[&str]) -> io::Result<()> {
        for name in READABLE.iter().chain(&WRITABLE) {
            let part = self.part(name);
            let mode = match (writable.contains(name), owner) {
                (true, Owner::AnyUser) => 0o777,
                (true, _) => 0o700,
                (false, _) if *name == "image" => 0o711,
                (false, _) => 0o555,
            };
            if let Owner::User(user) = owner
                && writable.contains(name)
            {
                chown(&part, Some(user), Some(user))?;
            }
            fs::set_permissions(&part, Permissions::from_mode(mode))?;
        }
        let mode = match owner {
            Owner::Server => 0o700,
            Owner::User(user) => {
                chown(&self.path, None, Some(user))?;
                0o710
            }
            Owner::AnyUser => 0o711,
        };
        fs::set_permissions(&self.path, Permissions::from_mode(mode))
    }

    /// Returns the directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns one of its directories: `in`, `out`, `files`, `tmp`, `shm` (`/dev/shm` in bubblewrap) or `image`.
    pub fn part(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the output directory, opened before it could be replaced.
    pub const fn out(&self) -> &OwnedFd {
        &self.out
    }

    /// Returns the directory for files, opened likewise.
    pub const fn files(&self) -> &OwnedFd {
        &self.files
    }

    /// Returns the content of `run.json`, if it can be read.
    pub fn stamp(&self) -> Option<RunStamp> {
        let stamp: Value = serde_json::from_slice(&fs::read(self.part("run.json")).ok()?).ok()?;
        let id = |name: &str| Uuid::parse_str(stamp.get(name)?.as_str()?).ok();
        Some(RunStamp {
            run: RunId::from_uuid(id("run_id")?),
            release: domain::ReleaseId::from_uuid(id("release_id")?),
        })
    }

    /// Returns a hook's environment besides the paths (WC-5.1).
    pub fn hook_environment(job: &HookJob) -> Vec<(&'static str, String)> {
        vec![("OSA_HOOK_NAME", job.hook.as_str().to_owned())]
    }

    /// Returns an ingester's environment besides the paths (WC-5.2).
    pub fn pull_environment(job: &PullJob) -> Vec<(&'static str, String)> {
        let mut all = vec![("OSA_LIMIT", job.limit.to_string())];
        if let Some(since) = job.since.and_then(|t| t.format(&Rfc3339).ok()) {
            all.push(("OSA_SINCE", since));
        }
        if job.offset != 0 {
            all.push(("OSA_OFFSET", job.offset.to_string()));
        }
        all
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // Remnants are removed by `remove_all` at the next start.
        let _ = remove(&self.path);
    }
}

/// Creates a new directory below `root` with an unguessable name: `root` cannot be listed by hooks.
pub(crate) fn fresh(root: &Path, unit: Uuid) -> io::Result<PathBuf> {
    let path = root.join(format!("{unit}-{}", Uuid::new_v4().simple()));
    fs::create_dir(&path)?;
    Ok(path)
}

/// Creates the directory for the attempts' directories, and returns its absolute path. `open` means that others must
/// pass through it.
///
/// Fails if it cannot be created, or if it is to be open and other users could not reach it.
pub fn prepare_root(root: &Path, open: bool) -> io::Result<PathBuf> {
    let root = std::path::absolute(root)?;
    fs::create_dir_all(&root)?;
    // Not listable: hooks must not find each other's directories.
    fs::set_permissions(&root, Permissions::from_mode(if open { 0o711 } else { 0o700 }))?;
    if open && let Some(closed) = closed_to_others(&root)? {
        let why = format!(
            "hooks run as users of their own and cannot pass through {}; chmod o+x it, or choose another work root",
            closed.display()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(root)
}

/// A disk with less room than this, in bytes, counts as full.
const MIN_ROOM: u64 = 1024 * 1024;

/// Fails if no directory for an attempt could be created below `root` now, or if there is no room for its files.
pub fn check_root(root: &Path) -> io::Result<()> {
    let disk = rustix::fs::statvfs(root)?;
    // A disk that does not tell its size is not full.
    if disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < MIN_ROOM {
        return Err(io::ErrorKind::StorageFull.into());
    }
    fs::remove_dir(fresh(root, Uuid::new_v4())?)
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

fn write_records(dir: &Path, job: &HookJob) -> io::Result<()> {
    let mut records = BufWriter::new(File::create_new(dir.join("records.jsonl"))?);
    for record in &job.records {
        records.write_all(b"{\"id\":")?;
        serde_json::to_writer(&mut records, record.id.as_str())?;
        records.write_all(b",\"metadata\":")?;
        serde_json::to_writer(&mut records, &record.metadata)?;
        // A size that is not a number becomes null.
        writeln!(
            records,
            ",\"size_hint_mb\":{}}}",
            Value::from(record.size_hint_mb)
        )?;
    }
    let file = records.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.set_permissions(Permissions::from_mode(0o444))
}

/// Removes an attempt's directory without following links in it.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    for name in READABLE {
        // Without root rights, the content of a directory of mode 0555 cannot be removed.
        let _ = fs::set_permissions(path.join(name), Permissions::from_mode(0o700));
    }
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    // A tree deeper than the number of file descriptors, or directories that the hook locked: these tools can remove
    // them.
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

/// The result of [`sweep`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many directories were removed.
    pub removed: usize,
    /// Those that could not be removed: they contain another user's files, and the server is not root.
    pub left: Vec<PathBuf>,
}

/// Removes every attempt's directory below `root` that can be removed, and the spills of a server that was killed between
/// their creation and the removal of their names.
pub fn sweep(root: &Path) -> io::Result<Swept> {
    let mut swept = Swept::default();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if kind.is_file() && name.to_str().is_some_and(is_spill) {
            match fs::remove_file(entry.path()) {
                // Another server that starts has done it.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        } else if kind.is_dir() && name.to_str().is_some_and(is_attempt) {
            match remove(&entry.path()) {
                Ok(()) => swept.removed += 1,
                Err(_) => swept.left.push(entry.path()),
            }
        }
    }
    Ok(swept)
}

/// Removes every attempt's directory below `root`, and returns how many. Fails if one is left.
pub fn remove_all(root: &Path) -> io::Result<usize> {
    let swept = sweep(root)?;
    match swept.left.first() {
        Some(left) => Err(io::Error::other(format!("{} cannot be removed", left.display()))),
        None => Ok(swept.removed),
    }
}

/// Returns whether a directory's name has the form of [`fresh`].
fn is_attempt(name: &str) -> bool {
    name.len() == 36 + 1 + 32 && name.is_char_boundary(36) && {
        let (run, random) = name.split_at(36);
        Uuid::parse_str(run).is_ok()
            && random
                .strip_prefix('-')
                .is_some_and(|r| Uuid::parse_str(r).is_ok())
    }
}

/// Returns the first directory above (and including) `path` that other users cannot pass through, if there is one.
pub fn closed_to_others(path: &Path) -> io::Result<Option<PathBuf>> {
    for dir in path.ancestors() {
        if !dir.as_os_str().is_empty() && fs::metadata(dir)?.permissions().mode() & 0o001 == 0 {
            return Ok(Some(dir.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

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

    // proves ISO-3
    #[test]
    fn the_spills_of_a_killed_server_are_removed_and_other_files_stay() {
        let root = tempfile::tempdir().unwrap();
        let killed = root.path().join(format!("spill-{}", Uuid::new_v4().simple()));
        let others = ["spill-", "spill-notes", "notes"].map(|name| root.path().join(name));
        for path in others.iter().chain([&killed]) {
            fs::write(path, b"x").unwrap();
        }
        // One that is in use has no name.
        let spill = crate::stored::spill(root.path()).unwrap();
        spill.append(b"rows").unwrap();
        assert_eq!(sweep(root.path()).unwrap(), Swept::default());
        assert!(!killed.exists() && others.iter().all(|path| path.exists()));
        assert_eq!(spill.size(), 4);
    }

    // proves ISO-1
    #[test]
    fn no_other_user_gets_through_the_directory_of_an_attempt() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let root = tempfile::tempdir().unwrap();
        let work = WorkDir::empty(root.path(), Owner::Server).unwrap();
        assert_eq!((mode(work.path()), mode(&work.part("out"))), (0o700, 0o700));
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let user = 2_000_000_001;
        // Some containers have no such uid.
        if let Ok(work) = WorkDir::empty(root.path(), Owner::User(user)) {
            let about = fs::metadata(work.path()).unwrap();
            assert_eq!((about.uid(), about.gid(), mode(work.path())), (0, user, 0o710));
            for name in ["out", "tmp", "shm"] {
                let about = fs::metadata(work.part(name)).unwrap();
                assert_eq!(
                    (about.uid(), about.gid(), about.mode() & 0o777),
                    (user, user, 0o700)
                );
            }
            assert_eq!(fs::metadata(work.part("in")).unwrap().uid(), 0);
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
