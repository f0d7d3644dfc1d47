//! A private copy of the image, created only if its bytes match the release's digest (PIP-5).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use domain::Digest;
use domain::registry::digest::hex;
use runner_workdir::writing;
use sha2::{Digest as _, Sha256, Sha512};

use crate::startable::{MAX_START, open, startable};

/// How much is read at a time, in bytes.
const BUFFER: usize = 256 * 1024;

/// Why a runnable copy could not be made.
#[derive(Debug)]
pub(crate) enum ImageError {
    /// The image's fault, as a sentence with the remedy.
    Unusable(String),
    /// The server's fault: the copy could not be written.
    Copy(std::io::Error),
}

/// Returns the path in an image reference of the process runner.
pub(crate) fn path_of(image: &str) -> Result<PathBuf, String> {
    let Some(path) = image.strip_prefix("file:") else {
        return Err(format!(
            "{image:?} is not a file: image; this server runs hooks as local processes, so release the hook with an image file:/absolute/path"
        ));
    };
    // file:///path is the same file as file:/path (RFC 8089, 2 and appendix B).
    let path = path.strip_prefix("//").unwrap_or(path);
    if Path::new(path).is_absolute() {
        Ok(PathBuf::from(path))
    } else {
        Err(format!(
            "{image:?} names no absolute path; release the hook with an image file:/absolute/path"
        ))
    }
}

enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    fn of(digest: &Digest) -> Option<Self> {
        match digest.algorithm() {
            "sha256" => Some(Self::Sha256(Sha256::new())),
            "sha512" => Some(Self::Sha512(Sha512::new())),
            _ => None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha256(hash) => format!("sha256:{}", hex(&hash.finalize())),
            Self::Sha512(hash) => format!("sha512:{}", hex(&hash.finalize())),
        }
    }
}

/// Which images this server runs.
#[derive(Clone, Copy)]
pub(crate) struct Policy<'a> {
    /// The directories below which they lie. `None`: anywhere.
    pub(crate) dirs: Option<&'a [PathBuf]>,
    /// Their maximum size, in bytes.
    pub(crate) most: u64,
    /// Whether a hook sees this file of the machine.
    pub(crate) sees: &'a dyn Fn(&Path) -> bool,
}

impl Policy<'_> {
    /// Opens an image, if it may be run. The error is for the server's log: to a caller, all reasons are one, because
    /// they say what is on the machine.
    fn open(&self, path: &Path) -> Result<File, String> {
        let reason = |error: std::io::Error| error.to_string();
        // Links are followed once, so they cannot lead out of the directories.
        let real = fs::canonicalize(path).map_err(reason)?;
        let is_below = |dir: &PathBuf| fs::canonicalize(dir).is_ok_and(|dir| real.starts_with(dir));
        if !self.dirs.is_none_or(|dirs| dirs.iter().any(is_below)) {
            return Err("it is not below a directory of runner.image_dirs".to_owned());
        }
        let file = open(&real).map_err(reason)?;
        let about = file.metadata().map_err(reason)?;
        if !about.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        if about.len() > self.most {
            return Err(format!("it has more than {} bytes", self.most));
        }
        Ok(file)
    }
}

/// Returns the one reason for an image that is missing, that this server may not run, or that has other bytes
/// (ISO-4). The log has the true one.
fn not_this(path: &Path, digest: &Digest, reason: &str) -> String {
    // Escaped: the path is of the caller.
    tracing::info!(image = ?path, reason, "an image cannot be used");
    let path = path.display();
    format!(
        "{path} is not an image that this server runs as {digest}: it is not a readable file below a directory of runner.image_dirs, is too large, or has another digest; put the released file there, release it again (with the same config and limits) from the path where it is now, or release what is there with its own digest"
    )
}

/// Returns why the image could not be run, if so. Nothing of it is copied or run.
///
/// An error says nothing about a file whose digest the caller does not know (ISO-4).
pub(crate) fn examine(
    image: &str,
    digest: &Digest,
    policy: Policy<'_>,
    abandoned: &dyn Fn() -> bool,
) -> Result<(), String> {
    let path = path_of(image)?;
    let mut hasher = hasher_of(digest)?;
    let no_file = |reason: &str| not_this(&path, digest, reason);
    let mut file = policy.open(&path).map_err(|reason| no_file(&reason))?;
    let mut start = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut length = 0;
    loop {
        if abandoned() {
            return Err("the request was abandoned".to_owned());
        }
        let count = file
            .read(&mut buffer)
            .map_err(|error| no_file(&error.to_string()))?;
        if count == 0 {
            break;
        }
        if length == 0 {
            start.extend_from_slice(&buffer[..count.min(MAX_START)]);
        }
        length += count as u64;
        if length > policy.most {
            return Err(no_file("it has grown too large"));
        }
        hasher.update(&buffer[..count]);
    }
    let found = hasher.finish();
    if found != digest.as_str() {
        return Err(no_file(&format!("it has the digest {found}")));
    }
    startable(&start, &path.display().to_string(), policy.sees)
}

fn hasher_of(digest: &Digest) -> Result<Hasher, String> {
    Hasher::of(digest).ok_or_else(|| {
        format!(
            "this server cannot verify {} digests; release the hook with a sha256: or sha512: digest",
            digest.algorithm()
        )
    })
}

/// Copies the image to `copy` while hashing it, so that what is run are the very bytes that were verified: replacing
/// the original at any time changes nothing. The copy is executable and not writable.
pub(crate) fn verified_copy(
    image: &str,
    digest: &Digest,
    policy: Policy<'_>,
    copy: &Path,
) -> Result<(), ImageError> {
    let unusable = ImageError::Unusable;
    let path = path_of(image).map_err(unusable)?;
    let mut hasher = hasher_of(digest).map_err(unusable)?;
    let no_file = |reason: &str| unusable(not_this(&path, digest, reason));
    let mut original = policy.open(&path).map_err(|reason| no_file(&reason))?;
    let written = {
        let _lock = writing();
        write_copy(&mut original, &mut hasher, policy.most, copy)?
    };
    if written > policy.most {
        return Err(no_file("it has grown too large"));
    }
    let found = hasher.finish();
    if found != digest.as_str() {
        return Err(no_file(&format!("it has the digest {found}")));
    }
    startable(&start_of(copy)?, &path.display().to_string(), policy.sees).map_err(unusable)
}

/// Copies at most one byte more than `most`, and returns how many.
fn write_copy(original: &mut File, hasher: &mut Hasher, most: u64, copy: &Path) -> Result<u64, ImageError> {
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(copy)
        .map_err(ImageError::Copy)?;
    let mut source = original.take(most.saturating_add(1));
    let mut buffer = vec![0; BUFFER];
    let mut written = 0;
    loop {
        let count = source
            .read(&mut buffer)
            .map_err(|e| ImageError::Unusable(format!("the image cannot be read ({e})")))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        target.write_all(&buffer[..count]).map_err(ImageError::Copy)?;
        written += count as u64;
    }
    target
        .set_permissions(Permissions::from_mode(0o555))
        .map_err(ImageError::Copy)?;
    Ok(written)
}

/// Returns the first bytes of a file.
fn start_of(copy: &Path) -> Result<Vec<u8>, ImageError> {
    let mut start = Vec::new();
    let file = File::open(copy).map_err(ImageError::Copy)?;
    file.take(MAX_START as u64)
        .read_to_end(&mut start)
        .map_err(ImageError::Copy)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_file_images_name_a_path() {
        assert_eq!(path_of("file:/opt/hook").unwrap(), Path::new("/opt/hook"));
        assert_eq!(path_of("file:///opt/hook").unwrap(), Path::new("/opt/hook"));
        for bad in [
            "file:hook",
            "file:",
            "file:./hook",
            "ghcr.io/lab/hook:1",
            "",
            "/opt/hook",
            "FILE:/opt/hook",
        ] {
            assert!(
                path_of(bad).unwrap_err().contains("file:/absolute/path"),
                "{bad:?}"
            );
        }
    }

    fn file(dir: &Path, name: &str, content: &[u8]) -> (String, Digest) {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        let digest = Digest::from_sha256(Sha256::digest(content).into());
        (format!("file:{}", path.display()), digest)
    }

    /// Examines an image where a hook sees everything.
    fn examined(image: &str, digest: &Digest) -> Result<(), String> {
        examine(image, digest, anywhere(&|_| true), &|| false)
    }

    fn anywhere(sees: &dyn Fn(&Path) -> bool) -> Policy<'_> {
        Policy {
            dirs: None,
            most: 1000,
            sees,
        }
    }

    // proves PIP-5
    #[test]
    fn an_image_is_examined_without_running_it() {
        let dir = tempfile::tempdir().unwrap();
        let (good, digest) = file(dir.path(), "good", b"#!/bin/sh\nexit 1\n");
        assert_eq!(examined(&good, &digest), Ok(()));
        // Like the copy that is run, it need not be executable itself.
        let (elf, elf_digest) = file(dir.path(), "elf", b"\x7fELF...");
        assert_eq!(examined(&elf, &elf_digest), Ok(()));

        let other = examined(&good, &elf_digest).unwrap_err();
        assert!(
            other.contains("another digest") && !other.contains(digest.as_str()),
            "{other}"
        );
        let (text, text_digest) = file(dir.path(), "text", b"no program");
        assert!(
            examined(&text, &text_digest)
                .unwrap_err()
                .contains("neither an ELF program")
        );
        let (large, large_digest) = file(dir.path(), "large", &[b'x'; 1001]);
        assert!(examined(&large, &large_digest).unwrap_err().contains("too large"));
        let (odd, odd_digest) = file(dir.path(), "odd", b"#!/no/such/shell\n");
        assert!(
            examined(&odd, &odd_digest)
                .unwrap_err()
                .contains("/no/such/shell")
        );
        let (env, env_digest) = file(dir.path(), "env", b"#!/usr/bin/env no-such-program\n");
        assert!(examined(&env, &env_digest).unwrap_err().contains("PATH"));
        assert!(
            examined("file:relative", &digest)
                .unwrap_err()
                .contains("no absolute path")
        );
        let unseen = examine(&good, &digest, anywhere(&|_| false), &|| false).unwrap_err();
        assert!(unseen.contains("not visible in the sandbox"), "{unseen}");
        assert!(examine(&good, &digest, anywhere(&|_| true), &|| true).is_err());
    }

    // proves ISO-4
    #[test]
    fn what_a_caller_may_not_know_of_a_file_has_one_reason() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (dir.path().join("images"), dir.path().join("theirs"));
        fs::create_dir(&ours).unwrap();
        fs::create_dir(&theirs).unwrap();
        let (good, digest) = file(&ours, "good", b"#!/bin/sh\n");
        let (secret, secret_digest) = file(&theirs, "secret", b"#!/bin/sh\n# secret\n");
        file(&ours, "large", &[b'x'; 1001]);
        std::os::unix::fs::symlink(theirs.join("secret"), ours.join("link")).unwrap();
        std::os::unix::fs::symlink("good", ours.join("alias")).unwrap();
        let dirs = [dir.path().join("missing"), ours.clone()];
        let sees = |_: &Path| true;
        let policy = Policy {
            dirs: Some(&dirs),
            ..anywhere(&sees)
        };
        let run = |image: &str, digest: &Digest| {
            let copy = dir.path().join(uuid::Uuid::new_v4().to_string());
            match verified_copy(image, digest, policy, &copy) {
                Ok(()) => Ok(()),
                Err(ImageError::Unusable(why)) => Err(why),
                Err(ImageError::Copy(error)) => panic!("{error}"),
            }
        };
        for image in [good.clone(), format!("file:{}", ours.join("alias").display())] {
            assert_eq!(examine(&image, &digest, policy, &|| false), Ok(()));
            assert_eq!(run(&image, &digest), Ok(()));
        }
        let of = |path: PathBuf| format!("file:{}", path.display());
        let cases = [
            (of(ours.join("missing")), &digest),
            (of(ours.join("good/below")), &digest),
            (of(ours.clone()), &digest),
            (of(ours.join("large")), &digest),
            (of(PathBuf::from("/dev/null")), &digest),
            // The digest of the file: not even its owner runs it from there.
            (secret, &secret_digest),
            (of(ours.join("link")), &secret_digest),
            (of(ours.join("../theirs/secret")), &secret_digest),
            // Another digest.
            (good, &secret_digest),
        ];
        let mut reasons = std::collections::BTreeSet::new();
        for (image, digest) in cases {
            let shown = image.strip_prefix("file:").unwrap();
            for why in [
                examine(&image, digest, policy, &|| false).unwrap_err(),
                run(&image, digest).unwrap_err(),
            ] {
                reasons.insert(why.replace(shown, "P").replace(digest.as_str(), "D"));
            }
        }
        assert_eq!(reasons.len(), 1, "{reasons:#?}");
    }
}
