//! Ingest runs that pull.

use async_trait::async_trait;
use domain::{ConventionSlug, DelegationId, IngestRunId, SourceId};
use ports::{PullEnd, Pulls, RecordFile, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::rows::{count, hash, parsed, signed};
use crate::store::tx::PgTx;

#[async_trait]
impl Pulls for PgTx {
    #[tracing::instrument(name = "db.pulls.add_files", skip_all, fields(ingest_run = %run))]
    async fn add_files(&mut self, run: IngestRunId, files: &[RecordFile]) -> Result<(), StoreError> {
        let records: Vec<String> = files.iter().map(|f| f.record.to_string()).collect();
        let names: Vec<String> = files.iter().map(|f| f.name.to_string()).collect();
        let keys: Vec<String> = files.iter().map(|f| f.key.clone()).collect();
        let bytes: Vec<i64> = files.iter().map(|f| signed(f.bytes)).collect();
        let hashes: Vec<Vec<u8>> = files.iter().map(|f| f.sha256.to_vec()).collect();
        sqlx::query!(
            "insert into ingest_files (ingest_run_id, source_id, name, key, bytes, sha256)
             select $1, source, name, key, bytes, hash from unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bytea[]) as new (source, name, key, bytes, hash)",
            run.as_uuid(),
            &records,
            &names,
            &keys,
            &bytes,
            &hashes
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.pulls.batch_files", skip_all, fields(ingest_run = %run))]
    async fn batch_files(&mut self, run: IngestRunId, batch: u32) -> Result<Vec<RecordFile>, StoreError> {
        const TABLE: &str = "ingest_files";
        let rows = sqlx::query!(
            "select f.source_id, f.name, f.key, f.bytes, f.sha256 from ingest_records r
             join ingest_files f on f.ingest_run_id = r.ingest_run_id and f.source_id = r.source_id
             where r.ingest_run_id = $1 and r.batch = $2 order by r.seq, f.name",
            run.as_uuid(),
            batch.cast_signed()
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|row| {
                Ok(RecordFile {
                    record: parsed::<SourceId>(TABLE, &row.source_id)?,
                    name: parsed(TABLE, &row.name)?,
                    key: row.key,
                    bytes: count(TABLE, row.bytes)?,
                    sha256: hash(TABLE, &row.sha256)?,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.pulls.end_pull", skip_all)]
    async fn end_pull(&mut self, end: &PullEnd<'_>, more: bool) -> Result<(), StoreError> {
        let run = end.run.as_uuid();
        let [image, digest, source_ref] = end.image;
        sqlx::query!(
            "insert into ingest_pulls (ingest_run_id, pull, task_id, records, refused, failure_kind, failure_reason, log_ref, image, digest, source_ref, duration_s)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            run,
            signed(end.pull),
            end.task.as_uuid(),
            signed(end.records),
            signed(end.refused),
            end.failure.map(|(kind, _)| kind),
            end.failure.map(|(_, reason)| reason),
            end.log_ref,
            image,
            digest,
            source_ref,
            end.duration_s
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let lines: Vec<i64> = end.refusals.iter().map(|(line, ..)| signed(*line)).collect();
        let ids: Vec<Option<String>> = end.refusals.iter().map(|(_, id, _)| id.clone()).collect();
        let reasons: Vec<String> = end.refusals.iter().map(|(.., why)| why.clone()).collect();
        sqlx::query!(
            "insert into ingest_refusals (ingest_run_id, pull, line, source_id, reason)
             select $1, $2, line, id, reason from unnest($3::bigint[], $4::text[], $5::text[]) as new (line, id, reason)",
            run,
            signed(end.pull),
            &lines,
            &ids as &[Option<String>],
            &reasons
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let session: Option<Value> = end.session.cloned().map(Value::Object);
        sqlx::query!(
            "update ingest_runs set status = 'running', pulls = pulls + 1, pulled = pulled + $2, refused = refused + $3, session = coalesce($4, session),
               ingestion_finished = not $5,
               batches_ingested = batches_ingested + case when $6::text is null then 0 else 1 end,
               batches_failed = batches_failed + case when $6::text is null then 0 else 1 end,
               failure_kind = coalesce(failure_kind, $6), failure_reason = coalesce(failure_reason, $7)
             where id = $1",
            run,
            signed(end.records),
            signed(end.refused),
            session,
            more,
            end.failure.map(|(kind, _)| kind),
            end.failure.map(|(_, reason)| reason)
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.pulls.abort", skip_all, fields(ingest_run = %run))]
    async fn abort(&mut self, run: IngestRunId, kind: &str, reason: &str) -> Result<(), StoreError> {
        let id = run.as_uuid();
        let errored = sqlx::query!(
            "update ingest_records set outcome = 'errored', reason = $2 where ingest_run_id = $1 and outcome is null",
            id,
            reason
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?
        .rows_affected();
        let failed = sqlx::query!(
            "update ingest_batches set status = 'failed' where ingest_run_id = $1 and status = 'queued'",
            id
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?
        .rows_affected();
        sqlx::query!(
            "update ingest_runs set status = 'failed', completed_at = now(), ingestion_finished = true, failure_kind = $2, failure_reason = $3,
               errored = errored + $4, batches_failed = batches_failed + $5
             where id = $1",
            id,
            kind,
            reason,
            signed(errored),
            i32::try_from(failed).map_err(|e| StoreError::Internal(e.into()))?
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.pulls.open_delegations", skip_all, fields(ingest_run = %run))]
    async fn open_delegations(&mut self, run: IngestRunId) -> Result<Vec<DelegationId>, StoreError> {
        // A pull's task is found by its number only until it ends; the next number is the run's count.
        let pull: Vec<Uuid> = self.next_pull_task(run).await?.into_iter().collect();
        let ids = sqlx::query_scalar!(
            "select d.delegation_id from delegations d
             where d.task_id = any(array(select task_id from ingest_batches where ingest_run_id = $1 and status = 'queued') || $2::uuid[])
               and d.status || '' in ('queued', 'dispatched', 'in_progress') order by d.delegation_id",
            run.as_uuid(),
            &pull
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        ids.iter().map(|id| parsed("delegations", id)).collect()
    }

    #[tracing::instrument(name = "db.pulls.has_run", skip_all, fields(convention = %convention))]
    async fn has_run(
        &mut self,
        convention: &ConventionSlug,
        scheduled_for: Option<OffsetDateTime>,
    ) -> Result<bool, StoreError> {
        sqlx::query_scalar!(
            r#"select exists (select 1 from ingest_runs where convention_slug = $1 and ($2::timestamptz is null or scheduled_for = $2)) as "has!""#,
            convention.as_str(),
            scheduled_for
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.pulls.last_full_pull", skip_all, fields(convention = %convention))]
    async fn last_full_pull(
        &mut self,
        convention: &ConventionSlug,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        sqlx::query_scalar!(
            "select started_at from ingest_runs where convention_slug = $1 and mode = 'pull' and status = 'completed' and batches_failed = 0 and errored = 0
               and (since is null or scheduled_for is not null)
               and (record_limit is null or pulled < record_limit)
             order by started_at desc limit 1",
            convention.as_str()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))
    }
}

impl PgTx {
    /// Returns the task of the run's next pull; none for an unknown run.
    async fn next_pull_task(&mut self, run: IngestRunId) -> Result<Option<Uuid>, StoreError> {
        let pulls = sqlx::query_scalar!("select pulls from ingest_runs where id = $1", run.as_uuid())
            .fetch_optional(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        pulls
            .map(|pulls| Ok(domain::TaskId::of_pull(run, count("ingest_runs", pulls)?).as_uuid()))
            .transpose()
    }
}
