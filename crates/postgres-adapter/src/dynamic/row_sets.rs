//! Rows of a feature table, grouped by run and record.

use domain::HookName;
use ports::RowSetsOf;
use ports::data::MAX_ROWS;
use sqlx::{Postgres, QueryBuilder};

use super::not_withdrawn;

/// Selects record, its schema version, run, the superseding run, whether the rows are current, their first and last
/// ids, number and time. Of a run or release, without the rows of withdrawn records.
pub(crate) fn row_sets(hook: &HookName, of: &RowSetsOf, most: u32) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(
        "select t.record_srn, r.schema_id, r.schema_version, t.run_id, t.superseded_by, (t.superseded_by is null and h.srn is not null),
           min(t.id), max(t.id), count(*), min(t.created_at) from (",
    );
    let table = format!("features.\"{hook}\"");
    match of {
        RowSetsOf::Record(srn) => {
            // Two conditions, for the two indexes of the table.
            sql.push(format!("select * from {table} where (record_srn = "))
                .push_bind(srn.to_string())
                .push(" and superseded_by is null) or (record_srn = ")
                .push_bind(srn.to_string())
                .push(" and superseded_by is not null)");
        }
        RowSetsOf::Run(run) => {
            sql.push(format!("select * from {table} f where f.run_id = "))
                .push_bind(run.as_uuid())
                .push(format!(" and {}", not_withdrawn("f")));
        }
        RowSetsOf::Release(release) => {
            sql.push(format!(
                "select f.* from hook_runs u join {table} f on f.run_id = u.id where u.release_id = "
            ))
            .push_bind(release.as_uuid())
            .push(format!(
                " and {} order by u.id, f.id limit {MAX_ROWS}",
                not_withdrawn("f")
            ));
        }
        RowSetsOf::Rows(ids) => {
            sql.push(format!("select * from {table} where id = any("))
                .push_bind(ids.clone())
                .push(")");
        }
    }
    sql.push(format!(
        ") t join records r on r.srn = t.record_srn left join record_heads h on h.srn = t.record_srn
           group by t.record_srn, r.schema_id, r.schema_version, t.run_id, t.superseded_by, h.srn
           order by t.run_id, t.record_srn, min(t.id) limit {most}"
    ));
    sql
}
