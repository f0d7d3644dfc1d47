//! How submissions end: returned to their owner, or published.

use domain::ingest::pulled::content_hash_with_files;
use domain::ingest::run::metadata_hash;
use domain::registry::schema::MetadataChecker;
use domain::{
    Actor, Convention, DepositionId, DepositionStatus, FeatureContract, FieldDefinition, HookName,
    NodeDomain, RecordSrn, Rows, RunId, Schema, SchemaRef, SourceId, SubmissionStatus, TaskId,
};
use ports::deposit::{LockedDeposition, Submission};
use ports::work::{BatchSource, NewRecord, RecordBatch};
use ports::{Repos, StoreError, UnitOfWork};
use serde_json::json;

use crate::deposit::create_deposition::event;
use crate::failure::Failure;

/// Reads a schema version in the unit of work: a second connection beside an open transaction could wait forever for
/// a full pool.
pub(crate) async fn schema_of(
    repos: &mut dyn Repos,
    reference: &SchemaRef,
) -> Result<Option<Schema>, Failure> {
    let versions = repos
        .schemas()
        .of_major(&reference.id, reference.version.major())
        .await?;
    Ok(versions.into_iter().find(|schema| schema.reference == *reference))
}

/// Returns a deposition to its owner as a draft with the reasons, if this submission is the one that is being judged
/// (WC-D2).
pub(crate) async fn give_back(
    uow: &mut UnitOfWork,
    task: TaskId,
    status: SubmissionStatus,
    reasons: &[String],
    actor: &Actor,
) -> Result<(), Failure> {
    let Some(submission) = uow.depositions().submission(task).await? else {
        return Ok(());
    };
    let locked = uow.depositions().lock(&submission.deposition).await?;
    let Some(locked) = locked.filter(|locked| is_judged(locked, &submission)) else {
        return Ok(());
    };
    give_back_locked(&mut **uow, &locked, &submission, status, reasons, actor).await
}

/// Returns whether a submission is the one that its deposition waits for.
pub(crate) fn is_judged(locked: &LockedDeposition, submission: &Submission) -> bool {
    let waits = matches!(
        locked.status,
        DepositionStatus::InValidation | DepositionStatus::InReview
    );
    waits && locked.submissions == submission.number
}

pub(crate) async fn give_back_locked(
    repos: &mut dyn Repos,
    locked: &LockedDeposition,
    submission: &Submission,
    status: SubmissionStatus,
    reasons: &[String],
    actor: &Actor,
) -> Result<(), Failure> {
    repos
        .depositions()
        .end_submission(submission, status, reasons, DepositionStatus::Draft)
        .await?;
    let id = &submission.deposition;
    let srn = repos.depositions().srn(id);
    let payload = json!({"deposition_srn": srn, "convention_id": locked.convention.as_str(), "status": status.as_str(), "reasons": reasons});
    repos
        .activity()
        .append(&event("ValidationFailed", id, actor, payload))
        .await?;
    Ok(())
}

/// The rows that one hook computed for a submission.
pub(crate) struct Computed {
    pub(crate) hook: HookName,
    pub(crate) contract: FeatureContract,
    pub(crate) run: RunId,
    pub(crate) rows: Rows,
}

/// The sources of a record's publication.
pub(crate) struct Publication<'a> {
    pub(crate) convention: &'a Convention,
    pub(crate) fields: &'a [FieldDefinition],
    pub(crate) submission: &'a Submission,
    pub(crate) computed: &'a [Computed],
    /// Who approved it; the system if no curator is required.
    pub(crate) approved_by: &'a Actor,
}

/// Returns the source id of the record: the deposition's SRN (WC-6.3).
pub(crate) fn source_of(id: &DepositionId, node: &NodeDomain) -> Result<SourceId, Failure> {
    let source: Result<SourceId, _> = id.srn(node).parse();
    Ok(source.map_err(|e| StoreError::Internal(e.to_string().into()))?)
}

/// Publishes a deposition whose row is locked: its record, metadata row and feature rows, all in this unit of work.
pub(crate) async fn publish(
    repos: &mut dyn Repos,
    node: &NodeDomain,
    publication: &Publication<'_>,
) -> Result<RecordSrn, Failure> {
    let Publication {
        convention,
        fields,
        submission,
        computed,
        approved_by,
    } = publication;
    let id = &submission.deposition;
    let files = repos.depositions().files(id).await?;
    let hashes: Vec<_> = files
        .iter()
        .map(|file| (file.name.clone(), file.sha256))
        .collect();
    let checker = MetadataChecker::new(fields);
    let record = NewRecord {
        source_id: source_of(id, node)?,
        metadata: submission.metadata.clone(),
        cells: checker
            .cells(&submission.metadata)
            .ok_or_else(|| StoreError::corrupt("submissions", "stored metadata no longer fits its schema"))?,
        content_hash: content_hash_with_files(metadata_hash(&submission.metadata, &checker), &hashes),
    };
    let batch = RecordBatch {
        convention: &convention.slug,
        schema: &submission.schema,
        fields,
        source: BatchSource::Deposition(id.clone()),
    };
    let srn = repos.records().publish(&batch, &[record]).await?.pop();
    let srn = srn.ok_or_else(|| StoreError::Internal("a record was published without an SRN".into()))?;
    for one in *computed {
        let rows = [(srn.clone(), one.rows.clone())];
        repos
            .features()
            .replace(&one.hook, &one.contract, one.run, &rows)
            .await?;
    }
    repos.depositions().accept(id, &srn).await?;
    let hooks: Vec<&str> = computed.iter().map(|one| one.hook.as_str()).collect();
    let approved = json!({"deposition_srn": id.srn(node), "convention_id": convention.slug.as_str(), "metadata": submission.metadata, "expected_features": hooks});
    repos
        .activity()
        .append(&event("DepositionApproved", id, approved_by, approved))
        .await?;
    let schema = &submission.schema;
    let published = json!({
        "record_srn": srn.to_string(), "source": {"type": "deposition", "id": id.srn(node)}, "convention_id": convention.slug.as_str(),
        "schema_id": {"id": schema.id.as_str(), "version": schema.version.to_string()}, "metadata": submission.metadata, "expected_features": hooks,
    });
    let mut entry = event("RecordPublished", id, &Actor::System, published);
    entry.subject = format!("record:{srn}");
    repos.activity().append(&entry).await?;
    Ok(srn)
}
