//! The provenance of a row (PRV-6), and hook runs.

use std::sync::Arc;

use auth::{Action, Permit, act};
use domain::work::run::ProvenanceError;
use domain::{Actor, HookRun, RunId};
use ports::ProvenanceQueries;
use ports::data::{Identity, RowTrace};

use crate::data::read_data::ReadData;
use crate::failure::Failure;
use crate::machine::{Places, without_host};

/// Traces rows.
pub struct ReadProvenance {
    provenance: Arc<dyn ProvenanceQueries>,
    data: Arc<ReadData>,
}

impl ReadProvenance {
    /// Creates the use case over these queries.
    pub fn new(provenance: Arc<dyn ProvenanceQueries>, data: Arc<ReadData>) -> Self {
        Self { provenance, data }
    }

    /// Returns a hook run. Admins see any run, and why it failed; others only see a run whose rows are public, and
    /// cannot find out whether another one exists.
    #[tracing::instrument(name = "app.read_provenance", skip_all, fields(run = %id))]
    pub async fn run(&self, permit: Permit<act::ReadHookRuns>, id: RunId) -> Result<HookRun, Failure> {
        let all = permit.principal().may::<act::ReadAllHookRuns>();
        let reader = Reader::of(&permit);
        let found = self.provenance.run(id).await?;
        if all {
            return Ok(found.ok_or(ProvenanceError::UnknownRun(id))?);
        }
        match found {
            Some(mut run) if self.provenance.has_rows(run.id).await? => {
                reader.redact_worker(&mut run.worker);
                Ok(HookRun { failure: None, ..run })
            }
            _ => {
                permit.also::<act::ReadAllHookRuns>()?;
                Err(ProvenanceError::UnknownRun(id).into())
            }
        }
    }

    /// Returns the trace of a row of a feature table, unless its record is withdrawn.
    #[tracing::instrument(name = "app.read_provenance.trace", skip_all)]
    pub async fn trace(
        &self,
        permit: Permit<act::ReadProvenance>,
        schema: &str,
        feature: &str,
        row: i64,
    ) -> Result<RowTrace, Failure> {
        let table = self.data.feature_table(schema, feature).await?;
        let unknown = || ProvenanceError::UnknownRow {
            feature: feature.to_owned(),
            schema: schema.to_owned(),
            row,
        };
        let trace = self.provenance.trace(&table, row).await?;
        let mut trace = trace.ok_or_else(unknown)?;
        self.data.not_withdrawn(&trace.record.srn).await?;
        let reader = Reader::of(&permit);
        for identity in people(&mut trace) {
            reader.redact(identity);
        }
        reader.redact_worker(&mut trace.run.worker);
        reader.places.redact_release(&mut trace.release);
        let delegations = trace.task.iter_mut().flat_map(|task| &mut task.delegations);
        for worker in delegations.filter_map(|delegation| delegation.worker.as_mut()) {
            reader.redact_worker(worker);
        }
        Ok(trace)
    }
}

/// Returns every person that a trace mentions.
fn people(trace: &mut RowTrace) -> Vec<&mut Identity> {
    let mut people = vec![&mut trace.built_by];
    if let Some(source) = &mut trace.source {
        people.extend([&mut source.opened_by, &mut source.pushed_by]);
    }
    if let Some(deposition) = &mut trace.deposition {
        people.push(&mut deposition.owner);
        people.extend(&mut deposition.curated_by);
    }
    if let Some(task) = &mut trace.task {
        people.push(&mut task.creator);
    }
    people
}

/// What a reader may know about people: curators see everyone's name, others only their own. Others see ids, which
/// permitted readers can resolve. And about machines: who is not signed in sees no host name, and who may not register
/// images sees no path.
pub(crate) struct Reader {
    own: Actor,
    all: bool,
    /// Which places of images the reader sees.
    pub(crate) places: Places,
}

impl Reader {
    pub(crate) fn of<A: Action>(permit: &Permit<A>) -> Self {
        Self {
            own: permit.actor(),
            all: permit.principal().may::<act::ReadPersonalData>(),
            places: Places::of(permit),
        }
    }

    /// Returns whether the reader may see who this is.
    pub(crate) fn may_name(&self, actor: &Actor) -> bool {
        self.all || !matches!(actor, Actor::User(_)) || self.own == *actor
    }

    /// Removes the name of the host from that of a worker if the reader is not signed in.
    pub(crate) fn redact_worker(&self, worker: &mut String) {
        if self.own == Actor::System {
            *worker = without_host(worker);
        }
    }

    /// Removes a person's name if the reader may not see it. A service account is not a person.
    pub(crate) fn redact(&self, identity: &mut Identity) {
        if !self.may_name(&identity.actor) {
            identity.name = None;
            identity.authority = None;
        }
    }
}
