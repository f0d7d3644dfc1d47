//! Reading what a hook wrote: hostile files, read without following links, blocking, or exceeding a cap (D19).

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use domain::SourceId;
use domain::outcome::HookOutput;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::options::ProcessRunnerOptions;

/// The output files, and why some of them could not be read.
pub(crate) struct Read {
    /// What could be read; a file that could not be is empty.
    pub(crate) output: HookOutput,
    /// The first reason why a file could not be read.
    pub(crate) fault: Option<String>,
}

/// Reads the output files in `out`. `owner` is the uid that they must belong to, if the hook ran as another than the server;
/// `only` is the id of the record if the run had exactly one.
pub(crate) fn read(
    out: &OwnedFd,
    options: &ProcessRunnerOptions,
    owner: Option<u32>,
    only: Option<&SourceId>,
) -> Read {
    let mut fault = None;
    let mut file = |name: &str, most: u64| match read_file(out, name, most, owner) {
        Ok(bytes) => bytes,
        Err(why) => {
            fault.get_or_insert(why);
            Vec::new()
        }
    };
    let mut output = HookOutput {
        features: file("features.jsonl", options.most_features_bytes),
        rejections: file("rejections.jsonl", options.most_other_bytes),
        errors: file("errors.jsonl", options.most_other_bytes),
        progress: file("progress.jsonl", options.most_other_bytes),
    };
    // D4: `osa emit` writes features.json, of the run's only record.
    if let Some(id) = only.filter(|_| output.features.iter().all(u8::is_ascii_whitespace)) {
        let whole = file("features.json", options.most_features_bytes);
        if !whole.is_empty() {
            output.features = features_line(id, &whole);
        }
    }
    Read { output, fault }
}

/// The `features.jsonl` line that says what `features.json` does. A line break is never part of a JSON string, so
/// each can become a space; what is no JSON stays none.
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

fn read_file(out: &OwnedFd, name: &str, most: u64, owner: Option<u32>) -> Result<Vec<u8>, String> {
    // NONBLOCK: opening a FIFO must not wait for a writer. NOFOLLOW: a link could name any file that the server may read.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(out, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(Errno::LOOP) => return Err(format!("{name} is a symbolic link; it must be a plain file")),
        Err(error) => return Err(format!("{name} cannot be opened: {error}")),
    };
    let about = file
        .metadata()
        .map_err(|e| format!("{name} cannot be examined: {e}"))?;
    if !about.is_file() {
        return Err(format!("{name} is no plain file"));
    }
    if about.nlink() != 1 || owner.is_some_and(|uid| about.uid() != uid) {
        return Err(format!("{name} is a link to a file that the hook did not make"));
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
    Ok(bytes)
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
