//! The provenance of a row (PRV-6).

use async_trait::async_trait;
use domain::{Actor, HookName, HookRun, IngestRunId, ReleaseVersion, RunId, SchemaRef, TaskId, UserId};
use ports::data::{
    Identity, RecordView, RowTrace, Table, TableKind, TraceDelegation, TraceDeposition, TraceSource,
    TraceTask,
};
use ports::{ProvenanceQueries, StoreError};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::dynamic;
use crate::ingest::detail::run_counts;
use crate::store::error::store_error;
use crate::store::rows::{actor, count, object, parsed, release_version, releases, small};
use crate::store::tx::PgStore;

/// A feature row, with the data that traces it.
struct TracedRow {
    srn: String,
    run: Uuid,
    created_at: OffsetDateTime,
    superseded_by: Option<Uuid>,
    values: Value,
    /// Whether its record has no newer version.
    newest: bool,
}

struct RunRow {
    id: Uuid,
    release_id: Uuid,
    status: String,
    started_at: OffsetDateTime,
    finished_at: OffsetDateTime,
    duration_s: f64,
    oom_retries: i32,
    worker: String,
    log_ref: Option<String>,
    failure: Option<String>,
    passed: Option<i64>,
    rejected: Option<i64>,
    errored: Option<i64>,
    location: i64,
}

impl RunRow {
    fn run(self) -> Result<HookRun, StoreError> {
        const TABLE: &str = "hook_runs";
        Ok(HookRun {
            id: RunId::from_uuid(self.id),
            release: domain::ReleaseId::from_uuid(self.release_id),
            location: small(TABLE, self.location)?,
            status: parsed(TABLE, &self.status)?,
            started_at: self.started_at,
            finished_at: self.finished_at,
            duration_s: self.duration_s,
            oom_retries: small(TABLE, self.oom_retries)?,
            counts: run_counts(self.passed, self.rejected, self.errored)?,
            worker: self.worker,
            log_ref: self.log_ref,
            failure: self.failure,
        })
    }
}

/// The statements of a trace, on one connection: returning one to the pool costs as much as a statement.
struct Tracing<'a> {
    conn: &'a mut PgConnection,
    /// The identities read so far: most of a trace has the same actor.
    known: Vec<Identity>,
}

impl Tracing<'_> {
    /// Returns the identity of an actor (REG-7).
    async fn identity(&mut self, actor: Actor) -> Result<Identity, StoreError> {
        if let Some(known) = self.known.iter().find(|known| known.actor == actor) {
            return Ok(known.clone());
        }
        let (name, authority) = match &actor {
            Actor::User(id) => {
                let row = sqlx::query!(
                    "select display_name, provider from users where id = $1",
                    id.as_uuid()
                )
                .fetch_optional(&mut *self.conn)
                .await
                .map_err(store_error)?;
                row.map(|row| (row.display_name, row.provider)).unzip()
            }
            Actor::ServiceAccount(id) => {
                let row = sqlx::query!(
                    "select subject, issuer from service_accounts where id = $1",
                    id.as_uuid()
                )
                .fetch_optional(&mut *self.conn)
                .await
                .map_err(store_error)?;
                row.map(|row| (row.subject, row.issuer)).unzip()
            }
            Actor::System => (None, None),
        };
        let identity = Identity {
            actor,
            name,
            authority,
        };
        self.known.push(identity.clone());
        Ok(identity)
    }

    async fn run_of(&mut self, id: RunId) -> Result<Option<HookRun>, StoreError> {
        let row = sqlx::query_as!(
            RunRow,
            "select id, release_id, status, started_at, finished_at, duration_s, oom_retries, worker, log_ref, failure, passed, rejected, errored, location from hook_runs where id = $1",
            id.as_uuid()
        )
        .fetch_optional(&mut *self.conn)
        .await
        .map_err(store_error)?;
        row.map(RunRow::run).transpose()
    }

    async fn live_version(&mut self, hook: &HookName) -> Result<Option<ReleaseVersion>, StoreError> {
        let version = sqlx::query_scalar!(
            "select r.version from hooks h join hook_releases r on r.id = h.live_release_id where h.name = $1",
            hook.as_str()
        )
        .fetch_optional(&mut *self.conn)
        .await
        .map_err(store_error)?;
        version.map(release_version).transpose()
    }

    async fn release_of(&mut self, run: &HookRun) -> Result<domain::HookRelease, StoreError> {
        releases!("where r.id = $1", run.release.as_uuid())
            .fetch_one(&mut *self.conn)
            .await
            .map_err(store_error)?
            .release()
    }

    async fn source_of(&mut self, srn: &str) -> Result<Option<TraceSource>, StoreError> {
        const TABLE: &str = "ingest_records";
        let row = sqlx::query!(
            r#"select r.convention_slug, r.ingest_run_id, r.source_id, i.upload, i.line, i.batch, n.opened_by_user_id, n.opened_by_service_account_id,
                    u.pushed_by_user_id as "pushed_by_user_id?", u.pushed_by_service_account_id as "pushed_by_service_account_id?"
             from records r join ingest_records i on i.ingest_run_id = r.ingest_run_id and i.source_id = r.source_id
             join ingest_runs n on n.id = r.ingest_run_id
             left join ingest_uploads u on u.ingest_run_id = i.ingest_run_id and u.upload = i.upload where r.srn = $1"#,
            srn
        )
        .fetch_optional(&mut *self.conn)
        .await
        .map_err(store_error)?;
        let Some(row) = row else { return Ok(None) };
        let Some(run) = row.ingest_run_id else {
            return Ok(None);
        };
        Ok(Some(TraceSource {
            convention: parsed(TABLE, &row.convention_slug)?,
            run: IngestRunId::from_uuid(run),
            source_id: parsed(TABLE, &row.source_id)?,
            upload: row.upload,
            line: row.line,
            batch: row.batch,
            opened_by: self
                .identity(actor(row.opened_by_user_id, row.opened_by_service_account_id))
                .await?,
            pushed_by: self
                .identity(actor(row.pushed_by_user_id, row.pushed_by_service_account_id))
                .await?,
        }))
    }

    async fn deposition_of(&mut self, srn: &str) -> Result<Option<TraceDeposition>, StoreError> {
        const TABLE: &str = "depositions";
        let row = sqlx::query!(
            "select d.id, d.convention_slug, d.owner_user_id, s.number, s.submitted_at, s.curated_by_user_id
             from depositions d join submissions s on s.deposition_id = d.id and s.number = d.submissions where d.record_srn = $1",
            srn
        )
        .fetch_optional(&mut *self.conn)
        .await
        .map_err(store_error)?;
        let Some(row) = row else { return Ok(None) };
        let curated_by = match row.curated_by_user_id {
            Some(user) => Some(self.identity(Actor::User(UserId::from_uuid(user))).await?),
            None => None,
        };
        Ok(Some(TraceDeposition {
            id: parsed(TABLE, &row.id)?,
            convention: parsed(TABLE, &row.convention_slug)?,
            submission: count("submissions", row.number)?,
            submitted_at: row.submitted_at,
            owner: self
                .identity(Actor::User(UserId::from_uuid(row.owner_user_id)))
                .await?,
            curated_by,
        }))
    }

    async fn task_of(&mut self, run: RunId) -> Result<Option<TraceTask>, StoreError> {
        let task = sqlx::query!(
            "select t.id, t.kind, t.name, t.status, t.creator_user_id, t.creator_service_account_id, t.created_at
             from release_pins p join tasks t on t.id = p.task_id where p.run_id = $1",
            run.as_uuid()
        )
        .fetch_optional(&mut *self.conn)
        .await
        .map_err(store_error)?;
        let Some(task) = task else { return Ok(None) };
        let delegations = sqlx::query!(
            r#"select d.delegation_id as "delegation_id!", d.caller_id as "caller_id!", d.callee_id as "callee_id!", d.status as "status!", d.attempt as "attempt!",
                 d.retry_count as "retry_count!", d.created_at as "created_at!", d.updated_at as "updated_at!",
                 (select worker_id from delegation_attempts a where a.delegation_id = d.delegation_id and a.attempt = d.attempt and a.event = 'claimed' limit 1) as worker
               from (
                 select delegation_id, caller_id, callee_id, status, attempt, retry_count, created_at, updated_at from delegations where task_id = $1
                 union all
                 select delegation_id, caller_id, callee_id, status, attempt, retry_count::integer, created_at, updated_at from delegations_archive where task_id = $1
               ) d order by d.created_at, d.retry_count"#,
            task.id
        )
        .fetch_all(&mut *self.conn)
        .await
        .map_err(store_error)?;
        let delegations = delegations
            .into_iter()
            .map(|d| TraceDelegation {
                id: d.delegation_id,
                caller: d.caller_id,
                callee: d.callee_id,
                status: d.status,
                attempt: d.attempt,
                retry_count: d.retry_count,
                worker: d.worker,
                created_at: d.created_at,
                updated_at: d.updated_at,
            })
            .collect();
        Ok(Some(TraceTask {
            id: TaskId::from_uuid(task.id),
            kind: task.kind,
            name: task.name,
            status: task.status,
            creator: self
                .identity(actor(task.creator_user_id, task.creator_service_account_id))
                .await?,
            created_at: task.created_at,
            delegations,
        }))
    }

    async fn traced_row(
        &mut self,
        table: &Table,
        hook: &HookName,
        row: i64,
    ) -> Result<Option<TracedRow>, StoreError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the table's name is known at run time only"
        )]
        let query = sqlx::query(AssertSqlSafe(dynamic::traced_row(hook)));
        let found = query
            .bind(table.schema.to_string())
            .bind(table.versions.clone())
            .bind(row)
            .fetch_optional(&mut *self.conn)
            .await
            .map_err(store_error)?;
        let read = |row: sqlx::postgres::PgRow| -> Result<_, sqlx::Error> {
            Ok(TracedRow {
                srn: row.try_get(0)?,
                run: row.try_get(1)?,
                created_at: row.try_get(2)?,
                superseded_by: row.try_get(3)?,
                values: row.try_get(4)?,
                newest: row.try_get(5)?,
            })
        };
        found
            .map(|row| read(row).map_err(|e| StoreError::corrupt("features", e)))
            .transpose()
    }
}

#[async_trait]
impl ProvenanceQueries for PgStore {
    #[tracing::instrument(name = "db.provenance_queries.run", skip_all, fields(run = %id))]
    async fn run(&self, id: RunId) -> Result<Option<HookRun>, StoreError> {
        let mut conn = self.pool.acquire().await.map_err(store_error)?;
        let mut tracing = Tracing {
            conn: &mut conn,
            known: Vec::new(),
        };
        tracing.run_of(id).await
    }

    #[tracing::instrument(name = "db.provenance_queries.has_rows", skip_all, fields(run = %run))]
    async fn has_rows(&self, run: RunId) -> Result<bool, StoreError> {
        let hook = sqlx::query_scalar!(
            "select r.hook_name from hook_runs u join hook_releases r on r.id = u.release_id where u.id = $1",
            run.as_uuid()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        let Some(hook) = hook else { return Ok(false) };
        #[expect(
            clippy::disallowed_methods,
            reason = "the table's name is known at run time only"
        )]
        sqlx::query_scalar(AssertSqlSafe(dynamic::has_rows_of_run(&parsed(
            "hook_releases",
            &hook,
        )?)))
        .bind(run.as_uuid())
        .fetch_one(&self.pool)
        .await
        .map_err(store_error)
    }

    #[tracing::instrument(name = "db.provenance_queries.trace", skip_all)]
    async fn trace(&self, table: &Table, row: i64) -> Result<Option<RowTrace>, StoreError> {
        let TableKind::Feature(hook) = &table.kind else {
            return Ok(None);
        };
        let mut conn = self.pool.acquire().await.map_err(store_error)?;
        let mut tracing = Tracing {
            conn: &mut conn,
            known: Vec::new(),
        };
        let Some(traced) = tracing.traced_row(table, hook, row).await? else {
            return Ok(None);
        };
        let TracedRow {
            srn,
            run,
            created_at,
            superseded_by,
            values,
            newest,
        } = traced;
        // Everything from here on is immutable, except the state of the task and the pointer, and what is added since
        // (locations, yanks), so several statements are consistent.
        let run = tracing
            .run_of(RunId::from_uuid(run))
            .await?
            .ok_or_else(|| StoreError::corrupt("features", "a row without its run"))?;
        let release = tracing.release_of(&run).await?;
        let record = sqlx::query!(
            "select schema_id, schema_version, metadata, created_at, source_kind from records where srn = $1",
            srn
        )
        .fetch_one(&mut *tracing.conn)
        .await
        .map_err(store_error)?;
        let deposited = record.source_kind == "deposition";
        Ok(Some(RowTrace {
            row_id: row,
            values: object("features", values)?,
            created_at,
            current: superseded_by.is_none() && newest,
            superseded_by: superseded_by.map(RunId::from_uuid),
            built_by: tracing.identity(release.built_by.clone()).await?,
            live: tracing.live_version(hook).await?,
            source: if deposited {
                None
            } else {
                tracing.source_of(&srn).await?
            },
            deposition: if deposited {
                tracing.deposition_of(&srn).await?
            } else {
                None
            },
            task: tracing.task_of(run.id).await?,
            record: RecordView {
                srn: parsed("records", &srn)?,
                schema: SchemaRef {
                    id: parsed("records", &record.schema_id)?,
                    version: parsed("records", &record.schema_version)?,
                },
                metadata: record.metadata,
                created_at: record.created_at,
            },
            run,
            release,
        }))
    }
}
