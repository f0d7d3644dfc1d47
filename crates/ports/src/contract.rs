//! The contract of the store: one function per promise, over the ports alone. An adapter runs each on a fresh,
//! empty store.
//!
//! Panics are the verdict here, as in any test.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests; a panic is their verdict"
)]

mod delegating;
mod depositing;
mod identifying;
mod ingesting;
mod pulling;
mod reading;
mod registry;
mod tasks;
mod withdrawing;

use crate::ActivityQueries;
use crate::DepositionQueries;
use crate::TaskQueries;
pub use delegating::{
    a_callee_says_from_whom_it_takes_work, a_claim_is_confirmed_while_it_is_held,
    a_claim_that_its_worker_does_not_know_is_taken_back, a_delegation_is_claimed_once,
    a_lost_claim_writes_nothing, delegations_are_inserted_once, the_end_of_a_server_counts_against_its_work,
};
pub use depositing::a_submission_is_frozen_and_comes_back_with_reasons;
pub use identifying::{
    a_client_has_a_bound_of_pending_devices, devices_are_bounded_and_authorized_once,
    refresh_tokens_are_single_use, users_roles_and_accounts_are_stored,
};
pub use ingesting::{
    lines_are_taken_once, pins_stay_when_the_pointer_moves, records_are_versioned_and_rows_written_once,
    refused_lines_are_stored_once_and_up_to_a_limit,
};
pub use pulling::a_pull_keeps_its_session_and_ends_the_run_when_there_is_no_more;
pub use reading::what_was_current_is_read_as_it_was;
pub use registry::{
    a_failed_statement_forbids_commit, a_release_is_used_from_its_newest_location,
    dropped_work_leaves_nothing, moves_and_yanks_are_stored, releases_are_found_by_content,
    versions_have_no_gaps_under_concurrency,
};

pub use tasks::{
    tasks_are_created_once_and_found_by_their_creator, the_activity_log_is_read_in_order_from_any_place,
};

pub use withdrawing::{
    a_withdrawn_record_is_left_out_until_it_is_restored, the_records_of_a_run_are_withdrawn_in_steps,
};

use std::time::Duration;

use domain::deposit::file::FileRequirements;
use domain::ingest::run::PushedRecord;
use domain::registry::convention::{ConventionDocs, ConventionExample, DeployPlan, HookDeploy};
use domain::registry::hook::{NewRelease, ReleaseContent};
use domain::registry::schema::MetadataChecker;
use domain::{
    Actor, Cardinality, Cell, ColumnDef, DelegationId, DelegationStatus, Event, FeatureContract,
    FieldCardinality, FieldDefinition, FieldType, HookName, HookRun, IngestMode, IngestRunId, JsonType,
    Limits, Reason, ReleaseId, ReleaseVersion, RunStatus, Schema, TaskId, TaskKind, UserId,
};
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::ingest::{IngestLine, LineResult, NewIngestRun, RecordEnd};
use crate::ledger::{Deadline, Delegated, DelegationEnd, NewDelegation, NewTask, RequestKey};
use crate::work::{NewRecord, RecordBatch};
use crate::{
    DataQueries, IdentityQueries, IngestDetailQueries, IngestQueries, RecallQueries, RegistryQueries, Repos,
    Store, StoreError, UnitOfWork, WorkQueue, WorkerIdentity,
};

/// What a contract runs on.
pub struct Subject<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The queue of the callee `"hallmark:workers"`.
    pub queue: &'a dyn WorkQueue,
    /// Users, for checks of who acted.
    pub identities: &'a dyn IdentityQueries,
    /// Reads of the registry.
    pub registry: &'a dyn RegistryQueries,
    /// Reads of tables.
    pub data: &'a dyn DataQueries,
    /// What releases made.
    pub recall: &'a dyn RecallQueries,
    /// Reads of depositions.
    pub depositions: &'a dyn DepositionQueries,
    /// Reads of tasks.
    pub tasks: &'a dyn TaskQueries,
    /// Reads of the activity log.
    pub activity: &'a dyn ActivityQueries,
    /// Reads of ingest runs.
    pub ingests: &'a dyn IngestQueries,
    /// Reads of ingest runs in detail.
    pub ingest_detail: &'a dyn IngestDetailQueries,
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
        curation: domain::Curation::Automatic,
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
            .reserve_table(&plan.schema.reference.id, 1)
            .await
            .unwrap(),
        None
    );
    uow.schemas().insert(&plan.schema).await.unwrap();
    uow.schemas()
        .sync_columns(&plan.schema.reference.id, 1, &plan.schema.fields)
        .await
        .unwrap();
    uow.hooks().register(&hook(), &contract(), None).await.unwrap();
    uow.hooks()
        .insert_live(
            ReleaseId::from_uuid(id(1)),
            &hook(),
            ReleaseVersion::FIRST,
            &release('a', "1g"),
            &ADMIN,
            &released(),
        )
        .await
        .unwrap();
    uow.features().create_table(&hook(), &contract()).await.unwrap();
    uow.conventions().put(&plan).await.unwrap();
    uow.commit(()).await.unwrap().into_inner();
}

fn released() -> Event {
    Event {
        kind: "HookReleased",
        subject: format!("hook:{}", hook()),
        actor: ADMIN,
        payload: json!({}),
    }
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
        since: None,
        scheduled_for: None,
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
        caller: "hallmark:test".into(),
        callee: "hallmark:workers".into(),
        preview: "p".into(),
        input: None,
        request: Some(RequestKey {
            key: key.map(str::to_owned),
            hash: [0; 32],
        }),
        nesting: None,
        deadline: Deadline::Default,
        may_expire: true,
        retry_count: 0,
        retry_of: None,
        max_retries: 3,
        delay: Duration::ZERO,
    }
}

/// Makes a task and delegates it.
async fn delegated(subject: &Subject<'_>, n: u128, name: &str) -> TaskId {
    let task = TaskId::from_uuid(id(n));
    let new = NewTask {
        id: task,
        kind: TaskKind::ingest_batch(),
        name: name.into(),
        params: json!({}),
        creator: Actor::System,
        request: None,
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

/// Runs `$run!(name)` for every contract.
#[macro_export]
macro_rules! for_each_store_contract {
    ($run:ident) => {
        $run!(dropped_work_leaves_nothing);
        $run!(a_failed_statement_forbids_commit);
        $run!(releases_are_found_by_content);
        $run!(moves_and_yanks_are_stored);
        $run!(a_release_is_used_from_its_newest_location);
        $run!(refresh_tokens_are_single_use);
        $run!(a_client_has_a_bound_of_pending_devices);
        $run!(devices_are_bounded_and_authorized_once);
        $run!(users_roles_and_accounts_are_stored);
        $run!(versions_have_no_gaps_under_concurrency);
        $run!(lines_are_taken_once);
        $run!(refused_lines_are_stored_once_and_up_to_a_limit);
        $run!(records_are_versioned_and_rows_written_once);
        $run!(pins_stay_when_the_pointer_moves);
        $run!(what_was_current_is_read_as_it_was);
        $run!(a_withdrawn_record_is_left_out_until_it_is_restored);
        $run!(the_records_of_a_run_are_withdrawn_in_steps);
        $run!(a_submission_is_frozen_and_comes_back_with_reasons);
        $run!(a_pull_keeps_its_session_and_ends_the_run_when_there_is_no_more);
        $run!(tasks_are_created_once_and_found_by_their_creator);
        $run!(the_activity_log_is_read_in_order_from_any_place);
        $run!(delegations_are_inserted_once);
        $run!(a_callee_says_from_whom_it_takes_work);
        $run!(a_delegation_is_claimed_once);
        $run!(a_lost_claim_writes_nothing);
        $run!(a_claim_is_confirmed_while_it_is_held);
        $run!(a_claim_that_its_worker_does_not_know_is_taken_back);
        $run!(the_end_of_a_server_counts_against_its_work);
    };
}
