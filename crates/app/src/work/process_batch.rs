//! One batch of an ingest run: pin, run the hooks, and write all results in one transaction.
//!
//! Invariant: the effects of a batch happen once, at the commit that also ends its delegation; before it, nothing of
//! them exists. Who can break it: a worker that was presumed dead and comes back (its attempt number is old: it is
//! refused before it writes), a server that dies in the middle (nothing was committed: the next one repeats it under
//! the same pins and run ids), a pointer that moves meanwhile (the pins were committed before the first hook
//! started).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use domain::ingest::run::IngestError;
use domain::kind::{Coded as _, Kind};
use domain::ledger::delegation::{MAX_RETRIES, preview};
use domain::registry::schema::MetadataChecker;
use domain::work::failure::FailureKind;
use domain::{Actor, Cell, Event, RecordOutcome, RecordSrn, SourceId};
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
use crate::work::claims::{Finished, end_claim, fail_for_now, insert_runs};
use crate::work::run_hooks::{Ran, RunHooks, Unit, UnitEnd, against};

/// Processes batches.
pub struct ProcessBatch {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
    hooks: Arc<RunHooks>,
    writers: Semaphore,
}

/// The input of the work, committed before any hook starts.
struct Prepared {
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
        let prepared = retried!(self.prepare(claim, params))?.into_inner();
        if !prepared.run.status.is_active() {
            return self.end_with_run(claim).await.map(|()| WorkEnd::Done);
        }
        let ended = self.hooks.run(claim, &prepared.unit).await?;
        drop(place);
        // It is never closed. Without a turn, the database would limit it.
        let _turn = self.writers.acquire().await.ok();
        let (ran, aborted) = match ended {
            UnitEnd::Ran(ran) => (ran, None),
            UnitEnd::Retry(why) => {
                self.hand_back(claim, params, &why, MAX_RETRIES).await?;
                return Ok(WorkEnd::Done);
            }
            UnitEnd::Abort(ran, why, failure) => (ran, Some((why, failure))),
        };
        let finished = match &aborted {
            None => retried!(self.finish(claim, params, &prepared, &ran)),
            Some((why, failure)) => retried!(self.abort(claim, params, &ran, why, failure)),
        };
        let finished = match finished {
            Ok(finished) => finished.into_inner(),
            // What the database refuses now it refuses again: waiting for the lease to expire would only delay the
            // run.
            Err(failure) if failure.kind() == Kind::Bug => {
                let cause = std::error::Error::source(&failure)
                    .map_or_else(|| failure.to_string(), ToString::to_string);
                tracing::error!(error = &failure as &dyn std::error::Error, delegation = %claim.delegation, "a batch could not be stored");
                let why = format!("what the hooks computed could not be stored: {cause}");
                self.hand_back(claim, params, &why, 1).await?;
                return Ok(WorkEnd::Done);
            }
            Err(failure) => return Err(failure),
        };
        match finished {
            // There may be room for the next pull now.
            Finished::Done => self.queue.notify(),
            Finished::RunIsOver => self.end_with_run(claim).await?,
            Finished::Late => {
                tracing::warn!(delegation = %claim.delegation, attempt = claim.attempt, "a late batch was refused: another worker has its claim");
                self.queue
                    .refuse_late(
                        claim,
                        "the batch was processed, but its claim was lost to another worker",
                    )
                    .await?;
                return Ok(WorkEnd::Lost);
            }
        }
        Ok(WorkEnd::Done)
    }

    async fn prepare(&self, claim: &Claim, params: BatchParams) -> Result<Committed<Prepared>, Failure> {
        let run = params.run();
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let at = uow.runs().now().await?;
        let begun = Instant::now();
        // Whether the run has ended meanwhile is checked again, under its lock, when everything is written.
        let batch_run = uow
            .ingests()
            .batch_run(run)
            .await?
            .ok_or(IngestError::UnknownRun(run))?;
        let mut pins = uow.runs().pins(claim.task).await?;
        if pins.is_empty() && batch_run.status.is_active() {
            uow.runs()
                .pin_live(claim.task, &batch_run.convention, &batch_run.schema.reference)
                .await?;
            pins = uow.runs().pins(claim.task).await?;
        }
        let records = uow.ingests().batch_records(run, params.batch).await?;
        let files = uow.pulls().batch_files(run, params.batch).await?;
        let failures = uow.delegations().failures_of_task(claim.task).await?;
        let unit = Unit {
            pins,
            records: hook_records(&records, &files),
            files,
            // After the last retry, nothing is tried again.
            retries: if claim.retry_count < MAX_RETRIES {
                failures
            } else {
                u32::MAX
            },
            at,
            begun,
        };
        Ok(uow
            .commit(Prepared {
                run: batch_run,
                records,
                unit,
            })
            .await?)
    }

    /// Writes all results. The run's row is locked last, so batches write concurrently until then.
    async fn finish(
        &self,
        claim: &Claim,
        params: BatchParams,
        prepared: &Prepared,
        ran: &[Ran],
    ) -> Result<Committed<Finished>, Failure> {
        let pins = &prepared.unit.pins;
        let judged = judge(prepared, ran)?;
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let preview = format!(
            "{} of {} records passed every hook",
            judged.passed.len(),
            prepared.records.len()
        );
        if !uow
            .delegations()
            .finish(
                &claim.delegation,
                claim.attempt,
                DelegationEnd::Completed {
                    result: None,
                    preview,
                },
            )
            .await?
        {
            return Ok(uow.commit(Finished::Late).await?);
        }
        insert_runs(&mut uow, ran).await?;
        let batch = RecordBatch {
            convention: &prepared.run.convention,
            schema: &prepared.run.schema.reference,
            fields: &prepared.run.schema.fields,
            source: BatchSource::Ingest(params.run()),
        };
        let srns = uow.records().publish(&batch, &judged.passed).await?;
        for (one, pin) in ran.iter().zip(pins) {
            let rows: Vec<(RecordSrn, Vec<Vec<Cell>>)> = judged
                .passed
                .iter()
                .zip(&srns)
                .filter_map(|(record, srn)| Some((srn.clone(), rows_of(one, &record.source_id)?)))
                .collect();
            uow.features()
                .replace(&pin.release.hook, &pin.contract, one.run.id, &rows)
                .await?;
        }
        let published = judged
            .passed
            .iter()
            .zip(&srns)
            .map(|(record, srn)| (record.source_id.clone(), RecordEnd::Published(srn.clone())));
        let ends: Vec<_> = published.chain(judged.refused).collect();
        let run = uow.ingests().lock(params.run()).await?;
        if run.is_none_or(|run| !run.status.is_active()) {
            // Dropped, so that nothing of the above exists.
            drop(uow);
            return Ok(UnitOfWork::begin(&*self.store)
                .await?
                .commit(Finished::RunIsOver)
                .await?);
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
        uow.activity()
            .append(&published_event(params, prepared, srns.len()))
            .await?;
        queue_next_pull(&mut *uow, params.run()).await?;
        if uow.ingests().complete_if_done(params.run()).await? {
            uow.activity().append(&completed_event(params.run())).await?;
        }
        Ok(uow.commit(Finished::Done).await?)
    }

    /// Aborts the whole run: no other batch would succeed (WC-6.4). What is published stays.
    async fn abort(
        &self,
        claim: &Claim,
        params: BatchParams,
        ran: &[Ran],
        why: &str,
        failure: &FailureKind,
    ) -> Result<Committed<Finished>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        if !uow
            .delegations()
            .finish(
                &claim.delegation,
                claim.attempt,
                DelegationEnd::Failed(preview(why)),
            )
            .await?
        {
            return Ok(uow.commit(Finished::Late).await?);
        }
        insert_runs(&mut uow, ran).await?;
        end_run(&mut uow, params.run(), failure.as_str(), why, &Actor::System).await?;
        Ok(uow.commit(Finished::Done).await?)
    }

    /// Ends the delegation of a batch whose run ended early; the results for its records are stored already.
    async fn end_with_run(&self, claim: &Claim) -> Result<(), Failure> {
        end_claim(&*self.store, claim, "the ingest run has ended").await
    }

    /// Fails the delegation; the task is delegated again later, or given up.
    async fn hand_back(
        &self,
        claim: &Claim,
        params: BatchParams,
        why: &str,
        most: u32,
    ) -> Result<(), Failure> {
        let queued = retried!(self.hand_back_once(claim, params, &preview(why), most))?.into_inner();
        if queued {
            self.queue.notify();
        }
        Ok(())
    }

    async fn hand_back_once(
        &self,
        claim: &Claim,
        params: BatchParams,
        why: &str,
        most: u32,
    ) -> Result<Committed<bool>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let what = format!("batch {} of ingest run {}", params.batch, params.run());
        match fail_for_now(&mut uow, claim, &what, why, most).await? {
            None => Ok(uow.commit(false).await?),
            Some(true) => Ok(uow.commit(true).await?),
            Some(false) => {
                give_up_batch(&mut uow, params, EXHAUSTED, why).await?;
                Ok(uow.commit(false).await?)
            }
        }
    }
}

/// Returns the records as hooks receive them. The size is that of their files.
fn hook_records(records: &[BatchRecord], files: &[RecordFile]) -> Vec<HookRecord> {
    let mut sizes: BTreeMap<&SourceId, u64> = BTreeMap::new();
    for file in files {
        *sizes.entry(&file.record).or_default() += file.bytes;
    }
    let record = |r: &BatchRecord| HookRecord {
        id: r.source_id.clone(),
        metadata: r.metadata.clone(),
        size_hint_mb: mebibytes(sizes.get(&r.source_id).copied().unwrap_or_default()),
    };
    records.iter().map(record).collect()
}

/// Converts bytes to MiB, as hooks receive sizes. Exact to a KiB up to the petabytes.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)) / 1024.0
}

/// The records that passed every hook, and those that did not.
struct Judged {
    passed: Vec<NewRecord>,
    refused: Vec<(SourceId, RecordEnd)>,
}

/// Judges the records. A record is published if every hook passed it; else the first hook in order that did not
/// decides the outcome.
fn judge(prepared: &Prepared, ran: &[Ran]) -> Result<Judged, Failure> {
    let checker = MetadataChecker::new(&prepared.run.schema.fields);
    let mut judged = Judged {
        passed: Vec::new(),
        refused: Vec::new(),
    };
    for record in &prepared.records {
        if let Some(end) = against(&prepared.unit.pins, ran, &record.source_id) {
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

fn rows_of(ran: &Ran, source: &SourceId) -> Option<Vec<Vec<Cell>>> {
    match ran.execution.outcomes.get(source) {
        Some(RecordOutcome::Passed(rows)) => Some(rows.clone()),
        _ => None,
    }
}

fn published_event(params: BatchParams, prepared: &Prepared, published: usize) -> Event {
    let run = params.run();
    let releases: BTreeMap<&str, u32> = prepared
        .unit
        .pins
        .iter()
        .map(|pin| (pin.release.hook.as_str(), pin.release.version.get()))
        .collect();
    Event {
        kind: "IngestBatchPublished",
        subject: format!("ingest_run:{run}"),
        actor: Actor::System,
        payload: json!({
            "ingest_run_id": run.to_string(), "convention_id": prepared.run.convention.as_str(), "batch_index": params.batch,
            "published_count": published, "releases": releases,
        }),
    }
}
