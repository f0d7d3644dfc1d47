//! Schemas and their metadata tables.

use async_trait::async_trait;
use domain::{FieldDefinition, Schema, SchemaId, SchemaRef};
use ports::{Schemas, StoreError};
use time::OffsetDateTime;

use crate::dynamic;
use crate::store::rows::{document, json, parsed};
use crate::store::tx::PgTx;

fn bigint(major: u64) -> Result<i64, StoreError> {
    i64::try_from(major).map_err(|e| StoreError::Internal(e.into()))
}

#[async_trait]
impl Schemas for PgTx {
    #[tracing::instrument(name = "db.schemas.reserve_table", skip_all, fields(schema = %id))]
    async fn reserve_table(&mut self, id: &SchemaId, major: u64) -> Result<Option<SchemaId>, StoreError> {
        let table = id.metadata_table(major);
        // On any conflict: with one index named, two concurrent first deploys of a schema could clash on the other
        // index, and that is an error.
        sqlx::query!(
            "insert into metadata_tables (table_name, schema_id, major) values ($1, $2, $3) on conflict do nothing",
            table,
            id.as_str(),
            bigint(major)?
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let owner = sqlx::query_scalar!(
            "select schema_id from metadata_tables where table_name = $1 for update",
            table
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if owner == id.as_str() {
            Ok(None)
        } else {
            parsed("metadata_tables", &owner).map(Some)
        }
    }

    #[tracing::instrument(name = "db.schemas.of_major", skip_all, fields(schema = %id))]
    async fn of_major(&mut self, id: &SchemaId, major: u64) -> Result<Vec<Schema>, StoreError> {
        let rows = sqlx::query!(
            "select version, title, fields from schemas where id = $1 and major = $2",
            id.as_str(),
            bigint(major)?
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|row| {
                Ok(Schema {
                    reference: SchemaRef {
                        id: id.clone(),
                        version: parsed("schemas", &row.version)?,
                    },
                    title: row.title,
                    fields: document("schemas", row.fields)?,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.schemas.insert", skip_all)]
    async fn insert(&mut self, schema: &Schema) -> Result<OffsetDateTime, StoreError> {
        let version = &schema.reference.version;
        sqlx::query_scalar!(
            "insert into schemas (id, version, major, title, fields) values ($1, $2, $3, $4, $5) returning created_at",
            schema.reference.id.as_str(),
            version.to_string(),
            bigint(version.major())?,
            schema.title,
            json(&schema.fields)?,
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.schemas.sync_columns", skip_all, fields(schema = %id))]
    async fn sync_columns(
        &mut self,
        id: &SchemaId,
        major: u64,
        fields: &[FieldDefinition],
    ) -> Result<(), StoreError> {
        let columns = dynamic::Columns::of_fields(fields);
        // It leaves DDL out if nothing changes: that takes locks that block writers.
        sqlx::query!(
            "select sync_metadata_table($1, $2, $3, $4)",
            id.metadata_table(major),
            &columns.names,
            &columns.types,
            &columns.required
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }
}
