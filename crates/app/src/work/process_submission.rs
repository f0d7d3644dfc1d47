//! One submission: run the hooks over it, and then publish it, forward it to a curator, or return it (PIP-1).
//!
//! The invariant is that of a batch (`process_batch.rs`), and the code that runs the hooks is the same: the effects
//! of a submission happen once, at the commit that also ends its delegation. What waits for a curator is stored
//! before that commit, under a key that only this attempt has.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use domain::kind::{Coded as _, Kind};
use domain::ledger::delegation::{MAX_RETRIES, preview};
use domain::registry::convention::Curation;
use domain::work::failure::FailureKind;
use domain::{
    Actor, Cell, Convention, DepositionStatus, FieldDefinition, NodeDomain, RecordOutcome, SourceId,
    SubmissionStatus,
};
use ports::deposit::{LockedDeposition, Submission, SubmissionResult};
use ports::ledger::DelegationEnd;
use ports::work::Pin;
use ports::{Claim, Committed, HookRecord, RecordFile, Store, StoreError, UnitOfWork, WorkQueue};
use serde_json::{Value, json};

use crate::deposit::create_deposition::event;
use crate::deposit::submissions::{
    Computed, Publication, give_back, give_back_locked, is_judged, publish, schema_of,
};
use crate::failure::Failure;
use crate::metrics::WorkEnd;
use crate::retry::retried;
use crate::work::claims::{Finished, end_claim, fail_for_now, insert_runs};
use crate::work::process_batch::mebibytes;
use crate::work::run_hooks::{Ran, RunHooks, Unit, UnitEnd};

/// Processes submissions.
pub struct ProcessSubmission {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
    hooks: Arc<RunHooks>,
    node: NodeDomain,
}

/// The input of the work, committed before any hook starts.
struct Prepared {
    submission: Submission,
    locked: LockedDeposition,
    convention: Convention,
    fields: Vec<FieldDefinition>,
    record: SourceId,
    unit: Unit,
}

/// The combined results of the hooks.
struct Verdict {
    status: SubmissionStatus,
    reasons: Vec<String>,
    results: Vec<SubmissionResult>,
}

impl ProcessSubmission {
    /// Creates the use case over these ports.
    pub fn new(
        store: Arc<dyn Store>,
        queue: Arc<dyn WorkQueue>,
        hooks: Arc<RunHooks>,
        node: NodeDomain,
    ) -> Self {
        Self {
            store,
            queue,
            hooks,
            node,
        }
    }

    /// Processes a claim. After an error, the claim is lost when its lease expires.
    #[tracing::instrument(name = "app.process_submission", skip_all, fields(delegation = %claim.delegation, attempt = claim.attempt, task = %claim.task))]
    pub async fn run(&self, claim: &Claim) -> Result<WorkEnd, Failure> {
        let Some(prepared) = retried!(self.prepare(claim))?.into_inner() else {
            end_claim(&*self.store, claim, "the submission is over").await?;
            return Ok(WorkEnd::Done);
        };
        let (ran, aborted) = match self.hooks.run(claim, &prepared.unit).await? {
            UnitEnd::Ran(ran) => (ran, None),
            UnitEnd::Retry(why) => {
                self.hand_back(claim, &why, MAX_RETRIES).await?;
                return Ok(WorkEnd::Done);
            }
            UnitEnd::Abort(ran, why, _) => (ran, Some(why)),
        };
        let mut verdict = Self::verdict(&prepared, &ran, aborted);
        let waits = verdict.status == SubmissionStatus::Completed
            && prepared.convention.curation == Curation::Required;
        if waits {
            self.keep_rows(claim, &prepared, &ran, &mut verdict).await?;
        }
        let finished = match retried!(self.finish(claim, &prepared, &ran, &verdict, waits)) {
            Ok(finished) => finished.into_inner(),
            // What the database refuses now it refuses again.
            Err(failure) if failure.kind() == Kind::Bug => {
                tracing::error!(error = &failure as &dyn std::error::Error, delegation = %claim.delegation, "a submission could not be stored");
                self.hand_back(claim, "what the hooks computed could not be stored", 1)
                    .await?;
                return Ok(WorkEnd::Done);
            }
            Err(failure) => return Err(failure),
        };
        match finished {
            Finished::Done => {}
            Finished::RunIsOver => end_claim(&*self.store, claim, "the submission is over").await?,
            Finished::Late => {
                tracing::warn!(delegation = %claim.delegation, attempt = claim.attempt, "a late submission was refused: another worker has its claim");
                self.queue
                    .refuse_late(
                        claim,
                        "the submission was processed, but its claim was lost to another worker",
                    )
                    .await?;
                return Ok(WorkEnd::Lost);
            }
        }
        Ok(WorkEnd::Done)
    }

    async fn prepare(&self, claim: &Claim) -> Result<Committed<Option<Prepared>>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let at = uow.runs().now().await?;
        let begun = Instant::now();
        let Some(submission) = uow.depositions().submission(claim.task).await? else {
            return Ok(uow.commit(None).await?);
        };
        let id = submission.deposition.clone();
        let locked = uow.depositions().lock(&id).await?;
        let Some(locked) = locked.filter(|locked| is_judged(locked, &submission)) else {
            return Ok(uow.commit(None).await?);
        };
        let convention = uow.conventions().find(&locked.convention).await?;
        let schema = schema_of(&mut *uow, &submission.schema).await?;
        let (Some(convention), Some(schema)) = (convention, schema) else {
            return Err(
                StoreError::corrupt("submissions", "a submission without its convention or schema").into(),
            );
        };
        let mut pins = uow.runs().pins(claim.task).await?;
        if pins.is_empty() {
            uow.runs()
                .pin_live(claim.task, &locked.convention, &submission.schema)
                .await?;
            pins = uow.runs().pins(claim.task).await?;
        }
        uow.depositions().begin_validation(claim.task).await?;
        // The hooks know the record by the deposition's local id (WC-5.1).
        let record: SourceId = id
            .as_str()
            .parse()
            .map_err(|e: domain::Invalid| StoreError::Internal(e.to_string().into()))?;
        let files = uow.depositions().files(&id).await?;
        let files: Vec<RecordFile> = files
            .into_iter()
            .map(|file| RecordFile {
                record: record.clone(),
                name: file.name,
                key: file.key,
                bytes: file.bytes,
                sha256: file.sha256,
            })
            .collect();
        let failures = uow.delegations().failures_of_task(claim.task).await?;
        let unit = Unit {
            pins,
            records: vec![HookRecord {
                id: record.clone(),
                metadata: submission.metadata.clone(),
                size_hint_mb: mebibytes(files.iter().map(|file| file.bytes).sum()),
            }],
            files,
            retries: if claim.retry_count < MAX_RETRIES {
                failures
            } else {
                u32::MAX
            },
            at,
            begun,
        };
        Ok(uow
            .commit(Some(Prepared {
                submission,
                locked,
                convention,
                fields: schema.fields,
                record,
                unit,
            }))
            .await?)
    }

    /// Combines the results. A rejection outweighs what could not be judged, because no retry would change it.
    fn verdict(prepared: &Prepared, ran: &[Ran], aborted: Option<String>) -> Verdict {
        let (mut results, mut reasons) = (Vec::new(), Vec::new());
        let (mut rejected, mut errored) = (false, aborted.is_some());
        for (pin, one) in prepared.unit.pins.iter().zip(ran) {
            // A hook that rejects the whole run rejects the deposition, even if it wrote another outcome before
            // (WC-5.1).
            if let Some(FailureKind::RejectedRun(why)) = &one.execution.failure {
                rejected = true;
                reasons.push(format!("hook {}: {why}", pin.release.hook));
                results.push(SubmissionResult {
                    hook: pin.release.hook.clone(),
                    run: one.run.id,
                    outcome: "rejected",
                    reason: Some(why.clone()),
                    key: None,
                });
                continue;
            }
            let (outcome, reason) = match one.execution.outcomes.get(&prepared.record) {
                Some(RecordOutcome::Passed(_)) => ("passed", None),
                Some(RecordOutcome::Rejected(reason)) => ("rejected", Some(reason.clone())),
                Some(RecordOutcome::Errored(reason)) => ("errored", Some(reason.clone())),
                None => ("errored", one.run.failure.clone()),
            };
            rejected |= outcome == "rejected";
            errored |= outcome == "errored";
            if outcome != "passed" {
                let why = reason.as_deref().unwrap_or("it reported no outcome");
                reasons.push(format!("hook {}: {why}", pin.release.hook));
            }
            results.push(SubmissionResult {
                hook: pin.release.hook.clone(),
                run: one.run.id,
                outcome,
                reason,
                key: None,
            });
        }
        let status = match (rejected, errored) {
            (true, _) => SubmissionStatus::Rejected,
            (false, true) => SubmissionStatus::Failed,
            (false, false) => SubmissionStatus::Completed,
        };
        if let Some(why) = aborted.filter(|why| !reasons.contains(why)) {
            reasons.push(why);
        }
        Verdict {
            status,
            reasons,
            results,
        }
    }

    /// Stores the rows that a curator's approval will publish.
    async fn keep_rows(
        &self,
        claim: &Claim,
        prepared: &Prepared,
        ran: &[Ran],
        verdict: &mut Verdict,
    ) -> Result<(), Failure> {
        for ((pin, one), result) in prepared.unit.pins.iter().zip(ran).zip(&mut verdict.results) {
            let columns = &pin.contract.columns;
            let row = |cells: &Vec<Cell>| {
                let named = columns.iter().zip(cells);
                Value::Object(
                    named
                        .map(|(column, cell)| (column.name.to_string(), cell.to_json()))
                        .collect(),
                )
            };
            let rows: Vec<Value> = rows_of(prepared, one).iter().map(row).collect();
            let line = json!({"id": prepared.record.as_str(), "features": rows}).to_string();
            let key = format!(
                "submissions/{}/{}-{}/{}.jsonl",
                claim.task, claim.delegation, claim.attempt, one.run.id
            );
            self.hooks.blobs.put(&key, Bytes::from(line)).await?;
            result.key = Some(key);
        }
        Ok(())
    }

    async fn finish(
        &self,
        claim: &Claim,
        prepared: &Prepared,
        ran: &[Ran],
        verdict: &Verdict,
        waits: bool,
    ) -> Result<Committed<Finished>, Failure> {
        let submission = &prepared.submission;
        let id = &submission.deposition;
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let end = DelegationEnd::Completed {
            result: None,
            preview: preview(verdict.status.as_str()),
        };
        if !uow
            .delegations()
            .finish(&claim.delegation, claim.attempt, end)
            .await?
        {
            return Ok(uow.commit(Finished::Late).await?);
        }
        let locked = uow.depositions().lock(id).await?;
        let Some(locked) = locked.filter(|locked| is_judged(locked, submission)) else {
            drop(uow);
            return Ok(UnitOfWork::begin(&*self.store)
                .await?
                .commit(Finished::RunIsOver)
                .await?);
        };
        insert_runs(&mut uow, ran).await?;
        uow.depositions()
            .add_results(claim.task, &verdict.results)
            .await?;
        uow.activity()
            .append(&event(
                "ValidationCompleted",
                id,
                &Actor::System,
                self.completed(claim, prepared, ran, verdict),
            ))
            .await?;
        if verdict.status != SubmissionStatus::Completed {
            give_back_locked(
                &mut *uow,
                &locked,
                submission,
                verdict.status,
                &verdict.reasons,
                &Actor::System,
            )
            .await?;
            return Ok(uow.commit(Finished::Done).await?);
        }
        let next = if waits {
            DepositionStatus::InReview
        } else {
            DepositionStatus::Accepted
        };
        uow.depositions()
            .end_submission(submission, SubmissionStatus::Completed, &[], next)
            .await?;
        if !waits {
            let computed: Vec<Computed> = prepared
                .unit
                .pins
                .iter()
                .zip(ran)
                .map(|(pin, one)| computed(prepared, pin, one))
                .collect();
            let publication = Publication {
                convention: &prepared.convention,
                fields: &prepared.fields,
                submission,
                computed: &computed,
                approved_by: &Actor::System,
            };
            publish(&mut *uow, &self.node, &publication).await?;
        }
        Ok(uow.commit(Finished::Done).await?)
    }

    /// Returns the event with the data keys of WC-1.7.
    fn completed(&self, claim: &Claim, prepared: &Prepared, ran: &[Ran], verdict: &Verdict) -> Value {
        let results: Vec<Value> = verdict
            .results
            .iter()
            .zip(ran)
            .map(|(result, one)| {
                json!({
                    "hook_name": result.hook.as_str(), "status": result.outcome,
                    "rejection_reason": result.reason.as_ref().filter(|_| result.outcome == "rejected"),
                    "error_message": result.reason.as_ref().filter(|_| result.outcome == "errored"),
                    "progress": [], "duration_seconds": one.run.duration_s, "oom_retries": one.run.oom_retries,
                })
            })
            .collect();
        let submission = &prepared.submission;
        let hooks: Vec<&str> = verdict.results.iter().map(|r| r.hook.as_str()).collect();
        json!({
            "validation_run_srn": format!("urn:osa:{}:val:{}", self.node, claim.task),
            "deposition_srn": submission.deposition.srn(&self.node), "convention_id": prepared.locked.convention.as_str(),
            "status": verdict.status.as_str(), "hook_results": results, "metadata": submission.metadata, "expected_features": hooks,
        })
    }

    /// Fails the delegation; the task is delegated again later, or the deposition is returned.
    async fn hand_back(&self, claim: &Claim, why: &str, most: u32) -> Result<(), Failure> {
        if retried!(self.hand_back_once(claim, &preview(why), most))?.into_inner() {
            self.queue.notify();
        }
        Ok(())
    }

    async fn hand_back_once(&self, claim: &Claim, why: &str, most: u32) -> Result<Committed<bool>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let what = format!("submission {}", claim.task);
        let again = fail_for_now(&mut uow, claim, &what, why, most).await?;
        if again == Some(false) {
            let reasons = [why.to_owned()];
            give_back(
                &mut uow,
                claim.task,
                SubmissionStatus::Failed,
                &reasons,
                &Actor::System,
            )
            .await?;
        }
        Ok(uow.commit(again == Some(true)).await?)
    }
}

fn rows_of(prepared: &Prepared, one: &Ran) -> Vec<Vec<Cell>> {
    match one.execution.outcomes.get(&prepared.record) {
        Some(RecordOutcome::Passed(rows)) => rows.clone(),
        _ => Vec::new(),
    }
}

fn computed(prepared: &Prepared, pin: &Pin, one: &Ran) -> Computed {
    Computed {
        hook: pin.release.hook.clone(),
        contract: pin.contract.clone(),
        run: one.run.id,
        rows: rows_of(prepared, one),
    }
}
