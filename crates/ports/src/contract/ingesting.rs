//! Ingest runs, records and pins.

use domain::ingest::refused::{RefusedLine, line_digest};
use domain::{Invalid, Rows};

use super::{
    ADMIN, Actor, Cell, HookRun, LineResult, NewRecord, NewTask, RecordBatch, RecordEnd, ReleaseId,
    ReleaseVersion, Repos, RunStatus, Subject, TaskId, TaskKind, UnitOfWork, contract, delegated, deployed,
    hook, id, json, line, opened, plan, release, released, run_id,
};
use crate::work::BatchSource;

/// A convention has at most one active run, and each line of a run is accepted once (WC-D32, PIP-2).
pub async fn lines_are_taken_once(subject: &Subject<'_>) {
    deployed(subject).await;
    assert_eq!(opened(subject, 1).await, None);
    assert_eq!(opened(subject, 2).await, Some(run_id(1)));
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.ingests().lock(run_id(1)).await.unwrap().unwrap();
    let slug = plan().slug;
    let upload = uow.ingests().next_upload(run_id(1), &ADMIN).await.unwrap();
    let lines = [
        line(1, "a", 1.0),
        line(2, "b", 2.0),
        line(3, "a", 1.0),
        line(4, "b", 3.0),
    ];
    let results = uow
        .ingests()
        .add_lines(run_id(1), &slug, upload, &lines)
        .await
        .unwrap();
    use LineResult::{Accepted, Contradicts, Repeated};
    assert_eq!(results, [Accepted, Accepted, Repeated, Contradicts]);
    let again = uow
        .ingests()
        .add_lines(run_id(1), &slug, upload, &lines[..2])
        .await
        .unwrap();
    assert_eq!(again, [Repeated, Repeated]);
    assert_eq!(uow.ingests().waiting(run_id(1)).await.unwrap(), 2);
    let locked = uow.ingests().lock(run_id(1)).await.unwrap().unwrap();
    assert_eq!((locked.received, locked.next_batch), (2, 0));
}

fn refused(line: u64, text: &str) -> RefusedLine {
    let reason = Invalid::value(format!("is not a record: {text}")).of_field("metadata");
    RefusedLine::new(line, Some(text), line_digest([text.as_bytes()]), reason)
}

/// A refused line is stored and counted once, however often it is sent; beyond the limit, lines are counted only, and
/// nothing is stored without its unit of work (EDG-3).
pub async fn refused_lines_are_stored_once_and_up_to_a_limit(subject: &Subject<'_>) {
    deployed(subject).await;
    assert_eq!(opened(subject, 1).await, None);
    let run = run_id(1);
    let figures = async || {
        let view = subject.ingests.run(run).await.unwrap().unwrap();
        (
            view.refused,
            subject.ingest_detail.stored_refusals(run).await.unwrap(),
        )
    };
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.ingests().lock(run).await.unwrap().unwrap();
    let upload = uow.ingests().next_upload(run, &ADMIN).await.unwrap();
    uow.ingests()
        .add_refused(run, upload, &[refused(2, "a"), refused(4, "b")], 3)
        .await
        .unwrap();
    drop(uow);
    assert_eq!(figures().await, (0, 0));

    let first = [refused(2, "a"), refused(4, "b")];
    let again = [refused(2, "a"), refused(4, "c"), refused(7, "a")];
    for lines in [&first[..], &again[..]] {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        uow.ingests().lock(run).await.unwrap().unwrap();
        let upload = uow.ingests().next_upload(run, &ADMIN).await.unwrap();
        uow.ingests().add_refused(run, upload, lines, 3).await.unwrap();
        uow.commit(()).await.unwrap().into_inner();
    }
    assert_eq!(figures().await, (4, 3));
    let page = subject.ingest_detail.refused_lines(run, None, 2).await.unwrap();
    let after = page[1].place;
    let rest = subject
        .ingest_detail
        .refused_lines(run, Some(after), 2)
        .await
        .unwrap();
    let found: Vec<_> = page
        .iter()
        .chain(&rest)
        .map(|found| (found.upload, found.pull, found.line, found.source_id.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            (Some(1), None, 2, Some("a")),
            (Some(1), None, 4, Some("b")),
            (Some(2), None, 4, Some("c")),
        ]
    );
    assert_eq!(page[0].faults, first[0].faults);
}

/// Publishes a batch with one record, and its rows under `run`. Returns the SRN as text.
pub(super) async fn published(
    repos: &mut dyn Repos,
    ingest: u128,
    mass: f64,
    run: u128,
    rows: usize,
) -> String {
    let plan = plan();
    let task = TaskId::from_uuid(id(run));
    let new = NewTask {
        id: task,
        kind: TaskKind::ingest_batch(),
        name: "t".into(),
        params: json!({}),
        creator: Actor::System,
        request: None,
    };
    repos.tasks().create(&new).await.unwrap();
    repos.ingests().lock(run_id(ingest)).await.unwrap().unwrap();
    let line = line(1, "a", mass);
    repos
        .ingests()
        .add_lines(run_id(ingest), &plan.slug, 1, std::slice::from_ref(&line))
        .await
        .unwrap();
    repos
        .ingests()
        .cut_batch(run_id(ingest), 0, task, 10)
        .await
        .unwrap();
    repos
        .runs()
        .pin_live(task, &plan.slug, &plan.schema.reference)
        .await
        .unwrap();
    let pin = repos.runs().pins(task).await.unwrap().remove(0);
    let now = repos.runs().now().await.unwrap();
    let hook_run = HookRun {
        id: pin.run,
        release: pin.release.id,
        location: pin.release.locations.number(),
        status: RunStatus::Passed,
        started_at: now,
        finished_at: now,
        duration_s: 0.5,
        oom_retries: 0,
        counts: None,
        worker: "w".into(),
        log_ref: None,
        failure: None,
    };
    repos.runs().insert(&hook_run).await.unwrap();
    repos.runs().insert(&hook_run).await.unwrap();
    let batch = RecordBatch {
        convention: &plan.slug,
        schema: &plan.schema.reference,
        fields: &plan.schema.fields,
        source: BatchSource::Ingest(run_id(ingest)),
    };
    let record = NewRecord {
        source_id: line.record.source_id.clone(),
        metadata: line.record.metadata.clone(),
        cells: line.record.cells.clone(),
        content_hash: line.record.content_hash,
    };
    let srn = repos
        .records()
        .publish(&batch, &[record])
        .await
        .unwrap()
        .remove(0);
    let rows = vec![(srn.clone(), Rows::of(&vec![vec![Cell::Number(mass)]; rows]))];
    let written = repos
        .features()
        .replace(&hook(), &contract(), pin.run, &rows)
        .await
        .unwrap();
    assert_eq!(written, rows[0].1.count());
    assert_eq!(
        repos
            .features()
            .replace(&hook(), &contract(), pin.run, &rows)
            .await
            .unwrap(),
        0,
        "a redo writes nothing"
    );
    repos
        .ingests()
        .end_batch(
            run_id(ingest),
            0,
            &[(line.record.source_id, RecordEnd::Published(srn.clone()))],
        )
        .await
        .unwrap();
    repos.ingests().close(run_id(ingest)).await.unwrap();
    assert_eq!(
        repos.ingests().complete_if_done(run_id(ingest)).await.unwrap(),
        Some(1)
    );
    srn.to_string()
}

/// A changed record becomes the next version of the same record; an unchanged one has no effect (WC-D21). Rows are
/// written once (PIP-6).
pub async fn records_are_versioned_and_rows_written_once(subject: &Subject<'_>) {
    deployed(subject).await;
    for (ingest, mass, version) in [(1, 1.0, 1), (2, 2.5, 2)] {
        assert_eq!(opened(subject, ingest).await, None);
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        let srn = published(&mut *uow, ingest, mass, 100 + ingest, 3).await;
        assert!(srn.ends_with(&format!("@{version}")), "{srn}");
        uow.commit(()).await.unwrap().into_inner();
    }
    assert_eq!(opened(subject, 3).await, None);
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let results = uow
        .ingests()
        .add_lines(run_id(3), &plan().slug, 1, &[line(1, "a", 2.5)])
        .await
        .unwrap();
    assert_eq!(results, [LineResult::Unchanged]);
}

/// The pins of a task are those of its first attempt, even if another release becomes live later (PRV-2).
pub async fn pins_stay_when_the_pointer_moves(subject: &Subject<'_>) {
    deployed(subject).await;
    let task = delegated(subject, 7, "t").await;
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.runs()
        .pin_live(task, &plan().slug, &plan().schema.reference)
        .await
        .unwrap();
    let two = ReleaseVersion::new(2).unwrap();
    uow.hooks()
        .insert_live(
            ReleaseId::from_uuid(id(2)),
            &hook(),
            two,
            &release('b', "1g"),
            &ADMIN,
            &released(),
        )
        .await
        .unwrap();
    uow.runs()
        .pin_live(task, &plan().slug, &plan().schema.reference)
        .await
        .unwrap();
    let pins = uow.runs().pins(task).await.unwrap();
    assert_eq!(
        pins.iter()
            .map(|pin| pin.release.version.get())
            .collect::<Vec<_>>(),
        [1]
    );
}
