//! Depositions, their files and submissions, in a unit of work.

use async_trait::async_trait;
use domain::{
    ConventionSlug, DepositionId, DepositionStatus, FileName, RecordSrn, RunId, SchemaRef, SubmissionStatus,
    TaskId, UserId,
};
use ports::deposit::{DepositionFile, LockedDeposition, Submission, SubmissionResult};
use ports::{Depositions, StoreError};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::store::rows::{count, hash, object, parsed, signed};
use crate::store::tx::PgTx;

#[async_trait]
impl Depositions for PgTx {
    fn srn(&self, id: &DepositionId) -> String {
        id.srn(&self.node)
    }

    #[tracing::instrument(name = "db.depositions.create", skip_all, fields(deposition = %id, convention = %convention, user = %owner))]
    async fn create(
        &mut self,
        id: &DepositionId,
        convention: &ConventionSlug,
        owner: UserId,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into depositions (id, convention_slug, owner_user_id) values ($1, $2, $3)",
            id.as_str(),
            convention.as_str(),
            owner.as_uuid()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.depositions.drafts", skip_all, fields(user = %owner))]
    async fn drafts(&mut self, owner: UserId, most: u32) -> Result<u32, StoreError> {
        let number = sqlx::query_scalar!(
            r#"select count(*) as "n!" from (select 1 as one from depositions where owner_user_id = $1 and status = 'draft' limit $2) d"#,
            owner.as_uuid(),
            i64::from(most)
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(u32::try_from(number).unwrap_or(most))
    }

    #[tracing::instrument(name = "db.depositions.lock", skip_all, fields(deposition = %id))]
    async fn lock(&mut self, id: &DepositionId) -> Result<Option<LockedDeposition>, StoreError> {
        const TABLE: &str = "depositions";
        let row = sqlx::query!(
            "select convention_slug, owner_user_id, status, metadata, submissions from depositions where id = $1 for no key update",
            id.as_str()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(|row| {
            Ok(LockedDeposition {
                convention: parsed(TABLE, &row.convention_slug)?,
                owner: UserId::from_uuid(row.owner_user_id),
                status: parsed(TABLE, &row.status)?,
                metadata: object(TABLE, row.metadata)?,
                submissions: count(TABLE, row.submissions)?,
            })
        })
        .transpose()
    }

    #[tracing::instrument(name = "db.depositions.set_metadata", skip_all, fields(deposition = %id))]
    async fn set_metadata(
        &mut self,
        id: &DepositionId,
        metadata: &Map<String, Value>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update depositions set metadata = $2, updated_at = now() where id = $1",
            id.as_str(),
            Value::Object(metadata.clone())
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.depositions.files", skip_all, fields(deposition = %id))]
    async fn files(&mut self, id: &DepositionId) -> Result<Vec<DepositionFile>, StoreError> {
        let rows = sqlx::query_as!(
            FileRow,
            "select name, key, bytes, sha256, uploaded_at from deposition_files where deposition_id = $1 order by name",
            id.as_str()
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        rows.into_iter().map(FileRow::file).collect()
    }

    #[tracing::instrument(name = "db.depositions.put_file", skip_all, fields(deposition = %id))]
    async fn put_file(
        &mut self,
        id: &DepositionId,
        name: &FileName,
        key: &str,
        bytes: u64,
        sha256: [u8; 32],
    ) -> Result<(DepositionFile, Option<String>), StoreError> {
        let replaced = self.remove_file(id, name).await?;
        let row = sqlx::query_as!(
            FileRow,
            "insert into deposition_files (deposition_id, name, key, bytes, sha256) values ($1, $2, $3, $4, $5)
             returning name, key, bytes, sha256, uploaded_at",
            id.as_str(),
            name.as_str(),
            key,
            signed(bytes),
            &sha256[..]
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        self.touch(id).await?;
        Ok((row.file()?, replaced))
    }

    #[tracing::instrument(name = "db.depositions.remove_file", skip_all, fields(deposition = %id))]
    async fn remove_file(
        &mut self,
        id: &DepositionId,
        name: &FileName,
    ) -> Result<Option<String>, StoreError> {
        let key = sqlx::query_scalar!(
            "delete from deposition_files where deposition_id = $1 and name = $2 returning key",
            id.as_str(),
            name.as_str()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        self.touch(id).await?;
        Ok(key)
    }

    #[tracing::instrument(name = "db.depositions.submit", skip_all)]
    async fn submit(&mut self, submission: &Submission) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into submissions (task_id, deposition_id, number, metadata, schema_id, schema_version) values ($1, $2, $3, $4, $5, $6)",
            submission.task.as_uuid(),
            submission.deposition.as_str(),
            signed(submission.number),
            Value::Object(submission.metadata.clone()),
            submission.schema.id.as_str(),
            submission.schema.version.to_string()
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        sqlx::query!(
            "update depositions set status = 'in_validation', submissions = $2, updated_at = now() where id = $1",
            submission.deposition.as_str(),
            signed(submission.number)
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.depositions.submission", skip_all, fields(task = %task))]
    async fn submission(&mut self, task: TaskId) -> Result<Option<Submission>, StoreError> {
        const TABLE: &str = "submissions";
        let row = sqlx::query!(
            "select deposition_id, number, metadata, schema_id, schema_version, status from submissions where task_id = $1",
            task.as_uuid()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(|row| {
            Ok(Submission {
                task,
                deposition: parsed(TABLE, &row.deposition_id)?,
                number: count(TABLE, row.number)?,
                metadata: object(TABLE, row.metadata)?,
                schema: SchemaRef {
                    id: parsed(TABLE, &row.schema_id)?,
                    version: parsed(TABLE, &row.schema_version)?,
                },
                status: parsed(TABLE, &row.status)?,
            })
        })
        .transpose()
    }

    #[tracing::instrument(name = "db.depositions.begin_validation", skip_all, fields(task = %task))]
    async fn begin_validation(&mut self, task: TaskId) -> Result<(), StoreError> {
        sqlx::query!(
            "update submissions set status = 'running' where task_id = $1 and status = 'pending'",
            task.as_uuid()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.depositions.add_results", skip_all, fields(task = %task))]
    async fn add_results(&mut self, task: TaskId, results: &[SubmissionResult]) -> Result<(), StoreError> {
        let runs: Vec<Uuid> = results.iter().map(|r| r.run.as_uuid()).collect();
        let hooks: Vec<String> = results.iter().map(|r| r.hook.to_string()).collect();
        let outcomes: Vec<String> = results.iter().map(|r| r.outcome.to_owned()).collect();
        let reasons: Vec<Option<String>> = results.iter().map(|r| r.reason.clone()).collect();
        let keys: Vec<Option<String>> = results.iter().map(|r| r.key.clone()).collect();
        sqlx::query!(
            "insert into submission_results (task_id, run_id, position, hook_name, outcome, reason, key)
             select $1, run, position, hook, outcome, reason, key
             from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) with ordinality as new (run, hook, outcome, reason, key, position)",
            task.as_uuid(),
            &runs,
            &hooks,
            &outcomes,
            &reasons as &[Option<String>],
            &keys as &[Option<String>]
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.depositions.results", skip_all, fields(task = %task))]
    async fn results(&mut self, task: TaskId) -> Result<Vec<SubmissionResult>, StoreError> {
        const TABLE: &str = "submission_results";
        let rows = sqlx::query!(
            "select run_id, hook_name, outcome, reason, key from submission_results where task_id = $1 order by position",
            task.as_uuid()
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|row| {
                Ok(SubmissionResult {
                    hook: parsed(TABLE, &row.hook_name)?,
                    run: RunId::from_uuid(row.run_id),
                    outcome: match row.outcome.as_str() {
                        "passed" => "passed",
                        "rejected" => "rejected",
                        _ => "errored",
                    },
                    reason: row.reason,
                    key: row.key,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.depositions.end_submission", skip_all)]
    async fn end_submission(
        &mut self,
        submission: &Submission,
        status: SubmissionStatus,
        reasons: &[String],
        deposition: DepositionStatus,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update submissions set status = $2, reasons = $3, completed_at = now() where task_id = $1",
            submission.task.as_uuid(),
            status.as_str(),
            Value::from(reasons)
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        // An accepted deposition is accepted through its record.
        if deposition == DepositionStatus::Accepted {
            return Ok(());
        }
        sqlx::query!(
            "update depositions set status = $2, updated_at = now() where id = $1",
            submission.deposition.as_str(),
            deposition.as_str()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.depositions.set_curator", skip_all, fields(task = %task, user = %curator))]
    async fn set_curator(&mut self, task: TaskId, curator: UserId) -> Result<(), StoreError> {
        sqlx::query!(
            "update submissions set curated_by_user_id = $2, curated_at = now() where task_id = $1",
            task.as_uuid(),
            curator.as_uuid()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.depositions.accept", skip_all, fields(deposition = %id, record = %record))]
    async fn accept(&mut self, id: &DepositionId, record: &RecordSrn) -> Result<(), StoreError> {
        sqlx::query!(
            "update depositions set status = 'accepted', record_srn = $2, updated_at = now() where id = $1",
            id.as_str(),
            record.to_string()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }
}

impl PgTx {
    async fn touch(&mut self, id: &DepositionId) -> Result<(), StoreError> {
        sqlx::query!(
            "update depositions set updated_at = now() where id = $1",
            id.as_str()
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }
}

/// A row of `deposition_files`.
pub(crate) struct FileRow {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) bytes: i64,
    pub(crate) sha256: Vec<u8>,
    pub(crate) uploaded_at: time::OffsetDateTime,
}

impl FileRow {
    pub(crate) fn file(self) -> Result<DepositionFile, StoreError> {
        const TABLE: &str = "deposition_files";
        Ok(DepositionFile {
            name: parsed(TABLE, &self.name)?,
            key: self.key,
            bytes: count(TABLE, self.bytes)?,
            sha256: hash(TABLE, &self.sha256)?,
            uploaded_at: self.uploaded_at,
        })
    }
}
