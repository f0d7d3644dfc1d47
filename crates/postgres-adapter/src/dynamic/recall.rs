//! Statements about what a release made (PRV-7): from its runs to rows, along the index of each feature table on its
//! runs.

use ports::data::{PageKey, Recall, TableColumn};
use sqlx::{Postgres, QueryBuilder};

use super::not_withdrawn;

type Sql = QueryBuilder<Postgres>;

/// Appends the runs of the release, `u`, and what they made, `t`.
fn made(sql: &mut Sql, recall: &Recall) {
    sql.push(format!(
        " from hook_runs u join features.\"{}\" t on t.run_id = u.id where u.release_id = ",
        recall.hook
    ))
    .push_bind(recall.release.as_uuid());
    conditions(sql, recall);
}

fn conditions(sql: &mut Sql, recall: &Recall) {
    if let Some(run) = recall.run {
        sql.push(" and u.id = ").push_bind(run.as_uuid());
    }
    if let Some(since) = recall.since {
        sql.push(" and t.created_at >= ").push_bind(since);
    }
    if let Some(until) = recall.until {
        sql.push(" and t.created_at < ").push_bind(until);
    }
    if recall.current {
        sql.push(" and t.superseded_by is null and exists (select 1 from record_heads h where h.srn = t.record_srn)");
    } else {
        sql.push(" and ").push(not_withdrawn("t"));
    }
}

/// Begins a statement with what each run made for each record, as `per`: along the index on runs, one run after the
/// other. Without the OFFSET the planner would rather read the whole table.
fn per_record(sql: &mut Sql, recall: &Recall) {
    sql.push(
        "with per as materialized (select u.id, m.* from hook_runs u cross join lateral (
           select t.record_srn, count(*) as n, count(t.superseded_by) as superseded, min(t.created_at) as first, max(t.created_at) as last",
    );
    sql.push(format!(
        " from features.\"{}\" t where t.run_id = u.id",
        recall.hook
    ));
    conditions(sql, recall);
    sql.push(" group by t.record_srn offset 0) m where u.release_id = ")
        .push_bind(recall.release.as_uuid())
        .push(") ");
}

/// Counts runs that made rows, rows, superseded rows and distinct records, with the first and last times.
pub(crate) fn recall_counts(recall: &Recall) -> Sql {
    let mut sql = Sql::new("");
    per_record(&mut sql, recall);
    sql.push(
        "select count(distinct id), coalesce(sum(n), 0)::bigint, coalesce(sum(superseded), 0)::bigint,
           (select count(*) from (select record_srn from per group by record_srn) records), min(first), max(last) from per",
    );
    sql
}

/// Selects the rows, ordered by run and id.
pub(crate) fn recall_rows(
    recall: &Recall,
    columns: &[TableColumn],
    after: Option<&PageKey>,
    limit: Option<u32>,
) -> Sql {
    let declared: String = columns
        .iter()
        .filter(|c| !c.implicit)
        .map(|c| format!(", t.\"{}\"", c.name))
        .collect();
    let mut sql = Sql::new(format!(
        "select t.id, t.record_srn, t.run_id, t.created_at, t.superseded_by{declared}"
    ));
    made(&mut sql, recall);
    if let Some(PageKey::OfRun(run, id)) = after {
        // The first condition uses the index; PostgreSQL does not use one for a row comparison across two tables.
        sql.push(" and u.id >= ").push_bind(run.as_uuid());
        sql.push(" and (u.id, t.id) > (")
            .push_bind(run.as_uuid())
            .push(", ")
            .push_bind(*id)
            .push(")");
    }
    sql.push(" order by u.id, t.id");
    limited(&mut sql, limit);
    sql
}

/// Selects the records of each run with the number of their rows, ordered by run and record.
pub(crate) fn recall_records(recall: &Recall, after: Option<&PageKey>, limit: Option<u32>) -> Sql {
    let mut sql = Sql::new(
        "select m.record_srn, r.schema_id || '@' || r.schema_version, u.id, m.n, m.current_rows, m.first
         from hook_runs u cross join lateral (select t.record_srn, count(*) as n, count(*) filter (where t.superseded_by is null) as current_rows,
           min(t.created_at) as first",
    );
    sql.push(format!(
        " from features.\"{}\" t where t.run_id = u.id",
        recall.hook
    ));
    conditions(&mut sql, recall);
    sql.push(" group by t.record_srn) m join records r on r.srn = m.record_srn where u.release_id = ")
        .push_bind(recall.release.as_uuid());
    if let Some(PageKey::RecordOfRun(run, srn)) = after {
        sql.push(" and u.id >= ").push_bind(run.as_uuid());
        sql.push(" and (u.id, m.record_srn) > (")
            .push_bind(run.as_uuid())
            .push(", ")
            .push_bind(srn.clone())
            .push(")");
    }
    sql.push(" order by u.id, m.record_srn");
    limited(&mut sql, limit);
    sql
}

fn limited(sql: &mut Sql, limit: Option<u32>) {
    if let Some(limit) = limit {
        sql.push(format!(" limit {limit}"));
    }
}
