//! The two database roles: the owner of the tables, which migrates, and the application's, which a server works with and
//! which cannot switch a guard off (docs/adr/0024).

use ports::StoreError;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

use crate::dynamic;
use crate::store::error::store_error;

/// The name of the application's role, where no other is chosen.
pub const APPLICATION_ROLE: &str = "hallmark_app";

/// A role that logs in.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// Its name.
    pub role: &'a str,
    /// The password to set, of letters and digits; `None`: none is set or changed.
    pub password: Option<&'a str>,
}

// Not derived: the password would end up in logs.
impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// The roles of a database as they should be.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// The owner that is to have the database and all tables; `None`: the present owner keeps them.
    pub owner: Option<Login<'a>>,
    /// The role of the servers.
    pub application: Login<'a>,
}

/// Returns the statements that make the roles of a database what they should be, in their order; they may be repeated.
/// The rights on tables are not among them: [`migrate_for`](crate::migrate_for) gives them.
pub async fn role_statements(
    session: &mut PgConnection,
    roles: Roles<'_>,
) -> Result<Vec<String>, StoreError> {
    let mut statements = Vec::new();
    for login in roles.owner.iter().chain([&roles.application]) {
        let exists = sqlx::query_scalar!(
            r#"select exists (select from pg_roles where rolname = $1::text) as "exists!""#,
            login.role
        )
        .fetch_one(&mut *session)
        .await
        .map_err(store_error)?;
        if !exists {
            statements.push(dynamic::create_login(login.role, login.password));
        } else if login.password.is_some() {
            statements.push(dynamic::alter_login(login.role, login.password));
        }
    }
    if let Some(owner) = roles.owner {
        statements.extend(handing_over(session, owner.role).await?);
    }
    let connect = sqlx::query_scalar!(
        r#"select format('grant connect on database %I to %I', current_database(), $1::text) as "statement!""#,
        roles.application.role
    )
    .fetch_one(session)
    .await
    .map_err(store_error)?;
    statements.push(connect);
    Ok(statements)
}

/// Returns the statements that give the database, and everything of ours in it, to another owner. What belongs to a
/// table (indexes, the sequences of its columns) follows it.
async fn handing_over(session: &mut PgConnection, owner: &str) -> Result<Vec<String>, StoreError> {
    sqlx::query_scalar!(
        r#"with ours as (select oid, nspname, nspowner from pg_namespace where nspname in ('public', 'features', 'metadata'))
           select statement as "statement!" from (
             select 1 as step, format('alter database %I owner to %I', datname, $1::text) as statement
             from pg_database where datname = current_database() and pg_get_userbyid(datdba) <> $1::text
             union all
             select 2, format('alter schema %I owner to %I', nspname, $1::text)
             from ours where pg_get_userbyid(nspowner) not in ($1::text, 'pg_database_owner')
             union all
             select 3, format('alter %s %s owner to %I', case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' else 'table' end,
               c.oid::regclass, $1::text)
             from pg_class c join ours on ours.oid = c.relnamespace
             where c.relkind in ('r', 'p', 'v', 'm', 'S') and pg_get_userbyid(c.relowner) <> $1::text
               and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass
                               and d.deptype in ('a', 'i') and c.relkind = 'S')
             union all
             select 4, format('alter function %s owner to %I', p.oid::regprocedure, $1::text)
             from pg_proc p join ours on ours.oid = p.pronamespace
             where p.prokind = 'f' and pg_get_userbyid(p.proowner) <> $1::text
               and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
           ) steps order by step, statement"#,
        owner
    )
    .fetch_all(session)
    .await
    .map_err(store_error)
}

/// Makes the roles of a database what they should be, over a connection of its own to this URL. Each statement is a
/// transaction, so that thousands of tables need no lock at one time; after an interruption, the next call goes on.
pub async fn apply_roles(url: &str, roles: Roles<'_>) -> Result<(), StoreError> {
    let mut session = PgConnection::connect(url).await.map_err(store_error)?;
    for statement in role_statements(&mut session, roles).await? {
        session
            .execute(AssertSqlSafe(statement))
            .await
            .map_err(store_error)?;
    }
    if let Err(error) = session.close().await {
        tracing::debug!(%error, "the session that made the roles was gone before it was closed");
    }
    Ok(())
}

/// Returns the role, the database and the owner of its tables, or of the database if there are no tables yet.
pub async fn who_owns(session: &mut PgConnection) -> Result<(String, String, String), StoreError> {
    let row = sqlx::query!(
        r#"select current_user::text as "role!", d.datname::text as "database!",
             pg_get_userbyid(coalesce((select relowner from pg_class where oid = to_regclass('public.records')), d.datdba))::text as "owner!"
           from pg_database d where d.datname = current_database()"#
    )
    .fetch_one(session)
    .await
    .map_err(store_error)?;
    Ok((row.role, row.database, row.owner))
}

/// What the role of a connection can do beyond what a server needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolePowers {
    /// The role.
    pub role: String,
    /// Each power, as the end of a sentence that begins with "it". Empty: the role cannot switch a guard off.
    pub powers: Vec<&'static str>,
}

/// Reads what the role of this pool can do beyond what a server needs.
pub async fn role_powers(pool: &PgPool) -> Result<RolePowers, StoreError> {
    // Detached: it tries a setting, and must not return to the pool half-way.
    let mut session = pool.acquire().await.map_err(store_error)?.detach();
    let found = sqlx::query!(
        r#"with ours as (select oid from pg_namespace where nspname in ('public', 'features', 'metadata')),
             tables as (select c.oid, c.relowner from pg_class c join ours on ours.oid = c.relnamespace where c.relkind in ('r', 'p'))
           select r.rolname::text as "role!", r.rolsuper as "is_superuser!",
             r.rolcreaterole or r.rolreplication or r.rolbypassrls as "has_attributes!",
             exists (select from tables t where pg_has_role(t.relowner, 'MEMBER'))
               or exists (select from pg_proc p join ours on ours.oid = p.pronamespace where pg_has_role(p.proowner, 'MEMBER')) as "owns!",
             exists (select from tables t where has_table_privilege(t.oid, 'TRUNCATE') or has_table_privilege(t.oid, 'TRIGGER')) as "truncates!",
             exists (select from tables t where t.oid = to_regclass('public._sqlx_migrations')
                     and has_table_privilege(t.oid, 'INSERT, UPDATE, DELETE')) as "forges_migrations!",
             has_database_privilege(current_database(), 'CREATE')
               or exists (select from pg_namespace n where n.nspname !~ '^pg_' and has_schema_privilege(n.oid, 'CREATE')) as "creates!",
             exists (select from pg_roles g where g.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
                     and pg_has_role(g.oid, 'MEMBER')) as "reaches_files!"
           from pg_roles r where r.rolname = current_user"#
    )
    .fetch_one(&mut session)
    .await
    .map_err(store_error)?;
    // A superuser has all the others.
    let powers = if found.is_superuser {
        vec!["is a superuser, so it can do anything"]
    } else {
        let replicates = can_replicate(&mut session).await?;
        [
            (
                found.owns,
                "owns tables or functions, or is a member of their owner, so it can disable, replace and drop guards",
            ),
            (found.truncates, "can truncate tables, or put triggers on them"),
            (
                replicates,
                "can set session_replication_role, which switches all guards off",
            ),
            (found.creates, "can create objects in the database or in its schemas"),
            (found.forges_migrations, "can change the list of applied migrations"),
            (
                found.has_attributes,
                "has the attribute CREATEROLE, REPLICATION or BYPASSRLS",
            ),
            (
                found.reaches_files,
                "can read or write files of the database's machine, or run programs there",
            ),
        ]
        .into_iter()
        .filter_map(|(has, power)| has.then_some(power))
        .collect()
    };
    if let Err(error) = session.close().await {
        tracing::debug!(%error, "the session that read the role's powers was gone before it was closed");
    }
    Ok(RolePowers {
        role: found.role,
        powers,
    })
}

/// SQLSTATE `insufficient_privilege`.
const DENIED: &str = "42501";

/// Tries the setting: from PostgreSQL 15 on, a role may have been given it.
async fn can_replicate(session: &mut PgConnection) -> Result<bool, StoreError> {
    match session
        .execute("begin; set local session_replication_role = replica")
        .await
    {
        Ok(_) => {
            session.execute("rollback").await.map_err(store_error)?;
            Ok(true)
        }
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(DENIED) => {
            session.execute("rollback").await.map_err(store_error)?;
            Ok(false)
        }
        Err(error) => Err(store_error(error)),
    }
}
