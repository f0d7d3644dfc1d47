//! What a session of the database must be: encoded in UTF-8, with our settings, and the same one from one statement to
//! the next.
//!
//! Settings are made by a statement in each new session, not by parameters of its start. PgBouncer refuses a connection
//! with `options` or `extra_float_digits`, and where `ignore_startup_parameters` names them, it drops them in silence.

use std::time::Duration;

use sqlx::{PgConnection, Row as _};

use crate::store::error::store_error;

/// Why a database, or the way to it, does not fit.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be parsed, or the database cannot be reached.
    #[error("cannot reach the database")]
    Unreachable(#[source] ports::StoreError),
    /// The database did not respond in time.
    #[error("cannot reach the database: it did not respond within {0:?}")]
    Silent(Duration),
    /// A second session had to wait too long beside the first.
    #[error(
        "the database responds on one connection, but not on a second one beside it within {0:?}. A pooler in front of \
         it must have a session for every connection of every server: in PgBouncer, set default_pool_size to at least \
         the sum of database.max_connections of all servers, and 3 more"
    )]
    NoSecondSession(Duration),
    /// Statements of one connection run in several sessions.
    #[error(
        "a connection pooler (such as PgBouncer with pool_mode = transaction or statement) runs the statements of one \
         connection in several database sessions, so settings, locks and notifications get lost. In PgBouncer, set \
         pool_mode = session for this database, or set database.url to PostgreSQL itself"
    )]
    SharedSessions,
    /// The database is encoded in something else than UTF-8.
    #[error(
        "the encoding of the database {database} is {encoding}, not UTF8, so it would refuse or change texts. Create a \
         database in UTF-8 (createdb -E UTF8 -T template0 NAME) and set database.url to it; to keep data, dump this \
         database with pg_dump and restore it there"
    )]
    Encoding {
        /// The database.
        database: String,
        /// Its encoding.
        encoding: String,
    },
    /// Texts are converted on their way.
    #[error(
        "texts reach this server in the encoding {0}, not UTF8, although it asked for UTF8: a pooler overrides \
         client_encoding. Remove client_encoding from its settings for this database"
    )]
    ClientEncoding(String),
}

impl From<sqlx::Error> for ConnectError {
    fn from(error: sqlx::Error) -> Self {
        if is(&error, NOT_PREPARED) {
            Self::SharedSessions
        } else {
            Self::Unreachable(store_error(error))
        }
    }
}

/// Returns whether the database reported an error with this SQLSTATE.
fn is(error: &sqlx::Error, code: &str) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some(code))
}

/// Makes the settings of a new session.
pub(crate) async fn configure(session: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"select
             -- A transaction that its owner forgot must not hold locks and old snapshots forever (LEDGER-1.6).
             set_config('idle_in_transaction_session_timeout', '60s', false) as "idle!",
             set_config('lock_timeout', '20s', false) as "lock!",
             set_config('statement_timeout', '30min', false) as "statement!",
             -- Compiling a plan takes longer than most plans run: 250 ms of 365 for a recall of 500,000 rows.
             set_config('jit', 'off', false) as "jit!",
             -- What texts of times and numbers look like, whatever the database or the role has as its default.
             set_config('timezone', 'UTC', false) as "timezone!",
             set_config('datestyle', 'ISO, MDY', false) as "datestyle!",
             set_config('extra_float_digits', '1', false) as "digits!",
             set_config('client_encoding', 'UTF8', false) as "encoding!""#
    )
    .fetch_one(session)
    .await
    .map(|_| ())
}

/// Checks that texts are stored, sent and received as they are.
pub(crate) async fn check_encoding(session: &mut PgConnection) -> Result<(), ConnectError> {
    let found = sqlx::query!(
        r#"select current_database()::text as "database!", current_setting('server_encoding') as "server!",
             current_setting('client_encoding') as "client!""#
    )
    .fetch_one(session)
    .await?;
    if found.server != UTF8 {
        return Err(ConnectError::Encoding {
            database: found.database,
            encoding: found.server,
        });
    }
    if found.client != UTF8 {
        return Err(ConnectError::ClientEncoding(found.client));
    }
    Ok(())
}

/// PostgreSQL's name of the encoding.
const UTF8: &str = "UTF8";

/// How often it is tried whether a session is shared. In one try a pooler may happen to give each connection the
/// session that it had before.
const TRIES: usize = 4;

/// Marks the session.
const MARK: &str = "select set_config('hallmark.session', gen_random_uuid()::text, false)";
/// Reads the mark.
const READ: &str = "select coalesce(current_setting('hallmark.session', true), '')";
/// Reads the mark and keeps the session, for a transaction cannot move to another one.
const READ_AND_KEEP: &str = "begin read only; select coalesce(current_setting('hallmark.session', true), '')";
/// SQLSTATE `invalid_sql_statement_name`: a statement that was just prepared is not there.
const NOT_PREPARED: &str = "26000";
/// SQLSTATE `protocol_violation`, with which PgBouncer refuses transactions where each statement has a session of its
/// own.
const VIOLATION: &str = "08P01";

/// Checks that a connection keeps its session while another one works: its mark is still there, and the other one does
/// not see it.
///
/// The statements are not prepared: between two sessions, a prepared one would fail with a less clear error.
pub(crate) async fn check_sessions(
    first: &mut PgConnection,
    second: &mut PgConnection,
) -> Result<(), ConnectError> {
    for _ in 0..TRIES {
        let mark = text(first, MARK).await?;
        let beside = match text(second, READ_AND_KEEP).await {
            Err(error) if is(&error, VIOLATION) => return Err(ConnectError::SharedSessions),
            beside => beside?,
        };
        // The other one has the session, so the first may have to wait for one.
        if beside == mark || text(first, READ).await? != mark {
            return Err(ConnectError::SharedSessions);
        }
        sqlx::raw_sql("rollback").execute(&mut *second).await?;
        // A pooler that takes the session that was free for longest, of two, would go on in the same order.
        if text(second, READ).await? == mark {
            return Err(ConnectError::SharedSessions);
        }
    }
    Ok(())
}

/// Returns the text that a statement selects.
async fn text(session: &mut PgConnection, statement: &'static str) -> Result<String, sqlx::Error> {
    let rows = sqlx::raw_sql(statement).fetch_all(session).await?;
    rows.last().ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}
