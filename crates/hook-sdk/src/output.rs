//! The three output files (WC-5.1).

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use crate::environment::{Environment, RunError};
use crate::outcome::{HookError, Outcome};

/// The number of waiting bytes at which the output is written.
const MAX_WAITING: usize = 64 * 1024;
/// The output is written at the first record after this time, so that a hook that is ended for its time or memory
/// loses little.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// A file that is only appended to in whole lines, so that a killed hook leaves no partial ones, unless it is killed
/// in the middle of a write.
struct Lines {
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
}

impl Lines {
    /// Creates the file even if nothing is ever written: an empty file is the usual way to report nothing.
    fn create(environment: &Environment, name: &str) -> Result<Self, RunError> {
        let path = environment.output.join(name);
        match File::create(&path) {
            Ok(file) => Ok(Self {
                path,
                file,
                waiting: Vec::new(),
            }),
            Err(error) => Err(RunError::Output(path, error)),
        }
    }

    fn add(&mut self, line: &[u8]) {
        self.waiting.extend_from_slice(line);
        self.waiting.push(b'\n');
    }

    fn write(&mut self) -> Result<(), RunError> {
        let written = self.file.write_all(&self.waiting);
        self.waiting.clear();
        written.map_err(|e| RunError::Output(self.path.clone(), e))
    }
}

/// The output of a run.
pub(crate) struct Output {
    features: Lines,
    rejections: Lines,
    errors: Lines,
    written: Instant,
}

/// The result for a record.
pub(crate) enum Said {
    Passed,
    Rejected,
    Errored,
}

#[derive(Serialize)]
struct Features<'a, R> {
    id: &'a str,
    features: &'a [R],
}

impl Output {
    pub(crate) fn create(environment: &Environment) -> Result<Self, RunError> {
        let lines = |name| Lines::create(environment, name);
        Ok(Self {
            features: lines("features.jsonl")?,
            rejections: lines("rejections.jsonl")?,
            errors: lines("errors.jsonl")?,
            written: Instant::now(),
        })
    }

    /// Appends the result for the record `id`.
    pub(crate) fn say<R: Serialize>(
        &mut self,
        id: &str,
        outcome: Result<Outcome<R>, HookError>,
    ) -> Result<Said, RunError> {
        let said = match outcome {
            Ok(Outcome::Passed(rows)) => match serde_json::to_vec(&Features { id, features: &rows }) {
                Ok(line) => {
                    self.features.add(&line);
                    Said::Passed
                }
                Err(error) => self.error(
                    id,
                    &HookError::new(format!("the hook's row cannot be written as JSON: {error}")),
                ),
            },
            Ok(Outcome::Rejected(reason)) => {
                self.rejections
                    .add(json!({"id": id, "reason": reason}).to_string().as_bytes());
                Said::Rejected
            }
            Err(error) => self.error(id, &error),
        };
        let waiting = self.features.waiting.len() + self.rejections.waiting.len() + self.errors.waiting.len();
        if waiting > MAX_WAITING || self.written.elapsed() > LONGEST_WAIT {
            self.write()?;
        }
        Ok(said)
    }

    fn error(&mut self, id: &str, error: &HookError) -> Said {
        let line = json!({"id": id, "error": error.message, "retryable": error.retryable});
        self.errors.add(line.to_string().as_bytes());
        Said::Errored
    }

    /// Writes the waiting output.
    pub(crate) fn write(&mut self) -> Result<(), RunError> {
        self.written = Instant::now();
        self.features.write()?;
        self.rejections.write()?;
        self.errors.write()
    }
}
