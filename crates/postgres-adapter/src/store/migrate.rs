//! Migrations, run at start by any number of servers at once, while others serve (docs/adr/0010).

use std::time::{Duration, Instant};

use sqlx::migrate::{Migrate as _, MigrateError as Failure, Migration, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

use crate::dynamic;

/// Why the database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Another process held the lock for longer than the patience.
    #[error("another process has been migrating this database for {0:?}; gave up waiting")]
    Locked(Duration),
    /// The tables of a migration were in continuous use.
    #[error("migration {version} found its tables in use for {waited:?}; gave up")]
    Busy {
        /// The migration.
        version: i64,
        /// How long it was tried.
        waited: Duration,
    },
    /// Another session builds an index on a table where an interrupted build left an invalid one.
    #[error("migration {version} waited {waited:?} for another session's index build to end; gave up")]
    Building {
        /// The migration.
        version: i64,
        /// How long it waited.
        waited: Duration,
    },
    /// Migrations are pending, and the role of the connection does not own the tables.
    #[error(
        "{pending} migration(s) are pending, and the role {role} may not migrate: it does not own the tables. Run \
         `hallmark migrate` with database.owner_url set to the URL of the role that owns them, or set it for the server"
    )]
    NotOwner {
        /// The role.
        role: String,
        /// How many migrations are pending.
        pending: usize,
    },
    /// The application's role could not be given its rights.
    #[error("the role {role} could not be given its rights")]
    Grant {
        /// The application's role.
        role: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A migration failed, or an applied one differs from the one in this binary.
    #[error("a migration could not be applied")]
    Migrate(#[from] Failure),
    /// The database cannot be reached.
    #[error("the database cannot be reached")]
    Database(#[from] sqlx::Error),
}

/// The key of the advisory lock ("hallmark" in ASCII).
const LOCK: i64 = 0x6861_6c6c_6d61_726b;

/// The maximum time that a migration queues for a table. All later users of the table wait behind it, readers too, so
/// this bounds how long the archive stalls. It is shorter than `deadlock_timeout`, so a migration is never part of a
/// deadlock either.
const QUEUE: &str = "100ms";

/// The maximum wait behind a vacuum: longer than `deadlock_timeout`, after which PostgreSQL asks an autovacuum to
/// yield.
const VACUUM: &str = "3s";

/// The pause between two tries, so that the waiting sessions get through.
const PAUSE: Duration = Duration::from_millis(300);

/// The table in which sqlx records applied migrations.
const APPLIED: &str = "_sqlx_migrations";

/// Applies what is pending. Returns the number of migrations that the database has afterwards. A role that does not own
/// the tables only checks that nothing is pending.
///
/// `patience` is how long it waits for others: for another migrating process, and at each migration for users of its
/// tables.
pub async fn migrate(pool: &PgPool, patience: Duration) -> Result<usize, MigrateError> {
    migrate_for(pool, None, patience).await
}

/// Does the same as [`migrate`] as the owner of the tables, and gives the role `application` the rights that a server
/// needs, if it does not have them.
pub async fn migrate_for(
    pool: &PgPool,
    application: Option<&str>,
    patience: Duration,
) -> Result<usize, MigrateError> {
    // A separate session that ends with this call: its settings and its lock end with it, even if the call is
    // cancelled. It both holds the lock and migrates: if a process is killed, its index build continues in PostgreSQL
    // until it is done, and the lock must be held as long.
    let mut session = pool.acquire().await?.detach();
    let result = migrate_in(&mut session, application, patience).await;
    if let Err(error) = session.close().await {
        tracing::debug!(%error, "the migrating session was gone before it was closed");
    }
    result
}

async fn migrate_in(
    session: &mut PgConnection,
    application: Option<&str>,
    patience: Duration,
) -> Result<usize, MigrateError> {
    lock(session, patience).await?;
    // A statement timeout would end a long concurrent build or validation half-way, at every start again.
    sqlx::query!("select set_config('statement_timeout', '0', false)")
        .fetch_one(&mut *session)
        .await?;
    let migrator = sqlx::migrate!("../../migrations");
    let all = migrator.iter().filter(|one| is_up(one)).count();
    let standing = standing(session).await?;
    let pending = match (standing.is_begun, standing.may_migrate) {
        (false, false) => return Err(standing.not_owner(all)),
        (false, true) => {
            session.ensure_migrations_table(APPLIED).await?;
            pending(session, &migrator).await?
        }
        (true, _) => pending(session, &migrator).await?,
    };
    if !pending.is_empty() && !standing.may_migrate {
        return Err(standing.not_owner(pending.len()));
    }
    let has_changed = !pending.is_empty();
    for migration in pending {
        if migration.no_tx {
            apply_outside_transaction(session, migration, patience).await?;
        } else {
            apply_in_transaction(session, migration, patience).await?;
        }
    }
    if let Some(role) = application {
        let granted = grant(session, role, has_changed).await;
        granted.map_err(|source| MigrateError::Grant {
            role: role.to_owned(),
            source,
        })?;
    }
    Ok(all)
}

/// What the role of a session may do about migrations.
struct Standing {
    role: String,
    /// Whether the table of applied migrations exists.
    is_begun: bool,
    may_migrate: bool,
}

impl Standing {
    fn not_owner(self, pending: usize) -> MigrateError {
        MigrateError::NotOwner {
            role: self.role,
            pending,
        }
    }
}

async fn standing(session: &mut PgConnection) -> Result<Standing, sqlx::Error> {
    let row = sqlx::query!(
        r#"select current_user::text as "role!", c.oid is not null as "is_begun!",
             case when c.oid is null then has_schema_privilege('public', 'CREATE') else pg_has_role(c.relowner, 'USAGE') end as "may_migrate!"
           from (select to_regclass('public._sqlx_migrations') as oid) t left join pg_class c on c.oid = t.oid"#
    )
    .fetch_one(session)
    .await?;
    Ok(Standing {
        role: row.role,
        is_begun: row.is_begun,
        may_migrate: row.may_migrate,
    })
}

/// Gives the application's role its rights, after a migration and wherever one is missing (as after a restore without
/// them). It holds the lock on migrating: two sessions that change the rights of one table would fail.
async fn grant(session: &mut PgConnection, role: &str, has_changed: bool) -> Result<(), sqlx::Error> {
    let is_missing = sqlx::query_scalar!(
        r#"select not has_function_privilege($1::text::name, 'public.make_feature_table(text, text[], text[], boolean[])', 'EXECUTE')
             or exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                        where n.nspname in ('public', 'features', 'metadata') and c.relkind in ('r', 'p') and not c.relispartition
                          and not (has_schema_privilege($1::text::name, n.oid, 'USAGE') and has_table_privilege($1::text::name, c.oid, 'SELECT'))) as "is_missing!""#,
        role
    )
    .fetch_one(&mut *session)
    .await?;
    if has_changed || is_missing {
        sqlx::query!("select grant_application_role($1::text::name)", role)
            .execute(&mut *session)
            .await?;
    }
    Ok(())
}

fn is_up(migration: &Migration) -> bool {
    migration.migration_type.is_up_migration()
}

/// Returns the pending migrations, after comparing the applied ones with this binary.
///
/// This is sqlx's `Migrator::run` up to where it applies. That runs all migrations with one set of limits. Its own
/// lock blocks inside a statement, and a waiting statement holds a snapshot, for which CREATE INDEX CONCURRENTLY in
/// the process that has the lock would wait in turn: a deadlock.
async fn pending<'m>(
    session: &mut PgConnection,
    migrator: &'m Migrator,
) -> Result<Vec<&'m Migration>, MigrateError> {
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

/// Waits for the lock on migrating this database. The session holds it until it ends.
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

/// Retries until its tables are free: it never queues for longer than [`QUEUE`].
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

/// Returns whether a lock timed out.
fn was_in_use(failure: &Failure) -> bool {
    let (Failure::Execute(error) | Failure::ExecuteMigration(error, _)) = failure else {
        return false;
    };
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("55P03"))
}

/// Waits for vacuums of a table, behind which a migration would retry in vain for hours. It waits in the lock mode of
/// a vacuum, which lets every reader and writer through, so it may wait long enough that PostgreSQL asks an
/// autovacuum to yield.
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
            // It may continue, or be of a foreign table: then the next try of the migration shows it.
            Err(sqlx::Error::Database(error)) => {
                tracing::debug!(table, %error, "a vacuum of table {table} did not give way");
            }
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Runs a concurrent build. It waits for old transactions by design, without blocking others, so its locks have no
/// limit: that would interrupt it. It may run a second time: after a crash between it and sqlx's note of it, there is
/// no note. (sqlx 0.9 writes that row once, after the statement, with `success` true; a row with false, which sqlx
/// refuses forever, is never its own.)
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

/// Drops the invalid indexes that a migration is about to build. An interrupted build leaves one behind. Every write
/// maintains it and no query uses it, and the migration's IF NOT EXISTS would take it for the index.
async fn drop_what_is_invalid(
    session: &mut PgConnection,
    migration: &Migration,
    patience: Duration,
) -> Result<(), MigrateError> {
    let begun = Instant::now();
    loop {
        // An index is also invalid while it is built. The lock keeps other migrators away, but not a person at a
        // console. Any build on the table counts, because dropping would wait for it. (PostgreSQL hides the builds of
        // another role from unprivileged sessions. Then the drop waits, and the other's index is built again.)
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
                "index {} was left invalid by a build that was interrupted; it is dropped and rebuilt",
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

/// Returns whether a statement contains this name as a whole word.
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
