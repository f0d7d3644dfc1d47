//! Migrations, run at start by any number of servers at once, beside others that serve (docs/adr/0010).

use std::time::{Duration, Instant};

use sqlx::migrate::{Migrate as _, MigrateError as Failure, Migration, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

use crate::dynamic;

/// Why the database could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Another process holds the lock for longer than was waited.
    #[error("another process has been migrating this database for {0:?}; gave up waiting")]
    Locked(Duration),
    /// Others use the tables of a migration without a pause.
    #[error("migration {version} found its tables in use for {waited:?}; gave up")]
    Busy {
        /// The migration.
        version: i64,
        /// For how long it was tried.
        waited: Duration,
    },
    /// Others build an index on a table where an interrupted build left an invalid one.
    #[error("migration {version} waited {waited:?} for somebody else's index build to end; gave up")]
    Building {
        /// The migration.
        version: i64,
        /// For how long it was waited.
        waited: Duration,
    },
    /// A migration failed, or one that was applied is not the one in this binary.
    #[error("a migration could not be applied")]
    Migrate(#[from] Failure),
    /// The database cannot be reached.
    #[error("the database cannot be reached")]
    Database(#[from] sqlx::Error),
}

/// The key of the advisory lock; any number that nobody else uses ("hallmark" in ASCII).
const LOCK: i64 = 0x6861_6c6c_6d61_726b;

/// How long a migration may stand in the queue for a table. Everybody who comes after it waits behind it, readers too, so this is how
/// long the archive can be made to wait. It is shorter than `deadlock_timeout`, so a migration is never part of a deadlock either.
const QUEUE: &str = "100ms";

/// How long to wait behind a vacuum: longer than `deadlock_timeout`, after which PostgreSQL asks an autovacuum to give way.
const VACUUM: &str = "3s";

/// Between two tries, so that those who had to wait get through.
const PAUSE: Duration = Duration::from_millis(300);

/// Where sqlx keeps what was applied.
const APPLIED: &str = "_sqlx_migrations";

/// Applies what is pending. Gives how many migrations the database has afterwards.
///
/// `patience` is how long it waits for others: for another that migrates, and at each migration for those who use its tables.
pub async fn migrate(pool: &PgPool, patience: Duration) -> Result<usize, MigrateError> {
    // A session of its own, that ends with this call: it takes its settings and its lock with it, also when the call is cancelled.
    // And it both holds the lock and migrates: where a process is killed, its index build goes on in PostgreSQL until it is done, and
    // as long the lock must be held.
    let mut session = pool.acquire().await?.detach();
    let result = migrate_in(&mut session, patience).await;
    if let Err(error) = session.close().await {
        tracing::debug!(%error, "the migrating session was gone before it was closed");
    }
    result
}

async fn migrate_in(session: &mut PgConnection, patience: Duration) -> Result<usize, MigrateError> {
    lock(session, patience).await?;
    // A limit on a statement's time would end a long concurrent build or validation half-way, at every start again.
    sqlx::query!("select set_config('statement_timeout', '0', false)")
        .fetch_one(&mut *session)
        .await?;
    let migrator = sqlx::migrate!("../../migrations");
    let pending = pending(session, &migrator).await?;
    for migration in pending {
        if migration.no_tx {
            apply_outside_transaction(session, migration, patience).await?;
        } else {
            apply_in_transaction(session, migration, patience).await?;
        }
    }
    Ok(migrator.iter().filter(|one| is_up(one)).count())
}

fn is_up(migration: &Migration) -> bool {
    migration.migration_type.is_up_migration()
}

/// What is not applied yet, after what is has been compared with this binary.
///
/// This is sqlx's `Migrator::run` up to where it applies. That runs all migrations with one set of limits; and its own lock blocks inside
/// a statement, and a statement that waits holds a snapshot, for which CREATE INDEX CONCURRENTLY in the process that has the lock would
/// wait in turn: a deadlock.
async fn pending<'m>(
    session: &mut PgConnection,
    migrator: &'m Migrator,
) -> Result<Vec<&'m Migration>, MigrateError> {
    session.ensure_migrations_table(APPLIED).await?;
    if let Some(version) = session.dirty_version(APPLIED).await? {
        return Err(Failure::Dirty(version).into());
    }
    let mut pending: Vec<&Migration> = migrator.iter().filter(|one| is_up(one)).collect();
    for applied in session.list_applied_migrations(APPLIED).await? {
        let Some(place) = pending.iter().position(|one| one.version == applied.version) else {
            return Err(Failure::VersionMissing(applied.version).into());
        };
        if pending.remove(place).checksum != applied.checksum {
            return Err(Failure::VersionMismatch(applied.version).into());
        }
    }
    Ok(pending)
}

/// Waits for the lock on migrating this database; the session holds it until it ends.
async fn lock(session: &mut PgConnection, patience: Duration) -> Result<(), MigrateError> {
    let begun = Instant::now();
    while !sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, LOCK)
        .fetch_one(&mut *session)
        .await?
    {
        if begun.elapsed() > patience {
            return Err(MigrateError::Locked(patience));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn set_lock_timeout(session: &mut PgConnection, timeout: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("select set_config('lock_timeout', $1, false)", timeout)
        .fetch_one(session)
        .await
        .map(|_| ())
}

/// Tries until it finds its tables free: it never stands in a queue for longer than [`QUEUE`].
async fn apply_in_transaction(
    session: &mut PgConnection,
    migration: &Migration,
    patience: Duration,
) -> Result<(), MigrateError> {
    let begun = Instant::now();
    loop {
        set_lock_timeout(session, QUEUE).await?;
        match session.apply(APPLIED, migration).await {
            Err(failure) if was_in_use(&failure) => {
                let waited = begun.elapsed();
                if waited > patience {
                    return Err(MigrateError::Busy {
                        version: migration.version,
                        waited,
                    });
                }
                tracing::info!(
                    migration.version,
                    waited_ms = waited.as_millis(),
                    "migration {} found its tables in use and tries again",
                    migration.version
                );
            }
            other => return Ok(other.map(|_| ())?),
        }
        wait_behind_vacuums(session).await?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a lock was not to be had in time.
fn was_in_use(failure: &Failure) -> bool {
    let (Failure::Execute(error) | Failure::ExecuteMigration(error, _)) = failure else {
        return false;
    };
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("55P03"))
}

/// Waits for those who vacuum a table, behind whom a migration would try in vain for hours. The mode of a vacuum is waited for here, which
/// lets every reader and writer through, so it may be waited for long enough that PostgreSQL asks an autovacuum to give way.
async fn wait_behind_vacuums(session: &mut PgConnection) -> Result<(), MigrateError> {
    let vacuumed = sqlx::query_scalar!(
        r#"select distinct c.relname::text as "table!" from pg_locks l
           join pg_class c on c.oid = l.relation
           where l.locktype = 'relation' and l.mode = 'ShareUpdateExclusiveLock' and l.granted and l.pid <> pg_backend_pid()
             and l.database = (select oid from pg_database where datname = current_database())
             and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')"#
    )
    .fetch_all(&mut *session)
    .await?;
    if vacuumed.is_empty() {
        return Ok(());
    }
    set_lock_timeout(session, VACUUM).await?;
    for table in vacuumed {
        match session
            .execute(AssertSqlSafe(dynamic::wait_behind_vacuum(&table)))
            .await
        {
            // It may go on, or be of a table that is not ours: then the next try of the migration tells.
            Err(sqlx::Error::Database(error)) => {
                tracing::debug!(table, %error, "a vacuum of table {table} did not give way");
            }
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Runs a concurrent build. It waits for old transactions by design, in a way that blocks nobody, so its locks have no limit: that would
/// interrupt it. It may run a second time: after a crash between it and sqlx's note of it, there is no note. (sqlx 0.9 writes that row
/// once, after the statement, with `success` true; a row that says false, at which sqlx refuses for ever, is never its own.)
async fn apply_outside_transaction(
    session: &mut PgConnection,
    migration: &Migration,
    patience: Duration,
) -> Result<(), MigrateError> {
    set_lock_timeout(session, "0").await?;
    drop_what_is_invalid(session, migration, patience).await?;
    session.apply(APPLIED, migration).await?;
    Ok(())
}

/// Drops the invalid indexes that a migration is about to build. An interrupted build leaves one behind, which every write keeps up to
/// date and no query uses, and the migration's IF NOT EXISTS would take it for the index.
async fn drop_what_is_invalid(
    session: &mut PgConnection,
    migration: &Migration,
    patience: Duration,
) -> Result<(), MigrateError> {
    let begun = Instant::now();
    loop {
        // An index is invalid, too, while it is built. The lock keeps other migrators away, but not somebody at a console. Any build
        // on the table counts, because dropping would wait for it. (Of another role's builds, PostgreSQL says nothing to those who
        // may not know. Then the drop waits, and what the other has built is built again.)
        let invalid = sqlx::query!(
            r#"select c.relname::text as "name!", t.relname::text as "table!",
                 exists (select from pg_stat_progress_create_index p
                         where p.relid = t.oid and p.datname = current_database()) as "is_building!"
               from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
               where not i.indisvalid and c.relkind = 'i' and c.relnamespace = 'public'::regnamespace"#
        )
        .fetch_all(&mut *session)
        .await?;
        let mut theirs = false;
        for index in invalid
            .iter()
            .filter(|index| is_named_in(&index.name, migration.sql.as_str()))
        {
            if index.is_building {
                theirs = true;
                continue;
            }
            tracing::warn!(
                migration.version,
                index.name,
                index.table,
                "index {} was left invalid by a build that was interrupted; it is dropped and built anew",
                index.name
            );
            session
                .execute(AssertSqlSafe(dynamic::drop_index(&index.name)))
                .await?;
        }
        if !theirs {
            return Ok(());
        }
        let waited = begun.elapsed();
        if waited > patience {
            return Err(MigrateError::Building {
                version: migration.version,
                waited,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a statement has this name in it as a word of its own.
fn is_named_in(name: &str, sql: &str) -> bool {
    sql.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .any(|word| word.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_named_by_a_whole_word_only() {
        let sql =
            "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS ix_tasks_name ON tasks (\"name\");";
        assert!(is_named_in("ix_tasks_name", sql) && is_named_in("name", sql));
        assert!(
            !is_named_in("ix_tasks", sql)
                && !is_named_in("tasks_name", sql)
                && !is_named_in("ix_tasks_name_2", sql)
        );
    }
}
