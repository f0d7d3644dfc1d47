//! Depositions and their submissions.

use domain::{DepositionId, DepositionStatus, SubmissionStatus, TaskId, TaskKind, UserId};
use serde_json::{Map, Value};

use super::{ADMIN, NewTask, Subject, UnitOfWork, deployed, id, json, plan};
use crate::deposit::{LockedDeposition, Submission};

fn metadata(mass: f64) -> Map<String, Value> {
    json!({"mass": mass}).as_object().unwrap().clone()
}

async fn locked(subject: &Subject<'_>, deposition: &DepositionId) -> LockedDeposition {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.depositions().lock(deposition).await.unwrap().unwrap()
}

/// A draft is changed under its lock, frozen by a submission, and comes back with reasons or waits to be accepted (PIP-1).
pub async fn a_submission_is_frozen_and_comes_back_with_reasons(subject: &Subject<'_>) {
    deployed(subject).await;
    let deposition = DepositionId::of(id(70));
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.depositions()
        .create(&deposition, &plan().slug, UserId::LOCAL_ADMIN)
        .await
        .unwrap();
    for (owner, most, drafts) in [
        (UserId::LOCAL_ADMIN, 10, 1),
        (UserId::LOCAL_ADMIN, 0, 0),
        (UserId::from_uuid(id(79)), 10, 0),
    ] {
        assert_eq!(uow.depositions().drafts(owner, most).await.unwrap(), drafts);
    }
    uow.depositions()
        .set_metadata(&deposition, &metadata(1.0))
        .await
        .unwrap();
    let name = "a.txt".parse().unwrap();
    let (file, replaced) = uow
        .depositions()
        .put_file(&deposition, &name, "key-1", 3, [1; 32])
        .await
        .unwrap();
    assert_eq!((file.name.as_str(), file.bytes, replaced), ("a.txt", 3, None));
    let (_, replaced) = uow
        .depositions()
        .put_file(&deposition, &name, "key-2", 4, [2; 32])
        .await
        .unwrap();
    assert_eq!(replaced.as_deref(), Some("key-1"));
    assert_eq!(uow.depositions().files(&deposition).await.unwrap().len(), 1);
    let removed = uow.depositions().remove_file(&deposition, &name).await.unwrap();
    assert_eq!(removed.as_deref(), Some("key-2"));
    uow.commit(()).await.unwrap().into_inner();
    let draft = locked(subject, &deposition).await;
    assert_eq!(
        (draft.status, draft.submissions, draft.metadata),
        (DepositionStatus::Draft, 0, metadata(1.0))
    );

    let submission = Submission {
        task: TaskId::from_uuid(id(71)),
        deposition: deposition.clone(),
        number: 1,
        metadata: metadata(1.0),
        schema: plan().schema.reference,
        status: SubmissionStatus::Pending,
    };
    let task = NewTask {
        id: submission.task,
        kind: TaskKind::own(TaskKind::SUBMISSION),
        name: "validate".into(),
        params: json!({}),
        creator: ADMIN,
        request: None,
    };
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(uow.tasks().create(&task).await.unwrap());
    uow.depositions().lock(&deposition).await.unwrap().unwrap();
    uow.depositions().submit(&submission).await.unwrap();
    uow.commit(()).await.unwrap().into_inner();
    let waiting = locked(subject, &deposition).await;
    assert_eq!(
        (waiting.status, waiting.submissions),
        (DepositionStatus::InValidation, 1)
    );

    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let frozen = uow
        .depositions()
        .submission(submission.task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(frozen, submission);
    uow.depositions().lock(&deposition).await.unwrap().unwrap();
    let reasons = ["too heavy".to_owned()];
    uow.depositions()
        .end_submission(
            &submission,
            SubmissionStatus::Rejected,
            &reasons,
            DepositionStatus::Draft,
        )
        .await
        .unwrap();
    uow.commit(()).await.unwrap().into_inner();
    assert_eq!(locked(subject, &deposition).await.status, DepositionStatus::Draft);
    let view = subject
        .depositions
        .deposition(&deposition)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        view.submission,
        Some((submission.task, SubmissionStatus::Rejected, reasons.to_vec()))
    );
    assert_eq!(view.record, None);
}
