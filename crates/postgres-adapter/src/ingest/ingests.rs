//! Ingest runs, their lines and batches.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::ingest::refused::RefusedLine;
use domain::{
    Actor, ConventionSlug, IngestRunId, RecordId, Schema, SchemaRef, ServiceAccountId, SourceId, TaskId,
    UserId,
};
use ports::ingest::{
    BatchRecord, BatchRun, IngestLine, LineResult, LockedIngestRun, NewIngestRun, RecordEnd,
};
use ports::{Ingests, StoreError};
use serde_json::Value;
use uuid::Uuid;

use crate::store::rows::{actor, count, document, hash, object, parsed, signed, small};
use crate::store::tx::PgTx;

const TABLE: &str = "ingest_runs";
/// The metadata size in bytes after which a batch takes no further record, independently of its size in records.
const MAX_BATCH_BYTES: i64 = 64 * 1024 * 1024;

fn schema(id: &str, version: &str, title: String, fields: Value) -> Result<Schema, StoreError> {
    let reference = SchemaRef {
        id: parsed("schemas", id)?,
        version: parsed("schemas", version)?,
    };
    Ok(Schema {
        reference,
        title,
        fields: document("schemas", fields)?,
    })
}

#[async_trait]
impl Ingests for PgTx {
    #[tracing::instrument(name = "db.ingests.batch_run", skip_all, fields(ingest_run = %run))]
    async fn batch_run(&mut self, run: IngestRunId) -> Result<Option<BatchRun>, StoreError> {
        let row = sqlx::query!(
            "select i.convention_slug, i.status, s.id, s.version, s.title, s.fields
             from ingest_runs i join schemas s on s.id = i.schema_id and s.version = i.schema_version where i.id = $1",
            run.as_uuid()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(|row| {
            Ok(BatchRun {
                convention: parsed(TABLE, &row.convention_slug)?,
                status: parsed(TABLE, &row.status)?,
                schema: schema(&row.id, &row.version, row.title, row.fields)?,
            })
        })
        .transpose()
    }

    #[tracing::instrument(name = "db.ingests.schema", skip_all, fields(ingest_run = %run))]
    async fn schema(&mut self, run: IngestRunId) -> Result<Option<Schema>, StoreError> {
        let row = sqlx::query!(
            "select s.id, s.version, s.title, s.fields from ingest_runs i join schemas s on s.id = i.schema_id and s.version = i.schema_version where i.id = $1",
            run.as_uuid()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(|row| schema(&row.id, &row.version, row.title, row.fields))
            .transpose()
    }

    #[tracing::instrument(name = "db.ingests.open", skip_all)]
    async fn open(&mut self, run: &NewIngestRun) -> Result<Option<IngestRunId>, StoreError> {
        let done = sqlx::query!(
            "insert into ingest_runs (id, convention_slug, mode, schema_id, schema_version, batch_size, record_limit, opened_by_user_id, opened_by_service_account_id,
                since, scheduled_for)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             on conflict (convention_slug) where status in ('pending', 'running') do nothing",
            run.id.as_uuid(),
            run.convention.as_str(),
            run.mode.as_str(),
            run.schema.id.as_str(),
            run.schema.version.to_string(),
            i32::try_from(run.batch_size).map_err(|e| StoreError::Internal(e.into()))?,
            run.limit.map(signed),
            run.opened_by.user().map(UserId::as_uuid),
            run.opened_by.service_account().map(ServiceAccountId::as_uuid),
            run.since,
            run.scheduled_for,
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if done.rows_affected() == 1 {
            return Ok(None);
        }
        let active = sqlx::query_scalar!(
            "select id from ingest_runs where convention_slug = $1 and status in ('pending', 'running')",
            run.convention.as_str()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        match active {
            Some(id) => Ok(Some(IngestRunId::from_uuid(id))),
            // It ended between the two statements; the whole unit of work may be retried.
            None => Err(self.poison(StoreError::Contended("the active run ended meanwhile".into()))),
        }
    }

    #[tracing::instrument(name = "db.ingests.open_runs", skip_all)]
    async fn open_runs(&mut self, opener: &Actor, most: u32) -> Result<u32, StoreError> {
        // Along the index of active runs, of which a convention has at most one.
        let number = sqlx::query_scalar!(
            r#"select count(*) as "n!" from (select 1 as one from ingest_runs where status in ('pending', 'running')
                 and (opened_by_user_id = $1 or opened_by_service_account_id = $2) limit $3) r"#,
            opener.user().map(UserId::as_uuid),
            opener.service_account().map(ServiceAccountId::as_uuid),
            i64::from(most)
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(u32::try_from(number).unwrap_or(most))
    }

    #[tracing::instrument(name = "db.ingests.lock", skip_all, fields(ingest_run = %run))]
    async fn lock(&mut self, run: IngestRunId) -> Result<Option<LockedIngestRun>, StoreError> {
        let row = sqlx::query!(
            "select convention_slug, mode, schema_id, schema_version, status, ingestion_finished, batch_size, record_limit, received,
                    batches_ingested, batches_completed + batches_failed as batches_done, session, pulls, pulled, since,
                    opened_by_user_id, opened_by_service_account_id
             from ingest_runs where id = $1 for no key update",
            run.as_uuid()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(|row| {
            Ok(LockedIngestRun {
                convention: parsed(TABLE, &row.convention_slug)?,
                schema: SchemaRef {
                    id: parsed(TABLE, &row.schema_id)?,
                    version: parsed(TABLE, &row.schema_version)?,
                },
                status: parsed(TABLE, &row.status)?,
                ingestion_finished: row.ingestion_finished,
                batch_size: small(TABLE, row.batch_size)?,
                limit: row.record_limit.map(|n| count(TABLE, n)).transpose()?,
                received: count(TABLE, row.received)?,
                next_batch: small(TABLE, row.batches_ingested)?,
                batches_done: small(TABLE, row.batches_done.unwrap_or_default())?,
                mode: parsed(TABLE, &row.mode)?,
                session: row.session.map(|session| object(TABLE, session)).transpose()?,
                pulls: count(TABLE, row.pulls)?,
                pulled: count(TABLE, row.pulled)?,
                since: row.since,
                opened_by: actor(row.opened_by_user_id, row.opened_by_service_account_id),
            })
        })
        .transpose()
    }

    #[tracing::instrument(name = "db.ingests.next_upload", skip_all, fields(ingest_run = %run))]
    async fn next_upload(&mut self, run: IngestRunId, pushed_by: &Actor) -> Result<u32, StoreError> {
        let number = sqlx::query_scalar!("update ingest_runs set uploads = uploads + 1, status = 'running' where id = $1 returning uploads", run.as_uuid())
            .fetch_one(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        sqlx::query!(
            "insert into ingest_uploads (ingest_run_id, upload, pushed_by_user_id, pushed_by_service_account_id) values ($1, $2, $3, $4)",
            run.as_uuid(),
            number,
            pushed_by.user().map(UserId::as_uuid),
            pushed_by.service_account().map(ServiceAccountId::as_uuid),
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        small(TABLE, number)
    }

    #[tracing::instrument(name = "db.ingests.add_lines", skip_all, fields(ingest_run = %run, convention = %convention))]
    async fn add_lines(
        &mut self,
        run: IngestRunId,
        convention: &ConventionSlug,
        upload: u32,
        lines: &[IngestLine],
    ) -> Result<Vec<LineResult>, StoreError> {
        // The first of several lines with one id is inserted; the others are judged against it.
        let mut first: BTreeMap<&SourceId, &IngestLine> = BTreeMap::new();
        for line in lines {
            first.entry(&line.record.source_id).or_insert(line);
        }
        let mut new: Vec<&IngestLine> = first.into_values().collect();
        new.sort_by_key(|line| line.line);
        let sources: Vec<String> = new.iter().map(|l| l.record.source_id.to_string()).collect();
        let ids: Vec<Uuid> = new
            .iter()
            .map(|l| RecordId::of_source(convention, &l.record.source_id).as_uuid())
            .collect();
        let numbers: Vec<i64> = new
            .iter()
            .map(|l| i64::try_from(l.line).unwrap_or(i64::MAX))
            .collect();
        let metadata: Vec<Value> = new
            .iter()
            .map(|l| Value::Object(l.record.metadata.clone()))
            .collect();
        let hashes: Vec<Vec<u8>> = new.iter().map(|l| l.record.content_hash.to_vec()).collect();
        let inserted = sqlx::query!(
            "insert into ingest_records (ingest_run_id, source_id, upload, line, metadata, bytes, content_hash, outcome, record_srn)
             select $1, new.source, $2, new.line, new.metadata, octet_length(new.metadata::text), new.hash, case when r.srn is not null then 'unchanged' end, r.srn
             from unnest($3::text[], $4::uuid[], $5::bigint[], $6::jsonb[], $7::bytea[]) as new (source, id, line, metadata, hash)
             join ingest_runs n on n.id = $1
             left join record_heads h on h.record_id = new.id
             left join records r on r.srn = h.srn and r.content_hash = new.hash
               and r.schema_id = n.schema_id and r.schema_version = n.schema_version
             order by new.line
             on conflict (ingest_run_id, source_id) do nothing
             returning source_id, upload, line, outcome",
            run.as_uuid(),
            upload.cast_signed(),
            &sources,
            &ids,
            &numbers,
            &metadata,
            &hashes,
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let unchanged = inserted.iter().filter(|row| row.outcome.is_some()).count();
        let fresh: BTreeMap<(String, i64), bool> = inserted
            .iter()
            .map(|row| ((row.source_id.clone(), row.line), row.outcome.is_some()))
            .collect();
        let mut stored: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        if fresh.len() < lines.len() {
            let all: Vec<String> = lines.iter().map(|l| l.record.source_id.to_string()).collect();
            let rows = sqlx::query!("select source_id, content_hash from ingest_records where ingest_run_id = $1 and source_id = any($2)", run.as_uuid(), &all)
                .fetch_all(self.conn())
                .await
                .map_err(|e| self.fail(e))?;
            stored.extend(rows.into_iter().map(|row| (row.source_id, row.content_hash)));
        }
        sqlx::query!(
            "update ingest_runs set received = received + $2, unchanged = unchanged + $3 where id = $1",
            run.as_uuid(),
            i64::try_from(inserted.len()).unwrap_or(i64::MAX),
            i64::try_from(unchanged).unwrap_or(i64::MAX),
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let judge = |line: &IngestLine| {
            let key = (
                line.record.source_id.to_string(),
                i64::try_from(line.line).unwrap_or(i64::MAX),
            );
            match fresh.get(&key) {
                Some(true) => LineResult::Unchanged,
                Some(false) => LineResult::Accepted,
                None if stored
                    .get(&key.0)
                    .is_some_and(|hash| hash.as_slice() == line.record.content_hash) =>
                {
                    LineResult::Repeated
                }
                None => LineResult::Contradicts,
            }
        };
        Ok(lines.iter().map(judge).collect())
    }

    #[tracing::instrument(name = "db.ingests.add_refused", skip_all, fields(ingest_run = %run))]
    async fn add_refused(
        &mut self,
        run: IngestRunId,
        upload: u32,
        lines: &[RefusedLine],
        most: u32,
    ) -> Result<(), StoreError> {
        self.insert_refused(run, upload, lines, most).await
    }

    #[tracing::instrument(name = "db.ingests.waiting", skip_all, fields(ingest_run = %run))]
    async fn waiting(&mut self, run: IngestRunId) -> Result<u64, StoreError> {
        let waiting = sqlx::query_scalar!(
            r#"select count(*) as "count!" from ingest_records where ingest_run_id = $1 and batch is null and outcome is null"#,
            run.as_uuid()
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        count("ingest_records", waiting)
    }

    #[tracing::instrument(name = "db.ingests.cut_batch", skip_all, fields(ingest_run = %run, task = %task))]
    async fn cut_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        task: TaskId,
        most: u32,
    ) -> Result<u32, StoreError> {
        let cut = sqlx::query!(
            "update ingest_records set batch = $2 where ingest_run_id = $1 and source_id in (
               select source_id from (
                 select source_id, sum(bytes) over (order by seq) - bytes as before from ingest_records
                 where ingest_run_id = $1 and batch is null and outcome is null order by seq limit $3) as oldest
               where before < $4)",
            run.as_uuid(),
            batch.cast_signed(),
            i64::from(most),
            MAX_BATCH_BYTES
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?
        .rows_affected();
        let records = i32::try_from(cut).map_err(|e| StoreError::Internal(e.into()))?;
        sqlx::query!(
            "insert into ingest_batches (ingest_run_id, batch, task_id, records) values ($1, $2, $3, $4)",
            run.as_uuid(),
            batch.cast_signed(),
            task.as_uuid(),
            records
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        sqlx::query!(
            "update ingest_runs set batches_ingested = $2, status = 'running' where id = $1",
            run.as_uuid(),
            batch.cast_signed() + 1
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        small("ingest_batches", records)
    }

    #[tracing::instrument(name = "db.ingests.close", skip_all, fields(ingest_run = %run))]
    async fn close(&mut self, run: IngestRunId) -> Result<(), StoreError> {
        sqlx::query!("update ingest_runs set ingestion_finished = true, status = 'running' where id = $1 and status in ('pending', 'running')", run.as_uuid())
            .execute(self.conn())
            .await
            .map(|_| ())
            .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.ingests.batch_records", skip_all, fields(ingest_run = %run))]
    async fn batch_records(&mut self, run: IngestRunId, batch: u32) -> Result<Vec<BatchRecord>, StoreError> {
        const TABLE: &str = "ingest_records";
        let rows = sqlx::query!(
            "select source_id, metadata, content_hash from ingest_records where ingest_run_id = $1 and batch = $2 order by seq",
            run.as_uuid(),
            batch.cast_signed()
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|row| {
                Ok(BatchRecord {
                    source_id: parsed(TABLE, &row.source_id)?,
                    metadata: object(TABLE, row.metadata)?,
                    content_hash: hash(TABLE, &row.content_hash)?,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.ingests.end_batch", skip_all, fields(ingest_run = %run))]
    async fn end_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        ends: &[(SourceId, RecordEnd)],
    ) -> Result<(), StoreError> {
        let sources: Vec<String> = ends.iter().map(|(id, _)| id.to_string()).collect();
        let outcomes: Vec<String> = ends.iter().map(|(_, end)| outcome(end).to_owned()).collect();
        let (mut hooks, mut reasons, mut srns) = (Vec::new(), Vec::new(), Vec::new());
        for (_, end) in ends {
            let (hook, reason, srn) = match end {
                RecordEnd::Published(srn) => (None, None, Some(srn.to_string())),
                RecordEnd::Rejected(hook, reason) | RecordEnd::Errored(hook, reason) => {
                    (Some(hook.to_string()), Some(reason.clone()), None)
                }
                RecordEnd::Unstorable(reason) => (None, Some(reason.clone()), None),
            };
            hooks.push(hook);
            reasons.push(reason);
            srns.push(srn);
        }
        sqlx::query!(
            "update ingest_records i set outcome = e.outcome, hook_name = e.hook, reason = e.reason, record_srn = e.srn
             from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) as e (source, outcome, hook, reason, srn)
             where i.ingest_run_id = $1 and i.batch = $2 and i.source_id = e.source",
            run.as_uuid(),
            batch.cast_signed(),
            &sources,
            &outcomes,
            &hooks as &[Option<String>],
            &reasons as &[Option<String>],
            &srns as &[Option<String>],
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let of = |name: &str| outcomes.iter().filter(|o| *o == name).count();
        self.count_batch(
            run,
            batch,
            "completed",
            [of("published"), of("rejected"), of("errored")],
            None,
        )
        .await
    }

    #[tracing::instrument(name = "db.ingests.fail_batch", skip_all, fields(ingest_run = %run))]
    async fn fail_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        kind: &str,
        reason: &str,
    ) -> Result<u64, StoreError> {
        let errored = sqlx::query!(
            "update ingest_records set outcome = 'errored', reason = $3 where ingest_run_id = $1 and batch = $2 and outcome is null",
            run.as_uuid(),
            batch.cast_signed(),
            reason
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?
        .rows_affected();
        let number = usize::try_from(errored).unwrap_or(usize::MAX);
        self.count_batch(run, batch, "failed", [0, 0, number], Some((kind, reason)))
            .await?;
        Ok(errored)
    }

    #[tracing::instrument(name = "db.ingests.complete_if_done", skip_all, fields(ingest_run = %run))]
    async fn complete_if_done(&mut self, run: IngestRunId) -> Result<Option<u64>, StoreError> {
        let published = sqlx::query_scalar!(
            "update ingest_runs set status = 'completed', completed_at = now()
             where id = $1 and status = 'running' and ingestion_finished and batches_completed + batches_failed >= batches_ingested
               and not exists (select 1 from ingest_records where ingest_run_id = $1 and batch is null and outcome is null)
             returning published",
            run.as_uuid()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        published.map(|n| count(TABLE, n)).transpose()
    }
}

const fn outcome(end: &RecordEnd) -> &'static str {
    match end {
        RecordEnd::Published(_) => "published",
        RecordEnd::Rejected(..) => "rejected",
        RecordEnd::Errored(..) | RecordEnd::Unstorable(_) => "errored",
    }
}

impl PgTx {
    /// Writes a batch's end and adds its counts (published, rejected, errored) to the run. A batch that has ended
    /// already is not counted again.
    async fn count_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        status: &str,
        counts: [usize; 3],
        failure: Option<(&str, &str)>,
    ) -> Result<(), StoreError> {
        let ended = sqlx::query!(
            "update ingest_batches set status = $3 where ingest_run_id = $1 and batch = $2 and status = 'queued'",
            run.as_uuid(),
            batch.cast_signed(),
            status
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if ended.rows_affected() == 0 {
            return Ok(());
        }
        let [published, rejected, errored] = counts.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        sqlx::query!(
            "update ingest_runs set published = published + $2, rejected = rejected + $3, errored = errored + $4,
               batches_completed = batches_completed + case when $5 then 0 else 1 end, batches_failed = batches_failed + case when $5 then 1 else 0 end,
               failure_kind = coalesce($6, failure_kind), failure_reason = coalesce($7, failure_reason)
             where id = $1",
            run.as_uuid(),
            published,
            rejected,
            errored,
            failure.is_some(),
            failure.map(|(kind, _)| kind),
            failure.map(|(_, reason)| reason),
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }
}
