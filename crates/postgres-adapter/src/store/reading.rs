//! Reads that may take long: bounded in number, cancelled when their caller has left, and whole tables as
//! streams.
//!
//! A statement goes on in PostgreSQL when its caller is gone, and the pool would wait for its last row before it gives
//! the connection to another one. So a caller that leaves is noticed here, and the statement cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::data::filter::Filter;
use domain::{Cell, ColumnType};
use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _};
use ports::StoreError;
use ports::data::{RowStream, TableQuery};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, QueryBuilder, Row as _};
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Instrument as _;

use crate::data::cells::cells_as_text;
use crate::store::error::store_error;
use crate::store::tx::PgStore;

/// The maximum number of rows per chunk of a stream.
const CHUNK: usize = 256;
/// A chunk ends at the row with which it has this number of bytes, so that wide rows need no more memory than narrow ones.
const CHUNK_BYTES: usize = 256 * 1024;
/// The maximum number of chunks that a stream is ahead of its reader.
const AHEAD: usize = 4;
/// The maximum time that a read waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The maximum time that a stream waits for its turn (EDG-6).
const MAX_STREAM_WAIT: Duration = Duration::from_secs(30);
/// The timeout of a read that is not a stream (WC-7.1).
const MAX_TIME: &str = "30s";
/// The timeout of counts for which no reader waits alone: everybody is told the last one meanwhile.
pub(crate) const LONG: &str = "30min";
/// The maximum time that a stream waits for its reader.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of a table a read looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A few rows, along an index.
    Rows,
    /// Perhaps all of it.
    Table,
}

impl Reach {
    /// Of a page of this query.
    pub(crate) fn of(query: &TableQuery) -> Self {
        let by_key = query.filter.as_ref().map(Filter::is_by_key);
        match by_key {
            Some(true) => Self::Rows,
            None if query.sort.is_empty() && query.as_of.is_none() => Self::Rows,
            _ => Self::Table,
        }
    }
}

/// Why a read on a connection ended without a result for its caller.
enum Ended {
    /// The caller is gone, and this backend still works for it.
    Left(i32),
    Failed(StoreError),
}

async fn place(
    of: &Arc<Semaphore>,
    patience: Duration,
    busy: &'static str,
) -> Result<OwnedSemaphorePermit, StoreError> {
    let busy = || StoreError::Unavailable(busy.into());
    let waiting = tokio::time::timeout(patience, Arc::clone(of).acquire_owned());
    waiting.await.map_err(|_| busy())?.map_err(|_| busy())
}

/// Cancels the statement of a backend whose reader is gone, and closes its connection: it would wait for all rows, and
/// the cancellation must not meet anybody else's statement.
async fn cancel(pool: &PgPool, backend: i32, connection: PoolConnection<Postgres>) {
    let cancelled = sqlx::query_scalar!(r#"select pg_cancel_backend($1) as "done!""#, backend)
        .fetch_one(pool)
        .await;
    if let Err(error) = cancelled {
        tracing::warn!(%error, "a statement without a reader could not be cancelled");
    }
    drop(connection.detach());
}

impl PgStore {
    /// Runs reads that may scan a whole table, in one transaction with this timeout per statement, until they end or the
    /// caller drops the returned future.
    pub(crate) async fn until_left<T: Send + 'static>(
        &self,
        reach: Reach,
        timeout: &'static str,
        read: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let busy = "too many concurrent reads";
        // First the place that fewer have: who waits for it holds none of the others.
        let scan = match reach {
            Reach::Rows => None,
            Reach::Table => Some(place(&self.scans, MAX_WAIT, busy).await?),
        };
        let places = (scan, place(&self.reads, MAX_WAIT, busy).await?);
        let (mut result, caller) = oneshot::channel();
        let pool = self.pool.clone();
        // A task of its own outlives the caller, and a `begin` in it is never dropped half-way (see `tx.rs`).
        let reading = async move {
            let mut connection = match pool.acquire().await {
                Ok(connection) => connection,
                Err(error) => {
                    let _ = result.send(Err(store_error(error)));
                    return;
                }
            };
            match within(&mut connection, timeout, read, &mut result).await {
                Ok(read) => {
                    // Returned before the caller goes on, who may read again at once.
                    drop(connection);
                    let _ = result.send(Ok(read));
                }
                Err(Ended::Failed(error)) => {
                    let _ = result.send(Err(error));
                }
                Err(Ended::Left(backend)) => cancel(&pool, backend, connection).await,
            }
            drop(places);
        };
        drop(tokio::spawn(reading.in_current_span()));
        let broken = || StoreError::Internal("a read broke off".into());
        caller.await.map_err(|_| broken())?
    }

    /// Returns the rows of a statement that may scan a whole table: within [`MAX_TIME`], or [`StoreError::TooSlow`].
    pub(crate) async fn bounded(
        &self,
        reach: Reach,
        mut sql: QueryBuilder<Postgres>,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.until_left(reach, MAX_TIME, move |connection| {
            Box::pin(async move {
                sql.build().fetch_all(connection).await.map_err(|error| {
                    let late =
                        |db: &dyn sqlx::error::DatabaseError| db.code().is_some_and(|code| code == "57014");
                    if error.as_database_error().is_some_and(late) {
                        StoreError::TooSlow(error.into())
                    } else {
                        store_error(error)
                    }
                })
            })
        })
        .await
    }

    /// Returns the rows of a statement as a stream, after waiting for a turn. One statement is one snapshot; the
    /// channel's bound is the back-pressure. A reader that pauses for [`PATIENCE`] is dropped, and one that went away is
    /// noticed even before the first row.
    pub(crate) async fn stream_of(
        &self,
        mut sql: QueryBuilder<Postgres>,
        types: Vec<ColumnType>,
    ) -> Result<RowStream, StoreError> {
        let place = place(&self.streams, MAX_STREAM_WAIT, "too many concurrent streams").await?;
        let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
        // Until the last row was sent, the end of the channel is not the end of the table: it may also be an error or
        // a panic.
        let whole = Arc::new(AtomicBool::new(false));
        let (pool, ended, lower) = (self.pool.clone(), Arc::clone(&whole), self.lower_backend);
        let connections = self.stream_pool.clone();
        let reading = async move {
            match connections.acquire().await {
                Ok(mut connection) => {
                    let read = read_to_end(&mut connection, lower, &mut sql, &types, &sender).await;
                    ended.store(read.is_ok(), Ordering::Release);
                    if let Err(Some(backend)) = read {
                        cancel(&pool, backend, connection).await;
                    }
                }
                Err(error) => {
                    let _ = sender.send(Err(store_error(error))).await;
                }
            }
            drop(place);
        };
        drop(self.stream_threads().spawn(reading.in_current_span()));
        Ok(Box::pin(futures::stream::unfold(
            (receiver, Some(whole)),
            |(mut receiver, whole)| async move {
                if let Some(rows) = receiver.recv().await {
                    return Some((rows, (receiver, whole)));
                }
                let whole = whole?;
                // Otherwise the reader would take the rows so far for the whole table.
                let cut = || StoreError::Internal("the table was not read to its end".into());
                (!whole.load(Ordering::Acquire)).then(|| (Err(cut()), (receiver, None)))
            },
        )))
    }
}

/// Reads in one transaction, while the caller waits for the result.
async fn within<T>(
    connection: &mut PgConnection,
    timeout: &'static str,
    read: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>>,
    result: &mut oneshot::Sender<Result<T, StoreError>>,
) -> Result<T, Ended> {
    let failed = |error| Ended::Failed(store_error(error));
    let mut tx = connection.begin().await.map_err(failed)?;
    // Such a read mostly sorts and groups in memory.
    let settings = sqlx::query!(
        r#"select set_config('statement_timeout', $1, true) as time, set_config('work_mem', '32MB', true) as memory,
             pg_backend_pid() as "backend!""#,
        timeout
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(failed)?;
    let read = tokio::select! {
        read = read(&mut tx) => read.map_err(Ended::Failed)?,
        () = result.closed() => return Err(Ended::Left(settings.backend)),
    };
    tx.commit().await.map_err(failed)?;
    Ok(read)
}

/// Sends every row. On failure, returns an error with the backend that still runs the statement.
async fn read_to_end(
    connection: &mut PgConnection,
    lower: Option<fn(i32) -> bool>,
    sql: &mut QueryBuilder<Postgres>,
    types: &[ColumnType],
    to: &Sender<Result<Vec<Vec<Cell>>, StoreError>>,
) -> Result<(), Option<i32>> {
    let backend = sqlx::query_scalar!(r#"select pg_backend_pid() as "pid!""#)
        .fetch_one(&mut *connection)
        .await
        .map_err(|_| None)?;
    if lower.is_some_and(|lower| !lower(backend)) {
        tracing::debug!(
            backend,
            "the priority of a backend that reads a stream could not be lowered"
        );
    }
    let mut rows = sql.build().fetch(&mut *connection).map_err(store_error).fuse();
    loop {
        let chunk = tokio::select! {
            chunk = next_chunk(&mut rows, types) => chunk,
            () = to.closed() => return Err(Some(backend)),
        };
        let Some(chunk) = chunk else { return Ok(()) };
        let failed = chunk.is_err();
        if to.send_timeout(chunk, PATIENCE).await.is_err() || failed {
            return Err(Some(backend));
        }
    }
}

/// Returns the next row and those that are there already, up to the size of a chunk; `None` after the last one.
async fn next_chunk(
    rows: &mut (impl Stream<Item = Result<PgRow, StoreError>> + Unpin),
    types: &[ColumnType],
) -> Option<Result<Vec<Vec<Cell>>, StoreError>> {
    let mut next = rows.next().await;
    next.as_ref()?;
    let (mut chunk, mut bytes) = (Vec::with_capacity(CHUNK), 0);
    while let Some(row) = next {
        let read = row.and_then(|row| {
            bytes += size(&row);
            cells_as_text(&row, types)
        });
        match read {
            Ok(row) => chunk.push(row),
            Err(error) => return Some(Err(error)),
        }
        if chunk.len() == CHUNK || bytes >= CHUNK_BYTES {
            break;
        }
        // A row that is not there yet is waited for by the next chunk; so is the end.
        next = rows.next().now_or_never().flatten();
    }
    Some(Ok(chunk))
}

/// Returns the number of bytes of a row's values.
fn size(row: &PgRow) -> usize {
    let value = |index| row.try_get_raw(index).ok()?.as_bytes().ok().map(<[u8]>::len);
    (0..row.len()).filter_map(value).sum()
}
