//! Reads of tables.

use domain::{
    Cell, ColumnType, Filter, FilterColumn, FilterOp, FilterValue, HookRun, RecordSrn, ReleaseVersion, Rows,
    RunStatus, SortKey,
};
use time::OffsetDateTime;

use super::{Subject, contract, delegated, deployed, hook, ingesting, opened, plan};
use crate::UnitOfWork;
use crate::data::{PageKey, Recall, RecallCounts, Settled, Table, TableColumn, TableKind, TableQuery};

fn table() -> Table {
    let column = |name: &str, column_type, implicit| TableColumn {
        name: name.to_owned(),
        column_type,
        wire_type: "number",
        format: None,
        description: None,
        unit: None,
        implicit,
    };
    let schema = plan().schema.reference;
    Table {
        kind: TableKind::Feature(hook()),
        major: schema.version.major(),
        versions: vec![schema.version.to_string()],
        schema: schema.id,
        columns: vec![
            column("id", ColumnType::Integer, true),
            column("order", ColumnType::Number, false),
        ],
    }
}

/// Returns the values of the hook's column, in the order of the query.
pub(super) async fn values(subject: &Subject<'_>, query: &TableQuery, after: Option<&PageKey>) -> Vec<Cell> {
    let rows = subject.data.page(&table(), query, after, 10).await.unwrap();
    rows.into_iter().map(|mut row| row.remove(1)).collect()
}

pub(super) async fn now(subject: &Subject<'_>) -> OffsetDateTime {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.runs().now().await.unwrap()
}

/// Writes rows of one more run for a record, as an operator's recomputation does.
async fn computed_again(subject: &Subject<'_>, srn: &RecordSrn, run: u128, rows: Vec<Vec<Cell>>) {
    let task = delegated(subject, run, "again").await;
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.runs()
        .pin_live(task, &plan().slug, &plan().schema.reference)
        .await
        .unwrap();
    let pin = uow.runs().pins(task).await.unwrap().remove(0);
    let at = uow.runs().now().await.unwrap();
    uow.runs()
        .insert(&HookRun {
            id: pin.run,
            release: pin.release.id,
            location: pin.release.locations.number(),
            status: RunStatus::Passed,
            started_at: at,
            finished_at: at,
            duration_s: 0.5,
            oom_retries: 0,
            counts: None,
            worker: "w".into(),
            log_ref: None,
            failure: None,
        })
        .await
        .unwrap();
    uow.features()
        .replace(&hook(), &contract(), pin.run, &[(srn.clone(), Rows::of(&rows))])
        .await
        .unwrap();
    uow.commit(()).await.unwrap().into_inner();
}

/// A read as of a time returns what was current then, even if it was superseded since. Filters, orders and cursors
/// use the same rows, and a release knows everything that it made (DAT-1, PRV-7).
pub async fn what_was_current_is_read_as_it_was(subject: &Subject<'_>) {
    deployed(subject).await;
    let before = now(subject).await;
    assert_eq!(opened(subject, 1).await, None);
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let srn = ingesting::published(&mut *uow, 1, 2.0, 101, 3).await;
    uow.commit(()).await.unwrap().into_inner();
    let srn: RecordSrn = srn.parse().unwrap();
    let first = now(subject).await;
    let again = vec![vec![Cell::Number(7.0)], vec![Cell::Null], vec![Cell::Number(5.0)]];
    computed_again(subject, &srn, 900, again).await;
    let second = now(subject).await;

    let as_of = |at| TableQuery {
        as_of: Some(at),
        ..TableQuery::default()
    };
    let number = Cell::Number;
    let (old, new) = (vec![number(2.0); 3], vec![number(7.0), Cell::Null, number(5.0)]);
    assert_eq!(values(subject, &as_of(before), None).await, []);
    assert_eq!(values(subject, &as_of(first), None).await, old);
    assert_eq!(values(subject, &as_of(second), None).await, new);
    assert_eq!(values(subject, &TableQuery::default(), None).await, new);
    assert_eq!(subject.data.settled(second).await.unwrap(), Settled::Yes);
    assert_eq!(
        subject
            .data
            .settled(second + time::Duration::hours(1))
            .await
            .unwrap(),
        Settled::Ahead
    );

    let sorted = |descending| TableQuery {
        sort: vec![SortKey {
            column: "order".into(),
            descending,
        }],
        ..TableQuery::default()
    };
    assert_eq!(
        values(subject, &sorted(false), None).await,
        [number(5.0), number(7.0), Cell::Null]
    );
    assert_eq!(
        values(subject, &sorted(true), None).await,
        [number(7.0), number(5.0), Cell::Null]
    );
    let rows = subject.data.page(&table(), &sorted(true), None, 1).await.unwrap();
    let Some(Cell::Integer(last)) = rows.first().and_then(|row| row.first()) else {
        panic!("{rows:?}");
    };
    assert_eq!(
        values(subject, &sorted(true), Some(&PageKey::Row(*last))).await,
        [number(5.0), Cell::Null]
    );
    let filtered = TableQuery {
        filter: Some(Filter::Not(Box::new(Filter::Predicate {
            column: FilterColumn::Feature {
                hook: hook(),
                column: "order".into(),
            },
            column_type: ColumnType::Number,
            op: FilterOp::Gt,
            value: FilterValue::One(number(6.0)),
        }))),
        ..TableQuery::default()
    };
    assert_eq!(values(subject, &filtered, None).await, [Cell::Null, number(5.0)]);

    let release = subject
        .registry
        .release(&hook(), ReleaseVersion::new(1).unwrap())
        .await
        .unwrap()
        .unwrap()
        .0;
    let recall = |current| Recall {
        hook: hook(),
        release: release.id,
        run: None,
        since: None,
        until: None,
        current,
    };
    let RecallCounts {
        runs,
        rows,
        superseded,
        records,
        ..
    } = subject.recall.recall_counts(&recall(false)).await.unwrap();
    assert_eq!((runs, rows, superseded, records), (2, 6, 3, 1));
    let now_shown = subject.recall.recall_counts(&recall(true)).await.unwrap();
    assert_eq!((now_shown.runs, now_shown.rows), (1, 3));
    let listed = subject
        .recall
        .recalled_records(&recall(false), None, 10)
        .await
        .unwrap();
    assert_eq!(listed.len(), 2, "one for each run");
}
