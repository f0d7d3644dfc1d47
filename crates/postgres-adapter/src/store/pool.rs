//! The connection pool.

use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::time::timeout;

use crate::store::session::{ConnectError, check_encoding, check_sessions, configure};

/// How long an idle connection is assumed to be alive.
const FRESH: Duration = Duration::from_secs(1);

/// How long a connection for whole tables is kept without use.
const STREAM_IDLE: Duration = Duration::from_secs(60);

/// The pause before a database that is starting is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Options of the pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// `postgres://...`.
    pub url: String,
    /// The maximum number of connections: of this pool, and of that for whole tables, which a store opens beside it. With
    /// 2 there is a third.
    pub max_connections: u32,
    /// How long a request waits for a connection.
    pub acquire_timeout: Duration,
}

/// Opens a pool, after checking that the database responds and that it and the way to it are fit for an archive.
pub async fn connect(options: &PoolOptions) -> Result<PgPool, ConnectError> {
    let connect = PgConnectOptions::from_str(&options.url)?
        .application_name("hallmark")
        // Poolers do not know this one; `configure` sets it.
        .extra_float_digits(None);
    check(&connect, options.acquire_timeout).await?;
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections.saturating_mul(3).div_euclid(4).max(2))
        .acquire_timeout(options.acquire_timeout)
        .after_connect(|session, _| Box::pin(configure(session)))
        // sqlx checks a connection at every return to the pool, and by default at every acquire, too: a round trip
        // each. A connection that was checked a moment ago is not checked again.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(connect)
        .await?;
    Ok(pool)
}

/// Returns the number of connections for whole tables, of a store with this pool.
pub(crate) fn for_streams(pool: &PgPool) -> u32 {
    (pool.options().get_max_connections() / 3).max(1)
}

/// Opens the pool for whole tables, which connects when it is used.
///
/// Connections that read whole tables are not used for anything else: their backends have another priority (see
/// [`PgStore::with_lowered_backends`](crate::PgStore::with_lowered_backends)), and what takes minutes has no place among
/// those that a request waits for. A pool that lends them to both would have to close them after each table, and the
/// requests after it would wait for new ones.
pub(crate) fn streams(pool: &PgPool) -> PgPool {
    let connect = PgConnectOptions::clone(&pool.connect_options());
    let options = pool.options().clone();
    options
        .max_connections(for_streams(pool))
        .idle_timeout(STREAM_IDLE)
        .connect_lazy_with(connect)
}

/// Checks the database over two connections of their own, which it closes again.
async fn check(connect: &PgConnectOptions, patience: Duration) -> Result<(), ConnectError> {
    let mut first = responding(connect, patience).await?;
    let alone = |_| ConnectError::NoSecondSession(patience);
    let mut second = timeout(patience, connect.connect()).await.map_err(alone)??;
    let checked = timeout(patience, check_sessions(&mut first, &mut second)).await;
    checked.map_err(alone)??;
    configure(&mut first).await?;
    check_encoding(&mut first).await?;
    for session in [first, second] {
        if let Err(error) = session.close().await {
            tracing::debug!(%error, "a checking session was gone before it was closed");
        }
    }
    Ok(())
}

/// Opens a connection, and waits for a database that is starting.
async fn responding(connect: &PgConnectOptions, patience: Duration) -> Result<PgConnection, ConnectError> {
    let begun = Instant::now();
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        let opened = timeout(left, open(connect)).await;
        match opened.map_err(|_| ConnectError::Silent(patience))? {
            Err(error) if is_starting(&error) && begun.elapsed() + PAUSE < patience => {
                tokio::time::sleep(PAUSE).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// Opens a connection. A pooler accepts one before it has a session for it, so a statement is part of it.
async fn open(connect: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut session = connect.connect().await?;
    sqlx::raw_sql("select 1").execute(&mut session).await?;
    Ok(session)
}

/// Returns whether the database may accept the next connection.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        // `too_many_connections` and `cannot_connect_now`.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["53300", "57P03"].contains(&code.as_ref())),
        _ => false,
    }
}
