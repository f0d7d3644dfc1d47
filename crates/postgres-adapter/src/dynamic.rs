//! The one place that builds statements: over feature and metadata tables, whose names and columns come from deploys,
//! and over what the migrator finds in the catalogue.
//!
//! Every identifier in a statement is a [`HookName`], a [`ColumnName`] or a metadata table's name, all of them
//! validated to `[a-z][a-z0-9_]*`, and is in double quotes, because some of them are SQL keywords (`user`, `order`).
//! Names from the catalogue may contain any character, so their quotes are doubled (`quoted`). Values are never in a
//! statement.

mod recall;
mod row_sets;
mod tables;

pub(crate) use recall::{recall_counts, recall_records, recall_rows};
pub(crate) use row_sets::row_sets;
pub(crate) use tables::{count_current, count_rows, select_rows, types};

use domain::{ColumnName, ColumnType, FeatureContract, FieldDefinition, HookName};

/// Quotes an arbitrary name as an identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Drops an index of the schema `public` without blocking readers and writers of its table.
pub(crate) fn drop_index(name: &str) -> String {
    format!("drop index concurrently if exists public.{}", quoted(name))
}

/// Takes the lock of a vacuum on a table of the schema `public`, and releases it at once. LOCK TABLE requires a
/// transaction, and a DO statement is one that rolls itself back if the lock is not available.
pub(crate) fn wait_behind_vacuum(table: &str) -> String {
    let lock = format!(
        "lock table public.{} in share update exclusive mode",
        quoted(table)
    );
    format!("do '{}'", format!("begin {lock}; end").replace('\'', "''"))
}

/// Returns a column's type in PostgreSQL.
const fn sql_type(column: ColumnType) -> &'static str {
    match column {
        ColumnType::Text => "text",
        ColumnType::Number => "double precision",
        ColumnType::Integer => "bigint",
        ColumnType::Boolean => "boolean",
        ColumnType::Date => "date",
        ColumnType::Timestamp => "timestamptz",
        ColumnType::Uuid => "uuid",
        ColumnType::Json => "jsonb",
    }
}

fn column(name: &ColumnName, column_type: ColumnType, required: bool) -> String {
    format!(
        "\"{name}\" {}{}",
        sql_type(column_type),
        if required { " not null" } else { "" }
    )
}

/// Returns the statements that make a metadata table hold `fields`, given its columns (name, nullable); none if it
/// does already.
pub(crate) fn shape_metadata_table(
    table: &str,
    has: &[(String, bool)],
    fields: &[FieldDefinition],
) -> Option<String> {
    if has.is_empty() {
        let columns: String = fields
            .iter()
            .map(|f| format!(", {}", column(&f.name, f.field_type.column(), f.required)))
            .collect();
        return Some(format!(
            "create table metadata.\"{table}\" (record_srn text primary key references records (srn){columns});
             create trigger tr_immutable before update or delete or truncate on metadata.\"{table}\" for each statement execute function refuse_change();"
        ));
    }
    let mut changes = Vec::new();
    for field in fields {
        match has.iter().find(|(name, _)| name == field.name.as_str()) {
            // A field that is new within a major version is optional; otherwise it would break older records.
            None => changes.push(format!(
                "add column {}",
                column(&field.name, field.field_type.column(), false)
            )),
            Some((_, false)) if !field.required => {
                changes.push(format!("alter column \"{}\" drop not null", field.name));
            }
            Some(_) => {}
        }
    }
    (!changes.is_empty()).then(|| format!("alter table metadata.\"{table}\" {}", changes.join(", ")))
}

/// Returns the statements that create a hook's feature table.
pub(crate) fn create_feature_table(hook: &HookName, contract: &FeatureContract) -> String {
    let columns: String = contract
        .columns
        .iter()
        .map(|c| format!(", {}", column(&c.name, c.column_type(), c.required)))
        .collect();
    // The foreign keys lock the tables that they refer to, `records` first. A batch that ends writes runs before
    // records, so without the first statement the two could deadlock.
    format!(
        "lock table hook_runs, records in share row exclusive mode;
         create table features.\"{hook}\" (
           id bigint generated always as identity primary key,
           record_srn text not null references records (srn),
           run_id uuid not null references hook_runs (id),
           created_at timestamptz not null default now(),
           superseded_by uuid references hook_runs (id){columns});
         create index on features.\"{hook}\" (record_srn) where superseded_by is null;
         create index on features.\"{hook}\" (record_srn) where superseded_by is not null;
         create index on features.\"{hook}\" (id) where superseded_by is null;
         create index on features.\"{hook}\" (run_id);
         create trigger tr_only_supersede before update on features.\"{hook}\" for each row execute function only_supersede();
         create trigger tr_immutable before delete or truncate on features.\"{hook}\" for each statement execute function refuse_change();"
    )
}

/// Marks the current rows of records ($2) as superseded by a run ($1).
pub(crate) fn supersede(hook: &HookName) -> String {
    format!(
        "update features.\"{hook}\" set superseded_by = $1 where record_srn = any($2) and superseded_by is null"
    )
}

/// Checks whether a run ($1) has rows.
pub(crate) fn has_rows_of_run(hook: &HookName) -> String {
    format!("select exists (select 1 from features.\"{hook}\" where run_id = $1)")
}

/// Copies rows into a feature table.
pub(crate) fn copy_features(hook: &HookName, contract: &FeatureContract) -> String {
    let columns: String = contract
        .columns
        .iter()
        .map(|c| format!(", \"{}\"", c.name))
        .collect();
    format!("copy features.\"{hook}\" (record_srn, run_id, created_at{columns}) from stdin")
}

/// Copies rows into a metadata table.
pub(crate) fn copy_metadata(table: &str, fields: &[FieldDefinition]) -> String {
    let columns: String = fields.iter().map(|f| format!(", \"{}\"", f.name)).collect();
    format!("copy metadata.\"{table}\" (record_srn{columns}) from stdin")
}

/// Returns the condition that neither the record of a feature row with this alias is withdrawn, nor the run that
/// published this version of it. The second part costs a look-up for each row, if any run is withdrawn.
fn not_withdrawn(alias: &str) -> String {
    format!(
        "not exists (select 1 from record_heads w join records v on v.id = w.record_id where w.srn is null and v.srn = {alias}.record_srn)
         and (not exists (select 1 from withdrawals where ingest_run_id is not null)
           or not exists (select 1 from records v where v.srn = {alias}.record_srn
             and v.ingest_run_id = any (array(select w.ingest_run_id from withdrawals w where w.id = withdrawal_of(null, w.ingest_run_id)))))"
    )
}

/// Selects one row of a feature table ($3), superseded or not, as JSON, with the data that traces it.
pub(crate) fn traced_row(hook: &HookName) -> String {
    format!(
        "select t.record_srn, t.run_id, t.created_at, t.superseded_by,
                to_jsonb(t) - '{{id,record_srn,run_id,created_at,superseded_by}}'::text[] as \"values\",
                exists (select 1 from record_heads h where h.srn = t.record_srn)
         from features.\"{hook}\" t join records r on r.srn = t.record_srn
         where r.schema_id = $1 and r.schema_version = any($2) and t.id = $3"
    )
}
