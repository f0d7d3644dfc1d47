//! Reading what an ingester left: hostile lines and files, each refused on its own.

use std::collections::BTreeSet;

use domain::ingest::pulled::{PulledRecord, content_hash_with_files};
use domain::ingest::refused::MAX_STORED_OF_A_PULL;
use domain::kind::limited;
use domain::registry::schema::MetadataChecker;
use domain::{FieldDefinition, SourceId};
use ports::ingest::IngestLine;
use ports::{Blobs, PullAttempt, PutError, RecordFile, RunnerError, StoreError};
use serde_json::{Map, Value};

/// The maximum number of refused lines that are listed. All of them are counted.
pub(crate) const MAX_TOLD: usize = MAX_STORED_OF_A_PULL as usize;
/// The maximum total size of the files of one pull, in bytes: the limit that runners set on a work directory. The
/// length of a sparse file can exceed the space that it occupies.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// The maximum length of a refusal's reason, in characters.
const MAX_REASON: usize = 2_000;

/// The result of a pull.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) lines: Vec<IngestLine>,
    pub(crate) files: Vec<RecordFile>,
    /// How many lines were about records, refused or not: a session with zero of them ends the run.
    pub(crate) told: u64,
    pub(crate) refused: u64,
    pub(crate) refusals: Vec<(u64, Option<String>, String)>,
    pub(crate) session: Option<Map<String, Value>>,
    pub(crate) duration_s: f64,
}

impl Given {
    fn refuse(&mut self, line: u64, source_id: Option<String>, why: &str) {
        self.refused += 1;
        if self.refusals.len() < MAX_TOLD {
            self.refusals.push((line, source_id, limited(why, MAX_REASON)));
        }
    }
}

/// Reads the output of one attempt at a pull.
pub(crate) struct PulledReader<'a> {
    pub(crate) blobs: &'a dyn Blobs,
    /// The key prefix of this attempt's files.
    pub(crate) prefix: &'a str,
    /// The fields of the run's schema.
    pub(crate) fields: &'a [FieldDefinition],
    /// How many more records the run's limit allows.
    pub(crate) left: Option<u64>,
}

impl PulledReader<'_> {
    /// Reads the records that an ingester left, and stores their files.
    pub(crate) async fn read(&self, attempt: &PullAttempt) -> Result<Given, ReadError> {
        let checker = MetadataChecker::new(self.fields);
        let mut given = Given::default();
        let mut ids: BTreeSet<SourceId> = BTreeSet::new();
        let mut stored_bytes = 0;
        for (number, line) in (1_u64..).zip(attempt.records.split(|b| *b == b'\n')) {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            given.told += 1;
            let pulled = match PulledRecord::from_line(line, &checker) {
                Ok(pulled) => pulled,
                Err(refused) => {
                    given.refuse(number, refused.source_id, &refused.reason.to_string());
                    continue;
                }
            };
            let id = pulled.record.source_id.clone();
            if ids.contains(&id) {
                given.refuse(
                    number,
                    Some(id.to_string()),
                    "the pull returned a record with this id before; the first one counts",
                );
                continue;
            }
            if self.left.is_some_and(|left| ids.len() as u64 >= left) {
                given.refuse(
                    number,
                    Some(id.to_string()),
                    "the ingester returned more records than the run's limit allows",
                );
                continue;
            }
            match self
                .store_files(number, &pulled, attempt, &mut stored_bytes)
                .await?
            {
                Ok(files) => {
                    ids.insert(id);
                    let mut record = pulled.record;
                    let hashes: Vec<_> = files
                        .iter()
                        .map(|file| (file.name.clone(), file.sha256))
                        .collect();
                    record.content_hash = content_hash_with_files(record.content_hash, &hashes);
                    given.files.extend(files);
                    given.lines.push(IngestLine { line: number, record });
                }
                Err(why) => given.refuse(number, Some(id.to_string()), &why),
            }
        }
        Ok(given)
    }

    /// Stores the files of one record; the inner error is the ingester's fault.
    async fn store_files(
        &self,
        number: u64,
        pulled: &PulledRecord,
        attempt: &PullAttempt,
        stored_bytes: &mut u64,
    ) -> Result<Result<Vec<RecordFile>, String>, ReadError> {
        let mut stored = Vec::with_capacity(pulled.files.len());
        for (at, name) in pulled.files.iter().enumerate() {
            let record = &pulled.record.source_id;
            let Some(file) = attempt.files.open(record, name).await? else {
                return Ok(Err(format!(
                    "its file {:?} is missing or not a regular file",
                    name.as_str()
                )));
            };
            let key = format!("{}/{number}/{at}", self.prefix);
            match self
                .blobs
                .put_stream(
                    &key,
                    file.content,
                    file.bytes.min(MAX_FILE_BYTES.saturating_sub(*stored_bytes)),
                )
                .await
            {
                Ok(blob) => {
                    *stored_bytes += blob.bytes;
                    stored.push(RecordFile {
                        record: record.clone(),
                        name: name.clone(),
                        key,
                        bytes: blob.bytes,
                        sha256: blob.sha256,
                    });
                }
                Err(PutError::Store(error)) => return Err(error.into()),
                Err(PutError::Source(error)) => {
                    return Err(RunnerError::new(format!("read the file {name} of {record}"), error).into());
                }
                Err(PutError::TooLarge(_)) => {
                    return Ok(Err(format!(
                        "its file {:?} exceeds the total size of a pull's files, or grew while it was read",
                        name.as_str()
                    )));
                }
            }
        }
        Ok(Ok(stored))
    }
}

/// Why the output of an ingester could not be read.
pub(crate) enum ReadError {
    Store(StoreError),
    Runner(RunnerError),
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<RunnerError> for ReadError {
    fn from(error: RunnerError) -> Self {
        Self::Runner(error)
    }
}
