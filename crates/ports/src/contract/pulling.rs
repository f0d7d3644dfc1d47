//! Pulls of ingest runs.

use domain::{Actor, IngestMode, TaskId, TaskKind};
use serde_json::{Map, Value};

use super::{ADMIN, NewIngestRun, NewTask, Subject, UnitOfWork, deployed, json, plan, run_id};
use crate::ingest::PullEnd;

/// Stores the end of a pull, as the use case does: task, then run, then result.
async fn pulled(subject: &Subject<'_>, pull: u64, session: Option<&Map<String, Value>>, more: bool) {
    let task = NewTask {
        id: TaskId::of_pull(run_id(90), pull),
        kind: TaskKind::own(TaskKind::INGEST_PULL),
        name: "pull".into(),
        params: json!({}),
        creator: ADMIN,
        request: None,
    };
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(uow.tasks().create(&task).await.unwrap());
    uow.ingests().lock(run_id(90)).await.unwrap().unwrap();
    let end = PullEnd {
        run: run_id(90),
        pull,
        task: task.id,
        records: 2,
        refused: 1,
        refusals: &[(3, Some("x".to_owned()), "is no record".to_owned())],
        session,
        failure: None,
        log_ref: None,
        image: ["file:/x", "sha256:0", "git:1"],
        duration_s: 0.5,
    };
    uow.pulls().end_pull(&end, more).await.unwrap();
    uow.commit(()).await.unwrap().into_inner();
}

/// The next pull begins with the last session that was stored, and the run takes no more records after the last pull
/// (PIP-2, WC-D27). Refused lines of its pulls are listed in their order (EDG-3).
pub async fn a_pull_keeps_its_session_and_ends_the_run_when_there_is_no_more(subject: &Subject<'_>) {
    deployed(subject).await;
    let run = NewIngestRun {
        id: run_id(90),
        convention: plan().slug,
        mode: IngestMode::Pull,
        schema: plan().schema.reference,
        batch_size: 2,
        limit: None,
        since: None,
        scheduled_for: None,
        opened_by: ADMIN,
    };
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(!uow.pulls().has_run(&plan().slug, None).await.unwrap());
    assert_eq!(uow.ingests().open(&run).await.unwrap(), None);
    assert!(uow.pulls().has_run(&plan().slug, None).await.unwrap());
    assert_eq!(uow.ingests().open_runs(&ADMIN, 10).await.unwrap(), 1);
    assert_eq!(uow.ingests().open_runs(&Actor::System, 10).await.unwrap(), 0);
    uow.commit(()).await.unwrap().into_inner();

    let session = json!({"at": 2}).as_object().unwrap().clone();
    pulled(subject, 0, Some(&session), true).await;
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let locked = uow.ingests().lock(run_id(90)).await.unwrap().unwrap();
    assert_eq!(
        (locked.pulls, locked.session, locked.ingestion_finished),
        (1, Some(session.clone()), false)
    );
    drop(uow);

    pulled(subject, 1, None, false).await;
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let locked = uow.ingests().lock(run_id(90)).await.unwrap().unwrap();
    assert_eq!(
        (locked.pulls, locked.session, locked.ingestion_finished),
        (2, Some(session), true)
    );
    let view = subject.ingests.run(run_id(90)).await.unwrap().unwrap();
    let stored = subject.ingest_detail.stored_refusals(run_id(90)).await.unwrap();
    assert_eq!((view.refused, stored), (2, 2));
    let (mut found, mut after) = (Vec::new(), None);
    while let Some(line) = subject
        .ingest_detail
        .refused_lines(run_id(90), after, 1)
        .await
        .unwrap()
        .pop()
    {
        after = Some(line.place);
        found.push((line.upload, line.pull, line.line, line.faults[0].message.clone()));
    }
    let why = "is no record".to_owned();
    assert_eq!(found, [(None, Some(0), 3, why.clone()), (None, Some(1), 3, why)]);
    assert!(uow.pulls().abort(run_id(90), "cancelled", "why").await.is_ok());
    uow.commit(()).await.unwrap().into_inner();
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let locked = uow.ingests().lock(run_id(90)).await.unwrap().unwrap();
    assert!(!locked.status.is_active());
}
