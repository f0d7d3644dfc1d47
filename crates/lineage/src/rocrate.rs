//! The metadata of a Process Run Crate 0.5 (<https://w3id.org/ro/wfrun/process/0.5>) on RO-Crate 1.1.

mod software;

use std::collections::BTreeMap;

use domain::{Actor, HookName, RecordSrn, RunId, RunStatus, SchemaRef};
use serde_json::{Value, json};

use crate::graph::{Agent, Graph, Release, earlier};
use crate::name::{self, Name};
use crate::text;
use domain::data::lineage::{Lineage, LineageRecord, LineageRun, LineageSource, RowSet, Subject};

/// The profile that the crate conforms to.
const PROFILE: &str = "https://w3id.org/ro/wfrun/process/0.5";
/// The address of the profile's own terms. They are named one by one: a second remote context would have to be
/// fetched.
const TERMS: &str = "https://w3id.org/ro/terms/workflow-run#";
const NO_LICENSE: &str =
    "No licence is stated for these data; ask the archive before you use them beyond reading.";

/// Converts the lineage to the content of `ro-crate-metadata.json`.
///
/// Each hook run is a `CreateAction` whose instrument is the hook release, whose objects are records and whose
/// results are row sets. Data are not copied: the crate names them by their addresses on the node.
pub fn ro_crate(lineage: &Lineage) -> Value {
    let graph = Graph::of(lineage);
    let mut out = Crate {
        graph: &graph,
        entities: BTreeMap::new(),
        parts: Vec::new(),
        mentions: Vec::new(),
    };
    for (name, agent) in &graph.agents {
        out.agent(name, agent);
    }
    for (srn, record) in &graph.records {
        out.record(srn, *record);
    }
    for release in graph.releases.values() {
        out.release(release);
    }
    for (name, rows) in &graph.row_sets {
        out.row_set(name, rows);
    }
    if let Subject::Table { schema, feature } = &lineage.subject {
        out.table(schema, feature);
    }
    for (id, run) in &graph.runs {
        out.run(*id, *run);
    }
    let root = out.root();
    let mut entities = vec![
        json!({
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        }),
        root,
        json!({"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}),
    ];
    entities.extend(out.entities.into_values());
    let own = ["ContainerImage", "containerImage", "registry", "tag", "sha256"];
    let terms: BTreeMap<_, _> = own.iter().map(|term| (*term, format!("{TERMS}{term}"))).collect();
    json!({"@context": ["https://w3id.org/ro/crate/1.1/context", terms], "@graph": entities})
}

/// The crate under construction.
struct Crate<'a> {
    graph: &'a Graph<'a>,
    entities: BTreeMap<String, Value>,
    /// The data that the root has.
    parts: Vec<Value>,
    /// The actions.
    mentions: Vec<Value>,
}

/// Returns a reference to an entity.
fn reference(id: &str) -> Value {
    json!({"@id": id})
}

impl Crate<'_> {
    fn id(&self, name: &Name) -> String {
        name.iri(&self.graph.base)
    }

    /// Adds an entity; the first one with an id stays.
    fn put(&mut self, entity: Value) -> bool {
        let id = entity["@id"].as_str().unwrap_or_default().to_owned();
        let fresh = !self.entities.contains_key(&id);
        if fresh {
            self.entities.insert(id, entity);
        }
        fresh
    }

    /// Adds an entity that is data: the root must name it as a part.
    fn data(&mut self, entity: Value) {
        let part = json!({"@id": entity["@id"].clone()});
        if self.put(entity) {
            self.parts.push(part);
        }
    }

    fn root(&mut self) -> Value {
        let lineage = self.graph.lineage;
        let what = if lineage.truncated {
            "Provenance of derived data, shortened: there was more than this crate holds."
        } else {
            "Provenance of derived data: which release of which hook computed it, when, on which records, for whom."
        };
        let (license, publisher) = (self.license(), self.id(&name::actor(&Actor::System)));
        json!({
            "@id": "./",
            "@type": "Dataset",
            "name": if lineage.title.trim().is_empty() { "Provenance" } else { &lineage.title },
            "description": what,
            "datePublished": text::time(lineage.exported_at, 3),
            "license": reference(&license),
            "conformsTo": reference(PROFILE),
            "publisher": reference(&publisher),
            "mainEntity": reference(&self.id(&self.graph.subject())),
            "hasPart": std::mem::take(&mut self.parts),
            "mentions": std::mem::take(&mut self.mentions),
        })
    }

    /// Adds the licence, which must be an entity with a name, even if none is stated.
    fn license(&mut self) -> String {
        let stated = self.graph.lineage.license.as_deref().map(str::trim);
        let text = stated.filter(|text| !text.is_empty()).unwrap_or(NO_LICENSE);
        let id = if text.starts_with("https://") || text.starts_with("http://") {
            text::iri(text)
        } else {
            self.id(&name::license())
        };
        self.put(json!({"@id": id, "@type": "CreativeWork", "name": text, "description": text}));
        id
    }

    fn agent(&mut self, name: &Name, agent: &Agent<'_>) {
        let class = match agent.actor {
            Some(Actor::User(_)) => "Person",
            // The server carries out runs in the archive's name.
            Some(Actor::System) => "Organization",
            Some(Actor::ServiceAccount(_)) | None => "SoftwareApplication",
        };
        let id = self.id(name);
        let mut entity = json!({"@id": id, "@type": class, "name": agent.label(&self.graph.lineage.node)});
        match agent.actor {
            Some(Actor::System) => entity["url"] = self.graph.base.clone().into(),
            Some(Actor::ServiceAccount(_)) | None => entity["url"] = id.into(),
            Some(Actor::User(_)) => {}
        }
        if let Some(authority) = agent.known.and_then(|known| known.authority.as_deref()) {
            entity["description"] = format!("Vouched for by {authority}").into();
        }
        self.put(entity);
    }

    fn record(&mut self, srn: &RecordSrn, record: Option<&LineageRecord>) {
        let id = self.id(&name::record(srn, &self.graph.lineage.node));
        let mut entity = json!({
            "@id": id,
            "@type": "File",
            "name": format!("record {srn}"),
            "identifier": srn.to_string(),
            "version": srn.version.to_string(),
            "encodingFormat": "application/json",
            "sdDatePublished": text::time(self.graph.lineage.exported_at, 3),
        });
        if let Some(record) = record {
            entity["dateCreated"] = text::time(record.created_at, 3).into();
            entity["description"] = describe(record).into();
            if let Some(hash) = record.content_hash {
                entity["sha256"] = text::hex(&hash).into();
            }
            let previous = earlier(record).map(|srn| name::record(srn, &self.graph.lineage.node));
            if let Some(previous) = previous {
                entity["isBasedOn"] = reference(&self.id(&previous));
            }
            let by = match &record.source {
                Some(LineageSource::Ingest { pushed_by, .. }) => pushed_by.as_ref(),
                Some(LineageSource::Deposition { owner, .. }) => Some(owner),
                None => None,
            };
            if let Some(by) = by {
                entity["creator"] = reference(&self.id(&name::actor(by)));
            }
        }
        self.data(entity);
    }

    fn table(&mut self, schema: &SchemaRef, hook: &HookName) -> Value {
        let id = self.id(&name::table(schema, hook));
        self.data(json!({
            "@id": id,
            "@type": "File",
            "name": format!("feature table {hook} of {schema}"),
            "encodingFormat": "application/json",
            "sdDatePublished": text::time(self.graph.lineage.exported_at, 3),
        }));
        reference(&id)
    }

    fn row_set(&mut self, name: &Name, rows: &RowSet) {
        let table = self.table(&rows.schema, &rows.hook);
        let record = self.id(&name::record(&rows.record, &self.graph.lineage.node));
        let which = match (rows.first_row, rows.last_row) {
            (Some(first), Some(last)) => format!("{} rows, ids {first} to {last}", rows.count),
            _ => format!("{} rows", rows.count),
        };
        let status = match (rows.current, rows.superseded_by) {
            (true, _) => "current".to_owned(),
            (false, Some(by)) => format!("superseded by hook run {by}"),
            (false, None) => "superseded".to_owned(),
        };
        self.data(json!({
            "@id": self.id(name),
            "@type": "File",
            "name": format!("rows of {} for {}", rows.hook, rows.record),
            "description": which,
            "creativeWorkStatus": status,
            "dateCreated": text::time(rows.created_at, 3),
            "encodingFormat": "application/json",
            "sdDatePublished": text::time(self.graph.lineage.exported_at, 3),
            "isPartOf": table,
            "isBasedOn": reference(&record),
        }));
    }

    fn run(&mut self, id: RunId, run: Option<&LineageRun>) {
        let graph = self.graph;
        let release = graph.release_of(id);
        let inputs: Vec<Value> = graph
            .inputs_of(id)
            .into_iter()
            .map(|srn| reference(&self.id(&name::record(srn, &graph.lineage.node))))
            .collect();
        let results: Vec<Value> = graph
            .rows_of(id)
            .map(|(name, _)| reference(&self.id(name)))
            .collect();
        let creator = run
            .and_then(|run| graph.creator_of(run))
            .unwrap_or(&Actor::System);
        let action = self.id(&name::run(id));
        let mut entity = json!({
            "@id": action,
            "@type": "CreateAction",
            "name": format!("hook run {id}"),
            "description": graph.hook_of(id).map_or_else(
                || "Execution of a hook".to_owned(),
                |hook| format!("Execution of the hook {hook}"),
            ),
            "instrument": reference(&self.id(&release.name())),
            "agent": reference(&self.id(&name::actor(creator))),
            "object": inputs,
            "result": results,
        });
        if let Release::Known(known) = release
            && let Some(image) = self.image(known)
        {
            entity["containerImage"] = image;
        }
        if let Some(run) = run {
            entity["startTime"] = text::time(run.started_at, 3).into();
            entity["endTime"] = text::time(run.finished_at, 3).into();
            entity["actionStatus"] = match run.status {
                RunStatus::Passed => "http://schema.org/CompletedActionStatus",
                RunStatus::Failed | RunStatus::Error => "http://schema.org/FailedActionStatus",
            }
            .into();
            // The profile has `error` only beside a failure.
            if run.status != RunStatus::Passed
                && let Some(failure) = &run.failure
            {
                entity["error"] = failure.clone().into();
            }
            entity["description"] = format!(
                "{}; status {}, worker {:?}, {} more tries with more memory",
                entity["description"].as_str().unwrap_or_default(),
                run.status.as_str(),
                run.worker,
                run.oom_retries
            )
            .into();
        }
        self.mentions.push(reference(&action));
        self.put(entity);
    }
}

/// Describes the source of a record in a sentence.
fn describe(record: &LineageRecord) -> String {
    let schema = &record.schema;
    match &record.source {
        Some(LineageSource::Ingest {
            convention,
            run,
            source_id,
            ..
        }) => {
            format!("A record of {schema}, {source_id:?} of ingest run {run} by convention {convention}")
        }
        Some(LineageSource::Deposition { srn, convention, .. }) => {
            format!("A record of {schema}, deposited as {srn} by convention {convention}")
        }
        None => format!("A record of {schema}"),
    }
}
