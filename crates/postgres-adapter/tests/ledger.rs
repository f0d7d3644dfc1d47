//! What the database itself keeps of the ledger's promises, and that its questions are answered from an index however much there is.
#![cfg(feature = "testing")]
#![expect(
    clippy::disallowed_methods,
    reason = "these tests go behind the adapter's back"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

use std::time::Duration;

use domain::{Actor, Party, UserId};
use ports::ledger::{DelegationFilter, DelegationStates, Side, TaskFilter};
use ports::{LedgerQueries as _, TaskQueries as _, UnitOfWork, WorkerIdentity};
use postgres_adapter::PgLedger;
use postgres_adapter::testing::TestDatabase;
use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

const SILENCE: Duration = Duration::from_secs(1);

async fn execute(pool: &PgPool, statement: &'static str) {
    sqlx::raw_sql(statement).execute(pool).await.unwrap();
}

async fn number(pool: &PgPool, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
}

async fn refusal(pool: &PgPool, statement: &'static str) -> String {
    let error = sqlx::raw_sql(statement).execute(pool).await.unwrap_err();
    let code = error.as_database_error().and_then(|e| e.code().map(String::from));
    code.unwrap_or_else(|| panic!("{statement}: {error}"))
}

fn sweeper() -> WorkerIdentity {
    WorkerIdentity {
        name: "sweeper".into(),
        boot: Uuid::from_u128(1),
    }
}

/// Waits until PostgreSQL is up for longer than a worker may be silent: before that, the sweep leaves the silent alone.
async fn up_long_enough(pool: &PgPool) {
    let up = "select extract(epoch from clock_timestamp() - pg_postmaster_start_time())::bigint";
    while number(pool, up).await <= 1 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

// proves LED-1, LED-2, LED-7
#[tokio::test]
async fn a_message_can_only_be_acknowledged_and_what_a_delegation_is_never_changes() {
    let database = TestDatabase::new().await.unwrap();
    let pool = &database.pool;
    execute(
        pool,
        "insert into delegations (delegation_id, caller_id, callee_id) values ('d', 'a', 'b');
         insert into delegation_inbox (caller_id, delegation_id, attempt, kind) values ('a', 'd', 1, 'completed'), ('a', 'e', 1, 'failed');
         update delegation_inbox set acknowledged_at = now() where delegation_id = 'e'",
    )
    .await;
    for statement in [
        "update delegation_inbox set result = '1' where delegation_id = 'd'",
        "update delegation_inbox set caller_id = 'b', acknowledged_at = now() where delegation_id = 'd'",
        "update delegation_inbox set acknowledged_at = null where delegation_id = 'e'",
        "update delegation_inbox set acknowledged_at = now() where delegation_id = 'e'",
        "delete from delegation_inbox where delegation_id = 'd'",
        "truncate delegation_inbox",
        "update delegations set caller_id = 'x'",
        "update delegations set callee_id = 'x'",
        "update delegations set delegation_id = 'x'",
        "update delegations set parent_id = 'x'",
        "update delegations set retry_of = 'x'",
        "update delegations set created_at = now() + interval '1 s'",
    ] {
        assert_eq!(refusal(pool, statement).await, "23001", "{statement}");
    }
    // One end for one delegation, and one follower.
    let twice = "insert into delegation_inbox (caller_id, delegation_id, attempt, kind) values ('a', 'd', 2, 'failed')";
    assert_eq!(refusal(pool, twice).await, "23505");
    let followers = "insert into delegations (delegation_id, caller_id, callee_id, retry_of) values ('d~1', 'a', 'b', 'd'), ('d~2', 'a', 'b', 'd')";
    assert_eq!(refusal(pool, followers).await, "23505");
    execute(pool, "update delegation_inbox set acknowledged_at = now() where delegation_id = 'd'; delete from delegation_inbox").await;
}

// proves LED-5
#[tokio::test]
async fn when_all_fall_silent_at_once_they_get_as_much_time_again() {
    let database = TestDatabase::new().await.unwrap();
    let pool = &database.pool;
    up_long_enough(pool).await;
    let store = database.store();
    let sweep = async || {
        let mut uow = UnitOfWork::begin(&store).await.unwrap();
        let swept = uow
            .delegations()
            .take_stuck(&sweeper(), SILENCE, 1000)
            .await
            .unwrap();
        uow.commit(()).await.unwrap().into_inner();
        (swept.stuck.len(), swept.held_back)
    };
    // 30 of 60 are silent: more than a fifth, and more than twenty.
    execute(
        pool,
        "insert into delegations (delegation_id, caller_id, callee_id, status, attempt)
           select 'd' || n, 'user:a', 'user:b', 'in_progress', 1 from generate_series(1, 60) n;
         insert into delegation_leases (delegation_id, attempt, callee_id, worker_id, boot_id, last_heartbeat, deadline)
           select 'd' || n, 1, 'user:b', 'w', gen_random_uuid(), case when n <= 30 then now() - interval '1.5 s' else now() + interval '1 h' end, now() + interval '1 h'
           from generate_series(1, 60) n",
    )
    .await;
    assert_eq!(sweep().await, (0, 30));
    // What is past its deadline is taken all the same.
    execute(
        pool,
        "update delegation_leases set deadline = now() - interval '1 s' where delegation_id = 'd60'",
    )
    .await;
    assert_eq!(sweep().await, (1, 30));
    execute(
        pool,
        "update delegation_leases set last_heartbeat = now() - interval '2.5 s' where last_heartbeat < now()",
    )
    .await;
    assert_eq!(sweep().await, (30, 0));
    // A few are taken at once.
    execute(pool, "update delegation_leases set last_heartbeat = now() - interval '1.5 s' where delegation_id in ('d31', 'd32')").await;
    assert_eq!(sweep().await, (2, 0));
    assert_eq!(
        number(pool, "select count(*) from delegations where status = 'stuck'").await,
        33
    );
    assert_eq!(number(pool, "select count(*) from delegation_leases").await, 27);
}

// proves LED-5
#[tokio::test]
async fn a_row_whose_worker_was_renamed_or_restarted_is_swept_as_well() {
    let database = TestDatabase::new().await.unwrap();
    let pool = &database.pool;
    let store = database.store();
    up_long_enough(pool).await;
    // The server's own work under another name is silent; under its own name with another boot it is taken at once.
    execute(
        pool,
        "insert into delegations (delegation_id, caller_id, callee_id, status, attempt)
           select n, 'hallmark:ingest', 'hallmark:workers', 'in_progress', 1 from unnest(array['renamed', 'restarted', 'alive', 'other']) n;
         insert into delegation_leases (delegation_id, attempt, callee_id, worker_id, boot_id, last_heartbeat, deadline) values
           ('renamed', 1, 'hallmark:workers', 'gone', gen_random_uuid(), now() - interval '1 h', now() + interval '1 h'),
           ('restarted', 1, null, 'sweeper', gen_random_uuid(), clock_timestamp() + interval '1 h', now() + interval '1 h'),
           ('alive', 1, 'hallmark:workers', 'sweeper', '00000000-0000-0000-0000-000000000001', clock_timestamp() + interval '1 h', now() + interval '1 h'),
           ('other', 1, 'hallmark:workers', 'another', gen_random_uuid(), clock_timestamp() + interval '1 h', now() + interval '1 h')",
    )
    .await;
    let mut uow = UnitOfWork::begin(&store).await.unwrap();
    let swept = uow
        .delegations()
        .take_stuck(&sweeper(), SILENCE, 10)
        .await
        .unwrap();
    let mut taken: Vec<String> = swept.stuck.iter().map(|one| one.id.to_string()).collect();
    taken.sort();
    assert_eq!(taken, ["renamed", "restarted"]);
}

/// The pages that the last statement's node types say it went over, and whether it read a whole table.
async fn plan(database: &TestDatabase, statement: &'static str) -> String {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let lines: Vec<String> = sqlx::query_scalar(statement)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    lines.join("\n")
}

// proves AUD-5, LED-4, LED-9
#[tokio::test]
async fn what_is_asked_most_is_an_indexed_query_however_much_there_is() {
    let database = TestDatabase::new().await.unwrap();
    let pool = &database.pool;
    // Much history of few, of which little is open.
    execute(
        pool,
        "insert into users (id, provider, external_id, display_name) select ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'p', n::text, 'n' from generate_series(1, 2) n;
         insert into tasks (id, kind, name, params, creator_user_id, created_at)
           select gen_random_uuid(), 'k', 'n', '{}', ('00000000-0000-0000-0000-00000000000' || (1 + (n % 100 = 0)::int))::uuid, now() - n * interval '1 s' from generate_series(1, 60000) n;
         insert into delegations (delegation_id, caller_id, callee_id, status, created_at)
           select 'd' || n, 'user:00000000-0000-0000-0000-000000000001', 'user:00000000-0000-0000-0000-000000000002',
             case when n % 20000 = 0 then 'in_progress' when n % 15001 = 0 then 'stuck' else 'completed' end, now() - n * interval '1 s' from generate_series(1, 60000) n;
         analyze",
    )
    .await;
    let ledger = PgLedger::new(pool.clone());
    let store = database.store();
    let me: Party = "user:00000000-0000-0000-0000-000000000001".parse().unwrap();
    let filter = |side, states| DelegationFilter {
        party: Some((side, me.to_string())),
        states,
        after: None,
    };
    let find = async |filter: DelegationFilter| ledger.delegations(&filter, 50).await.unwrap().len();
    assert_eq!(find(filter(Side::Caller, DelegationStates::InFlight)).await, 3);
    assert_eq!(find(filter(Side::Callee, DelegationStates::InFlight)).await, 0);
    assert_eq!(find(filter(Side::Caller, DelegationStates::Stuck)).await, 3);
    let all_stuck = DelegationFilter {
        party: None,
        states: DelegationStates::Stuck,
        after: None,
    };
    assert_eq!(find(all_stuck).await, 3);
    let of = |n: u128| TaskFilter {
        creator: Some(Actor::User(UserId::from_uuid(Uuid::from_u128(n)))),
        ..TaskFilter::default()
    };
    assert_eq!(store.tasks(&of(2), 500).await.unwrap().items.len(), 500);

    // The conditions as the adapter has them, on the same rows.
    for (statement, index) in [
        (
            "explain select * from delegations d where d.status in ('queued', 'dispatched', 'in_progress') and d.caller_id = 'user:00000000-0000-0000-0000-000000000001' order by d.created_at desc, d.delegation_id desc limit 50",
            "idx_delegations_inflight_caller",
        ),
        (
            "explain select * from delegations d where d.status in ('queued', 'dispatched', 'in_progress') and d.callee_id = 'user:00000000-0000-0000-0000-000000000002' order by d.created_at desc, d.delegation_id desc limit 50",
            "idx_delegations_inflight_callee",
        ),
        (
            "explain select * from delegations d where d.status = 'stuck' order by d.created_at desc, d.delegation_id desc limit 50",
            "idx_delegations_stuck",
        ),
        (
            "explain select id, created_at from tasks where creator_user_id = '00000000-0000-0000-0000-000000000002' order by created_at desc, id desc limit 51",
            "ix_tasks_creator_user_id",
        ),
        (
            "explain select id, created_at from tasks order by created_at desc, id desc limit 51",
            "ix_tasks_created",
        ),
    ] {
        let plan = plan(&database, statement).await;
        assert!(
            plan.contains(index) && !plan.contains("Seq Scan"),
            "{statement}\n{plan}"
        );
    }
    // A finish names its row by its key, also when other indexes could be read (LEDGER-5.3).
    let fence = "explain update delegations d set status = 'completed' where d.delegation_id = 'd20000' and d.attempt = 1 and d.status || '' in ('dispatched', 'in_progress')";
    let plan = plan(&database, fence).await;
    assert!(plan.contains("delegations_pkey"), "{plan}");
}

// proves LED-7
#[tokio::test]
async fn an_earlier_boot_loses_only_its_own_leases() {
    let database = TestDatabase::new().await.unwrap();
    let pool = &database.pool;
    execute(
        pool,
        "insert into delegation_leases (delegation_id, attempt, callee_id, worker_id, boot_id, last_heartbeat, deadline) values
           ('user', 1, 'user:b', 'w', gen_random_uuid(), now(), now()), ('own', 1, 'hallmark:workers', 'w', gen_random_uuid(), now(), now()),
           ('before', 1, null, 'w', gen_random_uuid(), now(), now());
         delete from delegation_leases",
    )
    .await;
    assert_eq!(
        number(
            pool,
            "select count(*) from delegation_leases where delegation_id = 'user'"
        )
        .await,
        1
    );
    assert_eq!(number(pool, "select count(*) from delegation_leases").await, 1);
    execute(
        pool,
        "begin; set local hallmark.ends_leases = 'yes'; delete from delegation_leases; commit",
    )
    .await;
    assert_eq!(number(pool, "select count(*) from delegation_leases").await, 0);
}

// proves LED-6
#[tokio::test]
async fn what_changes_while_it_is_cancelled_is_cancelled() {
    let database = TestDatabase::new().await.unwrap();
    let pool = &database.pool;
    execute(
        pool,
        "insert into delegations (delegation_id, caller_id, callee_id, status, attempt) values ('queued', 'user:a', 'user:b', 'queued', 0), ('held', 'user:a', 'user:b', 'dispatched', 1);
         insert into delegation_leases (delegation_id, attempt, callee_id, worker_id, boot_id, last_heartbeat, deadline)
           values ('held', 1, 'user:b', 'w', gen_random_uuid(), now(), now() + interval '1 h')",
    )
    .await;
    let claims = "update delegations set status = 'dispatched', attempt = 1 where delegation_id = 'queued';
        insert into delegation_leases (delegation_id, attempt, callee_id, worker_id, boot_id, last_heartbeat, deadline)
          values ('queued', 1, 'user:b', 'w', gen_random_uuid(), now(), now() + interval '1 h')";
    let begins = "update delegations set status = 'in_progress' where delegation_id = 'held'";
    for (id, write) in [("queued", claims), ("held", begins)] {
        // It is claimed, or begun, while it is cancelled.
        let mut writer = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("begin; {write}")))
            .execute(&mut writer)
            .await
            .unwrap();
        let store = database.store();
        let cancelling = tokio::spawn(async move {
            let mut uow = UnitOfWork::begin(&store).await.unwrap();
            let ids = [id.parse().unwrap()];
            let ended = uow
                .delegations()
                .cancel(&ids, "off", domain::TaskStatus::Queued)
                .await;
            let ended = ended.unwrap().len();
            uow.commit(ended).await.unwrap().into_inner()
        });
        let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        while number(pool, waits).await == 0 {
            assert!(!cancelling.is_finished(), "it did not wait");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sqlx::raw_sql("commit").execute(&mut writer).await.unwrap();
        assert_eq!(cancelling.await.unwrap(), 1, "{id}");
    }
    assert_eq!(
        number(pool, "select count(*) from delegations where status = 'failed'").await,
        2
    );
    assert_eq!(number(pool, "select count(*) from delegation_inbox").await, 2);
    assert_eq!(number(pool, "select count(*) from delegation_leases").await, 0);
}
