//! The connection pool.

use std::str::FromStr;
use std::time::Duration;

use ports::StoreError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

use crate::store::error::store_error;

/// How long an idle connection is assumed to be alive.
const FRESH: Duration = Duration::from_secs(1);

/// Options of the pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// `postgres://...`.
    pub url: String,
    /// The maximum number of connections.
    pub max_connections: u32,
    /// How long a request waits for a connection.
    pub acquire_timeout: Duration,
}

/// Opens a pool and checks that the server responds.
pub async fn connect(options: &PoolOptions) -> Result<PgPool, StoreError> {
    let connect = PgConnectOptions::from_str(&options.url)
        .map_err(store_error)?
        .application_name("hallmark")
        .options([
            // A transaction that its owner forgot must not hold locks and old snapshots forever (LEDGER-1.6).
            ("idle_in_transaction_session_timeout", "60s"),
            ("lock_timeout", "20s"),
            ("statement_timeout", "30min"),
            // Compiling a plan takes longer than most plans run: 250 ms of 365 for a recall of 500,000 rows.
            ("jit", "off"),
            ("timezone", "UTC"),
        ]);
    PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout)
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
        .await
        .map_err(store_error)
}
