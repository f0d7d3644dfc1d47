//! What the database itself refuses, independently of the code above it.
#![cfg(feature = "testing")]
#![expect(
    clippy::disallowed_methods,
    reason = "these tests go behind the adapter's back"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests; a panic is their verdict"
)]

use ports::contract::Subject;
use postgres_adapter::PgQueue;
use postgres_adapter::migrate;
use postgres_adapter::testing::TestDatabase;
use sqlx::{AssertSqlSafe, PgPool};
use std::time::Duration;

/// A database with a convention, a hook with a release, records and rows of two runs.
async fn populated() -> TestDatabase {
    let database = TestDatabase::new().await.unwrap();
    let store = database.store();
    let queue = PgQueue::start(database.pool.clone(), "hallmark:workers");
    ports::contract::records_are_versioned_and_rows_written_once(&Subject {
        store: &store,
        queue: &queue,
        identities: &store,
        registry: &store,
        data: &store,
        recall: &store,
        depositions: &store,
        tasks: &store,
        activity: &store,
        ingests: &store,
        ingest_detail: &store,
    })
    .await;
    database
}

/// The SQLSTATE with which a statement is refused.
async fn refusal(pool: &PgPool, statement: &str) -> String {
    let error = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(pool)
        .await
        .expect_err(statement);
    error
        .as_database_error()
        .and_then(|e| e.code().map(Into::into))
        .unwrap_or_else(|| panic!("{statement}: {error}"))
}

// proves REG-5
#[tokio::test]
async fn what_is_immutable_can_be_neither_changed_nor_deleted() {
    let database = populated().await;
    for table in [
        "hook_releases",
        "hook_runs",
        "records",
        "schemas",
        "activity_log",
        "release_pins",
        "metadata.birds_v1",
        "delegation_attempts",
        "hook_live_moves",
        "hook_release_yanks",
        "hook_release_locations",
        "supersessions",
        "withdrawals",
        "schema_features",
        "metadata_tables",
        "delegation_archive_ids",
        "ingest_files",
        "ingest_refusals",
    ] {
        let column: String = sqlx::query_scalar(
            "select attname::text from pg_attribute where attrelid = $1::regclass and attnum = 1",
        )
        .bind(table)
        .fetch_one(&database.pool)
        .await
        .unwrap();
        for statement in [
            format!("update {table} set {column} = {column}"),
            format!("delete from {table}"),
            format!("truncate {table} cascade"),
        ] {
            assert_eq!(refusal(&database.pool, &statement).await, "23001", "{statement}");
        }
    }
}

// proves ISO-2
#[tokio::test]
async fn what_a_trace_shows_is_not_changed_by_the_owner_of_the_tables_either() {
    let database = populated().await;
    let pool = &database.pool;
    sqlx::raw_sql(
        "insert into service_accounts (id, issuer, subject) values ('00000000-0000-0000-0000-0000000000f1', 'i', 's');
         insert into tasks (id, kind, name, params, creator_service_account_id)
           values ('00000000-0000-0000-0000-0000000000f2', 'k', 'n', '{}', '00000000-0000-0000-0000-0000000000f1');
         insert into delegations (delegation_id, task_id, caller_id, callee_id, input)
           values ('guarded', '00000000-0000-0000-0000-0000000000f2', 'a', 'b', '{}');
         insert into ingest_runs (id, convention_slug, mode, status, schema_id, schema_version, batch_size, opened_by_service_account_id)
           select '00000000-0000-0000-0000-0000000000f3', slug, 'push', 'completed', schema_id, schema_version, 10, '00000000-0000-0000-0000-0000000000f1'
           from conventions limit 1;
         insert into ingest_records (ingest_run_id, source_id, upload, line, metadata, bytes, content_hash, batch, outcome)
           values ('00000000-0000-0000-0000-0000000000f3', 's', 1, 1, '{}', 2, '\\x00', 0, 'errored')",
    )
    .execute(pool)
    .await
    .unwrap();
    for statement in [
        "update tasks set creator_service_account_id = null",
        "update tasks set creator_user_id = gen_random_uuid(), creator_service_account_id = null",
        "update tasks set created_at = created_at - interval '1 day'",
        "update tasks set kind = 'x'",
        "update tasks set name = 'x'",
        "update tasks set params = '{\"x\": 1}'",
        "delete from tasks",
        "update delegations set caller_id = 'x'",
        "update delegations set retry_count = 7",
        "update delegations set input = '{\"x\": 1}'",
        "delete from delegations",
        "truncate delegations",
        "update ingest_runs set opened_by_service_account_id = null",
        "update ingest_runs set started_at = started_at - interval '1 day'",
        "update ingest_runs set mode = 'pull'",
        "delete from ingest_runs",
        "update ingest_records set line = 2",
        "update ingest_records set upload = 2",
        "update ingest_records set batch = 1",
        "update ingest_records set outcome = 'published'",
        "delete from ingest_records",
        "update service_accounts set subject = 'x'",
        "update service_accounts set issuer = 'x'",
        "delete from service_accounts",
        "update users set provider = 'x'",
        "delete from users",
        "update schema_features set hook_name = 'x'",
        "delete from schema_features",
        "truncate schema_features",
        "update hooks set contract = '{}'",
        "delete from hooks",
        "update record_heads set version = version",
        "delete from record_heads",
        "insert into depositions (id, convention_slug, owner_user_id, status, record_srn) select 'd', slug, (select id from users limit 1), 'accepted', (select srn from records limit 1) from conventions limit 1",
    ] {
        assert_eq!(refusal(pool, statement).await, "23001", "{statement}");
    }
    // What servers do is not refused.
    sqlx::raw_sql(
        "update delegations set status = 'dispatched', attempt = 1 where delegation_id = 'guarded';
         update tasks set status = 'running', updated_at = now() where id = '00000000-0000-0000-0000-0000000000f2';
         update delegations set status = 'failed', error_detail = 'x', updated_at = now() where delegation_id = 'guarded';
         update tasks set status = 'failed' where id = '00000000-0000-0000-0000-0000000000f2';
         update tasks set status = 'queued', status_detail = null where id = '00000000-0000-0000-0000-0000000000f2';
         update tasks set status = 'completed' where id = '00000000-0000-0000-0000-0000000000f2';
         update service_accounts set last_seen = now(), disabled_at = now();
         update users set display_name = 'another name'",
    )
    .execute(pool)
    .await
    .unwrap();
    for statement in [
        "update delegations set status = 'completed'",
        "update delegations set error_detail = 'y'",
        "update delegations set attempt = 2",
        "update delegations set updated_at = now() + interval '1 s'",
        "update tasks set status = 'cancelled'",
        "update tasks set status = 'queued'",
        "with gone as (delete from delegations returning *) insert into delegation_archive_ids select delegation_id, caller_id, idempotency_key, created_at from gone",
    ] {
        assert_eq!(refusal(pool, statement).await, "23001", "{statement}");
    }
}

// proves PRV-1
#[tokio::test]
async fn a_feature_row_has_its_run_and_can_only_be_superseded_once() {
    let database = populated().await;
    let pool = &database.pool;
    let srn: String = sqlx::query_scalar("select srn from records limit 1")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(
        refusal(
            pool,
            &format!("insert into features.shape (record_srn, run_id) values ('{srn}', null)")
        )
        .await,
        "23502"
    );
    assert_eq!(
        refusal(
            pool,
            &format!("insert into features.shape (record_srn, run_id) values ('{srn}', gen_random_uuid())")
        )
        .await,
        "23503"
    );
    assert_eq!(
        refusal(pool, "update features.shape set \"order\" = 0").await,
        "23001"
    );
    assert_eq!(refusal(pool, "delete from features.shape").await, "23001");
    let supersede = "update features.shape set superseded_by = (select id from hook_runs limit 1)";
    sqlx::raw_sql(supersede).execute(pool).await.unwrap();
    assert_eq!(refusal(pool, supersede).await, "23001");
}

// proves REG-5
#[tokio::test]
async fn a_hook_cannot_point_at_another_hooks_release() {
    let database = populated().await;
    let pool = &database.pool;
    sqlx::raw_sql("insert into hooks (name, contract) select 'other', contract from hooks limit 1")
        .execute(pool)
        .await
        .unwrap();
    let foreign =
        "update hooks set live_release_id = (select id from hook_releases limit 1) where name = 'other'";
    assert_eq!(refusal(pool, foreign).await, "23503");
}

// proves REG-4, REG-5
#[tokio::test]
async fn a_pointer_is_where_its_history_says_and_never_on_a_yanked_release() {
    let database = populated().await;
    let pool = &database.pool;
    let live = "(select live_release_id from hooks where name = 'shape')";
    let other = "(select id from hook_releases where hook_name = 'shape' and id <> (select live_release_id from hooks where name = 'shape') limit 1)";
    let insert_release = "insert into hook_releases (id, hook_name, version, image, digest, config, limits, content_key, source_ref, built_by_user_id)
        select gen_random_uuid(), hook_name, (select max(version) + 1 from hook_releases), image, digest, config, limits, '\\x01', source_ref, built_by_user_id from hook_releases limit 1";
    sqlx::raw_sql(insert_release).execute(pool).await.unwrap();
    let next = "(select max(move) + 1 from hook_live_moves where hook_name = 'shape')";
    let admin = "'00000000-0000-7000-8000-0000000000a1'";
    let entry = |number: &str, from: &str, to: &str, at: &str| {
        format!(
            "insert into hook_live_moves (hook_name, move, from_release_id, to_release_id, moved_by_user_id, moved_at) values ('shape', {number}, {from}, {to}, {admin}, {at})"
        )
    };
    let point = format!("update hooks set live_release_id = {other} where name = 'shape'");
    let now = "clock_timestamp()";
    for (why, statement) in [
        ("a move without an entry", point.clone()),
        (
            "the pointer removed",
            "update hooks set live_release_id = null where name = 'shape'".to_owned(),
        ),
        ("an entry without a move", entry(next, live, other, now)),
        (
            "a gap",
            entry("(select max(move) + 2 from hook_live_moves)", live, other, now),
        ),
        ("the same number", entry("1", live, other, now)),
        ("from elsewhere", entry(next, other, live, now)),
        ("from nothing", entry(next, "null", other, now)),
        (
            "before the move before it",
            entry(next, live, other, "'2001-01-01'"),
        ),
        (
            "a yank of the live release",
            format!(
                "insert into hook_release_yanks (hook_name, release_id, change, yanked, reason, changed_by_user_id) values ('shape', {live}, 1, true, 'x', {admin})"
            ),
        ),
        (
            "an unyank of what is not yanked",
            format!(
                "insert into hook_release_yanks (hook_name, release_id, change, yanked, changed_by_user_id) values ('shape', {other}, 1, false, {admin})"
            ),
        ),
        (
            "a yank without a reason",
            format!(
                "insert into hook_release_yanks (hook_name, release_id, change, yanked, changed_by_user_id) values ('shape', {other}, 1, true, {admin})"
            ),
        ),
        (
            "a yank and a move to it",
            format!(
                "begin; insert into hook_release_yanks (hook_name, release_id, change, yanked, reason, changed_by_user_id) values ('shape', {other}, 1, true, 'x', {admin}); {}; {point}; commit",
                entry(next, live, other, now)
            ),
        ),
    ] {
        assert_eq!(refusal(pool, &statement).await, "23514", "{why}: {statement}");
        // A failed COMMIT is over; a failed statement within BEGIN is not.
        let _ = sqlx::raw_sql("rollback").execute(pool).await;
    }
    let both = format!("begin; {}; {point}; commit", entry(next, live, other, now));
    sqlx::raw_sql(AssertSqlSafe(both)).execute(pool).await.unwrap();
}

// proves REG-8
#[tokio::test]
async fn a_location_follows_the_one_before_it_and_is_another_image() {
    let database = populated().await;
    let pool = &database.pool;
    let first = "(select id from hook_releases where hook_name = 'shape' order by version limit 1)";
    let admin = "'00000000-0000-7000-8000-0000000000a1'";
    let entry = |release: &str, position: &str, image: &str, by: &str, at: &str| {
        format!(
            "insert into hook_release_locations (hook_name, release_id, position, image, registered_by_user_id, registered_at) values ('shape', {release}, {position}, '{image}', {by}, {at})"
        )
    };
    let now = "clock_timestamp()";
    for (why, statement, state) in [
        (
            "a second first one",
            entry(first, "1", "file:/a", admin, now),
            "23514",
        ),
        ("a gap", entry(first, "3", "file:/a", admin, now), "23514"),
        (
            "the location in use",
            format!(
                "insert into hook_release_locations (hook_name, release_id, position, image, registered_by_user_id) select hook_name, id, 2, image, {admin} from hook_releases where id = {first}"
            ),
            "23514",
        ),
        (
            "before its release",
            entry(first, "2", "file:/a", admin, "'2001-01-01'"),
            "23514",
        ),
        ("of nobody", entry(first, "2", "file:/a", "null", now), "23514"),
        (
            "of no release",
            entry("gen_random_uuid()", "2", "file:/a", admin, now),
            "23503",
        ),
    ] {
        assert_eq!(refusal(pool, &statement).await, state, "{why}: {statement}");
    }
    for good in [
        entry(first, "2", "file:/a", admin, now),
        // Moved back.
        entry(first, "3", "file:/b", admin, now),
        entry(first, "4", "file:/a", admin, now),
    ] {
        sqlx::raw_sql(AssertSqlSafe(good)).execute(pool).await.unwrap();
    }
    assert_eq!(
        refusal(pool, &entry(first, "5", "file:/a", admin, now)).await,
        "23514"
    );
    assert_eq!(
        refusal(pool, "update hook_release_locations set image = 'file:/c'").await,
        "23001"
    );
}

// proves REG-4
#[tokio::test]
async fn pointers_that_moved_before_there_was_a_history_get_theirs_from_the_activity_log() {
    let database = TestDatabase::new().await.unwrap();
    let pool = &database.pool;
    sqlx::raw_sql("drop schema public cascade; drop schema features cascade; drop schema metadata cascade; create schema public").execute(pool).await.unwrap();
    for migration in [
        include_str!("../../../migrations/0001_initial_schema.up.sql"),
        "insert into users (id, provider, external_id, display_name) values ('00000000-0000-0000-0000-00000000000a', 'p', 'e', 'n');
         insert into hooks (name, contract) values ('a', '{}'), ('b', '{}');
         insert into hook_releases (id, hook_name, version, image, digest, config, limits, content_key, source_ref, built_by_user_id)
           select ('00000000-0000-0000-0000-0000000000' || h || v)::uuid, h, v, 'i', 'd', '{}', '{}', decode('0' || v, 'hex'), 's', '00000000-0000-0000-0000-00000000000a'
           from unnest(array['a', 'b']) h, generate_series(1, 2) v;
         insert into activity_log (id, kind, subject, actor_user_id, payload)
           select gen_random_uuid(), kind, 'hook:' || hook, '00000000-0000-0000-0000-00000000000a', jsonb_build_object('hook_name', hook, 'version', version)
           from (values (1, 'HookReleased', 'a', 1), (2, 'HookReleased', 'b', 1), (3, 'HookReleased', 'a', 2), (4, 'HookLiveMoved', 'a', 1), (5, 'Other', 'a', 2)) as e (n, kind, hook, version) order by n;
         update hooks set live_release_id = ('00000000-0000-0000-0000-0000000000' || name || '1')::uuid;",
        include_str!("../../../migrations/0007_registry_history.up.sql"),
    ] {
        sqlx::raw_sql(migration).execute(pool).await.unwrap();
    }
    let moves: String = sqlx::query_scalar(
        "select string_agg(concat_ws(' ', m.hook_name, m.move, coalesce(f.version, 0), t.version), ', ' order by m.hook_name, m.move)
         from hook_live_moves m join hook_releases t on t.id = m.to_release_id left join hook_releases f on f.id = m.from_release_id",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(moves, "a 1 0 1, a 2 1 2, a 3 2 1, b 1 0 1");
}

// proves EDG-4
#[tokio::test]
async fn a_head_is_in_tables_exactly_while_its_record_is_not_withdrawn() {
    let database = populated().await;
    let pool = &database.pool;
    let hide = "update record_heads set srn = null";
    let show = "update record_heads h set srn = r.srn from records r where r.id = h.record_id and r.version = h.version";
    let back = "update record_heads h set srn = r.srn, version = 1 from records r where r.id = h.record_id and r.version = 1";
    let entry = |number: &str, withdraws: &str, reason: &str, at: &str| {
        format!(
            "insert into withdrawals (record_id, number, withdraws, reason, actor_user_id, happened_at)
             select record_id, {number}, {withdraws}, {reason}, '00000000-0000-7000-8000-0000000000a1', {at} from record_heads"
        )
    };
    let now = "clock_timestamp()";
    let refused = async |code: &str, why: &str, statement: &str| {
        assert_eq!(refusal(pool, statement).await, code, "{why}: {statement}");
    };
    refused("23001", "hidden without a withdrawal", hide).await;
    refused(
        "23001",
        "a new head without a version",
        "insert into record_heads (record_id, version) select gen_random_uuid(), 1",
    )
    .await;
    for (why, statement) in [
        ("a restore first", entry("1", "false", "null", now)),
        ("a gap", entry("3", "true", "'x'", now)),
        ("no reason", entry("1", "true", "null", now)),
        (
            "of nothing",
            "insert into withdrawals (number, withdraws, reason, actor_user_id, happened_at) values (1, true, 'x', gen_random_uuid(), now())"
                .to_owned(),
        ),
        (
            "by no one",
            "insert into withdrawals (record_id, number, withdraws, reason, happened_at) select record_id, 1, true, 'x', now() from record_heads"
                .to_owned(),
        ),
    ] {
        refused("23514", why, &statement).await;
    }
    sqlx::raw_sql(AssertSqlSafe(entry("1", "true", "'x'", now)))
        .execute(pool)
        .await
        .unwrap();
    sqlx::raw_sql(hide).execute(pool).await.unwrap();
    refused("23001", "shown without a restore", show).await;
    refused("23001", "another version", back).await;
    refused("23514", "withdrawn twice", &entry("2", "true", "'x'", now)).await;
    refused(
        "23514",
        "before the one before it",
        &entry("2", "false", "null", "'2001-01-01'"),
    )
    .await;
    sqlx::raw_sql(AssertSqlSafe(entry("2", "false", "null", now)))
        .execute(pool)
        .await
        .unwrap();
    refused("23001", "hidden after the restore", hide).await;
    sqlx::raw_sql(show).execute(pool).await.unwrap();
}

// proves LED-2, AUD-2
#[tokio::test]
async fn delegations_go_forward_only_and_a_task_has_at_most_one_creator() {
    let database = TestDatabase::new().await.unwrap();
    let pool = &database.pool;
    for from in [
        "queued",
        "dispatched",
        "in_progress",
        "completed",
        "failed",
        "stuck",
    ] {
        for to in [
            "queued",
            "dispatched",
            "in_progress",
            "completed",
            "failed",
            "stuck",
            "nonsense",
        ] {
            let insert = format!(
                "insert into delegations (delegation_id, caller_id, callee_id, status) values ('{from}-{to}', 'a', 'b', '{from}')"
            );
            sqlx::raw_sql(AssertSqlSafe(insert)).execute(pool).await.unwrap();
            let moved = sqlx::raw_sql(AssertSqlSafe(format!(
                "update delegations set status = '{to}' where delegation_id = '{from}-{to}'"
            )))
            .execute(pool)
            .await;
            let allowed = from.parse::<domain::DelegationStatus>().unwrap();
            let allowed = to
                .parse::<domain::DelegationStatus>()
                .is_ok_and(|to| allowed.may_become(to));
            assert_eq!(
                moved.is_ok(),
                allowed,
                "{from} to {to}: the database and the domain agree"
            );
        }
    }
    let both = "insert into tasks (id, kind, name, params, creator_user_id, creator_service_account_id)
                values (gen_random_uuid(), 'ingest_batch', 't', '{}', gen_random_uuid(), gen_random_uuid())";
    assert_eq!(refusal(pool, both).await, "23514");
}

// proves LED-1, LED-4
#[tokio::test]
async fn the_ledger_has_its_columns_defaults_and_indexes() {
    let database = TestDatabase::new().await.unwrap();
    sqlx::raw_sql("insert into delegations (delegation_id, caller_id, callee_id) values ('d', 'a', 'b')")
        .execute(&database.pool)
        .await
        .unwrap();
    let (status, hours, silent): (String, f64, bool) =
        sqlx::query_as("select status, (extract(epoch from deadline - now()) / 3600)::float8, last_heartbeat is null from delegations").fetch_one(&database.pool).await.unwrap();
    assert_eq!((status.as_str(), silent), ("queued", true));
    assert!((5.9..=6.0).contains(&hours), "{hours}");
    let indexes: Vec<String> =
        sqlx::query_scalar("select indexname::text from pg_indexes where tablename = 'delegations'")
            .fetch_all(&database.pool)
            .await
            .unwrap();
    for index in [
        "idx_delegations_inflight_heartbeat",
        "idx_delegations_caller_created",
        "idx_delegations_callee_created",
        "idx_delegations_idempotency",
    ] {
        assert!(
            indexes.iter().any(|i| i == index),
            "{index} is not among {indexes:?}"
        );
    }
}

#[tokio::test]
async fn any_number_of_servers_can_migrate_at_once() {
    let database = TestDatabase::new().await.unwrap();
    sqlx::raw_sql("drop schema public cascade; drop schema features cascade; drop schema metadata cascade; create schema public").execute(&database.pool).await.unwrap();
    let migrating = (0..6).map(|_| migrate(&database.pool, Duration::from_secs(60)));
    let written = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations"))
        .unwrap()
        .filter(|file| {
            file.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .ends_with(".up.sql")
        })
        .count();
    for result in futures::future::join_all(migrating).await {
        assert_eq!(result.unwrap(), written);
    }
    let applied: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations where success")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(
        usize::try_from(applied).unwrap(),
        written,
        "each was applied once"
    );
}
