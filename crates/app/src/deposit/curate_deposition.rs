//! `POST /depositions/{srn}/approve` and `/reject`: a curator's decision, if the convention requires one (PIP-1).

use std::collections::BTreeSet;
use std::sync::Arc;

use auth::{Permit, act};
use domain::deposit::deposition::{DepositionError, DepositionUse};
use domain::work::outcome::HookOutput;
use domain::{
    DepositionId, DepositionStatus, FailureKind, NodeDomain, RecordOutcome, RecordSrn, SourceId,
    SubmissionStatus,
};
use ports::deposit::{LockedDeposition, Submission};
use ports::{Blobs, Committed, Runner, Store, StoreError, UnitOfWork};

use crate::access::deposition::{DepositionAsker, IN_REVIEW, id_of, lock};
use crate::deposit::submissions::{Computed, Publication, give_back_locked, publish, schema_of};
use crate::failure::Failure;
use crate::outputs::Outputs;
use crate::retry::retried;

/// Approves and rejects depositions.
pub struct CurateDeposition {
    store: Arc<dyn Store>,
    blobs: Arc<dyn Blobs>,
    outputs: Outputs,
    node: NodeDomain,
}

impl CurateDeposition {
    /// Creates the use case over these ports. The runner has room for rows that are too many for memory.
    pub fn new(
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        runner: Arc<dyn Runner>,
        node: NodeDomain,
    ) -> Self {
        Self {
            store,
            blobs,
            // They were counted when the hooks ran.
            outputs: Outputs::new(runner, u64::MAX),
            node,
        }
    }

    /// Publishes it with the rows that its hooks computed when it was submitted. No hook runs again.
    #[tracing::instrument(name = "app.curate_deposition.approve", skip_all)]
    pub async fn approve(
        &self,
        permit: Permit<act::CurateDepositions>,
        srn: &str,
    ) -> Result<Committed<RecordSrn>, Failure> {
        let asker = DepositionAsker::of(&permit);
        let id = id_of(srn, &self.node)?;
        retried!(self.approve_once(&asker, &id))
    }

    /// Returns it to its owner, with the reason.
    #[tracing::instrument(name = "app.curate_deposition.reject", skip_all)]
    pub async fn reject(
        &self,
        permit: Permit<act::CurateDepositions>,
        srn: &str,
        reason: &str,
    ) -> Result<Committed<()>, Failure> {
        let asker = DepositionAsker::of(&permit);
        let id = id_of(srn, &self.node)?;
        retried!(self.reject_once(&asker, &id, reason))
    }

    async fn approve_once(
        &self,
        asker: &DepositionAsker,
        id: &DepositionId,
    ) -> Result<Committed<RecordSrn>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let (locked, submission) = in_review(&mut uow, id, asker).await?;
        let convention = uow.conventions().find(&locked.convention).await?;
        let convention = convention.ok_or(DepositionError::UnknownConvention(locked.convention))?;
        let schema = schema_of(&mut *uow, &submission.schema).await?;
        let schema =
            schema.ok_or_else(|| StoreError::corrupt("submissions", "a submission without its schema"))?;
        let computed = self.computed(&mut uow, &submission).await?;
        uow.depositions()
            .end_submission(
                &submission,
                SubmissionStatus::Completed,
                &[],
                DepositionStatus::Accepted,
            )
            .await?;
        uow.depositions()
            .set_curator(submission.task, asker.user()?)
            .await?;
        let publication = Publication {
            convention: &convention,
            fields: &schema.fields,
            submission: &submission,
            computed: &computed,
            approved_by: &asker.actor,
        };
        let srn = publish(&mut *uow, &self.node, &publication).await?;
        Ok(uow.commit(srn).await?)
    }

    async fn reject_once(
        &self,
        asker: &DepositionAsker,
        id: &DepositionId,
        reason: &str,
    ) -> Result<Committed<()>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let (locked, submission) = in_review(&mut uow, id, asker).await?;
        let reasons = [format!("the curator: {reason}")];
        give_back_locked(
            &mut *uow,
            &locked,
            &submission,
            SubmissionStatus::Rejected,
            &reasons,
            &asker.actor,
        )
        .await?;
        uow.depositions()
            .set_curator(submission.task, asker.user()?)
            .await?;
        Ok(uow.commit(()).await?)
    }

    /// Reads the rows that were stored when the hooks ran, as the hooks' own output is read.
    async fn computed(
        &self,
        uow: &mut UnitOfWork,
        submission: &Submission,
    ) -> Result<Vec<Computed>, Failure> {
        let lost = |what: &'static str| StoreError::corrupt("submission_results", what);
        let pins = uow.runs().pins(submission.task).await?;
        let results = uow.depositions().results(submission.task).await?;
        let record: SourceId = submission
            .deposition
            .as_str()
            .parse()
            .map_err(|_| lost("a deposition whose id is not a record id"))?;
        let asked = BTreeSet::from([record.clone()]);
        let mut all = Vec::with_capacity(results.len());
        for result in results {
            let pin = pins.iter().find(|pin| pin.run == result.run);
            let pin = pin.ok_or_else(|| lost("a result without its pin"))?;
            let key = result.key.ok_or_else(|| lost("a result without its rows"))?;
            let found = self.outputs.stored(&*self.blobs, &key).await?;
            let output = HookOutput {
                features: found.ok_or_else(|| lost("the rows are missing in the blob store"))?,
                ..HookOutput::default()
            };
            let reading = self
                .outputs
                .read(&output, &pin.contract, asked.clone(), 0)
                .await?;
            if let Some(FailureKind::Runtime(why)) = reading.failure {
                return Err(StoreError::Unavailable(why.into()).into());
            }
            let mut outcomes = reading.read.outcomes;
            let Some(RecordOutcome::Passed(rows)) = outcomes.remove(&record) else {
                return Err(lost("the stored rows do not fit the hook's contract").into());
            };
            all.push(Computed {
                hook: result.hook,
                contract: pin.contract.clone(),
                run: result.run,
                rows,
            });
        }
        Ok(all)
    }
}

/// Locks a deposition that waits for a curator, with its newest submission.
async fn in_review(
    uow: &mut UnitOfWork,
    id: &DepositionId,
    asker: &DepositionAsker,
) -> Result<(LockedDeposition, Submission), Failure> {
    let locked = lock(&mut **uow, id, asker, DepositionUse::Curate, IN_REVIEW).await?;
    let submission = uow
        .depositions()
        .submission(id.submission(locked.submissions))
        .await?;
    let submission =
        submission.ok_or_else(|| StoreError::corrupt("depositions", "one in review without a submission"))?;
    Ok((locked, submission))
}
