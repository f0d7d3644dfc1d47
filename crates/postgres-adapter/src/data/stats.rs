//! Statistics and metrics of the whole archive.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::HookName;
use ports::data::{Part, Sample, Stats};
use ports::{StatsQueries, StoreError};
use sqlx::{PgConnection, Row as _};

use crate::dynamic;
use crate::store::error::store_error;
use crate::store::reading::{LONG, Reach};
use crate::store::rows::{count, parsed};
use crate::store::tx::PgStore;

/// The callee of the server's own work.
const OWN: &str = "hallmark:workers";

#[expect(
    clippy::cast_precision_loss,
    reason = "a Prometheus sample is a float; beyond 2^53 its last digits do not matter"
)]
const fn float(number: i64) -> f64 {
    number as f64
}

fn sample(family: &'static str, labels: &[(&'static str, &str)], value: f64) -> Sample {
    Sample {
        family,
        part: Part::Whole,
        labels: labels
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        value,
    }
}

#[async_trait]
impl StatsQueries for PgStore {
    #[tracing::instrument(name = "db.stats_queries.stats", skip_all)]
    async fn stats(&self) -> Result<Stats, StoreError> {
        self.until_left(Reach::Table, LONG, |connection| Box::pin(stats(connection)))
            .await
    }

    #[tracing::instrument(name = "db.stats_queries.samples", skip_all)]
    async fn samples(&self) -> Result<Vec<Sample>, StoreError> {
        self.until_left(Reach::Table, LONG, |connection| Box::pin(samples(connection)))
            .await
    }

    fn pool(&self) -> (u32, u32) {
        let size = self.pool.size();
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(size);
        (size.saturating_sub(idle), size)
    }
}

async fn stats(connection: &mut PgConnection) -> Result<Stats, StoreError> {
    let row = sqlx::query!(
        r#"select (select count(srn) from record_heads) as "records!",
             (select count(*) from records r join record_heads h on h.srn = r.srn where r.created_at >= date_trunc('month', now())) as "month!",
             ((select coalesce(sum(bytes), 0) from deposition_files) + (select coalesce(sum(bytes), 0) from ingest_files))::bigint as "bytes!""#
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(store_error)?;
    let hooks = sqlx::query_scalar!("select name from hooks")
        .fetch_all(&mut *connection)
        .await
        .map_err(store_error)?;
    let mut feature_rows = 0;
    for hook in hooks {
        let hook: HookName = parsed("hooks", &hook)?;
        let mut sql = dynamic::count_current(&hook);
        let row = sql
            .build()
            .fetch_one(&mut *connection)
            .await
            .map_err(store_error)?;
        feature_rows += count("features", row.try_get(0).map_err(store_error)?)?;
    }
    Ok(Stats {
        records: count("record_heads", row.records)?,
        records_this_month: count("records", row.month)?,
        storage_bytes: count("files", row.bytes)?,
        feature_rows,
    })
}

async fn samples(connection: &mut PgConnection) -> Result<Vec<Sample>, StoreError> {
    let mut samples = Vec::new();
    let runs = sqlx::query!(
        r#"select r.hook_name, u.status, count(*) as "runs!", sum(u.duration_s) as "seconds!", sum(u.oom_retries) as "oom!"
           from hook_runs u join hook_releases r on r.id = u.release_id group by 1, 2 order by 1, 2"#
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(store_error)?;
    for row in &runs {
        let labels = [("hook", row.hook_name.as_str()), ("status", row.status.as_str())];
        samples.push(sample("osa_hook_runs_total", &labels, float(row.runs)));
        for (part, value) in [(Part::Sum, row.seconds), (Part::Count, float(row.runs))] {
            samples.push(Sample {
                part,
                ..sample("osa_hook_run_duration_seconds", &labels, value)
            });
        }
        samples.push(sample("osa_hook_oom_retries_total", &labels, float(row.oom)));
    }
    let ingests = sqlx::query!(
        r#"select status, coalesce(failure_kind, '') as "kind!", count(*) as "runs!",
             coalesce(sum(batches_completed), 0)::bigint as "completed!", coalesce(sum(batches_failed), 0)::bigint as "failed!"
           from ingest_runs group by 1, 2 order by 1, 2"#
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(store_error)?;
    let mut batches: BTreeMap<&str, i64> = BTreeMap::new();
    for row in &ingests {
        let labels = [("status", row.status.as_str()), ("kind", row.kind.as_str())];
        samples.push(sample("osa_ingest_runs_total", &labels, float(row.runs)));
        *batches.entry("completed").or_default() += row.completed;
        *batches.entry("failed").or_default() += row.failed;
    }
    for (outcome, value) in batches {
        // Only the last failure of a run is stored. With the failure as a label, a count could go down.
        let labels = [("outcome", outcome), ("kind", "")];
        samples.push(sample("osa_ingest_batches_total", &labels, float(value)));
    }
    let rest = sqlx::query!(
        r#"select ((select coalesce(sum(published), 0) from ingest_runs) + (select count(*) from depositions where record_srn is not null))::bigint as "records!",
             (select count(*) from delegations where callee_id = $1 and status = 'queued') as "pending!",
             (select coalesce(extract(epoch from now() - min(created_at)), 0)::float8 from delegations where callee_id = $1 and status = 'queued') as "lag!",
             (select count(*) from delegations where callee_id = $1 and status in ('failed', 'stuck')) as "failed!""#,
        OWN
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(store_error)?;
    samples.push(sample("osa_records_published_total", &[], float(rest.records)));
    samples.push(sample("osa_outbox_pending", &[], float(rest.pending)));
    samples.push(sample("osa_outbox_lag_seconds", &[], rest.lag));
    samples.push(sample("osa_outbox_failed", &[], float(rest.failed)));
    Ok(samples)
}
