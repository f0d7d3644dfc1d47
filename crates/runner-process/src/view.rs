//! What a hook in a sandbox sees of the machine: programs, and of `/etc` only what programs need to start, to know their
//! user and to verify certificates.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::network::{Names, resolver};

/// The directories of the machine that a hook sees, if they exist; programs only. `/run` and `/var` are not among
/// them: a socket in them, such as a database's or a container engine's, would bypass the missing network.
const SYSTEM: [&str; 10] = [
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix", "gnu",
];

/// The part of the machine's `/etc` that a hook sees, if it exists: links to programs, the linker's cache, certificates.
const ETC: [&str; 10] = [
    "alternatives",
    "ca-certificates/extracted",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
];

/// Something at the root of the machine.
pub(crate) enum System {
    /// A directory.
    Directory(PathBuf),
    /// A link, such as `/bin`, and its target.
    Link(PathBuf, PathBuf),
}

/// Returns the directories and links of the machine that a hook sees.
pub(crate) fn system() -> Vec<System> {
    let mut all = Vec::new();
    for name in SYSTEM {
        let path = Path::new("/").join(name);
        if let Ok(target) = fs::read_link(&path) {
            all.push(System::Link(path, target));
        } else if path.is_dir() {
            all.push(System::Directory(path));
        }
    }
    all
}

/// Returns the files and directories of the machine's `/etc` that a hook sees.
pub(crate) fn etc() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = ETC.iter().map(|name| Path::new("/etc").join(name)).collect();
    // The linker's settings where the C library is musl.
    let musl = fs::read_dir("/etc").into_iter().flatten().flatten();
    all.extend(
        musl.filter(|entry| entry.file_name().to_string_lossy().starts_with("ld-musl-"))
            .map(|entry| entry.path()),
    );
    all.retain(|path| path.exists());
    all
}

/// Returns whether a path is in a part of the machine that a hook sees, unless it is hidden.
fn is_visible(path: &Path) -> bool {
    SYSTEM
        .iter()
        .any(|name| path.starts_with(Path::new("/").join(name)))
        || etc().iter().any(|part| path.starts_with(part))
}

/// Returns the files and directories of `hidden` that a hook would see, without links in their paths.
pub(crate) fn masked(hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = hidden
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .filter(|path| is_visible(path))
        .collect();
    all.sort();
    // What is in a hidden directory is hidden with it.
    all.dedup_by(|path, before| path.starts_with(before));
    all
}

/// Returns whether a hook sees this file of the machine. A link is followed in the sandbox, too.
pub(crate) fn shows(path: &Path, hidden: &[PathBuf]) -> bool {
    let target = fs::canonicalize(path).ok();
    let is_masked = |target: &Path| masked(hidden).iter().any(|mask| target.starts_with(mask));
    is_visible(path) && target.is_some_and(|target| is_visible(&target) && !is_masked(&target))
}

/// Makes a hook's `/etc` in the new directory `dir`: users, time zone, the order of look-ups, and empty files and
/// directories where [`etc`] is mounted. With a network, also name servers, and the machine's host names.
pub(crate) fn make_etc(dir: &Path, user: u32, group: u32, names: Names) -> io::Result<()> {
    make_dir(dir)?;
    let line = |number: u32, text: String| match number {
        0 | 65_534 => String::new(),
        _ => text,
    };
    write(
        &dir.join("passwd"),
        format!(
            "root:x:0:0:root:/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n{}",
            line(user, format!("hook:x:{user}:{group}:hook:/tmp:/bin/sh\n"))
        ),
    )?;
    write(
        &dir.join("group"),
        format!(
            "root:x:0:\nnogroup:x:65534:\n{}",
            line(group, format!("hook:x:{group}:\n"))
        ),
    )?;
    write(
        &dir.join("nsswitch.conf"),
        "passwd: files\ngroup: files\nhosts: files dns\n",
    )?;
    let of_machine = |path: &str| fs::read_to_string(path).ok();
    let hosts = (names != Names::Own).then(|| of_machine("/etc/hosts")).flatten();
    let hosts = hosts.unwrap_or_else(|| "127.0.0.1 localhost\n::1 localhost\n".to_owned());
    write(&dir.join("hosts"), &hosts)?;
    let servers = match names {
        Names::Own => None,
        Names::OfMachine => of_machine("/etc/resolv.conf"),
        Names::Through(helper) => Some(resolver(
            helper,
            &of_machine("/etc/resolv.conf").unwrap_or_default(),
        )),
    };
    if let Some(servers) = servers {
        write(&dir.join("resolv.conf"), &servers)?;
    }
    match fs::read_link("/etc/localtime") {
        Ok(zone) if zone.starts_with("/usr") => symlink(zone, dir.join("localtime"))?,
        _ => {
            if let Ok(zone) = fs::read("/etc/localtime") {
                write(&dir.join("localtime"), zone)?;
            }
        }
    }
    for part in etc() {
        let Ok(inner) = part.strip_prefix("/etc") else {
            continue;
        };
        let target = dir.join(inner);
        if let Some(parent) = target.parent() {
            make_dir(parent)?;
        }
        if part.is_dir() {
            make_dir(&target)?;
        } else {
            write(&target, "")?;
        }
    }
    Ok(())
}

/// Creates a directory and its parents, which every user can read whatever the server's umask is.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    for dir in missing.into_iter().rev() {
        fs::create_dir(dir)?;
        fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Writes a file that every user can read.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    fs::write(path, content)?;
    fs::set_permissions(path, Permissions::from_mode(0o444))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::NetworkHelper;

    // proves ISO-1
    #[test]
    fn an_etc_has_the_hooks_user_and_nothing_else_of_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let etc_of = |name: &str, names| {
            let path = dir.path().join(name);
            make_etc(&path, 2_000_000_007, 2_000_000_007, names).unwrap();
            path
        };
        let hook = etc_of("hook", Names::Own);
        let passwd = fs::read_to_string(hook.join("passwd")).unwrap();
        assert!(passwd.contains("hook:x:2000000007:2000000007:"), "{passwd}");
        assert_eq!(passwd.lines().count(), 3);
        assert!(!hook.join("resolv.conf").exists() && !hook.join("hostname").exists());
        assert_eq!(
            etc_of("ingester", Names::OfMachine).join("resolv.conf").exists(),
            fs::read_to_string("/etc/resolv.conf").is_ok()
        );
        let isolated = etc_of("isolated", Names::Through(NetworkHelper::Pasta));
        let servers = fs::read_to_string(isolated.join("resolv.conf")).unwrap();
        assert!(servers.starts_with("nameserver "), "{servers}");
        // A hook may not have the name of root or of nobody.
        make_etc(&dir.path().join("nobody"), 65_534, 65_534, Names::Own).unwrap();
        let passwd = fs::read_to_string(dir.path().join("nobody/passwd")).unwrap();
        assert_eq!(passwd.lines().count(), 2);
    }

    // proves ISO-1
    #[test]
    fn what_is_hidden_is_masked_wherever_a_hook_would_see_it() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (Path::new("/usr/bin/env"), dir.path().join("link"));
        symlink(real, &link).unwrap();
        let hidden = [link, dir.path().to_owned(), PathBuf::from("/usr/no/such/file")];
        let real = fs::canonicalize(real).unwrap();
        assert_eq!(masked(&hidden), std::slice::from_ref(&real));
        assert!(!shows(Path::new("/usr/bin/env"), &hidden));
        assert!(shows(Path::new("/usr/bin/env"), &[]) && !shows(dir.path(), &[]));
        assert!(!shows(Path::new("/etc/passwd"), &[]));
        let parent = real.parent().unwrap().to_owned();
        assert_eq!(masked(&[real.clone(), parent.clone()]), [parent]);
    }
}
