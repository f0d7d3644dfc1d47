//! A private copy of the image, created only if its bytes match the release's digest (PIP-5).

use std::fs::{File, OpenOptions, Permissions};
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

/// Returns why the image could not be run, if so. Nothing of it is copied or run.
///
/// An error says no more about a path than its release needs: a file that is missing, that the server may not read or
/// that is no file has one reason, and the digest of a file is not reported.
pub(crate) fn examine(
    image: &str,
    digest: &Digest,
    most: u64,
    sees: &dyn Fn(&Path) -> bool,
    abandoned: &dyn Fn() -> bool,
) -> Result<(), String> {
    let path = path_of(image)?;
    let mut hasher = hasher_of(digest)?;
    let show = path.display();
    let no_file =
        || format!("{show} is not a file that the server can read; put the image there before its release");
    let mut file = open(&path).map_err(|_| no_file())?;
    let about = file.metadata().map_err(|_| no_file())?;
    if !about.is_file() {
        return Err(no_file());
    }
    let mut start = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut length = 0;
    loop {
        if abandoned() {
            return Err("the request was abandoned".to_owned());
        }
        let count = file.read(&mut buffer).map_err(|_| no_file())?;
        if count == 0 {
            break;
        }
        if length == 0 {
            start.extend_from_slice(&buffer[..count.min(MAX_START)]);
        }
        length += count as u64;
        if length > most {
            return Err(too_large(&show.to_string(), most));
        }
        hasher.update(&buffer[..count]);
    }
    if hasher.finish() != digest.as_str() {
        return Err(format!(
            "{show} has another digest than {digest}; release it with the digest of the file"
        ));
    }
    startable(&start, &show.to_string(), sees)
}

fn hasher_of(digest: &Digest) -> Result<Hasher, String> {
    Hasher::of(digest).ok_or_else(|| {
        format!(
            "this server cannot verify {} digests; release the hook with a sha256: or sha512: digest",
            digest.algorithm()
        )
    })
}

fn too_large(show: &str, most: u64) -> String {
    format!("{show} has more than {most} bytes, the maximum of this server")
}

/// Copies the image to `copy` while hashing it, so that what is run are the very bytes that were verified: replacing
/// the original at any time changes nothing. The copy is executable and not writable.
pub(crate) fn verified_copy(
    image: &str,
    digest: &Digest,
    most: u64,
    copy: &Path,
    sees: &dyn Fn(&Path) -> bool,
) -> Result<(), ImageError> {
    let unusable = ImageError::Unusable;
    let path = path_of(image).map_err(unusable)?;
    let mut hasher = hasher_of(digest).map_err(unusable)?;
    let show = path.display();
    let mut original = open(&path).map_err(|e| unusable(format!("{show} cannot be opened ({e}); put the image there, or release it again, with the same config and limits, from the path where it is")))?;
    let about = original
        .metadata()
        .map_err(|e| unusable(format!("{show} cannot be examined ({e})")))?;
    if !about.is_file() {
        return Err(unusable(format!(
            "{show} is not a regular file; the image must be one executable file"
        )));
    }
    let written = {
        let _lock = writing();
        write_copy(&mut original, &mut hasher, most, copy)?
    };
    if written > most {
        return Err(unusable(too_large(&show.to_string(), most)));
    }
    let found = hasher.finish();
    if found != digest.as_str() {
        return Err(unusable(format!(
            "{show} has the digest {found}, the release says {digest}; put the released file back, release that file from the path where it is now, or release what is there"
        )));
    }
    startable(&start_of(copy)?, &show.to_string(), sees).map_err(unusable)
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
        examine(image, digest, 1000, &|_| true, &|| false)
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
        assert!(
            examined(&large, &large_digest)
                .unwrap_err()
                .contains("more than 1000 bytes")
        );
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
        let unseen = examine(&good, &digest, 1000, &|_| false, &|| false).unwrap_err();
        assert!(unseen.contains("not visible in the sandbox"), "{unseen}");
        assert!(examine(&good, &digest, 1000, &|_| true, &|| true).is_err());
    }

    #[test]
    fn a_path_that_is_no_readable_file_has_one_reason() {
        let dir = tempfile::tempdir().unwrap();
        let (_, digest) = file(dir.path(), "any", b"#!/bin/sh\n");
        let why = |path: &Path| {
            let why = examined(&format!("file:{}", path.display()), &digest).unwrap_err();
            why.replace(&path.display().to_string(), "P")
        };
        let missing = why(&dir.path().join("missing"));
        assert_eq!(missing, why(dir.path()));
        assert_eq!(missing, why(Path::new("/dev/null")));
        assert_eq!(missing, why(&dir.path().join("any/below")));
    }
}
