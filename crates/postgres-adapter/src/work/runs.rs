//! Hook runs and pins.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::{ConventionSlug, DelegationId, HookRun, RunId, SchemaRef, TaskId};
use ports::work::{CheckpointRef, Pin};
use ports::{Runs, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::rows::{document, parsed, releases, signed};
use crate::store::tx::PgTx;

#[async_trait]
impl Runs for PgTx {
    #[tracing::instrument(name = "db.runs.now", skip_all)]
    async fn now(&mut self) -> Result<OffsetDateTime, StoreError> {
        sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
            .fetch_one(self.conn())
            .await
            .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.runs.pin_live", skip_all, fields(task = %task, convention = %convention))]
    async fn pin_live(
        &mut self,
        task: TaskId,
        convention: &ConventionSlug,
        schema: &SchemaRef,
    ) -> Result<(), StoreError> {
        // A convention that changed meanwhile may have hooks that this schema version never had.
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

    #[tracing::instrument(name = "db.runs.pins", skip_all, fields(task = %task))]
    async fn pins(&mut self, task: TaskId) -> Result<Vec<Pin>, StoreError> {
        let pins = sqlx::query!(
            "select p.run_id, p.release_id, h.contract from release_pins p join hooks h on h.name = p.hook_name
             where p.task_id = $1 order by p.position",
            task.as_uuid()
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let releases = releases!(
            "join release_pins p on p.release_id = r.id where p.task_id = $1",
            task.as_uuid()
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        // Pins and releases never change, except that a release gets locations: the one in use now is what runs.
        let mut releases: BTreeMap<_, _> = releases.into_iter().map(|row| (row.id, row)).collect();
        pins.into_iter()
            .map(|pin| {
                let release = releases
                    .remove(&pin.release_id)
                    .ok_or_else(|| StoreError::corrupt("release_pins", "a pin without its release"))?;
                Ok(Pin {
                    run: RunId::from_uuid(pin.run_id),
                    release: release.release()?,
                    contract: document("hooks", pin.contract)?,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.runs.insert", skip_all)]
    async fn insert(&mut self, run: &HookRun) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into hook_runs (id, release_id, status, started_at, finished_at, duration_s, oom_retries, worker, log_ref, failure, passed, rejected, errored, location)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) on conflict do nothing",
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
            run.counts.map(|c| signed(c.passed)),
            run.counts.map(|c| signed(c.rejected)),
            run.counts.map(|c| signed(c.errored)),
            i64::from(run.location),
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }

    #[tracing::instrument(name = "db.runs.add_checkpoint", skip_all, fields(delegation = %delegation, run = %run))]
    async fn add_checkpoint(
        &mut self,
        delegation: &DelegationId,
        attempt: i64,
        run: RunId,
        checkpoint: &CheckpointRef,
    ) -> Result<bool, StoreError> {
        // The lease is held until the commit, so the run is not taken over in between. An existing number is this
        // attempt's own: its response was lost.
        let held = sqlx::query_scalar!(
            "select attempt from delegation_leases where delegation_id = $1 and attempt = $2 for key share",
            delegation.as_str(),
            attempt
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if held.is_none() {
            return Ok(false);
        }
        sqlx::query!(
            "insert into hook_checkpoints (run_id, oom_retries, key, duration_s) values ($1, $2, $3, $4) on conflict do nothing",
            run.as_uuid(),
            i64::from(checkpoint.oom_retries),
            checkpoint.key,
            checkpoint.duration_s
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(true)
    }

    #[tracing::instrument(name = "db.runs.checkpoints", skip_all, fields(run = %run))]
    async fn checkpoints(&mut self, run: RunId) -> Result<Vec<CheckpointRef>, StoreError> {
        let rows = sqlx::query!(
            "select oom_retries, key, duration_s from hook_checkpoints where run_id = $1 order by oom_retries",
            run.as_uuid()
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        rows.into_iter()
            .map(|row| {
                Ok(CheckpointRef {
                    oom_retries: u32::try_from(row.oom_retries)
                        .map_err(|e| StoreError::Internal(e.into()))?,
                    key: row.key,
                    duration_s: row.duration_s,
                })
            })
            .collect()
    }

    #[tracing::instrument(name = "db.runs.useless_checkpoints", skip_all)]
    async fn useless_checkpoints(&mut self, most: u32) -> Result<Vec<RunId>, StoreError> {
        let runs = sqlx::query_scalar!(
            "select distinct c.run_id from hook_checkpoints c join release_pins p on p.run_id = c.run_id join tasks t on t.id = p.task_id
             where t.status in ('completed', 'failed', 'cancelled') limit $1",
            i64::from(most)
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(runs.into_iter().map(RunId::from_uuid).collect())
    }

    #[tracing::instrument(name = "db.runs.remove_checkpoints", skip_all)]
    async fn remove_checkpoints(&mut self, runs: &[RunId]) -> Result<(), StoreError> {
        let runs: Vec<Uuid> = runs.iter().map(|run| run.as_uuid()).collect();
        sqlx::query!("delete from hook_checkpoints where run_id = any($1)", &runs)
            .execute(self.conn())
            .await
            .map(|_| ())
            .map_err(|e| self.fail(e))
    }
}
