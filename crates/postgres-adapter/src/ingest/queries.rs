//! Reads of ingest runs.

use async_trait::async_trait;
use domain::{IngestRunId, SchemaRef};
use ports::ingest::{IngestRunView, ReasonCount, ScheduleView};
use ports::{IngestQueries, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::error::store_error;
use crate::store::rows::{actor, count, parsed, small};
use crate::store::tx::PgStore;

struct Row {
    id: Uuid,
    convention_slug: String,
    mode: String,
    status: String,
    schema_id: String,
    schema_version: String,
    batch_size: i32,
    record_limit: Option<i64>,
    ingestion_finished: bool,
    received: i64,
    unchanged: i64,
    batches_ingested: i32,
    batches_completed: i32,
    batches_failed: i32,
    published: i64,
    rejected: i64,
    errored: i64,
    failure_kind: Option<String>,
    failure_reason: Option<String>,
    started_at: OffsetDateTime,
    completed_at: Option<OffsetDateTime>,
    pulls: i64,
    pulled: i64,
    refused: i64,
    since: Option<OffsetDateTime>,
    scheduled_for: Option<OffsetDateTime>,
    opened_by_user_id: Option<Uuid>,
    opened_by_service_account_id: Option<Uuid>,
}

impl Row {
    fn view(self) -> Result<IngestRunView, StoreError> {
        const TABLE: &str = "ingest_runs";
        Ok(IngestRunView {
            id: IngestRunId::from_uuid(self.id),
            convention: parsed(TABLE, &self.convention_slug)?,
            schema: SchemaRef {
                id: parsed(TABLE, &self.schema_id)?,
                version: parsed(TABLE, &self.schema_version)?,
            },
            mode: parsed(TABLE, &self.mode)?,
            status: parsed(TABLE, &self.status)?,
            opened_by: actor(self.opened_by_user_id, self.opened_by_service_account_id),
            pulls: count(TABLE, self.pulls)?,
            pulled: count(TABLE, self.pulled)?,
            refused: count(TABLE, self.refused)?,
            since: self.since,
            scheduled_for: self.scheduled_for,
            ingestion_finished: self.ingestion_finished,
            batch_size: small(TABLE, self.batch_size)?,
            limit: self.record_limit.map(|n| count(TABLE, n)).transpose()?,
            received: count(TABLE, self.received)?,
            unchanged: count(TABLE, self.unchanged)?,
            batches_ingested: small(TABLE, self.batches_ingested)?,
            batches_completed: small(TABLE, self.batches_completed)?,
            batches_failed: small(TABLE, self.batches_failed)?,
            published: count(TABLE, self.published)?,
            rejected: count(TABLE, self.rejected)?,
            errored: count(TABLE, self.errored)?,
            started_at: self.started_at,
            completed_at: self.completed_at,
            failure_reason: self.failure_reason,
            failure_kind: self.failure_kind,
        })
    }
}

impl PgStore {
    async fn ingest_rows(&self, only: Option<Uuid>, most: i64) -> Result<Vec<IngestRunView>, StoreError> {
        let rows = sqlx::query_as!(
            Row,
            "select id, convention_slug, mode, status, schema_id, schema_version, batch_size, record_limit, ingestion_finished, received, unchanged,
                    batches_ingested, batches_completed, batches_failed, published, rejected, errored, failure_kind, failure_reason, started_at, completed_at,
                    pulls, pulled, refused, since, scheduled_for, opened_by_user_id, opened_by_service_account_id
             from ingest_runs where $1::uuid is null or id = $1 order by started_at desc, id desc limit $2",
            only,
            most
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(Row::view).collect()
    }
}

#[async_trait]
impl IngestQueries for PgStore {
    #[tracing::instrument(name = "db.ingest_queries.runs", skip_all)]
    async fn runs(&self, most: u32) -> Result<Vec<IngestRunView>, StoreError> {
        self.ingest_rows(None, i64::from(most)).await
    }

    #[tracing::instrument(name = "db.ingest_queries.run", skip_all, fields(ingest_run = %id))]
    async fn run(&self, id: IngestRunId) -> Result<Option<IngestRunView>, StoreError> {
        Ok(self.ingest_rows(Some(id.as_uuid()), 1).await?.pop())
    }

    #[tracing::instrument(name = "db.ingest_queries.reasons", skip_all, fields(ingest_run = %id))]
    async fn reasons(&self, id: IngestRunId, most: u32) -> Result<Vec<ReasonCount>, StoreError> {
        let rows = sqlx::query!(
            r#"select outcome as "outcome!", coalesce(hook_name, '') as "hook!", coalesce(reason, '') as "reason!", count(*) as "records!"
               from ingest_records where ingest_run_id = $1 and outcome in ('rejected', 'errored')
               group by 1, 2, 3 order by count(*) desc, 1, 2, 3 limit $2"#,
            id.as_uuid(),
            i64::from(most)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                Ok(ReasonCount {
                    outcome: row.outcome,
                    // The statement groups by the empty text.
                    hook: Some(row.hook).filter(|hook| !hook.is_empty()),
                    reason: row.reason,
                    records: count("ingest_records", row.records)?,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.ingest_queries.schedules", skip_all)]
    async fn schedules(&self) -> Result<Vec<ScheduleView>, StoreError> {
        let rows = sqlx::query!(
            r#"select c.slug, c.ingester #>> '{schedule,cron}' as "cron!", c.updated_at, clock_timestamp() as "now!",
                 (select max(scheduled_for) from ingest_runs r where r.convention_slug = c.slug) as last,
                 exists (select 1 from ingest_runs r where r.convention_slug = c.slug and r.status in ('pending', 'running')) as "active!"
               from conventions c where c.ingester #>> '{schedule,cron}' is not null"#
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                Ok(ScheduleView {
                    convention: parsed("conventions", &row.slug)?,
                    cron: row.cron,
                    deployed_at: row.updated_at,
                    last: row.last,
                    active: row.active,
                    now: row.now,
                })
            })
            .collect()
    }
}
