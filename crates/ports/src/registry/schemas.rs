//! Schemas and their metadata tables.

use async_trait::async_trait;
use domain::{FieldDefinition, Schema, SchemaId};
use time::OffsetDateTime;

use crate::error::StoreError;

/// Schemas and their metadata tables.
#[async_trait]
pub trait Schemas: Send {
    /// Takes the metadata table of `id`'s major version for it and locks it until the end of the unit of work.
    /// `Some(other)` when another schema's id makes the same table name.
    async fn reserve_table(&mut self, id: &SchemaId, major: u64) -> Result<Option<SchemaId>, StoreError>;
    /// Every version of one major, in no order.
    async fn of_major(&mut self, id: &SchemaId, major: u64) -> Result<Vec<Schema>, StoreError>;
    /// Keeps a new version; gives the time.
    async fn insert(&mut self, schema: &Schema) -> Result<OffsetDateTime, StoreError>;
    /// Makes the metadata table hold these fields: creates it, adds columns, drops NOT NULL where a field became optional.
    async fn sync_columns(
        &mut self,
        id: &SchemaId,
        major: u64,
        fields: &[FieldDefinition],
    ) -> Result<(), StoreError>;
}
