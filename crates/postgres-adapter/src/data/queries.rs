//! Reads of tables: records and features.

use async_trait::async_trait;
use domain::data::record::RecordRef;
use domain::{Cell, HookName, RecordSrn, Schema, SchemaId, SchemaRef, Withdrawal};
use ports::data::{PageKey, RecordView, RowStream, Settled, Table, TableCounts, TableKind, TableQuery};
use ports::{DataQueries, StoreError};
use sqlx::Row;
use time::OffsetDateTime;

use crate::data::cells::cells;
use crate::data::withdrawals::withdrawal;
use crate::dynamic;
use crate::store::error::store_error;
use crate::store::reading::{LONG, Reach};
use crate::store::rows::{count, document, parsed};
use crate::store::tx::PgStore;

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
            .bounded(
                Reach::of(query),
                dynamic::select_rows(table, query, after, Some(limit)),
            )
            .await?;
        let types = dynamic::types(table);
        rows.iter().map(|row| cells(row, &types)).collect()
    }

    #[tracing::instrument(name = "db.data_queries.stream", skip_all)]
    async fn stream(
        &self,
        table: &Table,
        query: &TableQuery,
        after: Option<PageKey>,
    ) -> Result<RowStream, StoreError> {
        let sql = dynamic::select_rows(table, query, after.as_ref(), None);
        self.stream_of(sql, dynamic::types(table)).await
    }

    #[tracing::instrument(name = "db.data_queries.counts", skip_all)]
    async fn counts(&self, table: &Table, query: &TableQuery) -> Result<TableCounts, StoreError> {
        let mut sql = dynamic::count_rows(table, query);
        let rows = self
            .until_left(Reach::Table, LONG, move |connection| {
                Box::pin(async move { sql.build().fetch_all(connection).await.map_err(store_error) })
            })
            .await?;
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

    #[tracing::instrument(name = "db.data_queries.withdrawn", skip_all)]
    async fn withdrawn(&self, versions: &[RecordSrn]) -> Result<Vec<(RecordSrn, Withdrawal)>, StoreError> {
        let srns: Vec<String> = versions.iter().map(ToString::to_string).collect();
        let rows = sqlx::query!(
            r#"select r.srn as "srn!", w.reason, w.happened_at as "happened_at!", w.ingest_run_id
               from records r
               left join record_heads h on h.record_id = r.id
               left join records n on n.id = h.record_id and n.version = h.version
               cross join lateral (select coalesce(withdrawal_of(r.id, n.ingest_run_id), withdrawal_of(null, r.ingest_run_id)) as id offset 0) f
               join withdrawals w on w.id = f.id
               where r.srn = any($1)"#,
            &srns
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                Ok((
                    parsed("records", &row.srn)?,
                    withdrawal(row.reason, row.happened_at, row.ingest_run_id)?,
                ))
            })
            .collect()
    }
}
