//! The parts of a lineage, read in bulk.

use async_trait::async_trait;
use domain::data::lineage::{
    LineageAgent, LineageDelegation, LineageRecord, LineageRelease, LineageRun, LineageSource, LineageTask,
    RowSet,
};
use domain::{Actor, DepositionId, HookName, RecordSrn, ReleaseId, RunId, SchemaRef, TaskId, UserId};
use ports::{LineageQueries, RowSetsOf, StoreError};
use sqlx::Row as _;
use uuid::Uuid;

use crate::dynamic;
use crate::store::error::store_error;
use crate::store::reading::Reach;
use crate::store::rows::{actor, count, hash, parsed, releases, small};
use crate::store::tx::PgStore;

fn schema(table: &'static str, id: &str, version: &str) -> Result<SchemaRef, StoreError> {
    Ok(SchemaRef {
        id: parsed(table, id)?,
        version: parsed(table, version)?,
    })
}

#[async_trait]
impl LineageQueries for PgStore {
    #[tracing::instrument(name = "db.lineage_queries.row_sets", skip_all, fields(hook = %hook))]
    async fn row_sets(&self, hook: &HookName, of: &RowSetsOf, most: u32) -> Result<Vec<RowSet>, StoreError> {
        let reach = if matches!(of, RowSetsOf::Release(_)) {
            Reach::Table
        } else {
            Reach::Rows
        };
        let rows = self.bounded(reach, dynamic::row_sets(hook, of, most)).await?;
        let set = |row: &sqlx::postgres::PgRow| -> Result<RowSet, StoreError> {
            let text = |index: usize| row.try_get::<String, _>(index).map_err(store_error);
            let (superseded_by, rows): (Option<Uuid>, i64) = (
                row.try_get(4).map_err(store_error)?,
                row.try_get(8).map_err(store_error)?,
            );
            Ok(RowSet {
                hook: hook.clone(),
                record: parsed("features", &text(0)?)?,
                schema: schema("records", &text(1)?, &text(2)?)?,
                run: RunId::from_uuid(row.try_get(3).map_err(store_error)?),
                superseded_by: superseded_by.map(RunId::from_uuid),
                current: row.try_get(5).map_err(store_error)?,
                first_row: row.try_get(6).map_err(store_error)?,
                last_row: row.try_get(7).map_err(store_error)?,
                count: count("features", rows)?,
                created_at: row.try_get(9).map_err(store_error)?,
            })
        };
        rows.iter().map(set).collect()
    }

    #[tracing::instrument(name = "db.lineage_queries.lineage_runs", skip_all)]
    async fn lineage_runs(&self, runs: &[RunId]) -> Result<Vec<LineageRun>, StoreError> {
        const TABLE: &str = "hook_runs";
        let ids: Vec<Uuid> = runs.iter().map(|run| run.as_uuid()).collect();
        let rows = sqlx::query!(
            r#"select u.id, u.release_id, u.status, u.started_at, u.finished_at, u.worker, u.oom_retries, p.task_id as "task_id?"
               from hook_runs u left join release_pins p on p.run_id = u.id where u.id = any($1) order by u.started_at, u.id"#,
            &ids
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                Ok(LineageRun {
                    id: RunId::from_uuid(row.id),
                    release: ReleaseId::from_uuid(row.release_id),
                    status: parsed(TABLE, &row.status)?,
                    started_at: row.started_at,
                    finished_at: row.finished_at,
                    worker: row.worker,
                    oom_retries: small(TABLE, row.oom_retries)?,
                    failure: None,
                    task: row.task_id.map(TaskId::from_uuid),
                    inputs: Vec::new(),
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.lineage_queries.lineage_releases", skip_all)]
    async fn lineage_releases(&self, ids: &[ReleaseId]) -> Result<Vec<LineageRelease>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let rows = releases!("where r.id = any($1) order by r.hook_name, r.version", &ids)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                let release = row.release()?;
                Ok(LineageRelease {
                    id: release.id,
                    hook: release.hook,
                    version: release.version,
                    image: release.release.image,
                    digest: release.release.content.digest,
                    source_ref: release.release.source_ref,
                    config: release.release.content.config,
                    built_by: release.built_by,
                    built_at: release.built_at,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.lineage_queries.lineage_records", skip_all)]
    async fn lineage_records(&self, records: &[RecordSrn]) -> Result<Vec<LineageRecord>, StoreError> {
        const TABLE: &str = "records";
        let srns: Vec<String> = records.iter().map(ToString::to_string).collect();
        let rows = sqlx::query!(
            r#"select r.srn, r.schema_id, r.schema_version, r.created_at, r.content_hash, r.convention_slug, r.source_id, r.ingest_run_id,
                 (select p.srn from records p where p.id = r.id and p.version = r.version - 1) as previous,
                 u.pushed_by_user_id as "pushed_by_user_id?", u.pushed_by_service_account_id as "pushed_by_service_account_id?",
                 n.opened_by_user_id as "opened_by_user_id?", n.opened_by_service_account_id as "opened_by_service_account_id?",
                 d.id as "deposition_id?", d.owner_user_id as "owner_user_id?", s.curated_by_user_id as "curated_by_user_id?"
               from records r
               left join ingest_runs n on n.id = r.ingest_run_id
               left join ingest_records i on i.ingest_run_id = r.ingest_run_id and i.source_id = r.source_id
               left join ingest_uploads u on u.ingest_run_id = i.ingest_run_id and u.upload = i.upload
               left join depositions d on d.record_srn = r.srn
               left join submissions s on s.deposition_id = d.id and s.number = d.submissions
               where r.srn = any($1) order by r.srn"#,
            &srns
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                let convention = parsed(TABLE, &row.convention_slug)?;
                let source = match (row.ingest_run_id, &row.deposition_id, row.owner_user_id) {
                    (Some(run), ..) => Some(LineageSource::Ingest {
                        convention,
                        run: domain::IngestRunId::from_uuid(run),
                        source_id: row.source_id,
                        // A run that pulls has no uploads: the user who opened it counts as the sender.
                        pushed_by: Some(match (row.pushed_by_user_id, row.pushed_by_service_account_id) {
                            (None, None) => actor(row.opened_by_user_id, row.opened_by_service_account_id),
                            (user, account) => actor(user, account),
                        }),
                    }),
                    (None, Some(id), Some(owner)) => Some(LineageSource::Deposition {
                        srn: parsed::<DepositionId>("depositions", id)?.srn(&self.node),
                        convention,
                        owner: Actor::User(UserId::from_uuid(owner)),
                        curated_by: row
                            .curated_by_user_id
                            .map(|id| Actor::User(UserId::from_uuid(id))),
                    }),
                    _ => None,
                };
                Ok(LineageRecord {
                    srn: parsed(TABLE, &row.srn)?,
                    schema: schema(TABLE, &row.schema_id, &row.schema_version)?,
                    created_at: row.created_at,
                    content_hash: Some(hash(TABLE, &row.content_hash)?),
                    source,
                    previous: row.previous.map(|srn| parsed(TABLE, &srn)).transpose()?,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.lineage_queries.lineage_tasks", skip_all)]
    async fn lineage_tasks(&self, tasks: &[TaskId]) -> Result<Vec<LineageTask>, StoreError> {
        let ids: Vec<Uuid> = tasks.iter().map(|task| task.as_uuid()).collect();
        let tasks = sqlx::query!(
            "select id, kind, creator_user_id, creator_service_account_id, created_at from tasks where id = any($1) order by created_at, id",
            &ids
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        let delegations = sqlx::query!(
            r#"select task_id as "task_id!", delegation_id as "delegation_id!", caller_id as "caller_id!", callee_id as "callee_id!", status as "status!",
                 attempt as "attempt!", created_at as "created_at!", updated_at as "updated_at!"
               from (
                 select task_id, delegation_id, caller_id, callee_id, status, attempt, created_at, updated_at from delegations where task_id = any($1)
                 union all
                 select task_id, delegation_id, caller_id, callee_id, status, attempt, created_at, updated_at from delegations_archive where task_id = any($1)
               ) d order by created_at, delegation_id"#,
            &ids
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        let mut found: Vec<LineageTask> = tasks
            .into_iter()
            .map(|row| LineageTask {
                id: TaskId::from_uuid(row.id),
                kind: row.kind,
                creator: Some(actor(row.creator_user_id, row.creator_service_account_id)),
                created_at: row.created_at,
                delegations: Vec::new(),
            })
            .collect();
        for row in delegations {
            let of = |task: &&mut LineageTask| task.id.as_uuid() == row.task_id;
            if let Some(task) = found.iter_mut().find(of) {
                task.delegations.push(LineageDelegation {
                    id: row.delegation_id,
                    caller: row.caller_id,
                    callee: row.callee_id,
                    status: row.status,
                    attempt: u32::try_from(row.attempt).unwrap_or(u32::MAX),
                    created_at: row.created_at,
                    updated_at: row.updated_at,
                });
            }
        }
        Ok(found)
    }

    #[tracing::instrument(name = "db.lineage_queries.lineage_agents", skip_all)]
    async fn lineage_agents(&self, actors: &[Actor]) -> Result<Vec<LineageAgent>, StoreError> {
        let (mut users, mut accounts) = (Vec::new(), Vec::new());
        for actor in actors {
            match actor {
                Actor::User(id) => users.push(id.as_uuid()),
                Actor::ServiceAccount(id) => accounts.push(id.as_uuid()),
                Actor::System => {}
            }
        }
        let rows = sqlx::query!(
            r#"select id as "user_id?", null::uuid as "account_id?", display_name as "name!", provider as "authority!" from users where id = any($1)
               union all select null, id, subject, issuer from service_accounts where id = any($2)"#,
            &users,
            &accounts
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(rows
            .into_iter()
            .map(|row| LineageAgent {
                actor: actor(row.user_id, row.account_id),
                name: Some(row.name),
                authority: Some(row.authority),
            })
            .collect())
    }
}
