//! Withdrawals of records.

use domain::{Cell, Reason, RecordSrn, ReleaseVersion, SourceId, Withdrawal, WithdrawalSubject};
use time::OffsetDateTime;

use super::reading::{now, values};
use super::{ADMIN, Subject, deployed, hook, ingesting, line, opened, plan, run_id};
use crate::data::{LockedRecord, Recall, TableQuery, WithdrawalProgress};
use crate::work::{BatchSource, NewRecord, RecordBatch};
use crate::{StoreError, UnitOfWork};

const SOURCE: &str = "a";

fn reason() -> Reason {
    "mislabelled".parse().unwrap()
}

fn as_of(at: OffsetDateTime) -> TableQuery {
    TableQuery {
        as_of: Some(at),
        ..TableQuery::default()
    }
}

/// Publishes the record of [`SOURCE`] in a run of its own, with three rows.
async fn published(subject: &Subject<'_>, run: u128, mass: f64) -> RecordSrn {
    assert_eq!(opened(subject, run).await, None);
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let srn = ingesting::published(&mut *uow, run, mass, 100 + run, 3).await;
    uow.commit(()).await.unwrap().into_inner();
    srn.parse().unwrap()
}

async fn withdrawn(subject: &Subject<'_>, what: WithdrawalSubject) -> Withdrawal {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    match what {
        WithdrawalSubject::Record(id) => drop(uow.withdrawals().lock_record(id).await.unwrap().unwrap()),
        WithdrawalSubject::Run(run) => drop(uow.ingests().lock(run).await.unwrap().unwrap()),
    }
    let written = uow.withdrawals().withdraw(what, &ADMIN, &reason()).await.unwrap();
    uow.commit(written).await.unwrap().into_inner()
}

async fn restored(subject: &Subject<'_>, what: WithdrawalSubject) {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    match what {
        WithdrawalSubject::Record(id) => drop(uow.withdrawals().lock_record(id).await.unwrap().unwrap()),
        WithdrawalSubject::Run(run) => drop(uow.ingests().lock(run).await.unwrap().unwrap()),
    }
    uow.withdrawals().restore(what, &ADMIN, None).await.unwrap();
    uow.commit(()).await.unwrap().into_inner();
}

async fn locked(subject: &Subject<'_>, srn: &RecordSrn) -> LockedRecord {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.withdrawals().lock_record(srn.id).await.unwrap().unwrap()
}

/// Tries to publish a new version of the record of [`SOURCE`]. Returns which source ids are withdrawn, and whether the
/// publication was refused.
async fn tried(subject: &Subject<'_>, run: u128) -> (Vec<SourceId>, bool) {
    let (plan, line) = (plan(), line(1, SOURCE, 9.0));
    let batch = RecordBatch {
        convention: &plan.slug,
        schema: &plan.schema.reference,
        fields: &plan.schema.fields,
        source: BatchSource::Ingest(run_id(run)),
    };
    let sources = [line.record.source_id.clone()];
    let record = NewRecord {
        source_id: line.record.source_id,
        metadata: line.record.metadata,
        cells: line.record.cells,
        content_hash: line.record.content_hash,
    };
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let withdrawn = uow.records().withdrawn(&batch, &sources).await.unwrap();
    let tried = uow.records().publish(&batch, &[record]).await;
    (withdrawn, matches!(tried, Err(StoreError::Refused { .. })))
}

/// How many rows the first release is said to have made.
async fn recalled(subject: &Subject<'_>) -> u64 {
    let release = subject.registry.release(&hook(), ReleaseVersion::FIRST).await;
    let recall = Recall {
        hook: hook(),
        release: release.unwrap().unwrap().0.id,
        run: None,
        since: None,
        until: None,
        current: false,
    };
    subject.recall.recall_counts(&recall).await.unwrap().rows
}

/// A withdrawn record is in no table of now or of a time when it was withdrawn, and gets no new version. Before and
/// after, it is as it was (EDG-4).
pub async fn a_withdrawn_record_is_left_out_until_it_is_restored(subject: &Subject<'_>) {
    deployed(subject).await;
    let srn = published(subject, 1, 2.0).await;
    let what = WithdrawalSubject::Record(srn.id);
    let (shown, none) = (vec![Cell::Number(2.0); 3], Vec::<Cell>::new());
    let unwithdrawn = LockedRecord {
        srn: srn.clone(),
        owners: vec![ADMIN],
        withdrawal: None,
        of_run: None,
    };
    assert_eq!(locked(subject, &srn).await, unwithdrawn);
    let before = now(subject).await;
    let written = withdrawn(subject, what).await;
    let during = now(subject).await;
    assert_eq!((written.reason.as_str(), written.run), ("mislabelled", None));
    assert!(before <= written.at && written.at <= during);
    assert_eq!(locked(subject, &srn).await.withdrawal, Some(written.clone()));

    assert_eq!(values(subject, &TableQuery::default(), None).await, none);
    assert_eq!(values(subject, &as_of(during), None).await, none);
    assert_eq!(values(subject, &as_of(before), None).await, shown);
    let found = subject.data.withdrawn(std::slice::from_ref(&srn)).await.unwrap();
    assert_eq!(found, [(srn.clone(), written)]);
    assert_eq!(recalled(subject).await, 0);
    let source: SourceId = SOURCE.parse().unwrap();
    assert_eq!(tried(subject, 1).await, (vec![source], true));

    restored(subject, what).await;
    let after = now(subject).await;
    assert_eq!(locked(subject, &srn).await, unwithdrawn);
    assert_eq!(values(subject, &TableQuery::default(), None).await, shown);
    assert_eq!(values(subject, &as_of(after), None).await, shown);
    assert_eq!(values(subject, &as_of(during), None).await, none);
    assert!(subject.data.withdrawn(&[srn]).await.unwrap().is_empty());
    assert_eq!(recalled(subject).await, 3);
    assert_eq!(tried(subject, 1).await, (vec![], false));
}

/// A run is withdrawn at once for everything but the tables of now, which follow in steps. The versions that it
/// published are withdrawn, and the records whose newest version is one of these (EDG-4).
pub async fn the_records_of_a_run_are_withdrawn_in_steps(subject: &Subject<'_>) {
    deployed(subject).await;
    let old = published(subject, 1, 2.0).await;
    let new = published(subject, 2, 4.0).await;
    assert_eq!((old.id, new.version.get()), (new.id, 2));
    let shown = vec![Cell::Number(4.0); 3];
    let steps = async |run: u128, most: u32| {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        let progress = uow.withdrawals().proceed(run_id(run), most).await.unwrap();
        uow.commit(progress).await.unwrap().into_inner()
    };
    let progress = |records, finished| WithdrawalProgress { records, finished };

    // The first run's version was replaced: the record stays, that version does not.
    let first = withdrawn(subject, WithdrawalSubject::Run(run_id(1))).await;
    assert_eq!(steps(1, 10).await, progress(0, true));
    assert_eq!(values(subject, &TableQuery::default(), None).await, shown);
    let both = [old.clone(), new.clone()];
    assert_eq!(
        subject.data.withdrawn(&both).await.unwrap(),
        [(old.clone(), first.clone())]
    );
    assert_eq!(recalled(subject).await, 3, "without the rows of that version");
    assert_eq!(tried(subject, 2).await, (vec![], false));

    let before = now(subject).await;
    let second = withdrawn(subject, WithdrawalSubject::Run(run_id(2))).await;
    let during = now(subject).await;
    assert_eq!(second.run, Some(run_id(2)));
    let state = locked(subject, &new).await;
    assert_eq!((state.withdrawal, state.of_run), (None, Some(second.clone())));
    assert_eq!(values(subject, &as_of(during), None).await, []);
    assert_eq!(values(subject, &as_of(before), None).await, shown);
    let source: SourceId = SOURCE.parse().unwrap();
    assert_eq!(tried(subject, 2).await.0, [source], "before the tables follow");
    let mut all = subject.data.withdrawn(&both).await.unwrap();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(all, [(old, second.clone()), (new, second)]);

    assert_eq!(steps(2, 1).await, progress(1, false));
    assert_eq!(values(subject, &TableQuery::default(), None).await, []);
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert_eq!(uow.withdrawals().unfinished().await.unwrap(), [run_id(2)]);
    drop(uow);
    assert_eq!(steps(2, 1).await, progress(1, true));
    assert_eq!(steps(2, 1).await, progress(1, true), "there is no more to do");

    // A restore on the way begins anew.
    restored(subject, WithdrawalSubject::Run(run_id(2))).await;
    assert_eq!(steps(2, 10).await, progress(1, true));
    assert_eq!(values(subject, &TableQuery::default(), None).await, shown);
}
