//! Reads of tables: records and features.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::data::record::RecordRef;
use domain::{Cell, ColumnType, HookName, Schema, SchemaId, SchemaRef};
use futures::{StreamExt, TryStreamExt};
use ports::data::{PageKey, RecordView, RowStream, Settled, Table, TableCounts, TableKind, TableQuery};
use ports::{DataQueries, StoreError};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};
use time::OffsetDateTime;
use tokio::sync::mpsc::Sender;

use crate::dynamic;
use crate::store::error::store_error;
use crate::store::rows::{count, document, parsed};
use crate::store::tx::PgStore;

/// The number of rows per chunk of a stream.
const CHUNK: usize = 256;
/// The maximum number of chunks that a stream is ahead of its reader.
const AHEAD: usize = 4;
/// The maximum time that a read waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The timeout of a read that is not a stream (WC-7.1).
const MAX_TIME: &str = "30s";
/// The maximum time that a stream waits for its reader.
const PATIENCE: Duration = Duration::from_secs(60);

/// Decodes the cells of a row whose columns have these types.
///
/// The types are not compared with PostgreSQL's for each value, which would be a good part of an export's work: the
/// statement that returned the row was built from the same columns. A value that cannot be decoded as its type is an
/// error all the same.
pub(crate) fn cells(row: &PgRow, types: &[ColumnType]) -> Result<Vec<Cell>, StoreError> {
    macro_rules! get {
        ($index:expr, $rust:ty, $variant:path) => {
            row.try_get_unchecked::<Option<$rust>, _>($index)
                .map(|value| value.map_or(Cell::Null, $variant))
        };
    }
    let mut cells = Vec::with_capacity(types.len());
    for (index, column) in types.iter().enumerate() {
        let cell = match column {
            ColumnType::Text => get!(index, String, Cell::Text),
            ColumnType::Number => get!(index, f64, Cell::Number),
            ColumnType::Integer => get!(index, i64, Cell::Integer),
            ColumnType::Boolean => get!(index, bool, Cell::Boolean),
            ColumnType::Date => get!(index, time::Date, Cell::Date),
            ColumnType::Timestamp => get!(index, OffsetDateTime, Cell::Timestamp),
            ColumnType::Uuid => get!(index, uuid::Uuid, Cell::Uuid),
            ColumnType::Json => get!(index, serde_json::Value, Cell::Json),
        };
        cells.push(cell.map_err(|e| StoreError::corrupt("features or metadata", e))?);
    }
    Ok(cells)
}

impl PgStore {
    /// Returns the rows of a statement that may scan a whole table: within [`MAX_TIME`], or [`StoreError::TooSlow`].
    pub(crate) async fn bounded(&self, mut sql: QueryBuilder<Postgres>) -> Result<Vec<PgRow>, StoreError> {
        let busy = || StoreError::Unavailable("too many concurrent reads".into());
        let place = tokio::time::timeout(MAX_WAIT, self.reads.acquire()).await;
        let _place = place.map_err(|_| busy())?.map_err(|_| busy())?;
        let pool = self.pool.clone();
        // Spawned for the reason in `tx.rs`.
        #[expect(
            clippy::disallowed_methods,
            reason = "reads only; a setting that must not outlive it"
        )]
        let begun = tokio::spawn(async move { pool.begin().await });
        let mut tx = begun
            .await
            .map_err(|e| StoreError::Internal(e.into()))?
            .map_err(store_error)?;
        // Such a read mostly sorts and groups in memory.
        sqlx::query!(
            "select set_config('statement_timeout', $1, true) as time, set_config('work_mem', '32MB', true) as memory",
            MAX_TIME
        )
            .fetch_one(&mut *tx)
            .await
            .map_err(store_error)?;
        let rows = sql.build().fetch_all(&mut *tx).await.map_err(|error| {
            let late = |db: &dyn sqlx::error::DatabaseError| db.code().is_some_and(|code| code == "57014");
            if error.as_database_error().is_some_and(late) {
                StoreError::TooSlow(error.into())
            } else {
                store_error(error)
            }
        })?;
        tx.commit().await.map_err(store_error)?;
        Ok(rows)
    }

    /// Returns the rows of a statement as a stream. One statement is one snapshot; the channel's bound is the
    /// back-pressure. A reader that pauses for [`PATIENCE`] is dropped, and one that went away is noticed even before
    /// the first row.
    pub(crate) fn stream_of(
        &self,
        mut sql: QueryBuilder<Postgres>,
        types: Vec<ColumnType>,
    ) -> Result<RowStream, StoreError> {
        let busy = |_| StoreError::Unavailable("too many concurrent streams".into());
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(busy)?;
        let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
        // Until the last row was sent, the end of the channel is not the end of the table: it may also be an error or
        // a panic.
        let whole = Arc::new(AtomicBool::new(false));
        let (pool, ended) = (self.pool.clone(), Arc::clone(&whole));
        drop(tokio::spawn(async move {
            match pool.acquire().await {
                Ok(mut connection) => {
                    let read = read_to_end(&mut connection, &mut sql, &types, &sender).await;
                    ended.store(read.is_ok(), Ordering::Release);
                    if let Err(Some(backend)) = read {
                        // The statement would continue without its reader, and returning the connection would wait
                        // for all of its rows.
                        let cancelled =
                            sqlx::query_scalar!(r#"select pg_cancel_backend($1) as "done!""#, backend)
                                .fetch_one(&pool)
                                .await;
                        if let Err(error) = cancelled {
                            tracing::warn!(%error, "a statement without a reader could not be cancelled");
                        }
                        drop(connection.detach());
                    }
                }
                Err(error) => {
                    let _ = sender.send(Err(store_error(error))).await;
                }
            }
            drop(permit);
        }));
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

/// Sends every row. On failure, returns an error with the backend that still runs the statement.
async fn read_to_end(
    connection: &mut PgConnection,
    sql: &mut QueryBuilder<Postgres>,
    types: &[ColumnType],
    to: &Sender<Result<Vec<Vec<Cell>>, StoreError>>,
) -> Result<(), Option<i32>> {
    let backend = sqlx::query_scalar!(r#"select pg_backend_pid() as "pid!""#)
        .fetch_one(&mut *connection)
        .await
        .map_err(|_| None)?;
    let mut rows = sql
        .build()
        .fetch(&mut *connection)
        .map_err(store_error)
        .ready_chunks(CHUNK);
    loop {
        let chunk = tokio::select! {
            chunk = rows.next() => chunk,
            () = to.closed() => return Err(Some(backend)),
        };
        let Some(chunk) = chunk else { return Ok(()) };
        let chunk: Result<Vec<_>, _> = chunk
            .into_iter()
            .map(|row| row.and_then(|row| cells(&row, types)))
            .collect();
        let failed = chunk.is_err();
        if to.send_timeout(chunk, PATIENCE).await.is_err() || failed {
            return Err(Some(backend));
        }
    }
}

#[async_trait]
impl DataQueries for PgStore {
    #[tracing::instrument(name = "db.data_queries.schemas", skip_all)]
    async fn schemas(&self) -> Result<Vec<Schema>, StoreError> {
        let rows = sqlx::query!("select id, version, title, fields from schemas order by id, created_at")
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                Ok(Schema {
                    reference: SchemaRef {
                        id: parsed("schemas", &row.id)?,
                        version: parsed("schemas", &row.version)?,
                    },
                    title: row.title,
                    fields: document("schemas", row.fields)?,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.data_queries.schema_versions", skip_all, fields(schema = %id))]
    async fn schema_versions(&self, id: &SchemaId) -> Result<Vec<(Schema, Vec<HookName>)>, StoreError> {
        let rows = sqlx::query!(
            r#"select version, title, fields,
                 array(select hook_name from schema_features f where f.schema_id = s.id and f.schema_version = s.version order by hook_name) as "hooks!"
               from schemas s where id = $1 order by created_at"#,
            id.as_str()
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                let schema = Schema {
                    reference: SchemaRef {
                        id: id.clone(),
                        version: parsed("schemas", &row.version)?,
                    },
                    title: row.title,
                    fields: document("schemas", row.fields)?,
                };
                Ok((
                    schema,
                    row.hooks
                        .iter()
                        .map(|name| parsed("schema_features", name))
                        .collect::<Result<_, _>>()?,
                ))
            })
            .collect()
    }

    #[tracing::instrument(name = "db.data_queries.schema_features", skip_all)]
    async fn schema_features(&self) -> Result<Vec<(SchemaRef, HookName)>, StoreError> {
        const TABLE: &str = "schema_features";
        let rows =
            sqlx::query!("select schema_id, schema_version, hook_name from schema_features order by 1, 2, 3")
                .fetch_all(&self.pool)
                .await
                .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                let schema = SchemaRef {
                    id: parsed(TABLE, &row.schema_id)?,
                    version: parsed(TABLE, &row.schema_version)?,
                };
                Ok((schema, parsed(TABLE, &row.hook_name)?))
            })
            .collect()
    }

    #[tracing::instrument(name = "db.data_queries.page", skip_all)]
    async fn page(
        &self,
        table: &Table,
        query: &TableQuery,
        after: Option<&PageKey>,
        limit: u32,
    ) -> Result<Vec<Vec<Cell>>, StoreError> {
        let rows = self
            .bounded(dynamic::select_rows(table, query, after, Some(limit)))
            .await?;
        let types = dynamic::types(table);
        rows.iter().map(|row| cells(row, &types)).collect()
    }

    fn stream(
        &self,
        table: &Table,
        query: &TableQuery,
        after: Option<PageKey>,
    ) -> Result<RowStream, StoreError> {
        let sql = dynamic::select_rows(table, query, after.as_ref(), None);
        self.stream_of(sql, dynamic::types(table))
    }

    #[tracing::instrument(name = "db.data_queries.counts", skip_all)]
    async fn counts(&self, table: &Table, query: &TableQuery) -> Result<TableCounts, StoreError> {
        let mut sql = dynamic::count_rows(table, query);
        let rows = sql.build().fetch_all(&self.pool).await.map_err(store_error)?;
        let number = |index: usize| {
            let row = rows
                .first()
                .ok_or_else(|| StoreError::corrupt("count", "no row"))?;
            row.try_get::<i64, _>(index)
                .map_err(store_error)
                .and_then(|n| count("count", n))
        };
        Ok(TableCounts {
            rows: number(0)?,
            records: number(1)?,
        })
    }

    #[tracing::instrument(name = "db.data_queries.estimated_rows", skip_all)]
    async fn estimated_rows(&self, table: &Table) -> Result<u64, StoreError> {
        let (schema, name) = match &table.kind {
            TableKind::Records => ("metadata", table.schema.metadata_table(table.major)),
            TableKind::Feature(hook) => ("features", hook.to_string()),
        };
        let rows = sqlx::query_scalar!(
            r#"select greatest(c.reltuples, 0)::bigint as "rows!" from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname = $1 and c.relname = $2"#,
            schema,
            name
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        count("pg_class", rows.unwrap_or_default())
    }

    #[tracing::instrument(name = "db.data_queries.settled", skip_all)]
    async fn settled(&self, at: OffsetDateTime) -> Result<Settled, StoreError> {
        // A publication takes its time from the clock after its first write, which assigned it a transaction id. So a
        // transaction without one will take a time after this statement's, and one that began after `at` takes one
        // after `at`.
        let row = sqlx::query!(
            r#"select $1 > clock_timestamp() as "ahead!",
                 exists (select 1 from pg_stat_activity where datname = current_database() and backend_xid is not null
                         and backend_type = 'client backend' and xact_start <= $1 and pid <> pg_backend_pid()) as "writing!""#,
            at
        )
        .fetch_one(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(match (row.ahead, row.writing) {
            (true, _) => Settled::Ahead,
            (false, true) => Settled::NotYet,
            (false, false) => Settled::Yes,
        })
    }

    #[tracing::instrument(name = "db.data_queries.record", skip_all)]
    async fn record(&self, reference: RecordRef) -> Result<Option<RecordView>, StoreError> {
        let version = reference.version.map(|v| v.get().cast_signed());
        let row = sqlx::query!(
            "select srn, schema_id, schema_version, metadata, created_at from records
             where id = $1 and ($2::int is null or version = $2) order by version desc limit 1",
            reference.id.as_uuid(),
            version
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        row.map(|row| {
            Ok(RecordView {
                srn: parsed("records", &row.srn)?,
                schema: SchemaRef {
                    id: parsed("records", &row.schema_id)?,
                    version: parsed("records", &row.schema_version)?,
                },
                metadata: row.metadata,
                created_at: row.created_at,
            })
        })
        .transpose()
    }
}
