//! Whether a kernel can start a file as a hook, from its first bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use crate::launch::PATH;

/// How much of a file says what starts it, in bytes.
pub(crate) const MAX_START: usize = 256;

/// Opens a file. Opening a FIFO without `O_NONBLOCK` would wait for a writer.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
}

/// Checks whether the kernel can start a file that begins like this: an ELF file, or a script whose interpreter the
/// hook sees. It is checked here, because afterwards the failure cannot be distinguished from the hook's own.
pub(crate) fn startable(start: &[u8], show: &str, sees: &dyn Fn(&Path) -> bool) -> Result<(), String> {
    let Some(mut words) = first_words(start, show)? else {
        return Ok(());
    };
    let interpreter = words.next().unwrap_or_default();
    let path = Path::new(interpreter);
    if !path.is_absolute() || !path.is_file() {
        return Err(format!(
            "{show} is a script for {interpreter:?}, which this server does not have"
        ));
    }
    let executable = |path: &Path| {
        path.metadata()
            .is_ok_and(|about| about.permissions().mode() & 0o111 != 0)
    };
    if !executable(path) {
        return Err(format!(
            "{show} is a script for {interpreter:?}, which is not executable"
        ));
    }
    if !sees(path) {
        return Err(format!(
            "{show} is a script for {interpreter:?}, which is not visible in the sandbox; install the interpreter below /usr or /opt"
        ));
    }
    let program = words
        .next()
        .filter(|word| !word.starts_with('-') && !word.contains('='));
    match program {
        Some(program) if path.ends_with("env") && !program.contains('/') => {
            let found = |dir: &str| {
                let path = Path::new(dir).join(program);
                path.is_file() && executable(&path) && sees(&path)
            };
            if PATH.split(':').any(found) {
                Ok(())
            } else {
                Err(format!(
                    "{show} is a script for {program:?}, which is not in the hook's PATH ({PATH})"
                ))
            }
        }
        _ => Ok(()),
    }
}

/// Returns the words of a script's first line after `#!`; `None` for an ELF file.
fn first_words<'a>(start: &'a [u8], show: &str) -> Result<Option<impl Iterator<Item = &'a str>>, String> {
    if start.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let Some(rest) = start.strip_prefix(b"#!") else {
        return Err(format!(
            "{show} is neither an ELF program nor a script that begins with #!"
        ));
    };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Ok(Some(line.split_ascii_whitespace()))
}

/// Checks what can be seen of an image without the server that will run it: whether `path` is a file that a kernel can
/// start. Whether the server has the interpreter of a script is not checked.
pub fn look_at(path: &Path) -> Result<(), String> {
    let show = path.display().to_string();
    let file = open(path).map_err(|e| format!("{show} cannot be opened ({e})"))?;
    if !file.metadata().is_ok_and(|about| about.is_file()) {
        return Err(format!(
            "{show} is not a regular file; the image must be one executable file"
        ));
    }
    let mut start = Vec::new();
    file.take(MAX_START as u64)
        .read_to_end(&mut start)
        .map_err(|e| format!("{show} cannot be read ({e})"))?;
    match first_words(&start, &show)?.map(|mut words| words.next()) {
        None => Ok(()),
        Some(Some(interpreter)) if Path::new(interpreter).is_absolute() => Ok(()),
        Some(interpreter) => Err(format!(
            "{show} is a script for {:?}, which is not an absolute path",
            interpreter.unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_looked_at_without_its_server() {
        let dir = tempfile::tempdir().unwrap();
        for (content, good) in [
            (&b"#!/only/there/python3 -u\n"[..], true),
            (b"\x7fELF", true),
            (b"#!python3\n", false),
            (b"#!\n", false),
            (b"print()", false),
        ] {
            let image = dir.path().join("image");
            std::fs::write(&image, content).unwrap();
            assert_eq!(look_at(&image).is_ok(), good, "{content:?}");
        }
        assert!(look_at(&dir.path().join("missing")).is_err());
        assert!(look_at(dir.path()).is_err());
    }
}
