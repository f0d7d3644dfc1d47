//! Refused lines of ingest runs: those of pushes are written and read here, those of pulls are read here.

use domain::IngestRunId;
use domain::ingest::refused::{LineFault, MAX_STORED_OF_A_PULL, RefusedLine};
use ports::StoreError;
use ports::ingest::RefusalView;
use serde_json::Value;

use crate::store::error::store_error;
use crate::store::rows::{count, document, json, signed, small};
use crate::store::tx::{PgStore, PgTx};

const TABLE: &str = "ingest_push_refusals";
/// How many bits of a pulled line's place are its number. A pull's `records.jsonl` is read in memory and has fewer lines.
const LINE_BITS: u32 = 32;

impl PgTx {
    /// Stores refused lines of a locked run. The lock makes the places of the run's lines a sequence without gaps.
    pub(crate) async fn insert_refused(
        &mut self,
        run: IngestRunId,
        upload: u32,
        lines: &[RefusedLine],
        most: u32,
    ) -> Result<(), StoreError> {
        let numbers: Vec<i64> = lines.iter().map(|line| signed(line.line)).collect();
        let digests: Vec<Vec<u8>> = lines.iter().map(|line| line.digest.to_vec()).collect();
        let ids: Vec<Option<String>> = lines.iter().map(|line| line.source_id.clone()).collect();
        let faults: Vec<Value> = lines
            .iter()
            .map(|line| json(&line.faults))
            .collect::<Result<_, _>>()?;
        sqlx::query!(
            "with new as (
               select distinct on (sent.line, sent.digest) sent.line, sent.digest, sent.source_id, sent.faults
               from unnest($3::bigint[], $4::bytea[], $5::text[], $6::jsonb[]) as sent (line, digest, source_id, faults)
               where not exists (select 1 from ingest_push_refusals k where k.ingest_run_id = $1 and k.line = sent.line and k.digest = sent.digest)
               order by sent.line, sent.digest
             ), stored as (
               insert into ingest_push_refusals (ingest_run_id, place, upload, line, digest, source_id, faults)
               select $1, numbered.place, $2::bigint, numbered.line, numbered.digest, numbered.source_id, numbered.faults
               from (select row_number() over (order by new.line, new.digest)
                       + (select coalesce(max(k.place), 0) from ingest_push_refusals k where k.ingest_run_id = $1) as place,
                       new.line, new.digest, new.source_id, new.faults from new) as numbered
               where numbered.place <= $7::bigint
             )
             update ingest_runs set refused = refused + (select count(*) from new) where id = $1",
            run.as_uuid(),
            i64::from(upload),
            &numbers,
            &digests,
            &ids as &[Option<String>],
            &faults,
            i64::from(most)
        )
        .execute(self.conn())
        .await
        .map(|_| ())
        .map_err(|e| self.fail(e))
    }
}

impl PgStore {
    /// Returns a page of a run's refused lines. A run is pushed or pulled, so only one of the two tables has any. The
    /// place of a pulled line is made of the numbers of its pull and its own.
    pub(crate) async fn refused_lines_of(
        &self,
        run: IngestRunId,
        after: Option<i64>,
        most: u32,
    ) -> Result<Vec<RefusalView>, StoreError> {
        let after = after.unwrap_or(-1);
        let (pull, line) = (after >> LINE_BITS, after & ((1_i64 << LINE_BITS) - 1));
        let rows = sqlx::query!(
            r#"select found.place as "place!", found.upload, found.pull, found.line as "line!", found.source_id, found.faults, found.reason,
                 found.refused_at as "refused_at!"
               from (
                 (select place, upload, null::bigint as pull, line, source_id, faults, null::text as reason, refused_at
                  from ingest_push_refusals where ingest_run_id = $1 and place > $2 order by place limit $5)
                 union all
                 (select (r.pull << 32) + r.line, null::bigint, r.pull, r.line, r.source_id, null::jsonb, r.reason, p.finished_at
                  from ingest_refusals r join ingest_pulls p on p.ingest_run_id = r.ingest_run_id and p.pull = r.pull
                  where r.ingest_run_id = $1 and (r.pull, r.line) > ($3::bigint, $4::bigint) order by r.pull, r.line limit $5)
               ) as found order by found.place limit $5"#,
            run.as_uuid(),
            after,
            pull,
            line,
            i64::from(most)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        rows.into_iter()
            .map(|row| {
                let pulled = row.reason.map(|reason| LineFault {
                    loc: Vec::new(),
                    message: reason,
                    rule: "value_error".to_owned(),
                });
                Ok(RefusalView {
                    place: row.place,
                    upload: row.upload.map(|n| small(TABLE, n)).transpose()?,
                    pull: row.pull.map(|n| count(TABLE, n)).transpose()?,
                    line: count(TABLE, row.line)?,
                    source_id: row.source_id,
                    faults: match row.faults {
                        Some(faults) => document(TABLE, faults)?,
                        None => pulled.into_iter().collect(),
                    },
                    refused_at: row.refused_at,
                })
            })
            .collect()
    }

    /// Returns how many refused lines of a run are stored, without counting them: places have no gaps, and of a pull
    /// the first lines are stored.
    pub(crate) async fn stored_refusals_of(&self, run: IngestRunId) -> Result<u64, StoreError> {
        let stored = sqlx::query_scalar!(
            r#"select (coalesce((select max(place) from ingest_push_refusals where ingest_run_id = $1), 0)
                 + coalesce((select sum(least(refused, $2)) from ingest_pulls where ingest_run_id = $1), 0))::bigint as "stored!""#,
            run.as_uuid(),
            i64::from(MAX_STORED_OF_A_PULL)
        )
        .fetch_one(&self.pool)
        .await
        .map_err(store_error)?;
        count(TABLE, stored)
    }
}
