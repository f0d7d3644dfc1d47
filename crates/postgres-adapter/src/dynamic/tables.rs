//! Statements that read tables of records and features: filtered, in an order, as of a time.
//!
//! The table that is read has the alias `t`, its record `r`, its record's metadata row `m` (on records it is `t`
//! itself). Values are always bound; identifiers are those of [`super`].

use domain::{Cell, ColumnType, Filter, FilterColumn, FilterOp, FilterValue, HookName, SortKey};
use ports::data::{PageKey, Table, TableKind, TableQuery};
use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;

type Sql = QueryBuilder<Postgres>;

/// Returns one direction and its operator.
const fn beyond(descending: bool) -> (&'static str, &'static str) {
    if descending { ("desc", "<") } else { ("asc", ">") }
}

/// Appends the condition that a feature row with this alias was current at a time, or is now.
pub(crate) fn current_at(sql: &mut Sql, alias: &str, at: Option<OffsetDateTime>) {
    match at {
        None => {
            sql.push(format!("{alias}.superseded_by is null"));
        }
        Some(at) => {
            sql.push(format!("{alias}.created_at <= ")).push_bind(at);
            // Rows that older servers superseded have no entry. The run that superseded them ended just before.
            sql.push(format!(
                " and ({alias}.superseded_by is null or coalesce((select s.superseded_at from supersessions s where s.run_id = {alias}.superseded_by), (select u.finished_at from hook_runs u where u.id = {alias}.superseded_by)) > "
            ))
            .push_bind(at)
            .push(")");
        }
    }
}

/// Appends the condition that no withdrawal of a record or of a run was in force at a time: of the subject whose column
/// in `withdrawals` equals `of`. For now, the heads say it.
fn not_withdrawn_at(sql: &mut Sql, (column, of): (&str, &str), at: OffsetDateTime) {
    sql.push(format!(
        " and not exists (select 1 from withdrawals w where w.withdraws and w.{column} = {of} and w.happened_at <= "
    ))
    .push_bind(at)
    .push(format!(
        " and not exists (select 1 from withdrawals b where b.{column} = w.{column} and b.number = w.number + 1 and b.happened_at <= "
    ))
    .push_bind(at)
    .push("))");
}

fn metadata_table(table: &Table) -> String {
    format!("metadata.\"{}\"", table.schema.metadata_table(table.major))
}

/// Returns the alias of the metadata row.
const fn metadata_alias(table: &Table) -> &'static str {
    match table.kind {
        TableKind::Records => "t",
        TableKind::Feature(_) => "m",
    }
}

/// Appends from and joins: the table, its records, their metadata.
fn from(sql: &mut Sql, table: &Table, metadata: bool) {
    match &table.kind {
        TableKind::Records => {
            sql.push(format!(
                " from records r join {} t on t.record_srn = r.srn",
                metadata_table(table)
            ));
        }
        TableKind::Feature(hook) => {
            sql.push(format!(
                " from features.\"{hook}\" t join records r on r.srn = t.record_srn"
            ));
            if metadata {
                sql.push(format!(
                    " join {} m on m.record_srn = t.record_srn",
                    metadata_table(table)
                ));
            }
        }
    }
}

/// Appends from, joins and conditions: the rows of the table that were current, in its schema versions, and match the
/// filter.
fn source(sql: &mut Sql, table: &Table, query: &TableQuery) {
    let asked = query.filter.as_ref().is_some_and(Filter::asks_metadata);
    from(sql, table, asked);
    if query.as_of.is_none() {
        sql.push(" join record_heads h on h.srn = r.srn");
    }
    sql.push(" where r.schema_id = ")
        .push_bind(table.schema.to_string());
    sql.push(" and r.schema_version = any(")
        .push_bind(table.versions.clone())
        .push(")");
    if let Some(at) = query.as_of {
        sql.push(" and r.created_at <= ").push_bind(at);
        sql.push(" and not exists (select 1 from records n where n.id = r.id and n.version > r.version and n.created_at <= ")
            .push_bind(at)
            .push(")");
        not_withdrawn_at(sql, ("record_id", "r.id"), at);
        not_withdrawn_at(sql, ("ingest_run_id", "r.ingest_run_id"), at);
    }
    if let TableKind::Feature(_) = &table.kind {
        sql.push(" and ");
        current_at(sql, "t", query.as_of);
    }
    if let Some(filter) = &query.filter {
        sql.push(" and ");
        condition(sql, table, query.as_of, filter);
    }
}

/// Does the same as [`source`] for a page of current rows in the default order: along the order's index, checking
/// each row's record in turn. Without the OFFSET the planner would sometimes join whole tables first, for 51 rows of
/// them.
fn walk(sql: &mut Sql, table: &Table) {
    match &table.kind {
        TableKind::Records => {
            sql.push(format!(
                " from records r cross join lateral (select m.* from {} m join record_heads h on h.srn = m.record_srn where m.record_srn = r.srn offset 0) t where r.schema_id = ",
                metadata_table(table)
            ))
            .push_bind(table.schema.to_string());
            sql.push(" and r.schema_version = any(")
                .push_bind(table.versions.clone())
                .push(")");
        }
        TableKind::Feature(hook) => {
            sql.push(format!(
                " from features.\"{hook}\" t where t.superseded_by is null and exists (select 1 from records r join record_heads h on h.srn = r.srn where r.srn = t.record_srn and r.schema_id = "
            ))
            .push_bind(table.schema.to_string());
            sql.push(" and r.schema_version = any(")
                .push_bind(table.versions.clone())
                .push(") offset 0)");
        }
    }
}

fn condition(sql: &mut Sql, table: &Table, as_of: Option<OffsetDateTime>, filter: &Filter) {
    match filter {
        Filter::And(operands) | Filter::Or(operands) => {
            let word = if matches!(filter, Filter::And(_)) {
                " and "
            } else {
                " or "
            };
            sql.push("(");
            for (index, operand) in operands.iter().enumerate() {
                if index > 0 {
                    sql.push(word);
                }
                condition(sql, table, as_of, operand);
            }
            sql.push(")");
        }
        Filter::Not(operand) => {
            sql.push("not coalesce(");
            condition(sql, table, as_of, operand);
            sql.push(", false)");
        }
        Filter::Predicate {
            column, op, value, ..
        } => match column {
            FilterColumn::Implicit(name) => {
                predicate(sql, &expression(table, name, true), *op, value);
            }
            FilterColumn::Metadata(field) => {
                predicate(sql, &format!("{}.\"{field}\"", metadata_alias(table)), *op, value);
            }
            FilterColumn::Feature { hook, column } if table.kind == TableKind::Feature(hook.clone()) => {
                predicate(sql, &format!("t.\"{column}\""), *op, value);
            }
            FilterColumn::Feature { hook, column } => {
                some_row(sql, hook, column, as_of, *op, value);
            }
        },
    }
}

/// Appends the condition that the record has a current row of this hook that matches the predicate.
fn some_row(
    sql: &mut Sql,
    hook: &HookName,
    column: &str,
    as_of: Option<OffsetDateTime>,
    op: FilterOp,
    value: &FilterValue,
) {
    sql.push(format!(
        "exists (select 1 from features.\"{hook}\" f where f.record_srn = r.srn and "
    ));
    current_at(sql, "f", as_of);
    sql.push(" and ");
    predicate(sql, &format!("f.\"{column}\""), op, value);
    sql.push(")");
}

fn predicate(sql: &mut Sql, column: &str, op: FilterOp, value: &FilterValue) {
    let operator = match op {
        FilterOp::IsNull => {
            sql.push(format!("{column} is null"));
            return;
        }
        FilterOp::IsNotNull => {
            sql.push(format!("{column} is not null"));
            return;
        }
        FilterOp::Eq => "=",
        FilterOp::Neq => "is distinct from",
        FilterOp::Gt => ">",
        FilterOp::Gte => ">=",
        FilterOp::Lt => "<",
        FilterOp::Lte => "<=",
        FilterOp::In => "= any",
        FilterOp::Contains => "ilike",
    };
    match (op, value) {
        (FilterOp::Contains, FilterValue::One(Cell::Text(text))) => {
            let pattern = format!(
                "%{}%",
                text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
            );
            sql.push(format!("{column} ilike ")).push_bind(pattern);
        }
        (_, FilterValue::Many(cells)) => {
            sql.push(format!("{column} {operator}("));
            bind_all(sql, cells);
            sql.push(")");
        }
        (_, FilterValue::One(cell)) => {
            sql.push(format!("{column} {operator} "));
            bind(sql, cell);
        }
        (_, FilterValue::Nothing) => {
            sql.push("false");
        }
    }
}

fn bind(sql: &mut Sql, cell: &Cell) {
    match cell {
        Cell::Null => sql.push("null"),
        Cell::Text(text) => sql.push_bind(text.clone()),
        Cell::Number(number) => sql.push_bind(*number),
        Cell::Integer(number) => sql.push_bind(*number),
        Cell::Boolean(truth) => sql.push_bind(*truth),
        Cell::Date(date) => sql.push_bind(*date),
        Cell::Timestamp(at) => sql.push_bind(*at),
        Cell::Uuid(id) => sql.push_bind(*id),
        Cell::Json(value) => sql.push_bind(value.clone()),
    };
}

/// Binds a list. Its elements have the column's type, as the check of the filter ensures.
fn bind_all(sql: &mut Sql, cells: &[Cell]) {
    macro_rules! list {
        ($($variant:ident),+) => {
            match cells.first() {
                None | Some(Cell::Null | Cell::Json(_)) => { sql.push("null"); }
                $(Some(Cell::$variant(_)) => {
                    let list: Vec<_> = cells.iter().filter_map(|c| if let Cell::$variant(v) = c { Some(v.clone()) } else { None }).collect();
                    sql.push_bind(list);
                })+
            }
        };
    }
    list!(Text, Number, Integer, Boolean, Date, Timestamp, Uuid);
}

/// Returns the expression that reads a column of the table.
fn expression(table: &Table, name: &str, implicit: bool) -> String {
    match (&table.kind, implicit, name) {
        (TableKind::Records, true, "schema_id") => "(r.schema_id || '@' || r.schema_version)".to_owned(),
        (TableKind::Records, true, "version") => "r.version::bigint".to_owned(),
        (TableKind::Records, true, name) => format!("r.\"{name}\""),
        (_, _, name) => format!("t.\"{name}\""),
    }
}

/// Returns the columns of a table, in its order.
fn selected(table: &Table) -> String {
    table
        .columns
        .iter()
        .map(|c| expression(table, &c.name, c.implicit))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns the column that makes an order total: its values are unique.
const fn tiebreak(table: &Table) -> &'static str {
    match table.kind {
        TableKind::Records => "r.srn",
        TableKind::Feature(_) => "t.id",
    }
}

/// Selects the rows of a table in the order of the query, after a key; at most `limit` if there is one.
pub(crate) fn select_rows(
    table: &Table,
    query: &TableQuery,
    after: Option<&PageKey>,
    limit: Option<u32>,
) -> Sql {
    let mut sql = Sql::new(format!("select {}", selected(table)));
    if limit.is_some() && *query == TableQuery::default() {
        walk(&mut sql, table);
    } else {
        source(&mut sql, table, query);
    }
    if query.sort.is_empty() {
        in_usual_order(&mut sql, table, after);
    } else {
        sorted(&mut sql, table, &query.sort, after);
    }
    if let Some(limit) = limit {
        sql.push(format!(" limit {limit}"));
    }
    sql
}

/// Appends the default order, which has an index: records newest first, feature rows by id.
fn in_usual_order(sql: &mut Sql, table: &Table, after: Option<&PageKey>) {
    match after {
        // The other keys belong to other lists, and the cursor reader rejects them.
        None | Some(PageKey::OfRun(..) | PageKey::RecordOfRun(..)) => {}
        Some(PageKey::Record(at, srn)) => {
            sql.push(" and (r.created_at, r.srn) < (")
                .push_bind(*at)
                .push(", ")
                .push_bind(srn.clone())
                .push(")");
        }
        Some(PageKey::Row(id)) => {
            sql.push(" and t.id > ").push_bind(*id);
        }
    }
    sql.push(match table.kind {
        TableKind::Records => " order by r.created_at desc, r.srn desc",
        TableKind::Feature(_) => " order by t.id",
    });
}

/// Appends a chosen order. A cursor names only its row: rows never change, so the row's own values determine its
/// position, even if they are long.
fn sorted(sql: &mut Sql, table: &Table, sort: &[SortKey], after: Option<&PageKey>) {
    let tie = tiebreak(table);
    let implicit = |name: &str| table.columns.iter().any(|c| c.implicit && c.name == name);
    let keys: Vec<(String, bool)> = sort
        .iter()
        .map(|key| {
            let column = expression(table, &key.column, implicit(&key.column));
            (column, key.descending)
        })
        .collect();
    let last = keys.first().is_some_and(|(_, descending)| *descending);
    if let Some(after) = after {
        // One row, or none for a forged cursor: then no row is after it.
        sql.push(" and exists (select 1 from (select ");
        for (index, (column, _)) in keys.iter().enumerate() {
            sql.push(format!("{column} as k{index}, "));
        }
        sql.push(format!("{tie} as tie"));
        from(sql, table, false);
        sql.push(format!(" where {tie} = "));
        match after {
            PageKey::Record(_, srn) => sql.push_bind(srn.clone()),
            PageKey::Row(id) => sql.push_bind(*id),
            PageKey::OfRun(..) | PageKey::RecordOfRun(..) => sql.push("null"),
        };
        sql.push(") a where ");
        for (index, (column, descending)) in keys.iter().enumerate() {
            let (_, operator) = beyond(*descending);
            sql.push(format!(
                "(a.k{index} is not null and ({column} is null or {column} {operator} a.k{index})) or ({column} is not distinct from a.k{index} and ("
            ));
        }
        let (_, operator) = beyond(last);
        sql.push(format!("{tie} {operator} a.tie"));
        for _ in &keys {
            sql.push("))");
        }
        sql.push(")");
    }
    sql.push(" order by ");
    for (column, descending) in &keys {
        sql.push(format!("{column} {} nulls last, ", beyond(*descending).0));
    }
    sql.push(format!("{tie} {}", beyond(last).0));
}

/// Counts a table: rows, and records that have any.
pub(crate) fn count_rows(table: &Table, query: &TableQuery) -> Sql {
    let records = match table.kind {
        TableKind::Records => "count(*)",
        TableKind::Feature(_) => "count(distinct t.record_srn)",
    };
    let mut sql = Sql::new(format!("select count(*), {records}"));
    source(&mut sql, table, query);
    sql
}

/// Counts the rows of a feature table that are not superseded, without those of withdrawn records: all of them, less the
/// few of withdrawn records.
pub(crate) fn count_current(hook: &HookName) -> Sql {
    Sql::new(format!(
        "select (select count(*) from features.\"{hook}\" where superseded_by is null)
           - (select count(*) from record_heads w join records v on v.id = w.record_id join features.\"{hook}\" t on t.record_srn = v.srn
              where w.srn is null and t.superseded_by is null)"
    ))
}

/// Returns the types of the columns, in the table's order.
pub(crate) fn types(table: &Table) -> Vec<ColumnType> {
    table.columns.iter().map(|c| c.column_type).collect()
}
