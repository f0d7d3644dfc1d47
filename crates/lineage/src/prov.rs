//! W3C PROV-JSON (member submission of 24 April 2013).

mod document;

use domain::json::canonical_json;
use domain::{Actor, RecordSrn, RunId};
use serde_json::Value;

use self::document::{Document, Relation, at, refer, typed_time, types};
use crate::graph::{Graph, Release, earlier, party_name};
use crate::name::{self, Name};
use crate::text;
use domain::data::lineage::{
    Lineage, LineageDelegation, LineageRecord, LineageRelease, LineageRun, LineageSource, LineageTask, RowSet,
};

/// Converts the lineage to a PROV-JSON document.
///
/// A hook run used records and generated row sets. The server carried it out on behalf of the creator of its task,
/// with the hook release as its plan. Superseded row sets are invalidated by the superseding run.
pub fn prov_json(lineage: &Lineage) -> Value {
    let graph = Graph::of(lineage);
    let mut writer = Writer {
        document: Document::new(&graph.base),
        graph: &graph,
    };
    writer.export();
    for (name, agent) in &graph.agents {
        let class = match agent.actor {
            Some(Actor::User(_)) => "prov:Person",
            _ => "prov:SoftwareAgent",
        };
        let authority = agent.known.and_then(|known| known.authority.clone());
        writer.document.agent(
            name,
            vec![
                ("prov:type", types(&[class])),
                ("prov:label", agent.label(&lineage.node).into()),
                ("hallmark:authority", authority.into()),
            ],
        );
    }
    for (srn, record) in &graph.records {
        writer.record(srn, *record);
    }
    for (name, release) in &graph.releases {
        writer.release(name, release);
    }
    for (id, task) in &graph.tasks {
        writer.task(&name::task(*id), *task);
    }
    for (id, run) in &graph.runs {
        writer.run(*id, *run);
    }
    for (name, rows) in &graph.row_sets {
        writer.row_set(name, rows);
    }
    writer.document.finish()
}

struct Writer<'a> {
    document: Document,
    graph: &'a Graph<'a>,
}

impl Writer<'_> {
    /// Adds the document's own description: its subject, and whether it is complete.
    fn export(&mut self) {
        let lineage = self.graph.lineage;
        self.document.entity(
            &name::export(),
            vec![
                ("prov:type", types(&["hallmark:Export"])),
                ("prov:label", lineage.title.clone().into()),
                (
                    "hallmark:subject",
                    self.graph.subject().iri(&self.graph.base).into(),
                ),
                ("hallmark:truncated", lineage.truncated.into()),
                ("hallmark:exported_at", typed_time(lineage.exported_at)),
                ("hallmark:license", lineage.license.clone().into()),
            ],
        );
        let (export, system) = (name::export(), name::actor(&Actor::System));
        self.relate(Relation::WasAttributedTo, &export, &system);
    }

    fn record(&mut self, srn: &RecordSrn, record: Option<&LineageRecord>) {
        let name = name::record(srn, &self.graph.lineage.node);
        let mut attributes = vec![
            ("prov:type", types(&["hallmark:Record"])),
            ("prov:label", srn.to_string().into()),
            ("hallmark:version", srn.version.get().into()),
        ];
        if let Some(record) = record {
            attributes.extend([
                ("hallmark:schema", record.schema.to_string().into()),
                ("hallmark:published_at", typed_time(record.created_at)),
                (
                    "hallmark:sha256",
                    record.content_hash.map(|h| text::hex(&h)).into(),
                ),
            ]);
        }
        self.document.entity(&name, attributes);
        let Some(record) = record else { return };
        if let Some(previous) = earlier(record) {
            let previous = name::record(previous, &self.graph.lineage.node);
            let more = vec![("prov:type", types(&["prov:Revision"]))];
            self.document
                .relate(Relation::WasDerivedFrom, &name, &previous, more);
        }
        if let Some(source) = &record.source {
            self.source(&name, record, source);
        }
    }

    fn source(&mut self, record_name: &Name, record: &LineageRecord, source: &LineageSource) {
        let (activity, origin, by, owner) = match source {
            LineageSource::Ingest {
                convention,
                run,
                source_id,
                pushed_by,
            } => {
                let activity = name::ingest(*run);
                self.document.activity(
                    &activity,
                    vec![
                        ("prov:type", types(&["hallmark:IngestRun"])),
                        ("prov:label", format!("ingest run {run}").into()),
                        ("hallmark:convention", convention.as_str().into()),
                    ],
                );
                let origin = name::source(convention, source_id);
                self.document.entity(
                    &origin,
                    vec![
                        ("prov:type", types(&["hallmark:Source"])),
                        ("prov:label", source_id.clone().into()),
                        ("hallmark:convention", convention.as_str().into()),
                    ],
                );
                let by = name::actor(pushed_by.as_ref().unwrap_or(&Actor::System));
                (activity, origin, by.clone(), by)
            }
            LineageSource::Deposition {
                srn,
                convention,
                owner,
                curated_by,
            } => {
                let activity = name::publication(&record.srn, &self.graph.lineage.node);
                self.document.activity(
                    &activity,
                    vec![
                        ("prov:type", types(&["hallmark:Publication"])),
                        ("prov:label", format!("publication of {}", record.srn).into()),
                        ("prov:endTime", at(record.created_at)),
                    ],
                );
                let origin = name::deposition(srn);
                self.document.entity(
                    &origin,
                    vec![
                        ("prov:type", types(&["hallmark:Deposition"])),
                        ("prov:label", srn.clone().into()),
                        ("hallmark:convention", convention.as_str().into()),
                    ],
                );
                let owner = name::actor(owner);
                self.relate(Relation::WasAttributedTo, &origin, &owner);
                (
                    activity,
                    origin,
                    name::actor(curated_by.as_ref().unwrap_or(&Actor::System)),
                    owner,
                )
            }
        };
        let when = vec![("prov:time", at(record.created_at))];
        self.document
            .relate(Relation::WasGeneratedBy, record_name, &activity, when);
        self.relate(Relation::Used, &activity, &origin);
        self.relate(Relation::WasDerivedFrom, record_name, &origin);
        self.relate(Relation::WasAssociatedWith, &activity, &by);
        self.relate(Relation::WasAttributedTo, record_name, &owner);
    }

    fn release(&mut self, name: &Name, release: &Release<'_>) {
        let mut attributes = vec![
            ("prov:type", types(&["prov:Plan", "hallmark:HookRelease"])),
            ("prov:label", release.label().into()),
        ];
        if let Release::Known(known) = release {
            attributes.extend([
                ("hallmark:hook", known.hook.as_str().into()),
                ("hallmark:version", known.version.get().into()),
                ("hallmark:image", known.image.clone().into()),
                ("hallmark:digest", known.digest.as_str().into()),
                ("hallmark:source_ref", known.source_ref.clone().into()),
                (
                    "hallmark:config",
                    canonical_json(&Value::Object(known.config.clone())).into(),
                ),
            ]);
        }
        self.document.entity(name, attributes);
        if let Release::Known(known) = release {
            self.build(name, known);
        }
    }

    fn build(&mut self, name: &Name, release: &LineageRelease) {
        let build = name::build(&release.hook, release.version);
        self.document.activity(
            &build,
            vec![
                ("prov:type", types(&["hallmark:Build"])),
                (
                    "prov:label",
                    format!("build of hook {}, release {}", release.hook, release.version).into(),
                ),
                ("prov:endTime", at(release.built_at)),
            ],
        );
        let when = vec![("prov:time", at(release.built_at))];
        self.document.relate(Relation::WasGeneratedBy, name, &build, when);
        let by = name::actor(&release.built_by);
        self.relate(Relation::WasAssociatedWith, &build, &by);
        self.relate(Relation::WasAttributedTo, name, &by);
        if release.source_ref.trim().is_empty() {
            return;
        }
        let code = name::code(&release.source_ref);
        self.document.entity(
            &code,
            vec![
                ("prov:type", types(&["hallmark:SourceCode"])),
                ("prov:label", release.source_ref.clone().into()),
            ],
        );
        self.relate(Relation::Used, &build, &code);
        self.relate(Relation::WasDerivedFrom, name, &code);
    }

    fn task(&mut self, name: &Name, task: Option<&LineageTask>) {
        let mut attributes = vec![("prov:type", types(&["hallmark:Task"]))];
        if let Some(task) = task {
            attributes.extend([
                ("prov:label", format!("task {}, {}", task.id, task.kind).into()),
                ("prov:startTime", at(task.created_at)),
                ("hallmark:kind", task.kind.clone().into()),
            ]);
        }
        self.document.activity(name, attributes);
        let Some(task) = task else { return };
        let creator = name::actor(task.creator.as_ref().unwrap_or(&Actor::System));
        self.relate(Relation::WasAssociatedWith, name, &creator);
        for delegation in &task.delegations {
            self.delegation(name, delegation);
        }
    }

    fn delegation(&mut self, task: &Name, delegation: &LineageDelegation) {
        let name = name::delegation(&delegation.id);
        self.document.activity(
            &name,
            vec![
                ("prov:type", types(&["hallmark:Delegation"])),
                ("prov:label", format!("delegation {}", delegation.id).into()),
                ("prov:startTime", at(delegation.created_at)),
                ("prov:endTime", at(delegation.updated_at)),
                ("hallmark:status", delegation.status.clone().into()),
                ("hallmark:attempt", delegation.attempt.into()),
            ],
        );
        self.relate(Relation::WasInformedBy, &name, task);
        let (caller, callee) = (party_name(&delegation.caller), party_name(&delegation.callee));
        self.relate(Relation::WasAssociatedWith, &name, &callee);
        self.on_behalf(&callee, &caller, &name);
    }

    fn run(&mut self, id: RunId, run: Option<&LineageRun>) {
        let name = name::run(id);
        let mut attributes = vec![
            ("prov:type", types(&["hallmark:HookRun"])),
            ("prov:label", format!("hook run {id}").into()),
        ];
        if let Some(run) = run {
            attributes.extend([
                ("prov:startTime", at(run.started_at)),
                ("prov:endTime", at(run.finished_at)),
                ("hallmark:status", run.status.as_str().into()),
                ("hallmark:worker", run.worker.clone().into()),
                ("hallmark:oom_retries", run.oom_retries.into()),
                ("hallmark:failure", run.failure.clone().into()),
            ]);
        }
        self.document.activity(&name, attributes);
        let system = name::actor(&Actor::System);
        let plan = vec![("prov:plan", refer(&self.graph.release_of(id).name()))];
        self.document
            .relate(Relation::WasAssociatedWith, &name, &system, plan);
        for srn in self.graph.inputs_of(id) {
            let input = name::record(srn, &self.graph.lineage.node);
            self.relate(Relation::Used, &name, &input);
        }
        let Some(run) = run else { return };
        if let Some(creator) = self.graph.creator_of(run) {
            self.on_behalf(&system, &name::actor(creator), &name);
        }
        if let Some(task) = run.task {
            self.relate(Relation::WasInformedBy, &name, &name::task(task));
        }
    }

    fn row_set(&mut self, name: &Name, rows: &RowSet) {
        let table = name::table(&rows.schema, &rows.hook);
        self.document.entity(
            name,
            vec![
                ("prov:type", types(&["prov:Collection", "hallmark:RowSet"])),
                (
                    "prov:label",
                    format!("rows of {} for {}", rows.hook, rows.record).into(),
                ),
                ("hallmark:table", table.iri(&self.graph.base).into()),
                ("hallmark:rows", rows.count.into()),
                ("hallmark:first_row", rows.first_row.into()),
                ("hallmark:last_row", rows.last_row.into()),
                ("hallmark:current", rows.current.into()),
            ],
        );
        let run = name::run(rows.run);
        let when = vec![("prov:time", at(rows.created_at))];
        self.document.relate(Relation::WasGeneratedBy, name, &run, when);
        let record = name::record(&rows.record, &self.graph.lineage.node);
        self.relate(Relation::WasDerivedFrom, name, &record);
        let known = self.graph.runs.get(&rows.run).copied().flatten();
        let creator = known.and_then(|run| self.graph.creator_of(run));
        let by = name::actor(creator.unwrap_or(&Actor::System));
        self.relate(Relation::WasAttributedTo, name, &by);
        // A run cannot invalidate its own rows.
        if let Some(by) = rows.superseded_by.filter(|by| *by != rows.run) {
            self.relate(Relation::WasInvalidatedBy, name, &name::run(by));
        }
    }

    fn relate(&mut self, kind: Relation, one: &Name, other: &Name) {
        self.document.relate(kind, one, other, Vec::new());
    }

    /// Adds that an agent acted on behalf of another one, unless both are the same.
    fn on_behalf(&mut self, delegate: &Name, responsible: &Name, activity: &Name) {
        if delegate != responsible {
            let more = vec![("prov:activity", refer(activity))];
            self.document
                .relate(Relation::ActedOnBehalfOf, delegate, responsible, more);
        }
    }
}
