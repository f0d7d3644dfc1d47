//! A schema's document: its tables, columns and worked requests (WC-1.11).

use serde_json::{Value, json};

use crate::documents::{Sample, SchemaDoc, SchemaFeature};
use crate::front::shell_word;
use crate::markdown::{code, fenced, inline, table};
use crate::model::Column;
use crate::paths::{self, Format, Path};
use crate::skill::{push_list, push_paragraph};
use crate::text::{counted, counted_of, finished, machine_time};

/// The columns of every records table, before the declared fields.
const RECORD_COLUMNS: [(&str, &str, &str); 5] = [
    ("id", "text", "The record's id."),
    ("srn", "text", "Its full name. Feature rows refer to it."),
    ("schema_id", "text", "Its schema version, `id@version`."),
    ("version", "number", "Its own version, from 1."),
    ("created_at", "date", "When it was published."),
];

/// The columns of every feature table, before the hook's columns.
const FEATURE_COLUMNS: [(&str, &str, &str); 4] = [
    ("id", "number", "The row's id."),
    ("record_srn", "text", "The record that it is about."),
    ("run_id", "text", "The run that computed it."),
    ("created_at", "date", "When it was inserted."),
];

/// Writes the document at [`paths::schema_doc`].
pub fn schema_md(doc: &SchemaDoc) -> String {
    let mut out = format!("# {} ({})\n\n", inline(&doc.title), inline(&doc.reference));
    match &doc.purpose {
        Some(purpose) => push_paragraph(&mut out, purpose),
        None => out.push_str("No convention documents this schema; only its columns are known.\n\n"),
    }
    out.push_str(&records(doc));
    for feature in &doc.features {
        out.push_str(&feature_table(doc, feature));
    }
    out.push_str(&joins());
    out.push_str(&requests(doc));
    out.push_str(&examples(doc));
    push_list(
        &mut out,
        "When not to use",
        doc.when_not_to_use.iter().map(|text| inline(text)),
    );
    push_list(&mut out, "See also", doc.see_also.iter().map(|text| inline(text)));
    finished(out)
}

fn counted_at(doc: &SchemaDoc) -> String {
    doc.as_of
        .map_or_else(String::new, |at| format!(" (counted at {})", machine_time(at)))
}

/// Formats a column table: the implicit columns, then the declared ones, each with its name in filters (WC-7.4).
fn columns(implicit: &[(&str, &str, &str)], declared: &[Column], filter: &str) -> String {
    let implicit = implicit.iter().map(|(name, column_type, meaning)| {
        [
            code(name),
            (*column_type).to_owned(),
            String::new(),
            code(name),
            (*meaning).to_owned(),
        ]
    });
    let declared = declared.iter().map(|column| {
        [
            code(&column.name),
            inline(&column.column_type),
            inline(column.unit.as_deref().unwrap_or_default()),
            code(&format!("{filter}.{}", column.name)),
            inline(column.description.as_deref().unwrap_or_default()),
        ]
    });
    table(
        ["Column", "Type", "Unit", "In filters", "Meaning"],
        implicit.chain(declared),
    )
}

fn records(doc: &SchemaDoc) -> String {
    format!(
        "## Table `records`\n\nIt has {}{}.\n\n{}\n",
        counted_of(doc.records, "record", "records"),
        counted_at(doc),
        columns(&RECORD_COLUMNS, &doc.fields, "metadata")
    )
}

fn feature_table(doc: &SchemaDoc, feature: &SchemaFeature) -> String {
    format!(
        "## Feature table {}\n\nIt has {}, for {} of {}{}.\n\n{}\n",
        code(&feature.name),
        counted_of(feature.rows, "row", "rows"),
        counted(feature.records_covered),
        counted_of(doc.records, "record", "records"),
        counted_at(doc),
        columns(
            &FEATURE_COLUMNS,
            &feature.columns,
            &format!("features.{}", feature.name)
        )
    )
}

fn joins() -> String {
    "## Joins and provenance\n\n\
     - A feature row belongs to the record whose `srn` is its `record_srn`; a record may have no row in a table, or many.\n\
     - Every feature row has a `run_id`: the run of one release of the hook that computed it.\n\
     - A row's trace shows its run, release (digest, source, who built it), record, source, task and creator.\n\
     - A filter on any of these tables may name `metadata.<field>`, `features.<hook>.<col>` of every hook of the schema, \
     and the table's own common columns by their names, such as `created_at`.\n\
     - On the hook's own table, `features.<hook>.<col>` concerns the row. On any other table, it holds if the record has \
     at least one current row for which it holds.\n\n"
        .to_owned()
}

/// Formats a request with a filter, on a value that occurs or, in an empty table, a placeholder.
fn filter_call(url: &str, prefix: &str, sample: Option<&Sample>, columns: &[Column]) -> Option<String> {
    let first = columns.first().map(|column| column.name.as_str());
    let (column, value) = match sample {
        Some(sample) => (sample.column.as_str(), sample.value.clone()),
        None => (first?, Value::from(format!("<{}>", first?))),
    };
    let body = json!({
        "filter": {"kind": "predicate", "field": format!("{prefix}.{column}"), "op": "eq", "value": value},
        "limit": 100
    });
    Some(format!("curl --json {} {url}\n", shell_word(&body.to_string())))
}

fn requests(doc: &SchemaDoc) -> String {
    let url = |path: Path| shell_word(&doc.node.base.url(&path));
    let whole = |format| url(paths::table_data(&doc.schema, "records", format, &[]));
    let asked = |name: &str, value: &str| {
        url(paths::table_data(
            &doc.schema,
            "records",
            Format::Json,
            &[(name.to_owned(), value.to_owned())],
        ))
    };
    let record = match &doc.sample_record {
        Some(id) => url(paths::record_data(id)),
        None => url(paths::CATALOGUE.with_placeholder("/records/<id>")),
    };
    let mut calls = format!(
        "# a page of records; a whole table as .csv, .csv.gz or .parquet\n\
         curl {}\ncurl {}\ncurl -O {}\ncurl -O {}\n\
         # the table as it stood then\ncurl {}\n\
         # one record\ncurl {record}\n\
         # what a filter passes, by POST\n",
        asked("limit", "100"),
        whole(Format::Csv),
        whole(Format::CsvGz),
        whole(Format::Parquet),
        asked("as_of", "2026-01-31T00:00:00Z"),
    );
    let records = url(paths::table_data(&doc.schema, "records", Format::Json, &[]));
    calls.extend(filter_call(
        &records,
        "metadata",
        doc.sample.as_ref(),
        &doc.fields,
    ));
    for feature in &doc.features {
        let rows = url(paths::table_data(&doc.schema, &feature.name, Format::Json, &[]));
        let prefix = format!("features.{}", feature.name);
        calls.extend(filter_call(
            &rows,
            &prefix,
            feature.sample.as_ref(),
            &feature.columns,
        ));
        let trace = match feature.sample_row {
            Some(id) => paths::trace_data(&doc.schema, &feature.name, id),
            None => paths::table_data(&doc.schema, &feature.name, Format::Json, &[])
                .with_placeholder("/rows/<id>/trace"),
        };
        let trace = url(trace);
        calls.push_str(&format!("# where a row comes from\ncurl {trace}\n"));
    }
    format!(
        "## Requests\n\n{}\n\
         Operators: `eq`, `neq`, `gt`, `gte`, `lt`, `lte`, `in`, `contains`, `is_null`, as the type allows. \
         `{{\"kind\": \"and\", \"operands\": [...]}}` and `or` combine predicates, `{{\"kind\": \"not\", \"operand\": ...}}` negates one. \
         The same body at the address with `.csv`, `.csv.gz` or `.parquet` returns all matching rows.\n\n",
        fenced("sh", &calls)
    )
}

/// Formats the author's worked examples, with the queries verbatim.
fn examples(doc: &SchemaDoc) -> String {
    if doc.examples.is_empty() {
        return String::new();
    }
    let mut out = "## Examples\n\n".to_owned();
    for example in &doc.examples {
        out.push_str(&format!(
            "### {}\n\n{}\n",
            inline(&example.question),
            fenced("", &example.query)
        ));
        push_paragraph(&mut out, &example.interpretation);
    }
    out
}
