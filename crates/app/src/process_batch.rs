//! One batch of an ingest run: pin, run the hooks, and write everything that came of it in one transaction.
//!
//! Invariant: the effects of a batch happen once, at the commit that also ends its delegation; before it, nothing of them exists.
//! Who can break it: a worker that was taken for dead and comes back (its attempt number is old: it is refused before it writes), a server
//! that dies in the middle (nothing was committed: the next one does it again under the same pins and run ids), a pointer
//! that moves meanwhile (the pins were committed before the first hook started).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use domain::delegation::{MOST_RETRIES, backoff, preview};
use domain::failure::FailureKind;
use domain::ingest::IngestError;
use domain::kind::{Coded as _, Kind};
use domain::schema::MetadataChecker;
use domain::{Actor, Cell, Event, FieldDefinition, HookRun, IngestRunId, RecordOutcome, RecordSrn, SourceId};
use ports::ledger::DelegationEnd;
use ports::repos::{BatchRecord, LockedIngestRun, NewRecord, Pin, RecordBatch, RecordEnd};
use ports::{Blobs, Claim, Committed, HookRecord, HookRunner, Store, StoreError, UnitOfWork, WorkQueue};
use serde_json::json;
use time::OffsetDateTime;

use crate::batches::{BatchParams, delegation};
use crate::failure::Failure;
use crate::hook_execution::{HookExecution, execute};
use crate::retry::retried;

/// Works batches off.
pub struct ProcessBatch {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
    runner: Arc<dyn HookRunner>,
    blobs: Arc<dyn Blobs>,
}

/// What the work starts from; committed before any hook starts.
struct Prepared {
    run: LockedIngestRun,
    fields: Vec<FieldDefinition>,
    pins: Vec<Pin>,
    records: Vec<BatchRecord>,
    /// The database's time, and ours at that moment: run times are the former plus what passed since by the latter.
    at: OffsetDateTime,
    begun: Instant,
}

/// One hook's part.
struct Ran {
    run: HookRun,
    execution: HookExecution,
}

impl ProcessBatch {
    /// A use case on these ports.
    pub fn new(
        store: Arc<dyn Store>,
        queue: Arc<dyn WorkQueue>,
        runner: Arc<dyn HookRunner>,
        blobs: Arc<dyn Blobs>,
    ) -> Self {
        Self {
            store,
            queue,
            runner,
            blobs,
        }
    }

    /// Does what a claim is about. An error leaves the claim to be taken away when its lease runs out.
    pub async fn run(&self, claim: &Claim) -> Result<(), Failure> {
        let params: BatchParams =
            serde_json::from_value(claim.params.clone()).map_err(|e| StoreError::corrupt("tasks", e))?;
        let prepared = retried!(self.prepare(claim, params))?.into_inner();
        let mut ran = Vec::with_capacity(prepared.pins.len());
        for pin in &prepared.pins {
            match self.run_hook(claim, &prepared, pin).await {
                Ok(one) => ran.push(one),
                Err(why) => return self.hand_back(claim, params, &why, MOST_RETRIES).await,
            }
        }
        let finished = match retried!(self.finish(claim, params, &prepared, &ran)) {
            Ok(finished) => finished.into_inner(),
            // What the database refuses now it refuses again: waiting for the lease to run out would only hold up the run.
            Err(failure) if failure.kind() == Kind::Bug => {
                let cause = std::error::Error::source(&failure)
                    .map_or_else(|| failure.to_string(), ToString::to_string);
                tracing::error!(error = &failure as &dyn std::error::Error, delegation = %claim.delegation, "a batch could not be stored");
                return self
                    .hand_back(
                        claim,
                        params,
                        &format!("what the hooks computed could not be stored: {cause}"),
                        1,
                    )
                    .await;
            }
            Err(failure) => return Err(failure),
        };
        if !finished {
            tracing::warn!(delegation = %claim.delegation, attempt = claim.attempt, "a batch came too late and was refused: it was given to another worker");
            self.queue
                .refuse_late(
                    claim,
                    "the batch was worked off, but after it was given to another worker",
                )
                .await?;
        }
        Ok(())
    }

    async fn prepare(&self, claim: &Claim, params: BatchParams) -> Result<Committed<Prepared>, Failure> {
        let run = params.run();
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let at = uow.runs().now().await?;
        let begun = Instant::now();
        let locked = uow
            .ingests()
            .lock(run)
            .await?
            .ok_or(IngestError::UnknownRun(run))?;
        let mut pins = uow.runs().pins(claim.task).await?;
        if pins.is_empty() {
            uow.runs()
                .pin_live(claim.task, &locked.convention, &locked.schema)
                .await?;
            pins = uow.runs().pins(claim.task).await?;
        }
        let schema = uow
            .ingests()
            .schema(run)
            .await?
            .ok_or(IngestError::UnknownRun(run))?;
        let records = uow.ingests().batch_records(run, params.batch).await?;
        Ok(uow
            .commit(Prepared {
                run: locked,
                fields: schema.fields,
                pins,
                records,
                at,
                begun,
            })
            .await?)
    }

    async fn run_hook(&self, claim: &Claim, prepared: &Prepared, pin: &Pin) -> Result<Ran, String> {
        let record = |r: &BatchRecord| HookRecord {
            id: r.source_id.clone(),
            metadata: r.metadata.clone(),
            size_hint_mb: 0.0,
        };
        let records: Vec<HookRecord> = prepared.records.iter().map(record).collect();
        let started_at = prepared.at + prepared.begun.elapsed();
        let execution = execute(&*self.runner, pin, &records).await.map_err(|error| {
            // Not its causes: they may hold what the hook printed.
            tracing::error!(%error, hook = %pin.release.hook, "the runner failed");
            format!("the runner failed: {error}")
        })?;
        let mut log_ref = None;
        if execution.failure.is_some() {
            let key = format!(
                "logs/hook-runs/{}/{}-{}.log",
                pin.run, claim.delegation, claim.attempt
            );
            match self.blobs.put(&key, execution.log.clone().into()).await {
                Ok(()) => log_ref = Some(key),
                // A run without its log is worth more than no run.
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, run.id = %pin.run, "the hook's log could not be kept");
                }
            }
        }
        let run = HookRun {
            id: pin.run,
            release: pin.release.id,
            status: execution.status(),
            started_at,
            finished_at: prepared.at + prepared.begun.elapsed(),
            duration_s: execution.duration.as_secs_f64(),
            oom_retries: execution.oom_retries,
            worker: format!("{} ({})", claim.worker.name, self.runner.name()),
            log_ref,
            failure: execution.failure.as_ref().map(FailureKind::to_string),
        };
        tracing::info!(run.id = %run.id, hook = %pin.release.hook, version = %pin.release.version, status = run.status.as_str(), records = records.len(), duration_s = run.duration_s, "hook run");
        Ok(Ran { run, execution })
    }

    /// Writes everything; `false` when the claim was taken away. The run's row is locked last, so batches write side by side until then.
    async fn finish(
        &self,
        claim: &Claim,
        params: BatchParams,
        prepared: &Prepared,
        ran: &[Ran],
    ) -> Result<Committed<bool>, Failure> {
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
            return Ok(uow.commit(false).await?);
        }
        for one in ran {
            uow.runs().insert(&one.run).await?;
        }
        let batch = RecordBatch {
            convention: &prepared.run.convention,
            schema: &prepared.run.schema,
            fields: &prepared.fields,
            run: params.run(),
        };
        let srns = uow.records().publish(&batch, &judged.passed).await?;
        for (one, pin) in ran.iter().zip(&prepared.pins) {
            let rows: Vec<(RecordSrn, Vec<Vec<Cell>>)> = judged
                .passed
                .iter()
                .zip(&srns)
                .filter_map(|(record, srn)| Some((srn.clone(), rows_of(one, &record.source_id)?)))
                .collect();
            uow.features()
                .replace(&pin.release.hook, &pin.contract, pin.run, &rows)
                .await?;
        }
        let published = judged
            .passed
            .iter()
            .zip(&srns)
            .map(|(record, srn)| (record.source_id.clone(), RecordEnd::Published(srn.clone())));
        let ends: Vec<_> = published.chain(judged.refused).collect();
        uow.ingests().lock(params.run()).await?;
        uow.ingests().end_batch(params.run(), params.batch, &ends).await?;
        uow.activity()
            .append(&published_event(params, prepared, srns.len()))
            .await?;
        if uow.ingests().complete_if_done(params.run()).await? {
            uow.activity().append(&completed_event(params.run())).await?;
        }
        Ok(uow.commit(true).await?)
    }

    /// The runner itself failed: the delegation fails, and the task is delegated again later, or given up.
    async fn hand_back(
        &self,
        claim: &Claim,
        params: BatchParams,
        why: &str,
        most: u32,
    ) -> Result<(), Failure> {
        let queued = retried!(self.hand_back_once(claim, params, &preview(why), most))?.into_inner();
        if queued {
            self.queue.wake();
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
        let again = claim.retry_count < most;
        let end = if again {
            DelegationEnd::FailedForNow(why.to_owned())
        } else {
            DelegationEnd::Failed(why.to_owned())
        };
        if !uow
            .delegations()
            .finish(&claim.delegation, claim.attempt, end)
            .await?
        {
            return Ok(uow.commit(false).await?);
        }
        if again {
            let retry = claim.retry_count + 1;
            uow.delegations()
                .create(&delegation(
                    claim.task,
                    retry,
                    &format!("batch {} of ingest run {}", params.batch, params.run()),
                    backoff(retry),
                ))
                .await?;
        } else {
            give_up_batch(&mut uow, params, EXHAUSTED, why).await?;
        }
        Ok(uow.commit(again).await?)
    }
}

/// What is told of records whose batch was given up.
pub(crate) const EXHAUSTED: &str = "retries_exhausted";

/// Marks a batch as failed for the reason `code`, and ends its run if it was the last.
pub(crate) async fn give_up_batch(
    uow: &mut UnitOfWork,
    params: BatchParams,
    code: &str,
    why: &str,
) -> Result<(), Failure> {
    uow.ingests().lock(params.run()).await?;
    uow.ingests()
        .fail_batch(params.run(), params.batch, code, why)
        .await?;
    if uow.ingests().complete_if_done(params.run()).await? {
        uow.activity().append(&completed_event(params.run())).await?;
    }
    Ok(())
}

/// Who passed every hook, and who did not.
struct Judged {
    passed: Vec<NewRecord>,
    refused: Vec<(SourceId, RecordEnd)>,
}

/// A record is published if every hook passed it; else the first hook in order that did not decides what is told.
fn judge(prepared: &Prepared, ran: &[Ran]) -> Result<Judged, Failure> {
    let checker = MetadataChecker::new(&prepared.fields);
    let mut judged = Judged {
        passed: Vec::new(),
        refused: Vec::new(),
    };
    'next: for record in &prepared.records {
        for (one, pin) in ran.iter().zip(&prepared.pins) {
            let hook = || pin.release.hook.clone();
            let end = match one.execution.outcomes.get(&record.source_id) {
                Some(RecordOutcome::Passed(_)) => continue,
                Some(RecordOutcome::Rejected(reason)) => RecordEnd::Rejected(hook(), reason.clone()),
                Some(RecordOutcome::Errored(reason)) => RecordEnd::Errored(hook(), reason.clone()),
                None => RecordEnd::Errored(hook(), "the hook reported no outcome".to_owned()),
            };
            judged.refused.push((record.source_id.clone(), end));
            continue 'next;
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

pub(crate) fn completed_event(run: IngestRunId) -> Event {
    Event {
        kind: "IngestCompleted",
        subject: format!("ingest_run:{run}"),
        actor: Actor::System,
        payload: json!({"ingest_run_id": run.to_string()}),
    }
}
