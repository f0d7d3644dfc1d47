//! Ingest runs in detail.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::{Actor, HookRun, IngestRunId, ReleaseId, RunCounts, RunId, TaskId};
use ports::ingest::{BatchHook, BatchView, IngestRecordView, PullView, RefusalView, RefusedLineView};
use ports::{IngestDetailQueries, StoreError};
use uuid::Uuid;

use crate::store::error::store_error;
use crate::store::rows::{actor, count, parsed, release_version, signed, small};
use crate::store::tx::PgStore;

#[async_trait]
impl IngestDetailQueries for PgStore {
    #[tracing::instrument(name = "db.ingest_detail_queries.batches", skip_all, fields(ingest_run = %run))]
    async fn batches(
        &self,
        run: IngestRunId,
        after: Option<u32>,
        most: u32,
    ) -> Result<Vec<BatchView>, StoreError> {
        const TABLE: &str = "ingest_batches";
        let rows = sqlx::query!(
            r#"select b.batch, b.task_id, b.status, b.records, c.published as "published!", c.rejected as "rejected!", c.errored as "errored!"
               from ingest_batches b cross join lateral (
                 select count(*) filter (where outcome = 'published') as published, count(*) filter (where outcome = 'rejected') as rejected,
                        count(*) filter (where outcome = 'errored') as errored
                 from ingest_records r where r.ingest_run_id = b.ingest_run_id and r.batch = b.batch) c
               where b.ingest_run_id = $1 and b.batch > $2 order by b.batch limit $3"#,
            run.as_uuid(),
            after.map_or(-1, u32::cast_signed),
            i64::from(most)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        let tasks: Vec<Uuid> = rows.iter().map(|row| row.task_id).collect();
        let mut hooks = self.hooks_of(&tasks).await?;
        rows.into_iter()
            .map(|row| {
                Ok(BatchView {
                    batch: small(TABLE, row.batch)?,
                    task: TaskId::from_uuid(row.task_id),
                    status: row.status,
                    records: u64::from(small(TABLE, row.records)?),
                    published: count(TABLE, row.published)?,
                    rejected: count(TABLE, row.rejected)?,
                    errored: count(TABLE, row.errored)?,
                    hooks: hooks.remove(&row.task_id).unwrap_or_default(),
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.ingest_detail_queries.records", skip_all, fields(ingest_run = %run))]
    async fn records(
        &self,
        run: IngestRunId,
        outcome: Option<&str>,
        after: Option<i64>,
        most: u32,
    ) -> Result<Vec<IngestRecordView>, StoreError> {
        let rows = sqlx::query!(
            "select seq, source_id, outcome, hook_name, reason, batch, record_srn from ingest_records
             where ingest_run_id = $1 and seq > $2 and ($3::text is null or outcome = $3) order by seq limit $4",
            run.as_uuid(),
            after.unwrap_or(-1),
            outcome,
            i64::from(most)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                Ok(IngestRecordView {
                    seq: row.seq,
                    source_id: row.source_id,
                    outcome: row.outcome,
                    hook: row.hook_name,
                    reason: row.reason,
                    batch: row.batch.map(|n| small("ingest_records", n)).transpose()?,
                    record_srn: row.record_srn,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.ingest_detail_queries.pulls", skip_all, fields(ingest_run = %run))]
    async fn pulls(
        &self,
        run: IngestRunId,
        after: Option<u64>,
        most: u32,
    ) -> Result<Vec<PullView>, StoreError> {
        const TABLE: &str = "ingest_pulls";
        let rows = sqlx::query!(
            "select pull, task_id, records, refused, failure_kind, failure_reason, log_ref, image, digest, source_ref, duration_s, finished_at
             from ingest_pulls where ingest_run_id = $1 and pull > $2 order by pull limit $3",
            run.as_uuid(),
            after.map_or(-1, signed),
            i64::from(most)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                Ok(PullView {
                    pull: count(TABLE, row.pull)?,
                    task: TaskId::from_uuid(row.task_id),
                    records: count(TABLE, row.records)?,
                    refused: count(TABLE, row.refused)?,
                    failure: row.failure_kind.zip(row.failure_reason),
                    log_ref: row.log_ref,
                    image: [row.image, row.digest, row.source_ref],
                    duration_s: row.duration_s,
                    finished_at: row.finished_at,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.ingest_detail_queries.refusals", skip_all, fields(ingest_run = %run))]
    async fn refusals(&self, run: IngestRunId, pull: u64) -> Result<Vec<RefusedLineView>, StoreError> {
        let rows = sqlx::query!(
            "select line, source_id, reason from ingest_refusals where ingest_run_id = $1 and pull = $2 order by line",
            run.as_uuid(),
            signed(pull)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                Ok(RefusedLineView {
                    line: count("ingest_refusals", row.line)?,
                    source_id: row.source_id,
                    reason: row.reason,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.ingest_detail_queries.refused_lines", skip_all, fields(ingest_run = %run))]
    async fn refused_lines(
        &self,
        run: IngestRunId,
        after: Option<i64>,
        most: u32,
    ) -> Result<Vec<RefusalView>, StoreError> {
        self.refused_lines_of(run, after, most).await
    }

    #[tracing::instrument(name = "db.ingest_detail_queries.stored_refusals", skip_all, fields(ingest_run = %run))]
    async fn stored_refusals(&self, run: IngestRunId) -> Result<u64, StoreError> {
        self.stored_refusals_of(run).await
    }

    #[tracing::instrument(name = "db.ingest_detail_queries.task_of_run", skip_all, fields(run = %run))]
    async fn task_of_run(&self, run: RunId) -> Result<Option<(TaskId, Actor)>, StoreError> {
        let row = sqlx::query!(
            "select t.id, t.creator_user_id, t.creator_service_account_id from release_pins p join tasks t on t.id = p.task_id where p.run_id = $1",
            run.as_uuid()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(row.map(|row| {
            let creator = actor(row.creator_user_id, row.creator_service_account_id);
            (TaskId::from_uuid(row.id), creator)
        }))
    }
}

impl PgStore {
    /// Returns the pinned hooks of these tasks, each with its run if that has ended.
    async fn hooks_of(&self, tasks: &[Uuid]) -> Result<BTreeMap<Uuid, Vec<BatchHook>>, StoreError> {
        const TABLE: &str = "hook_runs";
        let rows = sqlx::query!(
            r#"select p.task_id, p.run_id, p.hook_name, p.release_id, l.version, r.status as "status?", r.started_at as "started_at?", r.finished_at as "finished_at?",
                 r.duration_s as "duration_s?", r.oom_retries as "oom_retries?", r.worker as "worker?", r.log_ref, r.failure, r.passed, r.rejected, r.errored,
                 r.location as "location?"
               from release_pins p join hook_releases l on l.id = p.release_id left join hook_runs r on r.id = p.run_id
               where p.task_id = any($1) order by p.task_id, p.position"#,
            tasks
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        let mut found: BTreeMap<Uuid, Vec<BatchHook>> = BTreeMap::new();
        for row in rows {
            let ended = (
                row.status,
                row.started_at.zip(row.finished_at),
                row.duration_s.zip(row.oom_retries),
                row.worker.zip(row.location),
            );
            let outcome = match ended {
                (
                    Some(status),
                    Some((started_at, finished_at)),
                    Some((duration_s, oom_retries)),
                    Some((worker, location)),
                ) => Some(HookRun {
                    id: RunId::from_uuid(row.run_id),
                    release: ReleaseId::from_uuid(row.release_id),
                    location: small(TABLE, location)?,
                    status: parsed(TABLE, &status)?,
                    started_at,
                    finished_at,
                    duration_s,
                    oom_retries: small(TABLE, oom_retries)?,
                    counts: run_counts(row.passed, row.rejected, row.errored)?,
                    worker,
                    log_ref: row.log_ref,
                    failure: row.failure,
                }),
                _ => None,
            };
            found.entry(row.task_id).or_default().push(BatchHook {
                hook: parsed("release_pins", &row.hook_name)?,
                run: RunId::from_uuid(row.run_id),
                release: ReleaseId::from_uuid(row.release_id),
                version: release_version(row.version)?,
                outcome,
            });
        }
        Ok(found)
    }
}

/// Returns the counts of a run; runs of earlier server versions have none.
pub(crate) fn run_counts(
    passed: Option<i64>,
    rejected: Option<i64>,
    errored: Option<i64>,
) -> Result<Option<RunCounts>, StoreError> {
    const TABLE: &str = "hook_runs";
    let (Some(passed), Some(rejected), Some(errored)) = (passed, rejected, errored) else {
        return Ok(None);
    };
    Ok(Some(RunCounts {
        passed: count(TABLE, passed)?,
        rejected: count(TABLE, rejected)?,
        errored: count(TABLE, errored)?,
    }))
}
