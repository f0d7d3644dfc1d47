//! Records and their metadata rows, written together (WC-D7).

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use async_trait::async_trait;
use domain::{RecordId, RecordSrn};
use ports::work::{BatchSource, NewRecord, RecordBatch};
use ports::{Records, StoreError};
use serde_json::Value;
use uuid::Uuid;

use crate::dynamic;
use crate::store::copy::copy_in;
use crate::store::tx::PgTx;

#[async_trait]
impl Records for PgTx {
    #[tracing::instrument(name = "db.records.publish", skip_all)]
    async fn publish(
        &mut self,
        batch: &RecordBatch<'_>,
        records: &[NewRecord],
    ) -> Result<Vec<RecordSrn>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = records
            .iter()
            .map(|r| match &batch.source {
                BatchSource::Ingest(_) => RecordId::of_source(batch.convention, &r.source_id).as_uuid(),
                BatchSource::Deposition(id) => RecordId::of_deposition(id).as_uuid(),
            })
            .collect();
        // Locked in the order of the ids: two writers of one record number its versions one after the other.
        let heads = sqlx::query!("select record_id, version from record_heads where record_id = any($1) order by record_id for update", &ids)
            .fetch_all(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
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
            texts.iter().zip(records),
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
