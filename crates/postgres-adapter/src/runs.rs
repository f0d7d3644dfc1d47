//! Hook runs and pins.

use async_trait::async_trait;
use domain::{ConventionSlug, HookRun, RunId, SchemaRef, TaskId};
use ports::repos::Pin;
use ports::{Runs, StoreError};
use time::OffsetDateTime;

use crate::rows::{ReleaseRow, document, parsed};
use crate::tx::PgTx;

#[async_trait]
impl Runs for PgTx {
    async fn now(&mut self) -> Result<OffsetDateTime, StoreError> {
        sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
            .fetch_one(self.conn())
            .await
            .map_err(|e| self.fail(e))
    }

    async fn pin_live(
        &mut self,
        task: TaskId,
        convention: &ConventionSlug,
        schema: &SchemaRef,
    ) -> Result<(), StoreError> {
        // A convention that moved on meanwhile may have hooks that this schema version never had.
        sqlx::query!(
            "insert into schema_features (schema_id, schema_version, hook_name) select $1, $2, hook_name from convention_hooks where convention_slug = $3
             on conflict do nothing",
            schema.id.as_str(),
            schema.version.to_string(),
            convention.as_str()
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        // One statement, so all pointers are read in one snapshot.
        let live = sqlx::query!(
            r#"select c.position, c.hook_name, h.live_release_id as "release_id!"
               from convention_hooks c join hooks h on h.name = c.hook_name
               where c.convention_slug = $1 and h.live_release_id is not null order by c.position"#,
            convention.as_str()
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        for row in live {
            let hook = parsed("hooks", &row.hook_name)?;
            sqlx::query!(
                "insert into release_pins (run_id, task_id, position, hook_name, release_id) values ($1, $2, $3, $4, $5) on conflict do nothing",
                RunId::of_unit(task, &hook).as_uuid(),
                task.as_uuid(),
                row.position,
                row.hook_name,
                row.release_id
            )
            .execute(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        }
        Ok(())
    }

    async fn pins(&mut self, task: TaskId) -> Result<Vec<Pin>, StoreError> {
        let rows = sqlx::query!(
            "select p.run_id, h.contract, r.id, r.hook_name, r.version, r.image, r.digest, r.config, r.limits, r.source_ref,
                    r.built_by_user_id, r.built_by_service_account_id, r.built_at
             from release_pins p join hooks h on h.name = p.hook_name join hook_releases r on r.id = p.release_id
             where p.task_id = $1 order by p.position",
            task.as_uuid()
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|row| {
                let release = ReleaseRow {
                    id: row.id,
                    hook_name: row.hook_name,
                    version: row.version,
                    image: row.image,
                    digest: row.digest,
                    config: row.config,
                    limits: row.limits,
                    source_ref: row.source_ref,
                    built_by_user_id: row.built_by_user_id,
                    built_by_service_account_id: row.built_by_service_account_id,
                    built_at: row.built_at,
                };
                Ok(Pin {
                    run: RunId::from_uuid(row.run_id),
                    release: release.release()?,
                    contract: document("hooks", row.contract)?,
                })
            })
            .collect()
    }

    async fn insert(&mut self, run: &HookRun) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into hook_runs (id, release_id, status, started_at, finished_at, duration_s, oom_retries, worker, log_ref, failure)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing",
            run.id.as_uuid(),
            run.release.as_uuid(),
            run.status.as_str(),
            run.started_at,
            run.finished_at,
            run.duration_s,
            run.oom_retries.cast_signed(),
            run.worker,
            run.log_ref,
            run.failure,
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }
}
