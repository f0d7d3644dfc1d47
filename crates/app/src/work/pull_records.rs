//! One pull of an ingest run: ask the ingester for its next records, and store them.
//!
//! Invariant: the records of a pull, the session that it left, the run's counts and the next pull are stored in the
//! one transaction that also ends the pull's delegation (WC-D27). Who can break it: a server that dies anywhere
//! before that commit (nothing of the pull exists, and the next attempt starts from the session before), a worker
//! that was presumed dead (its claim is refused), an ingester that dies after it wrote half of its records (a failed
//! attempt yields nothing).
//!
//! How far pulling runs ahead of the hooks is bounded: the next pull is queued while fewer than `MAX_AHEAD` batches
//! wait, by the pull before it or by the batch that makes room, both under the run's lock, so that neither can miss
//! the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::ingest::pulled::has_more;
use domain::ingest::run::IngestError;
use domain::kind::{Coded as _, Kind};
use domain::ledger::delegation::{MAX_RETRIES, preview};
use domain::work::failure::{FailureAction, FailureKind, Stage, Tried};
use domain::{Actor, Event, FieldDefinition, IngesterDefinition};
use ports::ingest::{LineResult, LockedIngestRun};
use ports::ledger::DelegationEnd;
use ports::{Claim, Committed, PullEnd, RecordFile, Store, StoreError, UnitOfWork, WorkQueue};
use serde_json::json;

use crate::failure::Failure;
use crate::ingest::batches::cut_batches;
use crate::ingest::ending::{completed_event, end_run};
use crate::ingest::pulled::{Given, MAX_TOLD};
use crate::ingest::pulls::{PullParams, queue_next_pull};
use crate::metrics::WorkEnd;
use crate::retry::retried;
use crate::work::ask_ingester::{Failed, IngesterCall};
use crate::work::claims::{
    Finished, Words, end_claim, end_committed, end_held, fail_for_now, instead, retries,
};
use crate::work::run_hooks::RunHooks;

/// How many lines one statement writes.
const LINES_AT_ONCE: usize = 500;

const WORDS: Words = Words {
    noun: "pull",
    done: "done",
    over: "the ingest run has ended",
};

/// Pulls from ingesters.
pub struct PullRecords {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
    hooks: Arc<RunHooks>,
}

/// The input of a pull.
struct Prepared {
    run: LockedIngestRun,
    fields: Vec<FieldDefinition>,
    ingester: Option<IngesterDefinition>,
    retries: u32,
}

impl PullRecords {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn WorkQueue>, hooks: Arc<RunHooks>) -> Self {
        Self { store, queue, hooks }
    }

    /// Processes a claim. After an error, the claim is lost when its lease expires.
    #[tracing::instrument(name = "app.pull_records", skip_all, fields(delegation = %claim.delegation, attempt = claim.attempt, task = %claim.task))]
    pub async fn run(&self, claim: &Claim) -> Result<WorkEnd, Failure> {
        let params: PullParams =
            serde_json::from_value(claim.params.clone()).map_err(|e| StoreError::corrupt("tasks", e))?;
        let prepared = retried!(self.prepare(claim, params))?.into_inner();
        if !prepared.run.status.is_active() || prepared.run.pulls != params.pull {
            return end_claim(&*self.store, claim, WORDS.over).await;
        }
        let prefix = format!("ingests/{}/pulls/{}", params.run(), params.pull);
        // Removes the files of earlier attempts at this pull. A worker that still writes there has lost its claim.
        self.hooks.blobs.delete_all(&prefix).await?;
        let prefix = format!("{prefix}/{}-{}", claim.delegation, claim.attempt);
        let call = IngesterCall {
            hooks: &self.hooks,
            claim,
            run: &prepared.run,
            fields: &prepared.fields,
            ingester: prepared.ingester.as_ref(),
            prefix: &prefix,
        };
        let given = call.ask().await?;
        let finished = match &given {
            Ok(given) => match retried!(self.finish(claim, params, &prepared, given)) {
                Ok(finished) => {
                    let (finished, listed) = finished.into_inner();
                    self.remove_unlisted(given, &listed).await;
                    finished
                }
                // What the database refuses now it refuses again.
                Err(failure) if failure.kind() == Kind::Bug => {
                    tracing::error!(error = &failure as &dyn std::error::Error, delegation = %claim.delegation, "a pull could not be stored");
                    let why = "the ingester's records could not be stored".to_owned();
                    let failed = Failed {
                        kind: FailureKind::Upstream(why),
                        log_ref: None,
                        duration_s: given.duration_s,
                    };
                    self.settle(claim, params, &prepared, &failed).await?
                }
                Err(failure) => return Err(failure),
            },
            Err(failed) => self.settle(claim, params, &prepared, failed).await?,
        };
        if finished == Finished::Done {
            self.queue.notify();
        }
        let end = end_committed(&*self.store, &*self.queue, claim, finished, &WORDS).await?;
        if finished != Finished::Done || given.is_err() {
            // Only what this very attempt wrote: another one may be running below the same prefix.
            self.hooks.blobs.delete_all(&prefix).await?;
        }
        Ok(end)
    }

    async fn prepare(&self, claim: &Claim, params: PullParams) -> Result<Committed<Prepared>, Failure> {
        let run = params.run();
        let unknown = || IngestError::UnknownRun(run);
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = uow.ingests().lock(run).await?.ok_or_else(unknown)?;
        let schema = uow.ingests().schema(run).await?.ok_or_else(unknown)?;
        // Read again for every pull, so that a deploy in the middle of a run takes effect (WC-6.2).
        let convention = uow.conventions().find(&locked.convention).await?;
        let prepared = Prepared {
            run: locked,
            fields: schema.fields,
            ingester: convention.and_then(|convention| convention.ingester),
            retries: retries(&mut uow, claim).await?,
        };
        Ok(uow.commit(prepared).await?)
    }

    /// Removes the files of records that are not new: nothing refers to them. If this fails, they only waste space.
    async fn remove_unlisted(&self, given: &Given, listed: &BTreeSet<String>) {
        for file in given.files.iter().filter(|file| !listed.contains(&file.key)) {
            if let Err(error) = self.hooks.blobs.delete(&file.key).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    key = file.key,
                    "a file that is not new could not be removed"
                );
            }
        }
    }

    async fn finish(
        &self,
        claim: &Claim,
        params: PullParams,
        prepared: &Prepared,
        given: &Given,
    ) -> Result<Committed<(Finished, BTreeSet<String>)>, Failure> {
        let run = params.run();
        let none = BTreeSet::new;
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let preview = format!("{} records, {} lines refused", given.lines.len(), given.refused);
        let end = DelegationEnd::Completed {
            result: None,
            preview,
        };
        if !end_held(&mut uow, claim, end).await? {
            return Ok(uow.commit((Finished::Late, none())).await?);
        }
        let locked = uow
            .ingests()
            .lock(run)
            .await?
            .ok_or(IngestError::UnknownRun(run))?;
        if !locked.status.is_active() {
            return instead(&*self.store, uow, (Finished::RunIsOver, none())).await;
        }
        let upload = uow.ingests().next_upload(run, &Actor::System).await?;
        let mut refusals = given.refusals.clone();
        let (mut refused, mut new) = (given.refused, BTreeSet::new());
        for lines in given.lines.chunks(LINES_AT_ONCE) {
            let results = uow
                .ingests()
                .add_lines(run, &locked.convention, upload, lines)
                .await?;
            for (line, result) in lines.iter().zip(results) {
                let id = &line.record.source_id;
                match result {
                    LineResult::Accepted => {
                        new.insert(id);
                    }
                    LineResult::Unchanged | LineResult::Repeated => {}
                    LineResult::Contradicts => {
                        refused += 1;
                        let why = "an earlier pull of this run returned other content for this id; a run holds one content per id";
                        refusals.push((line.line, Some(id.to_string()), why.to_owned()));
                    }
                }
            }
        }
        refusals.truncate(MAX_TOLD);
        let files: Vec<RecordFile> = given
            .files
            .iter()
            .filter(|file| new.contains(&file.record))
            .cloned()
            .collect();
        uow.pulls().add_files(run, &files).await?;
        cut_batches(&mut *uow, run, &locked, &locked.opened_by, true).await?;
        let records = given.lines.len() as u64;
        let more = has_more(
            given.session.is_some(),
            given.told,
            locked.limit,
            locked.pulled + records,
        );
        let ingester = prepared.ingester.as_ref();
        uow.pulls()
            .end_pull(
                &PullEnd {
                    run,
                    pull: params.pull,
                    task: claim.task,
                    records,
                    refused,
                    refusals: &refusals,
                    session: given.session.as_ref(),
                    failure: None,
                    log_ref: None,
                    image: image(ingester),
                    duration_s: given.duration_s,
                },
                more,
            )
            .await?;
        let runner = ingester.map(|ingester| self.hooks.runner.ingester_name(&ingester.image));
        uow.activity().append(&ready_event(params, more, runner)).await?;
        queue_next_pull(&mut *uow, run).await?;
        let done = uow.ingests().complete_if_done(run).await?;
        if let Some(published) = done {
            uow.activity().append(&completed_event(run, published)).await?;
        }
        Ok(uow
            .commit((Finished::Done, files.into_iter().map(|file| file.key).collect()))
            .await?)
    }

    /// Handles a failure as the policy requires (WC-6.4).
    async fn settle(
        &self,
        claim: &Claim,
        params: PullParams,
        prepared: &Prepared,
        failed: &Failed,
    ) -> Result<Finished, Failure> {
        let tried = Tried {
            oom_retries: 0,
            retries: prepared.retries,
        };
        let action = failed.kind.action(Stage::Pull, tried);
        tracing::warn!(delegation = %claim.delegation, kind = failed.kind.as_str(), why = %failed.kind, ?action, "a pull failed");
        Ok(retried!(self.settle_once(claim, params, prepared, failed, action))?.into_inner())
    }

    async fn settle_once(
        &self,
        claim: &Claim,
        params: PullParams,
        prepared: &Prepared,
        failed: &Failed,
        action: FailureAction,
    ) -> Result<Committed<Finished>, Failure> {
        let run = params.run();
        let why = preview(&failed.kind.to_string());
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        if action == FailureAction::Retry {
            let ended = fail_for_now(&mut uow, claim, &params.name(), &why, MAX_RETRIES).await?;
            let finished = if ended.is_some() {
                Finished::Done
            } else {
                Finished::Late
            };
            return Ok(uow.commit(finished).await?);
        }
        let end = DelegationEnd::Failed(why.clone());
        if !end_held(&mut uow, claim, end).await? {
            return Ok(uow.commit(Finished::Late).await?);
        }
        if action == FailureAction::Abort {
            end_run(&mut uow, run, failed.kind.as_str(), &why, &Actor::System).await?;
            return Ok(uow.commit(Finished::Done).await?);
        }
        let locked = uow
            .ingests()
            .lock(run)
            .await?
            .ok_or(IngestError::UnknownRun(run))?;
        if locked.status.is_active() {
            let ingester = prepared.ingester.as_ref();
            uow.pulls()
                .end_pull(
                    &PullEnd {
                        run,
                        pull: params.pull,
                        task: claim.task,
                        records: 0,
                        refused: 0,
                        refusals: &[],
                        session: None,
                        failure: Some((failed.kind.as_str(), &why)),
                        log_ref: failed.log_ref.as_deref(),
                        image: image(ingester),
                        duration_s: failed.duration_s,
                    },
                    false,
                )
                .await?;
            let done = uow.ingests().complete_if_done(run).await?;
            if let Some(published) = done {
                uow.activity().append(&completed_event(run, published)).await?;
            }
        }
        Ok(uow.commit(Finished::Done).await?)
    }
}

fn image(ingester: Option<&IngesterDefinition>) -> [&str; 3] {
    ingester.map_or([""; 3], |i| [&i.image, &i.digest, &i.source_ref])
}

/// Returns the event of a pull. That is where it is kept for ever how isolated the ingester was.
fn ready_event(params: PullParams, more: bool, runner: Option<&str>) -> Event {
    let run = params.run();
    Event {
        kind: "IngesterBatchReady",
        subject: format!("ingest_run:{run}"),
        actor: Actor::System,
        payload: json!({"ingest_run_id": run.to_string(), "batch_index": params.pull, "has_more": more, "runner": runner}),
    }
}
