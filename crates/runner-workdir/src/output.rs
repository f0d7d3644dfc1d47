//! Reading the output of a hook or an ingester: hostile files, read without following links, blocking, or exceeding a
//! cap (WC-D19).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use domain::SourceId;
use domain::work::outcome::HookOutput;
use domain::work::output_file::OutputFile;
use domain::work::rows::Content;
use ports::RunStamp;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::stored::Stored;
use crate::workdir::WorkDir;

/// Up to this size, in bytes, a file is read into memory at once.
const SMALL: u64 = 64 * 1024;

/// The maximum sizes of the files that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputCaps {
    /// The maximum number of bytes of all files of a hook together.
    pub most_main_bytes: u64,
    /// The maximum number of bytes of each file other than `features.jsonl`, `features.json` and an ingester's
    /// `records.jsonl`.
    pub most_other_bytes: u64,
    /// The maximum number of bytes of an ingester's `records.jsonl`, which is read into memory.
    pub most_pulled_bytes: u64,
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

/// Reads a hook's output, which stays in its files until it is needed, also after their directory is removed. `owner` is
/// the uid that the files must belong to, if it is known; `only` is the id of the record if the run had exactly one.
pub(crate) fn read_hook(
    work: &WorkDir,
    caps: OutputCaps,
    owner: Option<u32>,
    only: Option<&SourceId>,
) -> Read {
    let out = work.out();
    let (mut fault, mut left) = (None, caps.most_main_bytes);
    let mut file = |name: &str, most: u64| match open_file(out, name, Most::of(most, left), owner) {
        Ok(Some(file)) => {
            left = left.saturating_sub(file.size());
            file
        }
        Ok(None) => OutputFile::default(),
        Err(why) => {
            fault.get_or_insert(why);
            OutputFile::default()
        }
    };
    let mut output = HookOutput {
        features: file("features.jsonl", caps.most_main_bytes),
        rejections: file("rejections.jsonl", caps.most_other_bytes),
        errors: file("errors.jsonl", caps.most_other_bytes),
        progress: file("progress.jsonl", caps.most_other_bytes),
    };
    // WC-D4: `osa emit` writes features.json, of the run's only record.
    if let Some(id) = only.filter(|_| output.features.is_blank().unwrap_or(false)) {
        let whole = file("features.json", caps.most_main_bytes);
        if !whole.is_empty() {
            output.features = OutputFile::new(Arc::new(FeaturesLine::of(id, whole)));
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
    let mut file = |name: &str, most: u64| {
        let whole = open_file(work.out(), name, Most::of(most, u64::MAX), None).and_then(|file| {
            let whole = file.map(|file| file.to_vec()).transpose();
            whole.map_err(|e| format!("{name} cannot be read: {e}"))
        });
        whole.unwrap_or_else(|why| {
            fault.get_or_insert(why);
            None
        })
    };
    Pulled {
        records: file("records.jsonl", caps.most_pulled_bytes).unwrap_or_default(),
        session: file("session.json", caps.most_other_bytes),
        fault,
    }
}

/// The `features.jsonl` line with the content of `features.json`. A line break is never part of a JSON string, so each
/// can become a space; invalid JSON stays invalid.
#[derive(Debug)]
struct FeaturesLine {
    begin: Vec<u8>,
    whole: OutputFile,
}

impl FeaturesLine {
    const END: &[u8] = b"}\n";

    fn of(id: &SourceId, whole: OutputFile) -> Self {
        Self {
            begin: format!("{{\"id\":{},\"features\":", serde_json::Value::from(id.as_str())).into_bytes(),
            whole,
        }
    }
}

impl Content for FeaturesLine {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let begin = self.begin.len() as u64;
        let Some(inside) = offset.checked_sub(begin) else {
            return self.begin.read_at(offset, buffer);
        };
        if let Some(behind) = inside.checked_sub(self.whole.size()) {
            return Self::END.to_vec().read_at(behind, buffer);
        }
        let read = self.whole.read_at(inside, buffer)?;
        for byte in &mut buffer[..read] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        Ok(read)
    }

    fn size(&self) -> u64 {
        self.begin.len() as u64 + self.whole.size() + Self::END.len() as u64
    }
}

/// The maximum size of a file, in bytes, and what follows it in a message.
struct Most(u64, &'static str);

impl Most {
    /// Returns the smaller of the limit of a file and what is left for all of them.
    const fn of(file: u64, left: u64) -> Self {
        if left <= file {
            Self(
                left,
                ", together with the files before it (runner.max_output_bytes)",
            )
        } else {
            Self(file, "")
        }
    }
}

fn open_file(
    out: &OwnedFd,
    name: &str,
    Most(most, why): Most,
    owner: Option<u32>,
) -> Result<Option<OutputFile>, String> {
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
            "{name} has {} bytes; at most {most} are read{why}",
            about.len()
        ));
    }
    // What is written later does not count.
    let stored = Stored::new(file, about.len());
    if about.len() > SMALL {
        return Ok(Some(OutputFile::new(Arc::new(stored))));
    }
    let small = OutputFile::new(Arc::new(stored)).to_vec();
    small
        .map(|bytes| Some(bytes.into()))
        .map_err(|e| format!("{name} cannot be read: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_features_file_becomes_one_line() {
        let id: SourceId = "a\"b".parse().unwrap();
        let line = FeaturesLine::of(&id, b"[\n {\"x\": NaN}\r\n]\n".to_vec().into());
        let expected = "{\"id\":\"a\\\"b\",\"features\":[  {\"x\": NaN}  ] }\n";
        assert_eq!(line.size(), expected.len() as u64);
        for at in 0..expected.len() {
            let mut byte = [0];
            assert_eq!(line.read_at(at as u64, &mut byte).unwrap(), 1);
            assert_eq!(byte[0], expected.as_bytes()[at]);
        }
        let whole = OutputFile::new(Arc::new(line)).to_vec().unwrap();
        assert_eq!(String::from_utf8(whole).unwrap(), expected);
    }
}
