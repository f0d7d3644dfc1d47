//! Migrations where something comes between: builds that are interrupted, others who build, and vacuums.
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

use std::time::{Duration, Instant};

use postgres_adapter::MigrateError;
use postgres_adapter::migrate;
use postgres_adapter::testing::TestDatabase;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tokio::task::JoinHandle;

/// The index that migration 5 builds.
const INDEX: &str = "ix_tasks_creator_user_id";

const PATIENCE: Duration = Duration::from_secs(30);

/// An open write to `tasks`, for which a concurrent build waits.
async fn writer(database: &TestDatabase) -> PgConnection {
    let mut writer = PgConnection::connect(&database.url).await.unwrap();
    writer
        .execute("begin; insert into tasks (id, kind, name, params) values (gen_random_uuid(), 'ingest_batch', 't', '{}')")
        .await
        .unwrap();
    writer
}

/// The index's oid and whether it is valid, if there is one.
async fn index(pool: &PgPool) -> Option<(i64, bool)> {
    sqlx::query_as(
        "select indexrelid::int8, indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid where c.relname = $1",
    )
    .bind(INDEX)
    .fetch_optional(pool)
    .await
    .unwrap()
}

/// Waits until a statement says true.
async fn until(pool: &PgPool, statement: &'static str) {
    let begun = Instant::now();
    while !sqlx::query_scalar::<_, bool>(statement)
        .fetch_one(pool)
        .await
        .unwrap()
    {
        assert!(begun.elapsed() < PATIENCE, "never came true: {statement}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a concurrent build in this database waits for another transaction.
const BUILD_WAITS: &str =
    "select exists (select from pg_stat_activity a join pg_stat_progress_create_index p using (pid)
     where p.datname = current_database() and a.wait_event_type = 'Lock')";

/// Migrates with little patience; a migrator that waits for a transaction that this test still holds open fails here.
async fn hasty(pool: &PgPool) -> MigrateError {
    let migrating = migrate(pool, Duration::from_millis(300));
    let result = tokio::time::timeout(PATIENCE, migrating).await;
    result.expect("its patience was over long ago").unwrap_err()
}

/// A migrator with much patience, beside the test.
fn migrating(pool: &PgPool) -> JoinHandle<Result<usize, MigrateError>> {
    let pool = pool.clone();
    tokio::spawn(async move { migrate(&pool, PATIENCE).await })
}

/// What sqlx noted of migration 5: nothing, or how it ended.
async fn noted(pool: &PgPool) -> Option<bool> {
    sqlx::query_scalar("select success from _sqlx_migrations where version = 5")
        .fetch_optional(pool)
        .await
        .unwrap()
}

async fn assert_all_is_applied(pool: &PgPool, migrated: Result<usize, MigrateError>) {
    let applied: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations where success")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(migrated.unwrap(), usize::try_from(applied).unwrap());
    let invalid: i64 = sqlx::query_scalar("select count(*) from pg_index where not indisvalid")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(invalid, 0);
    assert!(matches!(index(pool).await, Some((_, true))));
}

// proves AUD-4
#[tokio::test]
async fn an_index_whose_build_was_interrupted_is_built_anew() {
    let database = TestDatabase::at(4).await.unwrap();
    let pool = &database.pool;
    let mut writer = writer(&database).await;
    let migrating = migrating(pool);
    until(pool, BUILD_WAITS).await;
    // The backend dies, and with it the session of the migrator.
    let killed: bool = sqlx::query_scalar(
        "select bool_and(pg_terminate_backend(pid)) from pg_stat_progress_create_index where datname = current_database()",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert!(killed);
    migrating.await.unwrap().unwrap_err();
    let (left_behind, is_valid) = index(pool).await.unwrap();
    assert!(!is_valid, "the build was not interrupted");
    // This is what lets it run again: sqlx would refuse for ever at a row that says false.
    assert_eq!(noted(pool).await, None);
    writer.execute("commit").await.unwrap();

    let migrated = migrate(pool, PATIENCE).await;
    assert_all_is_applied(pool, migrated).await;
    assert_ne!(index(pool).await.unwrap().0, left_behind, "it is another index");
}

#[tokio::test]
async fn a_build_that_outlives_its_migrator_is_waited_for() {
    let database = TestDatabase::at(4).await.unwrap();
    let pool = &database.pool;
    let mut writer = writer(&database).await;
    let migrating = migrating(pool);
    until(pool, BUILD_WAITS).await;
    // As when the process is killed: its connection is gone, and PostgreSQL notices only after the statement.
    migrating.abort();
    assert!(migrating.await.unwrap_err().is_cancelled());
    let refused = hasty(pool).await;
    assert!(matches!(refused, MigrateError::Locked(_)), "{refused:?}");
    let (orphan, is_valid) = index(pool).await.unwrap();
    assert!(!is_valid);
    writer.execute("commit").await.unwrap();

    let migrated = migrate(pool, PATIENCE).await;
    assert_all_is_applied(pool, migrated).await;
    assert_eq!(index(pool).await.unwrap().0, orphan, "it was not built twice");
}

#[tokio::test]
async fn an_index_that_is_built_by_hand_is_left_alone() {
    let database = TestDatabase::at(4).await.unwrap();
    let pool = &database.pool;
    let mut writer = writer(&database).await;
    let mut console = PgConnection::connect(&database.url).await.unwrap();
    let by_hand = tokio::spawn(async move {
        console
            .execute(include_str!(
                "../../../migrations/0005_task_creator_user_index.up.sql"
            ))
            .await
    });
    until(pool, BUILD_WAITS).await;
    let theirs = index(pool).await.unwrap();
    assert!(!theirs.1);
    let refused = hasty(pool).await;
    assert!(
        matches!(refused, MigrateError::Building { version: 5, .. }),
        "{refused:?}"
    );
    writer.execute("commit").await.unwrap();
    by_hand.await.unwrap().unwrap();

    let migrated = migrate(pool, PATIENCE).await;
    assert_all_is_applied(pool, migrated).await;
    assert_eq!(index(pool).await.unwrap().0, theirs.0);
}

#[tokio::test]
async fn a_migration_waits_behind_a_vacuum_as_a_vacuum_does() {
    let database = TestDatabase::at(2).await.unwrap();
    let pool = &database.pool;
    let mut vacuum = PgConnection::connect(&database.url).await.unwrap();
    vacuum
        .execute("begin; lock table tasks in share update exclusive mode")
        .await
        .unwrap();
    let migrating = migrating(pool);
    // In this mode it blocks no reader and no writer, and PostgreSQL asks an autovacuum to give way to it.
    until(
        pool,
        "select exists (select from pg_locks where relation = 'tasks'::regclass and mode = 'ShareUpdateExclusiveLock' and not granted)",
    )
    .await;
    vacuum.execute("commit").await.unwrap();
    let migrated = migrating.await.unwrap();
    assert_all_is_applied(pool, migrated).await;
}

#[tokio::test]
async fn a_migration_gives_up_on_a_table_that_is_always_in_use() {
    let database = TestDatabase::at(2).await.unwrap();
    let mut reader = PgConnection::connect(&database.url).await.unwrap();
    reader.execute("begin; select from tasks").await.unwrap();
    let refused = hasty(&database.pool).await;
    assert!(
        matches!(refused, MigrateError::Busy { version: 3, .. }),
        "{refused:?}"
    );
    reader.execute("commit").await.unwrap();
    let migrated = migrate(&database.pool, PATIENCE).await;
    assert_all_is_applied(&database.pool, migrated).await;
}
