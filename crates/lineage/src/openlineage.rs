//! `OpenLineage` run events, core schema 2-0-2.

use std::collections::{BTreeMap, BTreeSet};

use domain::data::lineage::{Lineage, LineageRelease, LineageRun};
use domain::{HookName, RunStatus, SchemaRef};
use serde_json::{Map, Value, json};

use crate::graph::{Graph, Release};
use crate::name::{self, Name};
use crate::{git, text};

const CORE: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json";
/// The producer of the events. It names this version's events, and is not an address to fetch.
const PRODUCER: &str = concat!("urn:hallmark:lineage:", env!("CARGO_PKG_VERSION"));

/// Converts the lineage to `OpenLineage` run events: a START and a COMPLETE or FAIL for each described hook run.
///
/// A run that is only referred to has no times, and an event requires a time: it has no events.
pub fn openlineage(lineage: &Lineage) -> Vec<Value> {
    let graph = Graph::of(lineage);
    graph
        .runs
        .values()
        .flatten()
        .flat_map(|run| events(&graph, run))
        .collect()
}

fn events(graph: &Graph<'_>, run: &LineageRun) -> [Value; 2] {
    let end = match run.status {
        RunStatus::Passed => "COMPLETE",
        RunStatus::Failed | RunStatus::Error => "FAIL",
    };
    let (job, inputs) = (job(graph, run), inputs(graph, run));
    let event = |kind: &str, at, ended: bool| {
        json!({
            "eventType": kind,
            "eventTime": text::time(at, 6),
            "run": {"runId": run.id.to_string(), "facets": run_facets(graph, run, ended)},
            "job": job,
            "inputs": inputs,
            "outputs": outputs(graph, run, ended),
            "producer": PRODUCER,
            "schemaURL": format!("{CORE}#/$defs/RunEvent"),
        })
    };
    [
        event("START", run.started_at, false),
        event(end, run.finished_at, true),
    ]
}

/// Creates a facet: its body, its producer, and its schema.
fn facet(version: &str, name: &str, mut body: Value) -> Value {
    body["_producer"] = PRODUCER.into();
    body["_schemaURL"] =
        format!("https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}").into();
    body
}

fn namespace(graph: &Graph<'_>) -> String {
    format!("hallmark://{}", graph.lineage.node)
}

fn job(graph: &Graph<'_>, run: &LineageRun) -> Value {
    let mut facets = Map::new();
    facets.insert(
        "jobType".to_owned(),
        facet(
            "2-0-4",
            "JobTypeJobFacet",
            json!({"processingType": "BATCH", "integration": "HALLMARK", "jobType": "HOOK"}),
        ),
    );
    if let Release::Known(release) = graph.release_of(run.id) {
        facets.insert("documentation".to_owned(), documentation(release));
        if let Some(location) = git::location(&release.source_ref) {
            let mut body = json!({"type": "git", "url": location.url, "repoUrl": location.repository});
            if let Some(version) = location.version {
                body["version"] = version.into();
            }
            let location = facet("1-1-0", "SourceCodeLocationJobFacet", body);
            facets.insert("sourceCodeLocation".to_owned(), location);
        }
    }
    let name = graph.hook_of(run.id).map_or_else(
        || format!("hooks.of-release-{}", run.release),
        |hook| format!("hooks.{hook}"),
    );
    json!({"namespace": namespace(graph), "name": name, "facets": facets})
}

fn documentation(release: &LineageRelease) -> Value {
    let description = format!(
        "Hook {}, release {}: image {}, digest {}, built from {}",
        release.hook, release.version, release.image, release.digest, release.source_ref
    );
    facet(
        "1-1-0",
        "DocumentationJobFacet",
        json!({"description": description, "contentType": "text/plain"}),
    )
}

fn run_facets(graph: &Graph<'_>, run: &LineageRun, ended: bool) -> Value {
    let mut tags = vec![
        ("worker", run.worker.clone()),
        ("release_id", run.release.to_string()),
    ];
    if let Release::Known(release) = graph.release_of(run.id) {
        tags.push(("release", release.version.to_string()));
        tags.push(("digest", release.digest.to_string()));
        tags.push(("source_ref", release.source_ref.clone()));
    }
    if ended {
        tags.push(("status", run.status.as_str().to_owned()));
        tags.push(("oom_retries", run.oom_retries.to_string()));
    }
    if graph.lineage.truncated {
        tags.push(("truncated", true.to_string()));
    }
    let tags: Vec<Value> = tags
        .into_iter()
        .map(|(key, value)| json!({"key": key, "value": value, "source": "HALLMARK"}))
        .collect();
    let mut facets = json!({
        "processing_engine": facet(
            "1-1-1",
            "ProcessingEngineRunFacet",
            json!({"name": "Hallmark", "version": env!("CARGO_PKG_VERSION")}),
        ),
        "tags": facet("1-0-0", "TagsRunFacet", json!({"tags": tags})),
    });
    if let Some(task) = run.task {
        let known = graph.tasks.get(&task).copied().flatten();
        let kind = known.map_or("unknown", |task| task.kind.as_str());
        facets["parent"] = facet(
            "1-2-0",
            "ParentRunFacet",
            json!({
                "run": {"runId": task.to_string()},
                "job": {"namespace": namespace(graph), "name": format!("tasks.{kind}")},
            }),
        );
    }
    if ended
        && run.status != RunStatus::Passed
        && let Some(failure) = &run.failure
    {
        // The facet must name a language, and a hook's language is unknown.
        facets["errorMessage"] = facet(
            "1-0-1",
            "ErrorMessageRunFacet",
            json!({"message": failure, "programmingLanguage": "unknown"}),
        );
    }
    facets
}

/// Creates a dataset of the node.
fn dataset(graph: &Graph<'_>, name: &str, address: &str) -> Value {
    let source = json!({"name": graph.lineage.node.as_str(), "uri": address});
    json!({
        "namespace": namespace(graph),
        "name": name,
        "facets": {"dataSource": facet("1-0-1", "DatasourceDatasetFacet", source)},
    })
}

/// Returns the records of each schema that the run read. A record of an unknown schema is listed by itself.
fn inputs(graph: &Graph<'_>, run: &LineageRun) -> Vec<Value> {
    let mut schemas = BTreeMap::new();
    for (_, rows) in graph.rows_of(run.id) {
        schemas.insert(&rows.record, &rows.schema);
    }
    let mut found = BTreeMap::new();
    for srn in graph.inputs_of(run.id) {
        let known = graph.records.get(srn).copied().flatten();
        let schema = known
            .map(|record| &record.schema)
            .or_else(|| schemas.get(srn).copied());
        let (name, place) = match schema {
            Some(schema) => (format!("{schema}/records"), name::records(schema)),
            None => (srn.to_string(), name::record(srn, &graph.lineage.node)),
        };
        found.insert(name, place);
    }
    found
        .into_iter()
        .map(|(name, place)| dataset(graph, &name, &place.iri(&graph.base)))
        .collect()
}

/// Returns the feature tables that the run wrote, with the number of rows once it has ended.
fn outputs(graph: &Graph<'_>, run: &LineageRun, ended: bool) -> Vec<Value> {
    let mut tables: BTreeMap<Name, (&SchemaRef, &HookName, u64)> = BTreeMap::new();
    for (_, rows) in graph.rows_of(run.id) {
        let table = name::table(&rows.schema, &rows.hook);
        let (.., count) = tables.entry(table).or_insert((&rows.schema, &rows.hook, 0));
        *count = count.saturating_add(rows.count);
    }
    let write = |(name, (schema, hook, count)): (Name, (&SchemaRef, &HookName, u64))| {
        let mut out = dataset(graph, &format!("{schema}/{hook}"), &name.iri(&graph.base));
        if let Some(fields) = fields(graph.lineage, hook) {
            let schema = facet("1-2-0", "SchemaDatasetFacet", json!({"fields": fields}));
            out["facets"]["schema"] = schema;
        }
        if ended {
            let statistics = facet(
                "1-0-2",
                "OutputStatisticsOutputDatasetFacet",
                json!({"rowCount": count}),
            );
            out["outputFacets"] = json!({"outputStatistics": statistics});
        }
        out
    };
    tables.into_iter().map(write).collect()
}

/// Returns the columns of a hook's table, if they are known.
fn fields(lineage: &Lineage, hook: &HookName) -> Option<Vec<Value>> {
    let table = lineage.tables.iter().find(|table| table.hook == *hook)?;
    let mut seen = BTreeSet::new();
    let mut fields = Vec::new();
    for column in table.columns.iter().filter(|c| seen.insert(&c.name)) {
        let mut field = json!({"name": column.name.as_str(), "type": column.json_type.as_str()});
        if let Some(description) = &column.description {
            field["description"] = description.clone().into();
        }
        fields.push(field);
    }
    Some(fields)
}
