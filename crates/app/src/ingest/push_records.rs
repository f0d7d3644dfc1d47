//! `POST /ingestions/{id}/records`: a stream of lines into an open run.
//!
//! Invariant: a line that was reported as accepted is stored, and so is one that was reported as refused, with its
//! faults, up to the limit of its run; the same line again changes nothing. Lines are written in transactions of some
//! hundreds under the run's row lock, so a client or a server that dies in between leaves whole lines, and the client
//! sends the same file again.
//!
//! A dry run takes the same way with the same statements. Its units of work are rolled back instead of committed, in
//! one place: the function `end`.

use std::sync::Arc;

use auth::{Permit, act};
use bytes::Bytes;
use domain::ingest::refused::{MAX_STORED_OF_A_RUN, RefusedLine};
use domain::ingest::run::IngestError;
use domain::{Actor, ConventionSlug, IngestMode, IngestRunId, Invalid};
use futures::{Stream, StreamExt};
use ports::ingest::{IngestLine, LineResult, LockedIngestRun};
use ports::{Repos, Store, UnitOfWork, WorkQueue};

use crate::failure::Failure;
use crate::ingest::batches::cut_batches;
use crate::ingest::push_decoder::{DecodedLine, PushDecoder, PushFormat};
use crate::ingest::push_report::{PushReport, Tried, contradiction};
use crate::memory::Memory;
use crate::retry::retried;

/// How many lines one transaction writes.
const LINES_PER_TRANSACTION: usize = 500;
/// About how many bytes of lines are gathered before they are written.
const BYTES_PER_TRANSACTION: usize = 4 * 1024 * 1024;
/// About how much memory, in bytes, the lines of one piece of a push may take without a reservation. Usual lines never
/// take more.
const FREE: usize = 8 * 1024 * 1024;

/// Accepts pushes.
pub struct PushRecords {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
    memory: Memory,
}

impl PushRecords {
    /// Creates the use case over this store. Lines with so many values that they take much memory share `memory` with
    /// other requests.
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn WorkQueue>, memory: Memory) -> Self {
        Self { store, queue, memory }
    }

    /// Processes one push. An error of `body` means that the client disconnected: the lines read until then are
    /// stored. A dry run has the same report and stores nothing. `client` is whose share of memory it takes.
    #[tracing::instrument(name = "app.push_records", skip_all, fields(ingest_run = %run, dry_run = dry_run))]
    pub async fn run<S, E>(
        &self,
        permit: Permit<act::WriteIngestions>,
        run: IngestRunId,
        format: PushFormat,
        dry_run: bool,
        client: &str,
        mut body: S,
    ) -> Result<PushReport, Failure>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
        E: std::error::Error,
    {
        let actor = permit.actor();
        let memory = self.memory.share(client);
        let begun = retried!(self.begin(&actor, run, dry_run))?;
        let mut decoder = PushDecoder::new(format, &begun.fields);
        let mut push = Push {
            run,
            actor,
            convention: begun.convention,
            upload: begun.upload,
            tried: dry_run.then(Tried::default),
            report: PushReport {
                dry_run,
                upload: begun.upload.unwrap_or_default(),
                ..PushReport::default()
            },
        };
        let mut part = Part::default();
        loop {
            let chunk = match body.next().await.transpose() {
                Ok(chunk) => chunk,
                Err(error) => {
                    self.flush(&mut push, &mut part).await?;
                    let kept = if dry_run {
                        "nothing is stored"
                    } else {
                        "the lines before were kept"
                    };
                    return Err(Invalid::value(format!(
                        "the request body ended unexpectedly: {error}; {kept}, send the same file again"
                    ))
                    .into());
                }
            };
            let weight = decoder.weigh(chunk.as_deref());
            let room = if weight > FREE {
                // A push that waits for memory holds none.
                self.flush(&mut push, &mut part).await?;
                Some(memory.reserve(weight).await?)
            } else {
                None
            };
            let (decoded, ended) = match &chunk {
                Some(chunk) => {
                    part.bytes += chunk.len();
                    (decoder.feed(chunk)?, false)
                }
                None => (decoder.finish()?, true),
            };
            for line in decoded {
                push.gather(line, &mut part);
                if part.len() >= LINES_PER_TRANSACTION {
                    self.flush(&mut push, &mut part).await?;
                }
            }
            if ended || part.bytes >= BYTES_PER_TRANSACTION || room.is_some() {
                self.flush(&mut push, &mut part).await?;
            }
            if ended {
                return Ok(push.report);
            }
        }
    }

    async fn begin(&self, actor: &Actor, run: IngestRunId, dry_run: bool) -> Result<Begun, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock_open(&mut *uow, run).await?;
        let schema = uow
            .ingests()
            .schema(run)
            .await?
            .ok_or(IngestError::UnknownRun(run))?;
        let upload = uow.ingests().next_upload(run, actor).await?;
        let begun = Begun {
            upload: (!dry_run).then_some(upload),
            convention: locked.convention,
            fields: schema.fields,
        };
        end(uow, dry_run, begun).await
    }

    /// Writes a part of the push, and reports its lines.
    async fn flush(&self, push: &mut Push, part: &mut Part) -> Result<(), Failure> {
        let part = std::mem::take(part);
        if part.len() == 0 {
            return Ok(());
        }
        let written = retried!(self.write(push, &part))?;
        for (line, result) in part.lines.iter().zip(written.results) {
            push.report.count(result);
            if let (Some(tried), LineResult::Accepted | LineResult::Unchanged) = (&mut push.tried, result) {
                tried.remember(&line.record)?;
            }
        }
        push.report.refuse(written.refused);
        if written.cut > 0 {
            self.queue.notify();
        }
        Ok(())
    }

    async fn write(&self, push: &Push, part: &Part) -> Result<Written, Failure> {
        let dry_run = push.tried.is_some();
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock_open(&mut *uow, push.run).await?;
        let upload = match push.upload {
            Some(upload) => upload,
            None => uow.ingests().next_upload(push.run, &push.actor).await?,
        };
        let results = if part.lines.is_empty() {
            Vec::new()
        } else {
            uow.ingests()
                .add_lines(push.run, &push.convention, upload, &part.lines)
                .await?
        };
        let mut refused = part.refused.clone();
        for (line, result) in part.lines.iter().zip(&results) {
            if *result == LineResult::Contradicts {
                refused.push(contradiction(line.line, &line.record));
            }
        }
        refused.sort_by_key(|refused| refused.line);
        if !refused.is_empty() {
            uow.ingests()
                .add_refused(push.run, upload, &refused, MAX_STORED_OF_A_RUN)
                .await?;
        }
        let cut = if dry_run {
            0
        } else {
            cut_batches(&mut *uow, push.run, &locked, &push.actor, false).await?
        };
        let written = Written {
            results,
            refused,
            cut,
        };
        end(uow, dry_run, written).await
    }
}

/// Commits a unit of work of a push. That of a dry run is dropped, which rolls it back.
async fn end<T: Send>(uow: UnitOfWork, dry_run: bool, outcome: T) -> Result<T, Failure> {
    if dry_run {
        drop(uow);
        return Ok(outcome);
    }
    Ok(uow.commit(outcome).await?.into_inner())
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
    /// None in a dry run.
    upload: Option<u32>,
    convention: ConventionSlug,
    fields: Vec<domain::FieldDefinition>,
}

/// One push while it is received.
struct Push {
    run: IngestRunId,
    actor: Actor,
    convention: ConventionSlug,
    /// Its number in the run; none in a dry run.
    upload: Option<u32>,
    /// What a dry run would have stored. No other push has it.
    tried: Option<Tried>,
    report: PushReport,
}

impl Push {
    /// Adds a line to the part that is written next. A dry run judges a line here whose id it would have stored.
    fn gather(&mut self, (line, decoded): DecodedLine, part: &mut Part) {
        let record = match decoded {
            Ok(record) => record,
            Err(refusal) => {
                let id = refusal.source_id.as_deref();
                let refused = RefusedLine::new(line, id, refusal.digest, refusal.reason);
                part.refused.push(refused);
                return;
            }
        };
        match self.tried.as_ref().and_then(|tried| tried.judge(&record)) {
            None => part.lines.push(IngestLine { line, record }),
            Some(LineResult::Contradicts) => part.refused.push(contradiction(line, &record)),
            Some(result) => self.report.count(result),
        }
    }
}

/// Lines that one transaction writes.
#[derive(Default)]
struct Part {
    lines: Vec<IngestLine>,
    refused: Vec<RefusedLine>,
    /// About how many bytes they have.
    bytes: usize,
}

impl Part {
    fn len(&self) -> usize {
        self.lines.len() + self.refused.len()
    }
}

/// The result of a part of a push.
struct Written {
    /// The result for each line that is a record.
    results: Vec<LineResult>,
    /// The lines that were refused, in their order.
    refused: Vec<RefusedLine>,
    /// How many batches were formed.
    cut: u32,
}
