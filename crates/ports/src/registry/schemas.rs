//! Schemas and their metadata tables.

use async_trait::async_trait;
use domain::{FieldDefinition, Schema, SchemaId};
use time::OffsetDateTime;

use crate::error::StoreError;

/// Schemas and their metadata tables.
#[async_trait]
pub trait Schemas: Send {
    /// Reserves the metadata table of `id`'s major version and locks it until the end of the unit of work. Returns
    /// `Some(other)` if another schema's id maps to the same table name.
    async fn reserve_table(&mut self, id: &SchemaId, major: u64) -> Result<Option<SchemaId>, StoreError>;
    /// Returns every version of one major, in no order.
    async fn of_major(&mut self, id: &SchemaId, major: u64) -> Result<Vec<Schema>, StoreError>;
    /// Inserts a new version. Returns the time of its registration.
    async fn insert(&mut self, schema: &Schema) -> Result<OffsetDateTime, StoreError>;
    /// Creates or alters the metadata table to hold these fields: adds columns, and drops NOT NULL where a field
    /// became optional.
    async fn sync_columns(
        &mut self,
        id: &SchemaId,
        major: u64,
        fields: &[FieldDefinition],
    ) -> Result<(), StoreError>;
}
