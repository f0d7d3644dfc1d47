//! One batch of an ingest run: pin, run the hooks, and write all results in one transaction.
//!
//! Invariant: the effects of a batch happen once, at the commit that also ends its delegation; before it, nothing of
//! them exists. Who can break it: a worker that was presumed dead and comes back (its attempt number is old: it is
//! refused before it writes), a server that dies in the middle (nothing was committed: the next one repeats it under
//! the same pins and run ids), a pointer that moves meanwhile (the pins were committed before the first hook
//! started).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use domain::data::withdrawal::TAKES_NO_VERSION;
use domain::ingest::run::IngestError;
use domain::ledger::delegation::{MAX_RETRIES, preview};
use domain::registry::schema::MetadataChecker;
use domain::{Actor, Event, RecordSrn, SourceId};
use ports::ingest::{BatchRecord, BatchRun, RecordEnd};
use ports::ledger::DelegationEnd;
use ports::work::{BatchSource, NewRecord, RecordBatch};
use ports::{Claim, Committed, HookRecord, RecordFile, Store, StoreError, UnitOfWork, WorkQueue};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::failure::Failure;
use crate::ingest::batches::BatchParams;
use crate::ingest::ending::{EXHAUSTED, completed_event, end_run, give_up_batch};
use crate::ingest::pulls::queue_next_pull;
use crate::metrics::WorkEnd;
use crate::retry::retried;
use crate::work::claims::{Finished, Words, end_claim, end_held, insert_runs, instead};
use crate::work::hook_work::{HookWork, conclude, hand_back, hook_record, pinned_unit};
use crate::work::run_hooks::{Abort, Ran, RunHooks, Unit, UnitEnd, against};
use crate::work::unstorable::Publishing;

/// Processes batches.
pub struct ProcessBatch {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
    hooks: Arc<RunHooks>,
    writers: Semaphore,
}

/// The input of the work, committed before any hook starts.
pub(crate) struct Prepared {
    params: BatchParams,
    run: BatchRun,
    records: Vec<BatchRecord>,
    unit: Unit,
}

impl ProcessBatch {
    /// Creates the use case over these ports. It writes at most `writers` batches at once: each holds a connection,
    /// even while it waits for a lock of another one, and heartbeats, claims and readers need some too.
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn WorkQueue>, hooks: Arc<RunHooks>, writers: u32) -> Self {
        let writers = usize::try_from(writers.max(1)).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            store,
            queue,
            hooks,
            writers: Semaphore::new(writers),
        }
    }

    /// Processes a claim. `place` is the worker's permit to run hooks; it is dropped as soon as they have ended.
    /// After an error, the claim is lost when its lease expires.
    #[tracing::instrument(name = "app.process_batch", skip_all, fields(delegation = %claim.delegation, attempt = claim.attempt, task = %claim.task))]
    pub async fn run(&self, claim: &Claim, place: impl Send) -> Result<WorkEnd, Failure> {
        let params: BatchParams =
            serde_json::from_value(claim.params.clone()).map_err(|e| StoreError::corrupt("tasks", e))?;
        let Some(prepared) = retried!(self.prepare(claim, params))?.into_inner() else {
            return end_claim(&*self.store, claim, Self::WORDS.over).await;
        };
        let ended = self.hooks.run(claim, &prepared.unit).await?;
        drop(place);
        // It is never closed. Without a turn, the database would limit it.
        let _turn = self.writers.acquire().await.ok();
        let (ran, aborted) = match ended {
            UnitEnd::Ran(ran, aborted) => (ran, aborted),
            UnitEnd::Retry(why) => return hand_back(self, claim, &prepared, &why, MAX_RETRIES).await,
        };
        let mut stored = match &aborted {
            None => retried!(self.finish(claim, &prepared, &ran, &BTreeMap::new())),
            Some(abort) => retried!(self.abort(claim, &prepared, &ran, abort)),
        };
        if let Err(Failure::Store(StoreError::Refused { reason, .. })) = &stored {
            tracing::warn!(delegation = %claim.delegation, reason, "looking for the records of a batch that cannot be stored");
            let passed = judge(&prepared, &ran, &BTreeMap::new())?.passed;
            let unstorable = publishing(&prepared, &ran)
                .unstorable(&*self.store, &passed)
                .await?;
            stored = retried!(self.finish(claim, &prepared, &ran, &unstorable));
        }
        conclude(self, claim, &prepared, stored).await
    }

    /// Returns `None` if the run has ended.
    async fn prepare(
        &self,
        claim: &Claim,
        params: BatchParams,
    ) -> Result<Committed<Option<Prepared>>, Failure> {
        let id = params.run();
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let run = uow.ingests().batch_run(id).await?;
        let run = run.ok_or(IngestError::UnknownRun(id))?;
        // Whether it has ended meanwhile is checked again, under its lock, when everything is written.
        if !run.status.is_active() {
            return Ok(uow.commit(None).await?);
        }
        let unit = pinned_unit(&mut uow, claim, &run.convention, &run.schema.reference).await?;
        let records = uow.ingests().batch_records(id, params.batch).await?;
        let files = uow.pulls().batch_files(id, params.batch).await?;
        let unit = Unit {
            records: hook_records(&records, &files),
            files,
            ..unit
        };
        let prepared = Prepared {
            params,
            run,
            records,
            unit,
        };
        Ok(uow.commit(Some(prepared)).await?)
    }

    /// Writes all results, without the records that cannot be stored. The run's row is locked last, so batches write
    /// concurrently until then.
    async fn finish(
        &self,
        claim: &Claim,
        prepared: &Prepared,
        ran: &[Ran],
        unstorable: &BTreeMap<SourceId, RecordEnd>,
    ) -> Result<Committed<Finished>, Failure> {
        let params = prepared.params;
        let judged = judge(prepared, ran, unstorable)?;
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let preview = format!(
            "{} of {} records passed every hook",
            judged.passed.len(),
            prepared.records.len()
        );
        let end = DelegationEnd::Completed {
            result: None,
            preview,
        };
        if !end_held(&mut uow, claim, end).await? {
            return Ok(uow.commit(Finished::Late).await?);
        }
        insert_runs(&mut uow, ran).await?;
        let publishing = publishing(prepared, ran);
        let judged = without_withdrawn(&mut uow, &publishing.batch, judged).await?;
        let srns = publishing.write(&mut uow, &judged.passed).await?;
        let published_event = published_event(prepared, &judged.passed, &srns);
        let published = judged
            .passed
            .iter()
            .zip(&srns)
            .map(|(record, srn)| (record.source_id.clone(), RecordEnd::Published(srn.clone())));
        let ends: Vec<_> = published.chain(judged.refused).collect();
        let run = uow.ingests().lock(params.run()).await?;
        if run.is_none_or(|run| !run.status.is_active()) {
            return instead(&*self.store, uow, Finished::RunIsOver).await;
        }
        uow.ingests().end_batch(params.run(), params.batch, &ends).await?;
        uow.activity()
            .append(&Event {
                kind: "HookBatchCompleted",
                subject: format!("ingest_run:{}", params.run()),
                actor: Actor::System,
                payload: json!({"ingest_run_id": params.run().to_string(), "batch_index": params.batch}),
            })
            .await?;
        uow.activity().append(&published_event).await?;
        queue_next_pull(&mut *uow, params.run()).await?;
        let done = uow.ingests().complete_if_done(params.run()).await?;
        if let Some(published) = done {
            uow.activity()
                .append(&completed_event(params.run(), published))
                .await?;
        }
        Ok(uow.commit(Finished::Done).await?)
    }

    /// Aborts the whole run: no other batch would succeed (WC-6.4). What is published stays.
    async fn abort(
        &self,
        claim: &Claim,
        prepared: &Prepared,
        ran: &[Ran],
        Abort { why, failure }: &Abort,
    ) -> Result<Committed<Finished>, Failure> {
        let run = prepared.params.run();
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        if !end_held(&mut uow, claim, DelegationEnd::Failed(preview(why))).await? {
            return Ok(uow.commit(Finished::Late).await?);
        }
        insert_runs(&mut uow, ran).await?;
        end_run(&mut uow, run, failure.as_str(), why, &Actor::System).await?;
        Ok(uow.commit(Finished::Done).await?)
    }
}

#[async_trait]
impl HookWork for ProcessBatch {
    const WORDS: Words = Words {
        noun: "batch",
        done: "processed",
        // The results for its records are stored already.
        over: "the ingest run has ended",
    };
    type Prepared = Prepared;

    fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn queue(&self) -> &dyn WorkQueue {
        &*self.queue
    }

    fn preview(&self, _: &Claim, prepared: &Prepared) -> String {
        let params = prepared.params;
        format!("batch {} of ingest run {}", params.batch, params.run())
    }

    /// There may be room for the next pull now.
    fn stored(&self) {
        self.queue.notify();
    }

    async fn give_up(
        &self,
        uow: &mut UnitOfWork,
        _: &Claim,
        prepared: &Prepared,
        why: &str,
    ) -> Result<(), Failure> {
        give_up_batch(uow, prepared.params, EXHAUSTED, why).await
    }
}

/// Returns the records as hooks receive them. The size is that of their files.
fn hook_records(records: &[BatchRecord], files: &[RecordFile]) -> Vec<HookRecord> {
    let mut sizes: BTreeMap<&SourceId, u64> = BTreeMap::new();
    for file in files {
        *sizes.entry(&file.record).or_default() += file.bytes;
    }
    let size = |id: &SourceId| sizes.get(id).copied().unwrap_or_default();
    records
        .iter()
        .map(|record| hook_record(&record.source_id, &record.metadata, size(&record.source_id)))
        .collect()
}

fn publishing<'a>(prepared: &'a Prepared, ran: &'a [Ran]) -> Publishing<'a> {
    Publishing {
        batch: RecordBatch {
            convention: &prepared.run.convention,
            schema: &prepared.run.schema.reference,
            fields: &prepared.run.schema.fields,
            source: BatchSource::Ingest(prepared.params.run()),
        },
        pins: &prepared.unit.pins,
        ran,
    }
}

/// The records that passed every hook, and those that did not.
struct Judged {
    passed: Vec<NewRecord>,
    refused: Vec<(SourceId, RecordEnd)>,
}

/// Judges the records. A record is published if every hook passed it; else the first hook in order that did not
/// decides the outcome.
fn judge(
    prepared: &Prepared,
    ran: &[Ran],
    unstorable: &BTreeMap<SourceId, RecordEnd>,
) -> Result<Judged, Failure> {
    let checker = MetadataChecker::new(&prepared.run.schema.fields);
    let mut judged = Judged {
        passed: Vec::new(),
        refused: Vec::new(),
    };
    for record in &prepared.records {
        let id = &record.source_id;
        if let Some(end) = against(&prepared.unit.pins, ran, id).or_else(|| unstorable.get(id).cloned()) {
            judged.refused.push((record.source_id.clone(), end));
            continue;
        }
        let cells = checker.cells(&record.metadata).ok_or_else(|| {
            StoreError::corrupt("ingest_records", "stored metadata no longer fits its schema")
        })?;
        judged.passed.push(NewRecord {
            source_id: record.source_id.clone(),
            metadata: record.metadata.clone(),
            cells,
            content_hash: record.content_hash,
        });
    }
    Ok(judged)
}

/// Refuses new versions of withdrawn records (EDG-4): to push a record again does not publish it again.
async fn without_withdrawn(
    uow: &mut UnitOfWork,
    batch: &RecordBatch<'_>,
    mut judged: Judged,
) -> Result<Judged, Failure> {
    let sources: Vec<SourceId> = judged.passed.iter().map(|r| r.source_id.clone()).collect();
    let withdrawn = uow.records().withdrawn(batch, &sources).await?;
    if withdrawn.is_empty() {
        return Ok(judged);
    }
    let withdrawn: BTreeSet<SourceId> = withdrawn.into_iter().collect();
    judged
        .passed
        .retain(|record| !withdrawn.contains(&record.source_id));
    let end = |source| (source, RecordEnd::Unstorable(TAKES_NO_VERSION.to_owned()));
    judged.refused.extend(withdrawn.into_iter().map(end));
    Ok(judged)
}

/// Creates the event of a published batch (WC-1.7). It names every record, which bounds it by the size of a batch.
fn published_event(prepared: &Prepared, passed: &[NewRecord], srns: &[RecordSrn]) -> Event {
    let (run, batch) = (prepared.params.run(), prepared.params.batch);
    let pins = &prepared.unit.pins;
    let hooks: Vec<&str> = pins.iter().map(|pin| pin.release.hook.as_str()).collect();
    let releases: BTreeMap<&str, u32> = pins
        .iter()
        .map(|pin| (pin.release.hook.as_str(), pin.release.version.get()))
        .collect();
    let srns: Vec<String> = srns.iter().map(ToString::to_string).collect();
    let of_source: BTreeMap<&str, &str> = passed
        .iter()
        .zip(&srns)
        .map(|(record, srn)| (record.source_id.as_str(), srn.as_str()))
        .collect();
    Event {
        kind: "IngestBatchPublished",
        subject: format!("ingest_run:{run}"),
        actor: Actor::System,
        payload: json!({
            "ingest_run_id": run.to_string(), "convention_id": prepared.run.convention.as_str(), "batch_index": batch,
            "published_srns": srns, "published_count": srns.len(), "expected_features": hooks,
            "upstream_to_record_srn": of_source, "releases": releases,
        }),
    }
}
