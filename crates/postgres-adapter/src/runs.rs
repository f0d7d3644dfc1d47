//! Hook runs and pins.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::{ConventionSlug, HookRun, RunId, SchemaRef, TaskId};
use ports::repos::Pin;
use ports::{Runs, StoreError};
use time::OffsetDateTime;

use crate::rows::{document, parsed, releases};
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
        // Pins and releases never change, so the two statements tell one story.
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
