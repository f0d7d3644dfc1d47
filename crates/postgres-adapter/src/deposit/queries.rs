//! Reads of depositions.

use async_trait::async_trait;
use domain::{DepositionId, RunId, TaskId, UserId};
use ports::deposit::{DepositionFile, DepositionView, ValidationResult, ValidationView};
use ports::{DepositionQueries, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::deposit::depositions::FileRow;
use crate::store::error::store_error;
use crate::store::rows::{count, document, object, parsed, release_version, small};
use crate::store::tx::PgStore;

struct Row {
    id: String,
    convention_slug: String,
    owner_user_id: Uuid,
    status: String,
    metadata: Value,
    record_srn: Option<String>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    file_count: i64,
    task_id: Option<Uuid>,
    submission_status: Option<String>,
    reasons: Option<Value>,
}

impl Row {
    fn view(self) -> Result<DepositionView, StoreError> {
        const TABLE: &str = "depositions";
        let submission = match (self.task_id, self.submission_status, self.reasons) {
            (Some(task), Some(status), Some(reasons)) => Some((
                TaskId::from_uuid(task),
                parsed("submissions", &status)?,
                document("submissions", reasons)?,
            )),
            _ => None,
        };
        Ok(DepositionView {
            id: parsed(TABLE, &self.id)?,
            convention: parsed(TABLE, &self.convention_slug)?,
            owner: UserId::from_uuid(self.owner_user_id),
            status: parsed(TABLE, &self.status)?,
            metadata: object(TABLE, self.metadata)?,
            file_count: count(TABLE, self.file_count)?,
            record: self.record_srn.map(|srn| parsed(TABLE, &srn)).transpose()?,
            submission,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

impl PgStore {
    async fn deposition_rows(
        &self,
        id: Option<&str>,
        owner: Option<Uuid>,
        most: i64,
    ) -> Result<Vec<DepositionView>, StoreError> {
        let rows = sqlx::query_as!(
            Row,
            r#"select d.id, d.convention_slug, d.owner_user_id, d.status, d.metadata, d.record_srn, d.created_at, d.updated_at,
                 (select count(*) from deposition_files f where f.deposition_id = d.id) as "file_count!",
                 s.task_id as "task_id?", s.status as "submission_status?", s.reasons as "reasons?"
               from depositions d left join submissions s on s.deposition_id = d.id and s.number = d.submissions
               where ($1::text is null or d.id = $1) and ($2::uuid is null or d.owner_user_id = $2)
               order by d.created_at desc, d.id desc limit $3"#,
            id,
            owner,
            most
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(Row::view).collect()
    }
}

#[async_trait]
impl DepositionQueries for PgStore {
    #[tracing::instrument(name = "db.deposition_queries.deposition", skip_all, fields(deposition = %id))]
    async fn deposition(&self, id: &DepositionId) -> Result<Option<DepositionView>, StoreError> {
        Ok(self.deposition_rows(Some(id.as_str()), None, 1).await?.pop())
    }

    #[tracing::instrument(name = "db.deposition_queries.depositions", skip_all)]
    async fn depositions(
        &self,
        owner: Option<UserId>,
        most: u32,
    ) -> Result<(Vec<DepositionView>, u64), StoreError> {
        let owner = owner.map(UserId::as_uuid);
        let total = sqlx::query_scalar!(
            r#"select count(*) as "count!" from depositions where $1::uuid is null or owner_user_id = $1"#,
            owner
        )
        .fetch_one(&self.pool)
        .await
        .map_err(store_error)?;
        let items = self.deposition_rows(None, owner, i64::from(most)).await?;
        Ok((items, count("depositions", total)?))
    }

    #[tracing::instrument(name = "db.deposition_queries.deposition_files", skip_all, fields(deposition = %id))]
    async fn deposition_files(&self, id: &DepositionId) -> Result<Vec<DepositionFile>, StoreError> {
        let rows = sqlx::query_as!(
            FileRow,
            "select name, key, bytes, sha256, uploaded_at from deposition_files where deposition_id = $1 order by name",
            id.as_str()
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(FileRow::file).collect()
    }

    #[tracing::instrument(name = "db.deposition_queries.validation", skip_all, fields(task = %id))]
    async fn validation(&self, id: TaskId) -> Result<Option<ValidationView>, StoreError> {
        const TABLE: &str = "submission_results";
        let found = sqlx::query!(
            "select s.deposition_id, d.owner_user_id, s.status, s.reasons, s.submitted_at, s.completed_at
             from submissions s join depositions d on d.id = s.deposition_id where s.task_id = $1",
            id.as_uuid()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        let Some(found) = found else { return Ok(None) };
        let results = sqlx::query!(
            "select r.hook_name, r.run_id, l.version, r.outcome, r.reason, h.duration_s, h.oom_retries
             from submission_results r join hook_runs h on h.id = r.run_id join hook_releases l on l.id = h.release_id
             where r.task_id = $1 order by r.position",
            id.as_uuid()
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        let results = results
            .into_iter()
            .map(|row| {
                Ok(ValidationResult {
                    hook: parsed(TABLE, &row.hook_name)?,
                    run: RunId::from_uuid(row.run_id),
                    version: release_version(row.version)?,
                    outcome: row.outcome,
                    reason: row.reason,
                    duration_s: row.duration_s,
                    oom_retries: small("hook_runs", row.oom_retries)?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Some(ValidationView {
            id,
            deposition: parsed("submissions", &found.deposition_id)?,
            owner: UserId::from_uuid(found.owner_user_id),
            status: parsed("submissions", &found.status)?,
            reasons: document("submissions", found.reasons)?,
            results,
            submitted_at: found.submitted_at,
            completed_at: found.completed_at,
        }))
    }
}
