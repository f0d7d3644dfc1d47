//! The contract of the store: one function per promise, over the ports alone. An adapter runs each on a fresh, empty store.
//!
//! Panics are the verdict here, as in any test.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests; a panic is their verdict"
)]

use std::time::Duration;

use domain::convention::{ConventionDocs, ConventionExample, DeployPlan, FileRequirements, HookDeploy};
use domain::hook::{NewRelease, ReleaseContent};
use domain::ingest::PushedRecord;
use domain::schema::MetadataChecker;
use domain::{
    Actor, Cardinality, Cell, ColumnDef, DelegationId, DelegationStatus, FeatureContract, FieldCardinality,
    FieldDefinition, FieldType, HookName, HookRun, IngestMode, IngestRunId, JsonType, Limits, ReleaseId,
    ReleaseVersion, RunStatus, Schema, TaskId, TaskKind, UserId,
};
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::repos::{
    Delegated, DelegationEnd, IngestLine, LineResult, NewDelegation, NewIngestRun, NewRecord, NewTask,
    RecordBatch, RecordEnd,
};
use crate::{IdentityQueries, Repos, Store, StoreError, UnitOfWork, WorkQueue, WorkerIdentity};

/// What a contract runs on.
pub struct Subject<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The queue of the callee `"workers"`.
    pub queue: &'a dyn WorkQueue,
    /// Users, for who did things.
    pub identities: &'a dyn IdentityQueries,
}

const ADMIN: Actor = Actor::User(UserId::LOCAL_ADMIN);

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn hook() -> HookName {
    "shape".parse().unwrap()
}

fn contract() -> FeatureContract {
    let column = ColumnDef {
        name: "order".parse().unwrap(),
        json_type: JsonType::Number,
        format: None,
        required: false,
        description: None,
        unit: None,
    };
    FeatureContract {
        cardinality: Cardinality::Many,
        columns: vec![column],
    }
}

fn release(digit: char, memory: &str) -> NewRelease {
    let content = ReleaseContent {
        digest: format!("sha256:{}", digit.to_string().repeat(64))
            .parse()
            .unwrap(),
        config: json!({"k": [1, null]}).as_object().unwrap().clone(),
        limits: Limits::parse(60, memory, "1").unwrap(),
    };
    NewRelease {
        image: "file:/x".into(),
        content,
        source_ref: "git:1".into(),
    }
}

fn fields() -> Vec<FieldDefinition> {
    let field = |name: &str, field_type| FieldDefinition {
        name: name.parse().unwrap(),
        field_type,
        required: false,
        cardinality: FieldCardinality::ExactlyOne,
        description: None,
        constraints: None,
        examples: vec![],
    };
    vec![
        field("user", FieldType::Text),
        field("mass", FieldType::Number),
        field("seen", FieldType::Date),
    ]
}

fn plan() -> DeployPlan {
    let example = ConventionExample {
        question: "q".into(),
        query: "q".into(),
        interpretation: "i".into(),
    };
    DeployPlan {
        slug: "birds".parse().unwrap(),
        title: "Birds".into(),
        description: "d".into(),
        schema: Schema {
            reference: "birds@1.0.0".parse().unwrap(),
            title: "Birds".into(),
            fields: fields(),
        },
        file_requirements: FileRequirements {
            accepted_types: vec![],
            min_count: 0,
            max_count: 0,
            max_file_size: 1,
        },
        hooks: vec![HookDeploy {
            name: hook(),
            contract: contract(),
            release: release('a', "1g"),
        }],
        ingester: None,
        docs: ConventionDocs {
            purpose: "p".into(),
            example_questions: vec![],
            examples: vec![example],
            when_not_to_use: None,
            see_also: None,
        },
    }
}

/// Deploys [`plan`] with one release, live.
async fn deployed(subject: &Subject<'_>) {
    subject.identities.ensure_local_admin().await.unwrap();
    let plan = plan();
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert_eq!(
        uow.schemas()
            .take_table(&plan.schema.reference.id, 1)
            .await
            .unwrap(),
        None
    );
    uow.schemas().insert(&plan.schema).await.unwrap();
    uow.schemas()
        .shape_table(&plan.schema.reference.id, 1, &plan.schema.fields)
        .await
        .unwrap();
    uow.hooks().register(&hook(), &contract()).await.unwrap();
    let made = uow
        .hooks()
        .insert_release(
            ReleaseId::from_uuid(id(1)),
            &hook(),
            ReleaseVersion::FIRST,
            &release('a', "1g"),
            &ADMIN,
        )
        .await
        .unwrap();
    uow.hooks().set_live(&hook(), made.id).await.unwrap();
    uow.features().create_table(&hook(), &contract()).await.unwrap();
    uow.conventions().put(&plan).await.unwrap();
    uow.commit(()).await.unwrap().into_inner();
}

fn line(number: u64, source: &str, mass: f64) -> IngestLine {
    let text = json!({"source_id": source, "metadata": {"mass": mass}}).to_string();
    IngestLine {
        line: number,
        record: PushedRecord::from_json_line(text.as_bytes(), &MetadataChecker::new(&fields())).unwrap(),
    }
}

fn run_id(n: u128) -> IngestRunId {
    IngestRunId::from_uuid(id(n))
}

async fn opened(subject: &Subject<'_>, n: u128) -> Option<IngestRunId> {
    let run = NewIngestRun {
        id: run_id(n),
        convention: plan().slug,
        mode: IngestMode::Push,
        schema: plan().schema.reference,
        batch_size: 2,
        limit: None,
        opened_by: ADMIN,
    };
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let active = uow.ingests().open(&run).await.unwrap();
    uow.commit(active).await.unwrap().into_inner()
}

fn worker(name: &str, boot: u128) -> WorkerIdentity {
    WorkerIdentity {
        name: name.into(),
        boot: id(boot),
    }
}

fn delegation(name: &str, task: Option<TaskId>, key: Option<&str>) -> NewDelegation {
    NewDelegation {
        id: name.parse().unwrap(),
        task,
        caller: "caller".into(),
        callee: "workers".into(),
        preview: "p".into(),
        idempotency_key: key.map(str::to_owned),
        retry_count: 0,
        delay: Duration::ZERO,
    }
}

/// Makes a task and delegates it.
async fn delegated(subject: &Subject<'_>, n: u128, name: &str) -> TaskId {
    let task = TaskId::from_uuid(id(n));
    let new = NewTask {
        id: task,
        kind: TaskKind::IngestBatch,
        name: name.into(),
        params: json!({}),
        creator: Actor::System,
    };
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.tasks().create(&new).await.unwrap();
    uow.delegations()
        .create(&delegation(name, Some(task), None))
        .await
        .unwrap();
    uow.commit(()).await.unwrap().into_inner();
    task
}

/// Work that is dropped without a commit leaves nothing, tables included (DEP-1).
pub async fn dropped_work_leaves_nothing(subject: &Subject<'_>) {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.hooks().register(&hook(), &contract()).await.unwrap();
    uow.features().create_table(&hook(), &contract()).await.unwrap();
    drop(uow);
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert_eq!(uow.hooks().lock(&hook()).await.unwrap(), None);
}

/// After a statement failed, a unit of work cannot commit.
pub async fn a_failed_statement_forbids_commit(subject: &Subject<'_>) {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.hooks().register(&hook(), &contract()).await.unwrap();
    // Nobody has this id.
    let stranger = Actor::User(UserId::from_uuid(id(99)));
    uow.hooks()
        .insert_release(
            ReleaseId::from_uuid(id(1)),
            &hook(),
            ReleaseVersion::FIRST,
            &release('a', "1g"),
            &stranger,
        )
        .await
        .unwrap_err();
    assert!(matches!(uow.commit(()).await, Err(StoreError::Poisoned)));
}

/// A release reads back as it was written, is found by its content, and only by that (REG-3).
pub async fn releases_are_found_by_content(subject: &Subject<'_>) {
    deployed(subject).await;
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let locked = uow.hooks().lock(&hook()).await.unwrap().unwrap();
    assert_eq!(
        (locked.contract, locked.last),
        (contract(), Some(ReleaseVersion::FIRST))
    );
    assert_eq!(
        locked.live,
        Some((ReleaseId::from_uuid(id(1)), ReleaseVersion::FIRST))
    );
    let found = uow
        .hooks()
        .find_content(&hook(), release('a', "1024m").content.key())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.release, found.built_by), (release('a', "1g"), ADMIN));
    assert_eq!(
        uow.hooks()
            .find_content(&hook(), release('a', "2g").content.key())
            .await
            .unwrap(),
        None
    );
    assert!(
        uow.hooks()
            .find_version(&hook(), ReleaseVersion::new(2).unwrap())
            .await
            .unwrap()
            .is_none()
    );
}

/// Writers of one hook number its releases without gaps, whatever they do at once and however many give up (REG-2).
pub async fn versions_have_no_gaps_under_concurrency(subject: &Subject<'_>) {
    deployed(subject).await;
    let submit = |n: u32| async move {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        let locked = uow.hooks().lock(&hook()).await.unwrap().unwrap();
        let next = ReleaseVersion::new(locked.last.unwrap().get() + 1).unwrap();
        let memory = format!("{}m", 100 + n);
        let made = uow
            .hooks()
            .insert_release(
                ReleaseId::from_uuid(id(1000 + u128::from(n))),
                &hook(),
                next,
                &release('b', &memory),
                &ADMIN,
            )
            .await
            .unwrap();
        uow.hooks().set_live(&hook(), made.id).await.unwrap();
        if n.is_multiple_of(3) {
            return None;
        }
        Some(uow.commit(next.get()).await.unwrap().into_inner())
    };
    let mut versions: Vec<u32> = join_all((0..24).map(submit))
        .await
        .into_iter()
        .flatten()
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=17).collect::<Vec<_>>());
}

/// A convention has at most one active run, and lines of a run are taken once (D32, PIP-2).
pub async fn lines_are_taken_once(subject: &Subject<'_>) {
    deployed(subject).await;
    assert_eq!(opened(subject, 1).await, None);
    assert_eq!(opened(subject, 2).await, Some(run_id(1)));
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.ingests().lock(run_id(1)).await.unwrap().unwrap();
    let slug = plan().slug;
    let upload = uow.ingests().next_upload(run_id(1)).await.unwrap();
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

/// Publishes a batch with one record, and its rows under `run`; gives the SRN as text.
async fn published(repos: &mut dyn Repos, ingest: u128, mass: f64, run: u128, rows: usize) -> String {
    let plan = plan();
    let task = TaskId::from_uuid(id(run));
    let new = NewTask {
        id: task,
        kind: TaskKind::IngestBatch,
        name: "t".into(),
        params: json!({}),
        creator: Actor::System,
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
    repos.runs().pin_live(task, &plan.slug).await.unwrap();
    let pin = repos.runs().pins(task).await.unwrap().remove(0);
    let now = repos.runs().now().await.unwrap();
    let hook_run = HookRun {
        id: pin.run,
        release: pin.release.id,
        status: RunStatus::Passed,
        started_at: now,
        finished_at: now,
        duration_s: 0.5,
        oom_retries: 0,
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
        run: run_id(ingest),
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
    let rows = vec![(srn.clone(), vec![vec![Cell::Number(mass)]; rows])];
    let written = repos
        .features()
        .replace(&hook(), &contract(), pin.run, &rows)
        .await
        .unwrap();
    assert_eq!(written, rows[0].1.len() as u64);
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
    assert!(repos.ingests().complete_if_done(run_id(ingest)).await.unwrap());
    srn.to_string()
}

/// A changed record becomes the next version of the same record, an unchanged one nothing (D21); rows are written once (PIP-6).
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

/// The pins of a task are those of its first attempt, whatever is live later (PRV-2).
pub async fn pins_stay_when_the_pointer_moves(subject: &Subject<'_>) {
    deployed(subject).await;
    let task = delegated(subject, 7, "t").await;
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.runs().pin_live(task, &plan().slug).await.unwrap();
    let two = ReleaseVersion::new(2).unwrap();
    let newer = uow
        .hooks()
        .insert_release(
            ReleaseId::from_uuid(id(2)),
            &hook(),
            two,
            &release('b', "1g"),
            &ADMIN,
        )
        .await
        .unwrap();
    uow.hooks().set_live(&hook(), newer.id).await.unwrap();
    uow.runs().pin_live(task, &plan().slug).await.unwrap();
    let pins = uow.runs().pins(task).await.unwrap();
    assert_eq!(
        pins.iter()
            .map(|pin| pin.release.version.get())
            .collect::<Vec<_>>(),
        [1]
    );
}

/// Inserting is idempotent on the id and on the caller's key, and keys of two callers do not collide (LED-3).
pub async fn delegations_are_inserted_once(subject: &Subject<'_>) {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let first = delegation("d1", None, Some("k"));
    assert_eq!(uow.delegations().create(&first).await.unwrap(), Delegated::New);
    let existing = Delegated::Existing("d1".parse().unwrap());
    assert_eq!(uow.delegations().create(&first).await.unwrap(), existing);
    assert_eq!(
        uow.delegations()
            .create(&delegation("d2", None, Some("k")))
            .await
            .unwrap(),
        existing
    );
    let other = NewDelegation {
        caller: "another".into(),
        ..delegation("d3", None, Some("k"))
    };
    assert_eq!(uow.delegations().create(&other).await.unwrap(), Delegated::New);
    uow.commit(()).await.unwrap().into_inner();
}

/// Each queued delegation is claimed once, however many claim at the same time.
pub async fn a_delegation_is_claimed_once(subject: &Subject<'_>) {
    for n in 0..20 {
        delegated(subject, 100 + n, &format!("d{n}")).await;
    }
    let claims =
        join_all((0..8).map(|n| async move { subject.queue.claim(&worker("w", n), 5).await.unwrap() })).await;
    let mut ids: Vec<DelegationId> = claims
        .into_iter()
        .flatten()
        .map(|claim| claim.delegation)
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

/// Who lost a claim can neither beat nor finish; the task goes on under its next delegation (LED-2, LED-5, LED-6).
pub async fn a_lost_claim_writes_nothing(subject: &Subject<'_>) {
    let task = delegated(subject, 7, "d").await;
    let claim = subject.queue.claim(&worker("w", 1), 1).await.unwrap().remove(0);
    let held = [(claim.delegation.clone(), claim.attempt)];
    assert_eq!(subject.queue.beat(&held).await.unwrap().len(), 1);
    let hour = Duration::from_hours(1);

    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(
        uow.delegations()
            .take_stuck(&worker("w", 1), hour, 10)
            .await
            .unwrap()
            .is_empty(),
        "it beats"
    );
    assert!(
        uow.delegations()
            .take_stuck(&worker("other", 2), hour, 10)
            .await
            .unwrap()
            .is_empty(),
        "it is not another's earlier boot"
    );
    let stuck = uow
        .delegations()
        .take_stuck(&worker("w", 2), hour, 10)
        .await
        .unwrap();
    assert_eq!(
        stuck
            .iter()
            .map(|s| s.task.as_ref().unwrap().0)
            .collect::<Vec<_>>(),
        [task]
    );
    uow.delegations()
        .create(&NewDelegation {
            retry_count: 1,
            ..delegation("d.1", Some(task), None)
        })
        .await
        .unwrap();
    uow.commit(()).await.unwrap().into_inner();

    assert!(subject.queue.beat(&held).await.unwrap().is_empty());
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(
        !uow.delegations()
            .finish(
                &claim.delegation,
                claim.attempt,
                &DelegationEnd::Completed("late".into())
            )
            .await
            .unwrap()
    );
    assert_eq!(
        uow.delegations()
            .find(&claim.delegation)
            .await
            .unwrap()
            .unwrap()
            .status,
        DelegationStatus::Stuck
    );
    drop(uow);
    subject.queue.refuse_late(&claim, "late").await.unwrap();

    let next = subject.queue.claim(&worker("w", 2), 1).await.unwrap().remove(0);
    assert_eq!((next.task, next.retry_count), (task, 1));
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(
        !uow.delegations()
            .finish(
                &next.delegation,
                next.attempt + 1,
                &DelegationEnd::Completed("x".into())
            )
            .await
            .unwrap()
    );
    assert!(
        uow.delegations()
            .finish(
                &next.delegation,
                next.attempt,
                &DelegationEnd::Completed("done".into())
            )
            .await
            .unwrap()
    );
    assert!(
        !uow.delegations()
            .finish(
                &next.delegation,
                next.attempt,
                &DelegationEnd::Failed("twice".into())
            )
            .await
            .unwrap()
    );
    assert_eq!(
        uow.delegations()
            .find(&next.delegation)
            .await
            .unwrap()
            .unwrap()
            .status,
        DelegationStatus::Completed
    );
    uow.commit(()).await.unwrap().into_inner();
}

/// Runs `$run!(name)` for every contract.
#[macro_export]
macro_rules! for_each_store_contract {
    ($run:ident) => {
        $run!(dropped_work_leaves_nothing);
        $run!(a_failed_statement_forbids_commit);
        $run!(releases_are_found_by_content);
        $run!(versions_have_no_gaps_under_concurrency);
        $run!(lines_are_taken_once);
        $run!(records_are_versioned_and_rows_written_once);
        $run!(pins_stay_when_the_pointer_moves);
        $run!(delegations_are_inserted_once);
        $run!(a_delegation_is_claimed_once);
        $run!(a_lost_claim_writes_nothing);
    };
}
