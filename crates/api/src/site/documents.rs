//! Builds the front page, `/SKILL.md` and the description of a schema from the content of the archive.

use app::data::read_data::{CountedTable, Manifest};
use app::data::{Described, Overview};
use app::views::{TableColumn, TableKind};
use auth::{Permit, act};
use domain::{Cell, Convention};
use pages::{Column, Count};
use poem::Response;
use serde_json::Value;
use time::OffsetDateTime;

use super::{markdown, node};
use crate::http::problem::Problem;
use crate::http::render::json_cell;
use crate::services::Services;

fn count(table: &CountedTable) -> Count {
    Count {
        value: table.counts.rows,
        exact: !table.counts.estimated,
    }
}

fn covered(table: &CountedTable) -> Option<Count> {
    table.counts.records.map(|value| Count { value, exact: true })
}

/// Sums counts. The sum is exact if every count is.
fn sum<'a>(tables: impl Iterator<Item = &'a CountedTable>) -> Count {
    tables.map(count).fold(
        Count {
            value: 0,
            exact: true,
        },
        |sum, one| Count {
            value: sum.value + one.value,
            exact: sum.exact && one.exact,
        },
    )
}

/// Returns when the oldest count was made.
fn as_of<'a>(schemas: impl Iterator<Item = &'a Manifest>) -> Option<OffsetDateTime> {
    schemas
        .flat_map(|schema| &schema.tables)
        .map(|table| table.counts.counted_at)
        .min()
}

fn whole(number: usize) -> Count {
    Count {
        value: number as u64,
        exact: true,
    }
}

pub(super) fn column(column: &TableColumn) -> Column {
    Column {
        name: column.name.clone(),
        column_type: column
            .format
            .clone()
            .unwrap_or_else(|| column.wire_type.to_owned()),
        unit: column.unit.clone(),
        description: column.description.clone(),
    }
}

pub(super) fn kind(table: &TableKind) -> pages::TableKind {
    match table {
        TableKind::Records => pages::TableKind::Records,
        TableKind::Feature(_) => pages::TableKind::Feature,
    }
}

/// Builds the front page.
pub(super) fn front(node: pages::Node, overview: &Overview) -> pages::FrontPage {
    let all = || overview.schemas.iter().flat_map(|schema| &schema.tables);
    let totals = pages::Totals {
        records: sum(all().filter(|t| t.table.kind == TableKind::Records)),
        feature_rows: sum(all().filter(|t| t.table.kind != TableKind::Records)),
        conventions: whole(overview.conventions.len()),
        hooks: whole(overview.hooks.len()),
        as_of: as_of(overview.schemas.iter()),
    };
    let convention = |c: &Convention| pages::ConventionEntry {
        slug: c.slug.to_string(),
        title: c.title.clone(),
        description: c.description.clone(),
        purpose: Some(c.docs.purpose.clone()),
        schema: c.schema.to_string(),
        hooks: c.hooks.iter().map(ToString::to_string).collect(),
    };
    let schema = |schema: &Manifest| pages::SchemaEntry {
        schema: schema.schema.reference.id.to_string(),
        title: schema.schema.title.clone(),
        tables: schema
            .tables
            .iter()
            .map(|table| pages::TableEntry {
                name: table.table.name().to_owned(),
                kind: kind(&table.table.kind),
                rows: count(table),
                records_covered: covered(table),
            })
            .collect(),
    };
    let hook = |hook: &app::views::HookSummary| pages::HookEntry {
        name: hook.name.to_string(),
        live: hook.live.as_ref().map(|live| pages::LiveRelease {
            version: live.version.get(),
            image: live.release.image.clone(),
            digest: live.release.content.digest.to_string(),
            source_ref: live.release.source_ref.clone(),
            built_at: live.built_at,
        }),
    };
    pages::FrontPage {
        totals,
        conventions: overview.conventions.iter().map(convention).collect(),
        schemas: overview.schemas.iter().map(schema).collect(),
        hooks: overview.hooks.iter().map(hook).collect(),
        node,
    }
}

/// Builds `/SKILL.md`. After the newest major version of a schema come its `older` ones.
pub(super) fn skill(node: pages::Node, overview: &Overview, older: &[Manifest]) -> pages::Skill {
    let dataset = |schema: &Manifest| {
        let features = schema
            .tables
            .iter()
            .filter(|table| table.table.kind != TableKind::Records);
        pages::SkillDataset {
            schema: schema.schema.reference.to_string(),
            title: schema.schema.title.clone(),
            records: sum(schema
                .tables
                .iter()
                .filter(|t| t.table.kind == TableKind::Records)),
            features: features
                .map(|table| pages::SkillFeature {
                    name: table.table.name().to_owned(),
                    rows: count(table),
                    records_covered: covered(table).unwrap_or_else(|| count(table)),
                })
                .collect(),
        }
    };
    let convention = |c: &Convention| {
        let docs = &c.docs;
        let mut questions = docs.example_questions.clone();
        questions.extend(docs.examples.iter().map(|example| example.question.clone()));
        pages::SkillConvention {
            title: c.title.clone(),
            purpose: Some(docs.purpose.clone()),
            example_questions: questions,
            when_not_to_use: docs.when_not_to_use.clone(),
            see_also: docs.see_also.clone().unwrap_or_default(),
        }
    };
    let listed = || {
        overview.schemas.iter().flat_map(move |schema| {
            let id = &schema.schema.reference.id;
            let older = older.iter().filter(move |other| other.schema.reference.id == *id);
            std::iter::once(schema).chain(older)
        })
    };
    pages::Skill {
        conventions: overview.conventions.iter().map(convention).collect(),
        datasets: listed().map(dataset).collect(),
        as_of: as_of(listed()),
        node,
    }
}

/// Renders `/api/v1/data/{schema}.md`.
pub(crate) async fn schema_description(
    services: &Services,
    permit: &Permit<act::ReadData>,
    schema: &str,
) -> Result<Response, Problem> {
    let described = services.data.read_overview.schema(permit, schema).await?;
    Ok(markdown(pages::schema_md(&description(
        node(services),
        schema,
        described,
    ))))
}

/// Returns the first non-null value of a declared column.
fn sample(table: &CountedTable, row: Option<&Vec<Cell>>) -> Option<pages::Sample> {
    let columns = table.table.columns.iter().zip(row?);
    columns
        .filter(|(column, _)| !column.implicit)
        .map(|(column, cell)| pages::Sample {
            column: column.name.clone(),
            value: json_cell(cell),
        })
        .find(|sample| sample.value != Value::Null)
}

fn description(node: pages::Node, schema: &str, described: Described) -> pages::SchemaDoc {
    let Described {
        manifest,
        samples,
        conventions,
    } = described;
    let declared = |table: &CountedTable| {
        let columns = table.table.columns.iter();
        columns.filter(|c| !c.implicit).map(column).collect::<Vec<_>>()
    };
    let docs = conventions.first().map(|c| c.docs.clone());
    let (mut features, mut fields) = (Vec::new(), Vec::new());
    let (mut of_records, mut record) = (None, None);
    for (table, row) in manifest.tables.iter().zip(&samples) {
        let row = row.as_ref();
        match &table.table.kind {
            TableKind::Records => {
                fields = declared(table);
                of_records = sample(table, row);
                record = row.and_then(|cells| match cells.first() {
                    Some(Cell::Uuid(id)) => Some(id.to_string()),
                    _ => None,
                });
            }
            TableKind::Feature(hook) => features.push(pages::SchemaFeature {
                name: hook.to_string(),
                columns: declared(table),
                rows: count(table),
                records_covered: covered(table).unwrap_or_else(|| count(table)),
                sample: sample(table, row),
                sample_row: row.and_then(|cells| match cells.first() {
                    Some(Cell::Integer(id)) => Some(*id),
                    _ => None,
                }),
            }),
        }
    }
    pages::SchemaDoc {
        schema: schema.to_owned(),
        reference: manifest.schema.reference.to_string(),
        title: manifest.schema.title.clone(),
        purpose: docs.as_ref().map(|docs| docs.purpose.clone()),
        fields,
        records: sum(manifest
            .tables
            .iter()
            .filter(|t| t.table.kind == TableKind::Records)),
        sample: of_records,
        sample_record: record,
        features,
        examples: docs
            .iter()
            .flat_map(|docs| &docs.examples)
            .map(|example| pages::SchemaExample {
                question: example.question.clone(),
                query: example.query.clone(),
                interpretation: example.interpretation.clone(),
            })
            .collect(),
        when_not_to_use: docs.as_ref().and_then(|docs| docs.when_not_to_use.clone()),
        see_also: docs.and_then(|docs| docs.see_also).unwrap_or_default(),
        as_of: as_of(std::iter::once(&manifest)),
        node,
    }
}
