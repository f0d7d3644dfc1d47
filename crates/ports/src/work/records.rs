//! Records, as a batch publishes them.

use async_trait::async_trait;
use domain::{
    Cell, ConventionSlug, DepositionId, FieldDefinition, IngestRunId, RecordSrn, SchemaRef, SourceId,
};
use serde_json::{Map, Value};

use crate::error::StoreError;

/// A record to publish.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The source's id.
    pub source_id: SourceId,
    /// The metadata as submitted.
    pub metadata: Map<String, Value>,
    /// The same, typed, in the order of the fields.
    pub cells: Vec<Cell>,
    /// Its hash.
    pub content_hash: [u8; 32],
}

/// What the records of one batch have in common.
#[derive(Clone, Debug)]
pub struct RecordBatch<'a> {
    /// The convention.
    pub convention: &'a ConventionSlug,
    /// The schema version.
    pub schema: &'a SchemaRef,
    /// Its fields, in order.
    pub fields: &'a [FieldDefinition],
    /// Where they come from.
    pub source: BatchSource,
}

/// The source of a batch of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchSource {
    /// An ingest run.
    Ingest(IngestRunId),
    /// A deposition, which makes one record; its source id is the deposition's SRN.
    Deposition(DepositionId),
}

/// Records and their metadata rows, written together (WC-D7).
#[async_trait]
pub trait Records: Send {
    /// Locks those records of a batch that exist, and returns the source ids of withdrawn ones: these get no new
    /// version (EDG-4).
    async fn withdrawn(
        &mut self,
        batch: &RecordBatch<'_>,
        sources: &[SourceId],
    ) -> Result<Vec<SourceId>, StoreError>;
    /// Publishes records with their metadata rows, each as the next version of its record. Returns the SRN of each,
    /// in order. None of them may be withdrawn: [`StoreError::Refused`] if one has left the tables.
    async fn publish(
        &mut self,
        batch: &RecordBatch<'_>,
        records: &[NewRecord],
    ) -> Result<Vec<RecordSrn>, StoreError>;
}
