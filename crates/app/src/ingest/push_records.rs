//! `POST /ingestions/{id}/records`: a stream of lines into an open run.
//!
//! Invariant: a line that was reported as accepted is stored; the same line again changes nothing. Lines are written
//! in transactions of some hundreds under the run's row lock, so a client or a server that dies in between leaves
//! whole lines, and the client sends the same file again.

use std::sync::Arc;

use auth::{Permit, act};
use bytes::Bytes;
use domain::ingest::run::IngestError;
use domain::{Actor, ConventionSlug, Fault, IngestMode, IngestRunId, Invalid};
use futures::{Stream, StreamExt};
use ports::ingest::{IngestLine, LineResult, LockedIngestRun};
use ports::{Committed, Repos, Store, UnitOfWork, WorkQueue};

use crate::failure::Failure;
use crate::ingest::batches::cut_batches;
use crate::ingest::push_decoder::{PushDecoder, PushFormat};
use crate::retry::retried;

/// How many lines one transaction writes.
const LINES_PER_TRANSACTION: usize = 500;
/// About how many bytes of lines are gathered before they are written.
const BYTES_PER_TRANSACTION: usize = 4 * 1024 * 1024;
/// The maximum number of invalid lines that are listed. All of them are counted.
pub const MAX_LISTED: usize = 1000;

/// The maximum number of faults listed per line.
const MAX_FAULTS_OF_A_LINE: usize = 20;

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its number in the push, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// The result of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushReport {
    /// The number of this upload in its run.
    pub upload: u32,
    /// Lines that are new in this run.
    pub accepted: u64,
    /// Lines that are new in this run and equal to what is published.
    pub unchanged: u64,
    /// Lines that came before in this run, with the same content.
    pub repeated: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// The first [`MAX_LISTED`] of them.
    pub refused_lines: Vec<RefusedLine>,
}

impl PushReport {
    fn refuse(&mut self, line: u64, invalid: Invalid) {
        self.refused += 1;
        if self.refused_lines.len() < MAX_LISTED {
            let mut faults = invalid.faults;
            faults.truncate(MAX_FAULTS_OF_A_LINE);
            self.refused_lines.push(RefusedLine { line, faults });
        }
    }
}

/// Accepts pushes.
pub struct PushRecords {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
}

impl PushRecords {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn WorkQueue>) -> Self {
        Self { store, queue }
    }

    /// Processes one push. An error of `body` means that the client disconnected: the lines read until then are
    /// stored.
    #[tracing::instrument(name = "app.push_records", skip_all, fields(ingest_run = %run))]
    pub async fn run<S, E>(
        &self,
        permit: Permit<act::WriteIngestions>,
        run: IngestRunId,
        format: PushFormat,
        mut body: S,
    ) -> Result<PushReport, Failure>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
        E: std::error::Error,
    {
        let actor = permit.actor();
        let begun = retried!(self.begin(&actor, run))?.into_inner();
        let mut decoder = PushDecoder::new(format, &begun.fields);
        let mut report = PushReport {
            upload: begun.upload,
            ..PushReport::default()
        };
        let (mut lines, mut bytes) = (Vec::new(), 0);
        loop {
            let (decoded, ended) = match body.next().await {
                Some(Ok(chunk)) => {
                    bytes += chunk.len();
                    (decoder.feed(&chunk)?, false)
                }
                Some(Err(error)) => {
                    self.flush(&actor, run, &begun, &mut lines, &mut report).await?;
                    return Err(Invalid::value(format!(
                        "the request body ended unexpectedly: {error}; the lines before were kept, \
                         send the same file again"
                    ))
                    .into());
                }
                None => (decoder.finish()?, true),
            };
            for (line, record) in decoded {
                match record {
                    Ok(record) => lines.push(IngestLine { line, record }),
                    Err(invalid) => report.refuse(line, invalid),
                }
                if lines.len() >= LINES_PER_TRANSACTION {
                    self.flush(&actor, run, &begun, &mut lines, &mut report).await?;
                    bytes = 0;
                }
            }
            if ended || bytes >= BYTES_PER_TRANSACTION {
                self.flush(&actor, run, &begun, &mut lines, &mut report).await?;
                bytes = 0;
            }
            if ended {
                return Ok(report);
            }
        }
    }

    async fn begin(&self, actor: &Actor, run: IngestRunId) -> Result<Committed<Begun>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock_open(&mut *uow, run).await?;
        let schema = uow
            .ingests()
            .schema(run)
            .await?
            .ok_or(IngestError::UnknownRun(run))?;
        let upload = uow.ingests().next_upload(run, actor).await?;
        Ok(uow
            .commit(Begun {
                upload,
                convention: locked.convention,
                fields: schema.fields,
            })
            .await?)
    }

    async fn flush(
        &self,
        actor: &Actor,
        run: IngestRunId,
        begun: &Begun,
        lines: &mut Vec<IngestLine>,
        report: &mut PushReport,
    ) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        let (results, cut) = retried!(self.write(actor, run, begun, lines))?.into_inner();
        for (line, result) in lines.drain(..).zip(results) {
            match result {
                LineResult::Accepted => report.accepted += 1,
                LineResult::Unchanged => report.unchanged += 1,
                LineResult::Repeated => report.repeated += 1,
                LineResult::Contradicts => {
                    let message = format!(
                        "{:?} came before in this run with other content; a run holds one content per id",
                        line.record.source_id.as_str()
                    );
                    report.refuse(line.line, Invalid::value(message).of_field("source_id"));
                }
            }
        }
        if cut > 0 {
            self.queue.notify();
        }
        Ok(())
    }

    async fn write(
        &self,
        actor: &Actor,
        run: IngestRunId,
        begun: &Begun,
        lines: &[IngestLine],
    ) -> Result<Committed<(Vec<LineResult>, u32)>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock_open(&mut *uow, run).await?;
        let results = uow
            .ingests()
            .add_lines(run, &begun.convention, begun.upload, lines)
            .await?;
        let cut = cut_batches(&mut *uow, run, &locked, actor, false).await?;
        Ok(uow.commit((results, cut)).await?)
    }
}

/// Locks a run that still accepts lines.
async fn lock_open(repos: &mut dyn Repos, run: IngestRunId) -> Result<LockedIngestRun, Failure> {
    let locked = repos
        .ingests()
        .lock(run)
        .await?
        .ok_or(IngestError::UnknownRun(run))?;
    if locked.mode == IngestMode::Pull {
        return Err(IngestError::NotPushed(run).into());
    }
    if locked.ingestion_finished || !locked.status.is_active() {
        return Err(IngestError::Closed(run).into());
    }
    Ok(locked)
}

/// What a push reads from its run.
struct Begun {
    upload: u32,
    convention: ConventionSlug,
    fields: Vec<domain::FieldDefinition>,
}
