//! Reads of tables: records and features.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::record::RecordRef;
use domain::{Cell, ColumnType, HookName, NodeDomain, Schema, SchemaId, SchemaRef};
use futures::{StreamExt, TryStreamExt};
use ports::queries::{PageKey, RecordView, RowStream, Table, TableCounts};
use ports::{DataQueries, StoreError};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row};

use crate::dynamic;
use crate::error::store_error;
use crate::rows::{count, document, parsed};
use crate::tx::PgStore;

/// How many rows a stream may be ahead of its reader.
const AHEAD: usize = 256;
/// How long a stream waits for its reader.
const PATIENCE: Duration = Duration::from_secs(60);

#[expect(
    clippy::disallowed_methods,
    reason = "the table's name and columns are known at run time only"
)]
fn scoped(statement: String, table: &Table) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(AssertSqlSafe(statement))
        .bind(table.schema.to_string())
        .bind(table.versions.clone())
}

fn keyed(
    query: Query<'static, Postgres, PgArguments>,
    after: Option<&PageKey>,
) -> Query<'static, Postgres, PgArguments> {
    match after {
        None => query,
        Some(PageKey::Record(at, srn)) => query.bind(*at).bind(srn.clone()),
        Some(PageKey::Row(id)) => query.bind(*id),
    }
}

/// The cells of a row whose columns are of these types.
fn cells(row: &PgRow, types: &[ColumnType]) -> Result<Vec<Cell>, StoreError> {
    let get = |index: usize, column: ColumnType| -> Result<Cell, sqlx::Error> {
        Ok(match column {
            ColumnType::Text => row
                .try_get::<Option<String>, _>(index)?
                .map_or(Cell::Null, Cell::Text),
            ColumnType::Number => row
                .try_get::<Option<f64>, _>(index)?
                .map_or(Cell::Null, Cell::Number),
            ColumnType::Integer => row
                .try_get::<Option<i64>, _>(index)?
                .map_or(Cell::Null, Cell::Integer),
            ColumnType::Boolean => row
                .try_get::<Option<bool>, _>(index)?
                .map_or(Cell::Null, Cell::Boolean),
            ColumnType::Date => row
                .try_get::<Option<time::Date>, _>(index)?
                .map_or(Cell::Null, Cell::Date),
            ColumnType::Timestamp => row
                .try_get::<Option<time::OffsetDateTime>, _>(index)?
                .map_or(Cell::Null, Cell::Timestamp),
            ColumnType::Uuid => row
                .try_get::<Option<uuid::Uuid>, _>(index)?
                .map_or(Cell::Null, Cell::Uuid),
            ColumnType::Json => row
                .try_get::<Option<serde_json::Value>, _>(index)?
                .map_or(Cell::Null, Cell::Json),
        })
    };
    types
        .iter()
        .enumerate()
        .map(|(index, column)| {
            get(index, *column).map_err(|e| StoreError::corrupt("features or metadata", e))
        })
        .collect()
}

fn types(table: &Table) -> Vec<ColumnType> {
    table.columns.iter().map(|c| c.column_type).collect()
}

#[async_trait]
impl DataQueries for PgStore {
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

    async fn page(
        &self,
        table: &Table,
        after: Option<&PageKey>,
        limit: u32,
    ) -> Result<Vec<Vec<Cell>>, StoreError> {
        let statement = dynamic::select_rows(table, after.is_some(), Some(limit));
        let rows = keyed(scoped(statement, table), after)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        let types = types(table);
        rows.iter().map(|row| cells(row, &types)).collect()
    }

    fn stream(&self, table: &Table, after: Option<PageKey>) -> Result<RowStream, StoreError> {
        let busy =
            |_| StoreError::Unavailable("as many tables as the server can bear are being streamed".into());
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(busy)?;
        let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
        let statement = dynamic::select_rows(table, after.is_some(), None);
        let query = keyed(scoped(statement, table), after.as_ref());
        let (pool, types, rows_to) = (self.pool.clone(), types(table), sender.clone());
        // One statement is one snapshot; the channel's bound is the back-pressure, and a reader who does not read is let go.
        let reading = tokio::spawn(async move {
            let mut rows = query.fetch(&pool).map_err(store_error);
            while let Some(row) = rows.next().await {
                let row = row.and_then(|row| cells(&row, &types));
                if rows_to.send_timeout(row, PATIENCE).await.is_err() {
                    return false;
                }
            }
            true
        });
        drop(tokio::spawn(async move {
            let whole = reading.await.is_ok_and(|whole| whole);
            if !whole {
                // Without this the reader would take what came so far for the whole table.
                let _ = sender
                    .send(Err(StoreError::Internal(
                        "the table was not read to its end".into(),
                    )))
                    .await;
            }
            drop(permit);
        }));
        Ok(Box::pin(futures::stream::unfold(
            receiver,
            |mut receiver| async move { receiver.recv().await.map(|row| (row, receiver)) },
        )))
    }

    async fn counts(&self, table: &Table) -> Result<TableCounts, StoreError> {
        let row = scoped(dynamic::count_rows(table), table)
            .fetch_one(&self.pool)
            .await
            .map_err(store_error)?;
        let number = |index: usize| {
            row.try_get::<i64, _>(index)
                .map_err(store_error)
                .and_then(|n| count("count", n))
        };
        Ok(TableCounts {
            rows: number(0)?,
            records: number(1)?,
        })
    }

    async fn record(
        &self,
        _node: &NodeDomain,
        reference: RecordRef,
    ) -> Result<Option<RecordView>, StoreError> {
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
