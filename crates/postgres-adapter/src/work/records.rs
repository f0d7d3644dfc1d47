//! Records and their metadata rows, written together (WC-D7).

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use async_trait::async_trait;
use domain::data::withdrawal::TAKES_NO_VERSION;
use domain::{RecordId, RecordSrn, SourceId};
use ports::work::{BatchSource, NewRecord, RecordBatch};
use ports::{Records, StoreError};
use serde_json::Value;
use uuid::Uuid;

use crate::dynamic;
use crate::store::copy::copy_in;
use crate::store::tx::PgTx;

/// Returns the record of each source id of a batch.
fn records_of<'a>(batch: &RecordBatch<'_>, sources: impl Iterator<Item = &'a SourceId>) -> Vec<Uuid> {
    sources
        .map(|source| match &batch.source {
            BatchSource::Ingest(_) => RecordId::of_source(batch.convention, source).as_uuid(),
            BatchSource::Deposition(id) => RecordId::of_deposition(id).as_uuid(),
        })
        .collect()
}

#[async_trait]
impl Records for PgTx {
    #[tracing::instrument(name = "db.records.withdrawn", skip_all)]
    async fn withdrawn(
        &mut self,
        batch: &RecordBatch<'_>,
        sources: &[SourceId],
    ) -> Result<Vec<SourceId>, StoreError> {
        let ids = records_of(batch, sources.iter());
        sqlx::query!(
            "select record_id from record_heads where record_id = any($1) order by record_id for update",
            &ids
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        // Another statement, which sees what was committed while the locks were awaited. A head may not follow yet the
        // withdrawal of its run.
        let withdrawn = sqlx::query_scalar!(
            "select h.record_id from record_heads h join records r on r.id = h.record_id and r.version = h.version
             where h.record_id = any($1) and (h.srn is null or withdrawal_of(null, r.ingest_run_id) is not null)",
            &ids
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let withdrawn: BTreeSet<Uuid> = withdrawn.into_iter().collect();
        let found = sources.iter().zip(&ids).filter(|(_, id)| withdrawn.contains(*id));
        Ok(found.map(|(source, _)| source.clone()).collect())
    }

    #[tracing::instrument(name = "db.records.publish", skip_all)]
    async fn publish(
        &mut self,
        batch: &RecordBatch<'_>,
        records: &[NewRecord],
    ) -> Result<Vec<RecordSrn>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let ids = records_of(batch, records.iter().map(|record| &record.source_id));
        // Locked in the order of the ids: two writers of one record number its versions one after the other.
        let heads = sqlx::query!(
            r#"select record_id, version, srn is null as "withdrawn!" from record_heads where record_id = any($1) order by record_id for update"#,
            &ids
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if heads.iter().any(|head| head.withdrawn) {
            return Err(self.poison(StoreError::Refused {
                reason: TAKES_NO_VERSION,
                cause: "the head of a record to publish is withdrawn".into(),
            }));
        }
        let at = self.published_at().await?;
        let heads: BTreeMap<Uuid, i32> = heads
            .into_iter()
            .map(|head| (head.record_id, head.version))
            .collect();
        let srns = ids
            .iter()
            .map(|id| {
                let next = heads.get(id).map_or(1, |version| version + 1);
                let version = u32::try_from(next).ok().and_then(NonZeroU32::new);
                let version =
                    version.ok_or_else(|| StoreError::corrupt("record_heads", "version out of range"))?;
                Ok(RecordSrn {
                    node: self.node.clone(),
                    id: RecordId::from_uuid(*id),
                    version,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()
            .map_err(|e| self.poison(e))?;
        let texts: Vec<String> = srns.iter().map(ToString::to_string).collect();
        let versions: Vec<i32> = srns.iter().map(|srn| srn.version.get().cast_signed()).collect();
        let metadata: Vec<Value> = records
            .iter()
            .map(|r| Value::Object(r.metadata.clone()))
            .collect();
        let hashes: Vec<Vec<u8>> = records.iter().map(|r| r.content_hash.to_vec()).collect();
        let sources: Vec<String> = records.iter().map(|r| r.source_id.to_string()).collect();
        let (kind, run) = match &batch.source {
            BatchSource::Ingest(run) => ("ingest", Some(run.as_uuid())),
            BatchSource::Deposition(_) => ("deposition", None),
        };
        sqlx::query!(
            "insert into records (srn, id, version, convention_slug, schema_id, schema_version, metadata, content_hash, source_kind, source_id, ingest_run_id, created_at)
             select srn, id, version, $7, $8, $9, metadata, hash, $11, source, $10, $12
             from unnest($1::text[], $2::uuid[], $3::int[], $4::jsonb[], $5::bytea[], $6::text[]) as new (srn, id, version, metadata, hash, source)",
            &texts,
            &ids,
            &versions,
            &metadata,
            &hashes,
            &sources,
            batch.convention.as_str(),
            batch.schema.id.as_str(),
            batch.schema.version.to_string(),
            run,
            kind,
            at,
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        sqlx::query!(
            "insert into record_heads (record_id, srn, version) select id, srn, version from unnest($1::uuid[], $2::text[], $3::int[]) as new (id, srn, version)
             on conflict (record_id) do update set srn = excluded.srn, version = excluded.version",
            &ids,
            &texts,
            &versions
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let statement = dynamic::copy_metadata(
            &batch.schema.id.metadata_table(batch.schema.version.major()),
            batch.fields,
        );
        copy_in(
            self.conn(),
            statement,
            texts.iter().zip(records).map(Ok),
            |buffer, (srn, record)| {
                buffer.text(srn);
                for cell in &record.cells {
                    buffer.cell(cell);
                }
            },
        )
        .await
        .map_err(|e| self.fail(e))?;
        Ok(srns)
    }
}
