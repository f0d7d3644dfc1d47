//! A private copy of the image, created only if its bytes match the release's digest (PIP-5).

use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use domain::Digest;
use domain::registry::digest::hex;
use runner_workdir::writing;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256, Sha512};

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

/// Copies the image to `copy` while hashing it, so that what is run are the very bytes that were verified: replacing
/// the original at any time changes nothing. The copy is executable and not writable.
pub(crate) fn verified_copy(image: &str, digest: &Digest, most: u64, copy: &Path) -> Result<(), ImageError> {
    let unusable = ImageError::Unusable;
    let path = path_of(image).map_err(unusable)?;
    let Some(mut hasher) = Hasher::of(digest) else {
        return Err(unusable(format!(
            "this server cannot verify {} digests; release the hook with a sha256: or sha512: digest",
            digest.algorithm()
        )));
    };
    let show = path.display();
    // Opening a FIFO without O_NONBLOCK would wait for a writer.
    let original = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(&path);
    let mut original = original.map_err(|e| unusable(format!("{show} cannot be opened ({e}); put the image there, or release the hook with the path where it is")))?;
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
        return Err(unusable(format!(
            "{show} has more than {most} bytes, the maximum of this server"
        )));
    }
    let found = hasher.finish();
    if found != digest.as_str() {
        return Err(unusable(format!(
            "{show} has the digest {found}, the release says {digest}; put the released file back, or release what is there"
        )));
    }
    runnable(copy, &show.to_string())
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
    let mut buffer = vec![0; 256 * 1024];
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

/// Checks whether the kernel can start it: an ELF file, or a script whose interpreter exists. It is checked here,
/// because afterwards the failure cannot be distinguished from the hook's own.
fn runnable(copy: &Path, show: &str) -> Result<(), ImageError> {
    let mut start = Vec::new();
    let file = File::open(copy).map_err(ImageError::Copy)?;
    BufReader::new(file.take(256))
        .read_until(b'\n', &mut start)
        .map_err(ImageError::Copy)?;
    if start.starts_with(b"\x7fELF") {
        return Ok(());
    }
    let Some(line) = start.strip_prefix(b"#!") else {
        return Err(ImageError::Unusable(format!(
            "{show} is neither an ELF program nor a script that begins with #!"
        )));
    };
    let line = String::from_utf8_lossy(line);
    let interpreter = line.split_whitespace().next().unwrap_or_default();
    if Path::new(interpreter).is_absolute() && Path::new(interpreter).is_file() {
        Ok(())
    } else {
        Err(ImageError::Unusable(format!(
            "{show} is a script for {interpreter:?}, which this server does not have"
        )))
    }
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
}
