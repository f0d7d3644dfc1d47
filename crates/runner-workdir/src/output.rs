//! Reading the output of a hook or an ingester: hostile files, read without following links, blocking, or exceeding a
//! cap (WC-D19).

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use domain::SourceId;
use domain::work::outcome::HookOutput;
use ports::RunStamp;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::workdir::WorkDir;

/// The maximum sizes of the files that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputCaps {
    /// The maximum number of bytes of `features.jsonl`, `features.json` and an ingester's `records.jsonl`.
    pub most_main_bytes: u64,
    /// The maximum number of bytes of each other file.
    pub most_other_bytes: u64,
}

/// The output of a hook, and why some of it could not be read.
pub(crate) struct Read {
    /// The readable output; an unreadable file is empty.
    pub(crate) output: HookOutput,
    /// The content of `run.json` beside it.
    pub(crate) stamp: Option<RunStamp>,
    /// The first reason why a file could not be read.
    pub(crate) fault: Option<String>,
}

/// The output of an ingester, and why some of it could not be read.
pub struct Pulled {
    /// `records.jsonl`; empty if it does not exist.
    pub records: Vec<u8>,
    /// `session.json`, if it exists.
    pub session: Option<Vec<u8>>,
    /// The first reason why a file could not be read.
    pub fault: Option<String>,
}

/// Reads a hook's output. `owner` is the uid that the files must belong to, if it is known; `only` is the id of the
/// record if the run had exactly one.
pub(crate) fn read_hook(
    work: &WorkDir,
    caps: OutputCaps,
    owner: Option<u32>,
    only: Option<&SourceId>,
) -> Read {
    let out = work.out();
    let mut fault = None;
    let mut file = |name: &str, most: u64| match read_file(out, name, most, owner) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(why) => {
            fault.get_or_insert(why);
            Vec::new()
        }
    };
    let mut output = HookOutput {
        features: file("features.jsonl", caps.most_main_bytes),
        rejections: file("rejections.jsonl", caps.most_other_bytes),
        errors: file("errors.jsonl", caps.most_other_bytes),
        progress: file("progress.jsonl", caps.most_other_bytes),
    };
    // WC-D4: `osa emit` writes features.json, of the run's only record.
    if let Some(id) = only.filter(|_| output.features.iter().all(u8::is_ascii_whitespace)) {
        let whole = file("features.json", caps.most_main_bytes);
        if !whole.is_empty() {
            output.features = features_line(id, &whole);
        }
    }
    Read {
        output,
        stamp: work.stamp(),
        fault,
    }
}

/// Reads an ingester's output directory. It runs as the user of its image, so no owner is expected.
pub fn read_pull(work: &WorkDir, caps: OutputCaps) -> Pulled {
    let mut fault = None;
    let mut file = |name: &str, most: u64| match read_file(work.out(), name, most, None) {
        Ok(bytes) => bytes,
        Err(why) => {
            fault.get_or_insert(why);
            None
        }
    };
    Pulled {
        records: file("records.jsonl", caps.most_main_bytes).unwrap_or_default(),
        session: file("session.json", caps.most_other_bytes),
        fault,
    }
}

/// Returns the `features.jsonl` line with the content of `features.json`. A line break is never part of a JSON
/// string, so each can become a space; invalid JSON stays invalid.
fn features_line(id: &SourceId, whole: &[u8]) -> Vec<u8> {
    let mut line = format!("{{\"id\":{},\"features\":", serde_json::Value::from(id.as_str())).into_bytes();
    line.extend(whole.iter().map(|byte| {
        if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            *byte
        }
    }));
    line.extend_from_slice(b"}\n");
    line
}

fn read_file(out: &OwnedFd, name: &str, most: u64, owner: Option<u32>) -> Result<Option<Vec<u8>>, String> {
    // NONBLOCK: opening a FIFO must not wait for a writer. NOFOLLOW: a link could name any file that the server can
    // read.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(out, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(format!("{name} is a symbolic link; it must be a regular file")),
        Err(error) => return Err(format!("{name} cannot be opened: {error}")),
    };
    let about = file
        .metadata()
        .map_err(|e| format!("{name} cannot be examined: {e}"))?;
    if !about.is_file() {
        return Err(format!("{name} is not a regular file"));
    }
    if about.nlink() != 1 || owner.is_some_and(|uid| about.uid() != uid) {
        return Err(format!("{name} is a link to a file that it did not make"));
    }
    if about.len() > most {
        return Err(format!(
            "{name} has {} bytes; at most {most} are read",
            about.len()
        ));
    }
    let mut bytes = Vec::new();
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("{name} cannot be read: {e}"))?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_features_file_becomes_one_line() {
        let id: SourceId = "a\"b".parse().unwrap();
        let line = features_line(&id, b"[\n {\"x\": NaN}\r\n]\n");
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"id\":\"a\\\"b\",\"features\":[  {\"x\": NaN}  ] }\n"
        );
    }
}
