//! The closure of a lineage: everything that is described and everything that is only referred to, each once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use domain::data::lineage::{
    Lineage, LineageAgent, LineageRecord, LineageRelease, LineageRun, LineageSource, LineageTask, RowSet,
    Subject,
};
use domain::{Actor, HookName, NodeDomain, RecordSrn, ReleaseId, ReleaseVersion, RunId, TaskId};

use crate::name::{self, Name};
use crate::text;

/// An agent: a person, service or system.
#[derive(Clone, Debug)]
pub(crate) struct Agent<'a> {
    /// The principal; `None` for a party to a delegation that is not a principal.
    pub(crate) actor: Option<Actor>,
    /// What is known about it.
    pub(crate) known: Option<&'a LineageAgent>,
    /// The text that replaces an unknown name.
    id: String,
}

impl Agent<'_> {
    /// Returns its label.
    pub(crate) fn label(&self, node: &NodeDomain) -> String {
        match (self.known.and_then(|k| k.name.as_deref()), &self.actor) {
            (Some(name), _) if !name.trim().is_empty() => name.to_owned(),
            (_, Some(Actor::System)) => format!("Hallmark at {node}"),
            _ => self.id.clone(),
        }
    }
}

/// The release that a run executed.
#[derive(Clone, Debug)]
pub(crate) enum Release<'a> {
    /// A described one.
    Known(&'a LineageRelease),
    /// One that the subject names.
    Named(&'a HookName, ReleaseVersion),
    /// One of which only the id is known.
    Bare(ReleaseId),
    /// The release of an unknown run.
    OfRun(RunId),
}

impl Release<'_> {
    pub(crate) fn name(&self) -> Name {
        match self {
            Self::Known(release) => name::release(&release.hook, release.version),
            Self::Named(hook, version) => name::release(hook, *version),
            Self::Bare(id) => name::bare_release(*id),
            Self::OfRun(run) => name::release_of_run(*run),
        }
    }

    /// Returns its label.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Known(release) => format!("hook {}, release {}", release.hook, release.version),
            Self::Named(hook, version) => format!("hook {hook}, release {version}"),
            Self::Bare(id) => format!("hook release {id}"),
            Self::OfRun(run) => format!("the hook release of run {run}"),
        }
    }
}

/// Everything that a document must declare.
pub(crate) struct Graph<'a> {
    pub(crate) lineage: &'a Lineage,
    /// The address that all names lie below.
    pub(crate) base: String,
    pub(crate) records: BTreeMap<&'a RecordSrn, Option<&'a LineageRecord>>,
    pub(crate) row_sets: BTreeMap<Name, &'a RowSet>,
    pub(crate) runs: BTreeMap<RunId, Option<&'a LineageRun>>,
    pub(crate) releases: BTreeMap<Name, Release<'a>>,
    pub(crate) tasks: BTreeMap<TaskId, Option<&'a LineageTask>>,
    pub(crate) agents: BTreeMap<Name, Agent<'a>>,
    by_id: BTreeMap<ReleaseId, &'a LineageRelease>,
    by_run: BTreeMap<RunId, Vec<Name>>,
}

impl<'a> Graph<'a> {
    pub(crate) fn of(lineage: &'a Lineage) -> Self {
        let mut graph = Self {
            lineage,
            base: text::base(&lineage.base_url, &lineage.node),
            records: BTreeMap::new(),
            row_sets: BTreeMap::new(),
            runs: BTreeMap::new(),
            releases: BTreeMap::new(),
            tasks: BTreeMap::new(),
            agents: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_run: BTreeMap::new(),
        };
        // Described entities go first, so that a bare reference never replaces them.
        for record in &lineage.records {
            graph.records.entry(&record.srn).or_insert(Some(record));
        }
        for run in &lineage.runs {
            graph.runs.entry(run.id).or_insert(Some(run));
        }
        for release in &lineage.releases {
            graph.by_id.entry(release.id).or_insert(release);
            let known = Release::Known(release);
            graph.releases.entry(known.name()).or_insert(known);
        }
        for task in &lineage.tasks {
            graph.tasks.entry(task.id).or_insert(Some(task));
        }
        for agent in &lineage.agents {
            graph.actor(&agent.actor, Some(agent));
        }
        graph.refer();
        graph
    }

    /// Adds the entities that are only referred to.
    fn refer(&mut self) {
        let lineage = self.lineage;
        self.actor(&Actor::System, None);
        match &lineage.subject {
            Subject::Record(srn) => self.record(srn),
            Subject::Run(id) => self.run(*id),
            Subject::Release { hook, version } => {
                let named = Release::Named(hook, *version);
                self.releases.entry(named.name()).or_insert(named);
            }
            Subject::Table { .. } => {}
        }
        for record in &lineage.records {
            if let Some(previous) = earlier(record) {
                self.record(previous);
            }
            match &record.source {
                Some(LineageSource::Ingest { pushed_by, .. }) => self.actors(pushed_by.as_ref()),
                Some(LineageSource::Deposition {
                    owner, curated_by, ..
                }) => {
                    self.actor(owner, None);
                    self.actors(curated_by.as_ref());
                }
                None => {}
            }
        }
        for rows in &lineage.row_sets {
            let name = name::row_set(rows, &lineage.node);
            if let Entry::Vacant(place) = self.row_sets.entry(name.clone()) {
                place.insert(rows);
                self.by_run.entry(rows.run).or_default().push(name);
            }
            self.record(&rows.record);
            self.run(rows.run);
            if let Some(by) = rows.superseded_by {
                self.run(by);
            }
        }
        for run in &lineage.runs {
            for srn in &run.inputs {
                self.record(srn);
            }
            if let Some(task) = run.task {
                self.tasks.entry(task).or_insert(None);
            }
        }
        for release in &lineage.releases {
            self.actor(&release.built_by, None);
        }
        for task in &lineage.tasks {
            self.actors(task.creator.as_ref());
            for delegation in &task.delegations {
                self.party(&delegation.caller);
                self.party(&delegation.callee);
            }
        }
        let executed: Vec<Release<'a>> = self.runs.keys().map(|id| self.release_of(*id)).collect();
        for release in executed {
            self.releases.entry(release.name()).or_insert(release);
        }
    }

    fn record(&mut self, srn: &'a RecordSrn) {
        self.records.entry(srn).or_insert(None);
    }

    fn run(&mut self, id: RunId) {
        self.runs.entry(id).or_insert(None);
    }

    fn actors(&mut self, actor: Option<&Actor>) {
        if let Some(actor) = actor {
            self.actor(actor, None);
        }
    }

    fn actor(&mut self, actor: &Actor, known: Option<&'a LineageAgent>) {
        let agent = Agent {
            actor: Some(actor.clone()),
            known,
            id: actor.to_string(),
        };
        self.agents.entry(name::actor(actor)).or_insert(agent);
    }

    fn party(&mut self, text: &str) {
        let agent = Agent {
            actor: actor_of(text),
            known: None,
            id: text.to_owned(),
        };
        self.agents.entry(party_name(text)).or_insert(agent);
    }

    /// Returns the release that a run executed.
    pub(crate) fn release_of(&self, run: RunId) -> Release<'a> {
        match self.runs.get(&run) {
            Some(Some(known)) => match self.by_id.get(&known.release) {
                Some(release) => Release::Known(release),
                None => Release::Bare(known.release),
            },
            _ => Release::OfRun(run),
        }
    }

    /// Returns the creator of a run: `None` if it is the server, or unknown.
    pub(crate) fn creator_of(&self, run: &LineageRun) -> Option<&'a Actor> {
        let task = self.tasks.get(&run.task?).copied().flatten()?;
        task.creator.as_ref().filter(|a| **a != Actor::System)
    }

    /// Returns the row sets that a run computed.
    pub(crate) fn rows_of(&self, run: RunId) -> impl Iterator<Item = (&Name, &'a RowSet)> {
        let names = self.by_run.get(&run).into_iter().flatten();
        names.filter_map(|name| self.row_sets.get(name).map(|rows| (name, *rows)))
    }

    /// Returns the hook that a run executed, if it can be determined.
    pub(crate) fn hook_of(&self, run: RunId) -> Option<&'a HookName> {
        match self.release_of(run) {
            Release::Known(release) => Some(&release.hook),
            _ => self.rows_of(run).next().map(|(_, rows)| &rows.hook),
        }
    }

    /// Returns the records that a run read, each once.
    pub(crate) fn inputs_of(&self, run: RunId) -> Vec<&'a RecordSrn> {
        let known = self.runs.get(&run).copied().flatten();
        let mut found: Vec<&RecordSrn> = self.rows_of(run).map(|(_, rows)| &rows.record).collect();
        found.extend(known.into_iter().flat_map(|r| &r.inputs));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Returns the subject of the export, as a name.
    pub(crate) fn subject(&self) -> Name {
        match &self.lineage.subject {
            Subject::Record(srn) => name::record(srn, &self.lineage.node),
            Subject::Run(id) => name::run(*id),
            Subject::Release { hook, version } => name::release(hook, *version),
            Subject::Table { schema, feature } => name::table(schema, feature),
        }
    }
}

/// Returns the version before a record. Only an earlier version of the same record counts: anything else could close
/// a circle, and nothing can be derived from its own derivatives.
pub(crate) fn earlier(record: &LineageRecord) -> Option<&RecordSrn> {
    record.previous.as_ref().filter(|previous| {
        previous.node == record.srn.node
            && previous.id == record.srn.id
            && previous.version < record.srn.version
    })
}

/// Parses the principal that a party's text names.
fn actor_of(text: &str) -> Option<Actor> {
    if text == "system" {
        return Some(Actor::System);
    }
    text.parse::<domain::Party>().ok().map(|party| party.actor())
}

/// Returns the name of a party to a delegation.
pub(crate) fn party_name(text: &str) -> Name {
    actor_of(text).map_or_else(|| name::party(text), |actor| name::actor(&actor))
}
