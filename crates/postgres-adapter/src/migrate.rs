//! Migrations, run at start by any number of servers at once.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::migrate::Migrator;

/// Why the database could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Another process holds the lock for longer than was waited.
    #[error("another process has been migrating this database for {0:?}; gave up waiting")]
    Locked(Duration),
    /// A migration failed, or one that was applied is not the one in this binary.
    #[error("a migration could not be applied")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database cannot be reached.
    #[error("the database cannot be reached")]
    Database(#[from] sqlx::Error),
}

/// The key of the advisory lock; any number that nobody else uses ("hallmark" in ASCII).
const LOCK: i64 = 0x6861_6c6c_6d61_726b;

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../../migrations");
    // sqlx's own lock blocks inside a statement, and a statement that waits holds a snapshot, for which CREATE INDEX
    // CONCURRENTLY in the process that has the lock would wait in turn: a deadlock. So the lock is tried, below.
    migrator.set_locking(false);
    migrator
}

/// Applies what is pending. Gives how many migrations the database has afterwards.
pub async fn migrate(pool: &PgPool, patience: Duration) -> Result<usize, MigrateError> {
    let mut lock = pool.acquire().await?;
    let begun = Instant::now();
    while !sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, LOCK)
        .fetch_one(&mut *lock)
        .await?
    {
        if begun.elapsed() > patience {
            return Err(MigrateError::Locked(patience));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let migrator = migrator();
    let result = migrator.run(pool).await;
    sqlx::query_scalar!(r#"select pg_advisory_unlock($1) as "unlocked!""#, LOCK)
        .fetch_one(&mut *lock)
        .await?;
    result?;
    Ok(migrator
        .iter()
        .filter(|m| m.migration_type.is_up_migration())
        .count())
}
