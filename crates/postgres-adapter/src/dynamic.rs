//! The one place that builds statements: over feature and metadata tables, whose names and columns come from deploys,
//! and over what the migrator finds in the catalogue.
//!
//! Every identifier in a statement is a [`HookName`], a [`ColumnName`] or a metadata table's name, all of them
//! validated to `[a-z][a-z0-9_]*`, and is in double quotes, because some of them are SQL keywords (`user`, `order`).
//! Names from the catalogue, and of roles, may contain any character, so their quotes are doubled (`quoted`). Values are
//! never in a statement, except a new role's password: PostgreSQL takes it in no other way.
//!
//! Tables are made by functions of the database (`make_feature_table`, `sync_metadata_table`), which belong to its owner:
//! the role of the server owns nothing (docs/adr/0024).

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

/// Creates a role that may log in and nothing else. The password, if there is one, has letters and digits only.
pub(crate) fn create_login(role: &str, password: Option<&str>) -> String {
    format!("create role {} {}", quoted(role), login(password))
}

/// Does the same for a role that exists, and takes its further attributes away.
pub(crate) fn alter_login(role: &str, password: Option<&str>) -> String {
    format!("alter role {} {}", quoted(role), login(password))
}

fn login(password: Option<&str>) -> String {
    let password = password.map(|p| format!(" password '{}'", p.replace('\'', "''")));
    format!(
        "login nosuperuser nocreatedb nocreaterole noreplication nobypassrls{}",
        password.unwrap_or_default()
    )
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

/// Columns of a feature or metadata table, as the functions of the database take them that make such tables. The
/// functions check them again, because the application's role may call them with anything.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) names: Vec<String>,
    /// Types in PostgreSQL.
    pub(crate) types: Vec<String>,
    pub(crate) required: Vec<bool>,
}

impl Columns {
    fn push(&mut self, name: &ColumnName, column_type: ColumnType, required: bool) {
        self.names.push(name.to_string());
        self.types.push(sql_type(column_type).to_owned());
        self.required.push(required);
    }

    /// Returns the columns of a hook's feature table.
    pub(crate) fn of_contract(contract: &FeatureContract) -> Self {
        let mut columns = Self::default();
        for c in &contract.columns {
            columns.push(&c.name, c.column_type(), c.required);
        }
        columns
    }

    /// Returns the columns of a schema's metadata table.
    pub(crate) fn of_fields(fields: &[FieldDefinition]) -> Self {
        let mut columns = Self::default();
        for field in fields {
            columns.push(&field.name, field.field_type.column(), field.required);
        }
        columns
    }
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
