//! The user that PostgreSQL runs as: the current one, or, if that is root, an unprivileged one that nothing else runs as.

use std::fs::{self, DirBuilder, Permissions};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::error::{Error, io};

/// The user that is made where there is no user `postgres`.
const OWN: &str = "hallmark-postgres";
/// The user that everything without a user of its own runs as, so that each can reach the others.
const NOBODY: u32 = 65_534;

/// The user that PostgreSQL runs as.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// User and group to change to; `None` if the current user is unprivileged and stays.
    switch: Option<(u32, u32)>,
    name: String,
}

impl Account {
    /// Chooses the user for the data directory `data`, which may not exist yet: none of `taken`, which other programs
    /// run as.
    pub(crate) async fn choose(data: &Path, taken: &Range<u32>) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self {
                switch: None,
                name: "the current user".to_owned(),
            });
        }
        let owner = fs::metadata(data).ok().map(|found| (found.uid(), found.gid()));
        Self::for_root(owner, taken, &System).await
    }

    /// Chooses the user for data of this owner, if there are any.
    async fn for_root(
        owner: Option<(u32, u32)>,
        taken: &Range<u32>,
        users: &impl Users,
    ) -> Result<Self, Error> {
        let is_shared = |user: u32| user == 0 || user == NOBODY || taken.contains(&user);
        // Data that an unprivileged run created stays with its owner.
        if let Some((user, group)) = owner
            && !is_shared(user)
        {
            return Ok(Self {
                switch: Some((user, group)),
                name: user.to_string(),
            });
        }
        for (name, make) in [("postgres", false), (OWN, false), (OWN, true)] {
            if make {
                users.make().await;
            }
            if let Some((user, group)) = users.find(name).await
                && !is_shared(user)
            {
                return Ok(Self {
                    switch: Some((user, group)),
                    name: name.to_owned(),
                });
            }
        }
        Err(Error::NoUser)
    }

    /// Makes the user the owner of a data directory that an earlier version ran as `nobody`. Call it only while no
    /// server runs in it.
    pub(crate) fn take_over(&self, data: &Path) -> Result<(), Error> {
        let Some((user, group)) = self.switch else {
            return Ok(());
        };
        if fs::metadata(data).is_ok_and(|found| found.uid() == user) {
            return Ok(());
        }
        tracing::info!(directory = %data.display(), user = self.name, "giving the data to the user of PostgreSQL");
        own_all(data, user, group)
    }

    /// Returns whether PostgreSQL runs as another user than the current one.
    pub(crate) fn is_other(&self) -> bool {
        self.switch.is_some()
    }

    /// Makes the user the owner of a file or directory.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        match self.switch {
            Some((user, group)) => std::os::unix::fs::chown(path, Some(user), Some(group))
                .map_err(io("change the owner of", path)),
            None => Ok(()),
        }
    }

    /// Creates a directory that only the user can enter. Fails if something exists there already.
    pub(crate) fn private_directory(&self, path: &Path) -> Result<(), Error> {
        DirBuilder::new()
            .mode(0o700)
            .create(path)
            .map_err(io("make the directory", path))?;
        self.own(path)
    }

    /// Creates a command that runs as the user, in its own process group (so that Ctrl-C in a terminal does not reach
    /// it) and with a clean environment: `PG*` variables would change what the programs do, and the server's secrets
    /// must not reach them. When the user changes, the standard library drops the supplementary groups of root.
    pub(crate) fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir(directory)
            .process_group(0);
        for name in ["PATH", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some((user, group)) = self.switch {
            command.uid(user).gid(group);
        }
        command
    }

    /// Creates the cluster's own directory and its missing parents, so that the user can get there. Returns its
    /// canonical path.
    pub(crate) async fn make_reachable(&self, directory: &Path) -> Result<PathBuf, Error> {
        let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
        if let Some(existing) = directory.ancestors().find(|path| path.exists()) {
            // Before anything is created, so that a refusal leaves nothing behind.
            self.check_reachable(existing, directory).await?;
        }
        for path in missing.iter().rev() {
            match fs::create_dir(path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(io("make the directory", path)(error));
                }
                _ => {}
            }
            // Independent of the umask: others need to pass through, and have no other access to the last one.
            let mode = match (self.is_other(), *path == directory) {
                (true, true) => 0o711,
                (true, false) => 0o755,
                (false, true) => 0o700,
                (false, false) => continue,
            };
            fs::set_permissions(path, Permissions::from_mode(mode))
                .map_err(io("change the mode of", path))?;
        }
        let root = directory.canonicalize().map_err(io("find", directory))?;
        // The password is in it. Only the user gets through it, and only to what belongs to the user.
        let mode = match self.switch {
            Some((_, group)) => {
                std::os::unix::fs::chown(&root, None, Some(group))
                    .map_err(io("change the group of", &root))?;
                0o710
            }
            None => 0o700,
        };
        fs::set_permissions(&root, Permissions::from_mode(mode)).map_err(io("change the mode of", &root))?;
        Ok(root)
    }

    /// Fails with the first directory on the way to `existing` that the user cannot enter. A shell that runs as the
    /// user checks this, because modes are not all that counts.
    async fn check_reachable(&self, existing: &Path, directory: &Path) -> Result<(), Error> {
        if !self.is_other() {
            return Ok(());
        }
        let existing = existing.canonicalize().map_err(io("find", existing))?;
        let mut way: Vec<&Path> = existing.ancestors().collect();
        way.reverse();
        let script =
            r#"n=0; for d do [ -d "$d" ] && [ -x "$d" ] || { echo $n; exit 0; }; n=$((n + 1)); done"#;
        let shell = Path::new("/bin/sh");
        let output = self
            .command(shell, Path::new("/"))
            .args(["-c", script, "sh"])
            .args(&way)
            .output()
            .await
            .map_err(io("run", shell))?;
        let index = String::from_utf8_lossy(&output.stdout).trim().parse::<usize>();
        match index.ok().and_then(|index| way.get(index)) {
            None => Ok(()),
            Some(ancestor) => Err(Error::NotReachable {
                directory: directory.to_path_buf(),
                ancestor: ancestor.to_path_buf(),
                user: self.name.clone(),
            }),
        }
    }
}

/// Changes the owner of a directory, after that of everything in it: if this is interrupted, it begins anew.
fn own_all(path: &Path, user: u32, group: u32) -> Result<(), Error> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        for entry in fs::read_dir(path).map_err(io("list", path))? {
            own_all(&entry.map_err(io("list", path))?.path(), user, group)?;
        }
    }
    lchown(path, Some(user), Some(group)).map_err(io("change the owner of", path))
}

/// The users of a machine.
trait Users {
    /// Returns the uid and the gid of a user, if it exists.
    fn find(&self, name: &str) -> impl Future<Output = Option<(u32, u32)>> + Send;
    /// Makes the user [`OWN`], if the machine lets it. Whether it exists afterwards is looked at.
    fn make(&self) -> impl Future<Output = ()> + Send;
}

/// The users of this machine.
struct System;

impl Users for System {
    async fn find(&self, name: &str) -> Option<(u32, u32)> {
        Some((id("-u", name).await?, id("-g", name).await?))
    }

    async fn make(&self) {
        make_user().await;
    }
}

/// Makes the user [`OWN`], if the system has a program for that. Whether it exists afterwards is looked at.
async fn make_user() {
    let home = ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"];
    let commands: [(&str, Vec<&str>); 3] = [
        (
            "useradd",
            [
                &["--system", "--user-group", "--no-create-home"][..],
                &home,
                &[OWN],
            ]
            .concat(),
        ),
        // busybox.
        ("addgroup", vec!["-S", OWN]),
        ("adduser", vec!["-S", "-D", "-H", "-G", OWN, OWN]),
    ];
    for (program, arguments) in commands {
        let made = Command::new(program).args(arguments).output().await;
        if program == "useradd" && made.is_ok_and(|output| output.status.success()) {
            tracing::info!(user = OWN, "made a user for the embedded PostgreSQL");
            return;
        }
    }
}

/// Queries `id` for a number of a user, so that users from LDAP and the like are found as well.
async fn id(which: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([which, name]).output().await.ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;

    /// Users that exist, and the one that can be made.
    struct Fake {
        users: Mutex<BTreeMap<&'static str, u32>>,
        makes: Option<u32>,
    }

    impl Fake {
        fn new<const N: usize>(users: [(&'static str, u32); N], makes: Option<u32>) -> Self {
            Self {
                users: Mutex::new(users.into()),
                makes,
            }
        }

        /// The user that is chosen for data of this owner, where hooks have the uids from 2000 to 2999.
        async fn choose(&self, owner: Option<u32>) -> Result<(u32, String), Error> {
            let owner = owner.map(|user| (user, user));
            let account = Account::for_root(owner, &(2000..3000), self).await?;
            let (user, group) = account.switch.unwrap();
            assert_eq!(user, group);
            Ok((user, account.name))
        }
    }

    impl Users for Fake {
        async fn find(&self, name: &str) -> Option<(u32, u32)> {
            let user = self.users.lock().unwrap().get(name).copied();
            user.map(|user| (user, user))
        }

        async fn make(&self) {
            if let Some(user) = self.makes {
                self.users.lock().unwrap().insert(OWN, user);
            }
        }
    }

    // proves ISO-1
    #[tokio::test]
    async fn a_machine_without_a_user_postgres_gets_one_of_its_own() {
        let made = Fake::new([("nobody", NOBODY)], Some(998));
        assert_eq!(made.choose(None).await.unwrap(), (998, OWN.to_owned()));
        // It is found the next time, and no other is made.
        let again = Fake::new([(OWN, 998)], Some(997));
        assert_eq!(again.choose(None).await.unwrap().0, 998);
        let usual = Fake::new([("postgres", 101), (OWN, 998)], None);
        assert_eq!(usual.choose(None).await.unwrap(), (101, "postgres".to_owned()));
    }

    // proves ISO-1
    #[tokio::test]
    async fn postgres_never_has_a_uid_of_hooks_of_root_or_of_nobody() {
        for shared in [0, NOBODY, 2000, 2999] {
            let named = Fake::new([("postgres", shared)], Some(998));
            assert_eq!(named.choose(None).await.unwrap().0, 998, "{shared}");
            // Nor with data that have such an owner.
            let usual = Fake::new([("postgres", 101)], None);
            assert_eq!(usual.choose(Some(shared)).await.unwrap().0, 101, "{shared}");
            let all = Fake::new([("postgres", shared), (OWN, shared)], Some(shared));
            assert!(matches!(all.choose(None).await, Err(Error::NoUser)), "{shared}");
        }
        for user in [1, 1999, 3000] {
            let own = Fake::new([("postgres", 101)], None);
            assert_eq!(own.choose(Some(user)).await.unwrap().0, user);
        }
    }

    // proves ISO-1
    #[tokio::test]
    async fn where_no_user_can_be_made_the_start_fails_with_the_remedy() {
        let error = Fake::new([], None).choose(None).await.unwrap_err().to_string();
        assert!(error.contains("useradd --system postgres"), "{error}");
    }
}
