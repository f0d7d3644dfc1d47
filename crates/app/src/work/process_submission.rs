//! One submission: run the hooks over it, and then publish it, forward it to a curator, or return it (PIP-1).
//!
//! The invariant is that of a batch (`process_batch.rs`), and the code that runs the hooks is the same: the effects
//! of a submission happen once, at the commit that also ends its delegation. What waits for a curator is stored
//! before that commit, under a key that only this attempt has.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::ledger::delegation::{MAX_RETRIES, preview};
use domain::registry::convention::Curation;
use domain::work::failure::FailureKind;
use domain::{
    Actor, Cell, Convention, DepositionStatus, FeatureContract, FieldDefinition, NodeDomain, RecordOutcome,
    Rows, SourceId, SubmissionStatus,
};
use futures::{StreamExt as _, stream};
use ports::deposit::{LockedDeposition, Submission, SubmissionResult};
use ports::ledger::DelegationEnd;
use ports::work::Pin;
use ports::{Claim, Committed, RecordFile, Store, StoreError, UnitOfWork, WorkQueue};
use serde_json::{Value, json};

use crate::deposit::create_deposition::event;
use crate::deposit::submissions::{
    Computed, Publication, give_back, give_back_locked, is_judged, publish, schema_of,
};
use crate::failure::Failure;
use crate::metrics::WorkEnd;
use crate::outputs::store_stream;
use crate::retry::retried;
use crate::work::claims::{Finished, Words, end_claim, end_held, insert_runs, instead};
use crate::work::hook_work::{HookWork, conclude, hand_back, hook_record, pinned_unit, rows_of};
use crate::work::run_hooks::{Ran, RunHooks, Unit, UnitEnd};

/// Processes submissions.
pub struct ProcessSubmission {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
    hooks: Arc<RunHooks>,
    node: NodeDomain,
}

/// The input of the work, committed before any hook starts.
pub(crate) struct Prepared {
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
            return end_claim(&*self.store, claim, Self::WORDS.over).await;
        };
        let (ran, aborted) = match self.hooks.run(claim, &prepared.unit).await? {
            UnitEnd::Ran(ran, aborted) => (ran, aborted.map(|abort| abort.why)),
            UnitEnd::Retry(why) => return hand_back(self, claim, &prepared, &why, MAX_RETRIES).await,
        };
        let mut verdict = Self::verdict(&prepared, &ran, aborted);
        let waits = verdict.status == SubmissionStatus::Completed
            && prepared.convention.curation == Curation::Required;
        if waits {
            self.keep_rows(claim, &prepared, &ran, &mut verdict).await?;
        }
        let stored = retried!(self.finish(claim, &prepared, &ran, &verdict, waits));
        conclude(self, claim, &prepared, stored).await
    }

    /// Returns `None` if the submission is over.
    async fn prepare(&self, claim: &Claim) -> Result<Committed<Option<Prepared>>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
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
        let unit = pinned_unit(&mut uow, claim, &locked.convention, &submission.schema).await?;
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
        let bytes = files.iter().map(|file| file.bytes).sum();
        let unit = Unit {
            records: vec![hook_record(&record, &submission.metadata, bytes)],
            files,
            ..unit
        };
        let prepared = Prepared {
            submission,
            locked,
            convention,
            fields: schema.fields,
            record,
            unit,
        };
        Ok(uow.commit(Some(prepared)).await?)
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
            let rows = rows_of(one, &prepared.record).cloned().unwrap_or_default();
            let key = format!(
                "submissions/{}/{}-{}/{}.jsonl",
                claim.task, claim.delegation, claim.attempt, one.run.id
            );
            let line = kept_line(&prepared.record, &pin.contract, &rows);
            store_stream(&*self.hooks.blobs, &key, stream::iter(line).boxed()).await?;
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
        if !end_held(&mut uow, claim, end).await? {
            return Ok(uow.commit(Finished::Late).await?);
        }
        let locked = uow.depositions().lock(id).await?;
        let Some(locked) = locked.filter(|locked| is_judged(locked, submission)) else {
            return instead(&*self.store, uow, Finished::RunIsOver).await;
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
}

#[async_trait]
impl HookWork for ProcessSubmission {
    const WORDS: Words = Words {
        noun: "submission",
        done: "processed",
        over: "the submission is over",
    };
    type Prepared = Prepared;

    fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn queue(&self) -> &dyn WorkQueue {
        &*self.queue
    }

    fn preview(&self, claim: &Claim, _: &Prepared) -> String {
        format!("submission {}", claim.task)
    }

    /// Returns the deposition to its owner.
    async fn give_up(
        &self,
        uow: &mut UnitOfWork,
        claim: &Claim,
        _: &Prepared,
        why: &str,
    ) -> Result<(), Failure> {
        let reasons = [why.to_owned()];
        give_back(
            uow,
            claim.task,
            SubmissionStatus::Failed,
            &reasons,
            &Actor::System,
        )
        .await
    }
}

fn computed(prepared: &Prepared, pin: &Pin, one: &Ran) -> Computed {
    Computed {
        hook: pin.release.hook.clone(),
        contract: pin.contract.clone(),
        run: one.run.id,
        rows: rows_of(one, &prepared.record).cloned().unwrap_or_default(),
    }
}

/// How many bytes of rows are written at once.
const PIECE: usize = 64 * 1024;

/// Returns the line that a hook would have written for a record with these rows, piece by piece.
fn kept_line(
    record: &SourceId,
    contract: &FeatureContract,
    rows: &Rows,
) -> impl Iterator<Item = io::Result<Bytes>> + Send + use<> {
    let names: Vec<String> = contract.columns.iter().map(|c| c.name.to_string()).collect();
    let mut rows = rows.read();
    let mut piece = format!("{{\"id\":{},\"features\":[", Value::from(record.as_str()));
    let (mut first, mut over) = (true, false);
    std::iter::from_fn(move || {
        while !over && piece.len() < PIECE {
            match rows.next() {
                Some(Ok(cells)) => {
                    if !first {
                        piece.push(',');
                    }
                    first = false;
                    let cells = cells.iter().map(Cell::to_json);
                    let row: Value = names.iter().cloned().zip(cells).collect();
                    piece.push_str(&row.to_string());
                }
                Some(Err(error)) => {
                    over = true;
                    piece.clear();
                    return Some(Err(error));
                }
                None => {
                    over = true;
                    piece.push_str("]}");
                }
            }
        }
        (!piece.is_empty()).then(|| Ok(Bytes::from(std::mem::take(&mut piece))))
    })
}

#[cfg(test)]
mod tests {
    use domain::{Cardinality, ColumnDef, JsonType};

    use super::*;

    // proves ISO-3
    #[test]
    fn rows_are_kept_for_a_curator_in_pieces_that_make_one_line() {
        let column = |name: &str| ColumnDef {
            name: name.parse().unwrap(),
            json_type: JsonType::String,
            format: None,
            required: false,
            description: None,
            unit: None,
        };
        let contract = FeatureContract {
            cardinality: Cardinality::Many,
            columns: vec![column("a"), column("b")],
        };
        let row = |text: &str| vec![Cell::Null, Cell::Text(text.to_owned())];
        let rows = vec![row("x\n"), row(&"y".repeat(3 * PIECE)), row("z")];
        let record: SourceId = "r\"1".parse().unwrap();
        let pieces: Vec<Bytes> = kept_line(&record, &contract, &Rows::of(&rows))
            .map(Result::unwrap)
            .collect();
        assert_eq!(pieces.len(), 2);
        let line: Value = serde_json::from_slice(&pieces.concat()).unwrap();
        assert_eq!(line["id"], "r\"1");
        assert_eq!(line["features"][2], json!({"a": null, "b": "z"}));
        let none: Vec<Bytes> = kept_line(&record, &contract, &Rows::default())
            .map(Result::unwrap)
            .collect();
        assert_eq!(none.concat(), b"{\"id\":\"r\\\"1\",\"features\":[]}");
    }
}
