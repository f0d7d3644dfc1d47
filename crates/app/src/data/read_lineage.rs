//! The provenance of a record, a run, a release or a part of a feature table as one lineage (PRV-6, PRV-7), from
//! which exports are written.

use std::collections::BTreeSet;
use std::sync::Arc;

use auth::{Permit, act};
use domain::data::lineage::{Lineage, LineageSource, LineageTable, RowSet, Subject};
use domain::registry::hook::HookError;
use domain::work::run::ProvenanceError;
use domain::{Actor, Cell, HookName, NodeDomain, RecordSrn, ReleaseVersion, RunId};
use ports::data::{MAX_ROWS, TableKind};
use ports::{Clock, LineageQueries, RegistryQueries, RowSetsOf, StoreError};

use crate::data::read_data::{ReadData, TableRequest};
use crate::data::read_provenance::{ReadProvenance, Reader};
use crate::failure::Failure;

/// The maximum number of row sets in one lineage. Validators of crates take minutes for more.
const MAX_SETS: u32 = 5000;

/// The ports of this use case.
pub struct LineagePorts {
    /// Parts of lineages.
    pub lineage: Arc<dyn LineageQueries>,
    /// Hooks and releases.
    pub registry: Arc<dyn RegistryQueries>,
    /// The time of the export.
    pub clock: Arc<dyn Clock>,
}

/// Reads lineages.
pub struct ReadLineage {
    ports: LineagePorts,
    data: Arc<ReadData>,
    runs: Arc<ReadProvenance>,
    node: NodeDomain,
    base_url: String,
}

/// The start of a lineage.
struct Begun {
    subject: Subject,
    title: String,
    records: Vec<RecordSrn>,
    runs: Vec<RunId>,
    sets: Vec<RowSet>,
    hooks: BTreeSet<HookName>,
    truncated: bool,
}

impl ReadLineage {
    /// Creates the use case over these ports and queries.
    pub fn new(
        ports: LineagePorts,
        data: Arc<ReadData>,
        runs: Arc<ReadProvenance>,
        node: NodeDomain,
        base_url: String,
    ) -> Self {
        Self {
            ports,
            data,
            runs,
            node,
            base_url,
        }
    }

    /// Returns the lineage of a record: the rows of every hook of its schema, including superseded ones.
    #[tracing::instrument(name = "app.read_lineage.record", skip_all)]
    pub async fn record(
        &self,
        permit: &Permit<act::ReadProvenance>,
        read: &Permit<act::ReadData>,
        reference: &str,
    ) -> Result<Lineage, Failure> {
        let record = self.data.record(read, reference).await?;
        let hooks = self.data.hooks_of(&record.schema).await?;
        let mut sets = Vec::new();
        let of = RowSetsOf::Record(record.srn.clone());
        for hook in &hooks {
            let left = MAX_SETS.saturating_sub(u32::try_from(sets.len()).unwrap_or(MAX_SETS));
            sets.extend(self.ports.lineage.row_sets(hook, &of, left).await?);
        }
        let begun = Begun {
            title: format!("Provenance of record {}", record.srn),
            subject: Subject::Record(record.srn.clone()),
            records: vec![record.srn],
            runs: Vec::new(),
            truncated: sets.len() >= MAX_SETS as usize,
            sets,
            hooks,
        };
        self.whole(&Reader::of(permit), begun).await
    }

    /// Returns the lineage of a hook run. The access rule is that of the run.
    #[tracing::instrument(name = "app.read_lineage", skip_all, fields(run = %id))]
    pub async fn run(&self, permit: Permit<act::ReadHookRuns>, id: RunId) -> Result<Lineage, Failure> {
        let reader = Reader::of(&permit);
        let run = self.runs.run(permit, id).await?;
        let release = self.ports.lineage.lineage_releases(&[run.release]).await?;
        let hook = release.into_iter().next().map(|release| release.hook);
        let hook = hook.ok_or(ProvenanceError::UnknownRun(id))?;
        let sets = self
            .ports
            .lineage
            .row_sets(&hook, &RowSetsOf::Run(id), MAX_SETS)
            .await?;
        let begun = Begun {
            title: format!("Provenance of hook run {id} of {hook}"),
            subject: Subject::Run(id),
            records: Vec::new(),
            runs: vec![id],
            truncated: sets.len() >= MAX_SETS as usize,
            sets,
            hooks: [hook].into(),
        };
        self.whole(&reader, begun).await
    }

    /// Returns the lineage of a release: everything that it made.
    #[tracing::instrument(name = "app.read_lineage.release", skip_all, fields(hook = %hook))]
    pub async fn release(
        &self,
        permit: &Permit<act::ReadProvenance>,
        hook: &HookName,
        version: u32,
    ) -> Result<Lineage, Failure> {
        let unknown = || HookError::UnknownVersion {
            hook: hook.clone(),
            version,
        };
        if self.ports.registry.hook(hook).await?.is_none() {
            return Err(HookError::UnknownHook(hook.clone()).into());
        }
        let number = ReleaseVersion::new(version).ok_or_else(unknown)?;
        let (release, _) = self
            .ports
            .registry
            .release(hook, number)
            .await?
            .ok_or_else(unknown)?;
        let sets = self
            .ports
            .lineage
            .row_sets(hook, &RowSetsOf::Release(release.id), MAX_SETS)
            .await?;
        let begun = Begun {
            title: format!("Provenance of release {version} of hook {hook}"),
            subject: Subject::Release {
                hook: hook.clone(),
                version: number,
            },
            records: Vec::new(),
            runs: Vec::new(),
            truncated: sets.len() >= MAX_SETS as usize
                || sets.iter().map(|set| set.count).sum::<u64>() >= u64::from(MAX_ROWS),
            sets,
            hooks: [hook.clone()].into(),
        };
        let reader = Reader::of(permit);
        let mut lineage = self.whole(&reader, begun).await?;
        if lineage.releases.is_empty() {
            // It has made nothing yet, but it exists.
            lineage.releases = self.ports.lineage.lineage_releases(&[release.id]).await?;
            for release in &mut lineage.releases {
                reader.places.redact(&mut release.image);
            }
        }
        Ok(lineage)
    }

    /// Returns the lineage of a page of a feature table.
    #[tracing::instrument(name = "app.read_lineage.table", skip_all)]
    pub async fn table(
        &self,
        permit: &Permit<act::ReadProvenance>,
        read: &Permit<act::ReadData>,
        (schema, feature): (&str, &str),
        asked: &TableRequest,
        limit: u32,
    ) -> Result<Lineage, Failure> {
        let TableKind::Feature(hook) = self.data.feature_table(schema, feature).await?.kind else {
            return Err(StoreError::Internal("not a feature table".into()).into());
        };
        let page = self.data.page(read, schema, Some(feature), asked, limit).await?;
        let ids = page.rows.iter().filter_map(|row| match row.first() {
            Some(Cell::Integer(id)) => Some(*id),
            _ => None,
        });
        let of = RowSetsOf::Rows(ids.collect());
        let begun = Begun {
            title: format!(
                "Provenance of {} rows of feature table {feature}",
                page.rows.len()
            ),
            subject: Subject::Table {
                schema: self.data.newest(schema).await?,
                feature: hook.clone(),
            },
            records: Vec::new(),
            runs: Vec::new(),
            sets: self.ports.lineage.row_sets(&hook, &of, MAX_SETS).await?,
            hooks: [hook].into(),
            truncated: page.next_cursor.is_some(),
        };
        self.whole(&Reader::of(permit), begun).await
    }

    /// Completes a lineage with everything that its sets refer to.
    async fn whole(&self, reader: &Reader, begun: Begun) -> Result<Lineage, Failure> {
        let lineage = &self.ports.lineage;
        let mut runs: BTreeSet<RunId> = begun.runs.iter().copied().collect();
        runs.extend(begun.sets.iter().map(|set| set.run));
        runs.extend(begun.sets.iter().filter_map(|set| set.superseded_by));
        let mut runs = lineage
            .lineage_runs(&runs.into_iter().collect::<Vec<_>>())
            .await?;
        let releases: BTreeSet<_> = runs.iter().map(|run| run.release).collect();
        let mut releases = lineage
            .lineage_releases(&releases.into_iter().collect::<Vec<_>>())
            .await?;
        for run in &mut runs {
            reader.redact_worker(&mut run.worker);
        }
        for release in &mut releases {
            reader.places.redact(&mut release.image);
        }
        let tasks: BTreeSet<_> = runs.iter().filter_map(|run| run.task).collect();
        let tasks = lineage
            .lineage_tasks(&tasks.into_iter().collect::<Vec<_>>())
            .await?;
        let mut records: BTreeSet<RecordSrn> = begun.records.into_iter().collect();
        records.extend(begun.sets.iter().map(|set| set.record.clone()));
        let records = lineage
            .lineage_records(&records.into_iter().collect::<Vec<_>>())
            .await?;
        let mut actors: Vec<Actor> = releases.iter().map(|release| release.built_by.clone()).collect();
        actors.extend(tasks.iter().filter_map(|task| task.creator.clone()));
        for record in &records {
            match &record.source {
                Some(LineageSource::Ingest { pushed_by, .. }) => actors.extend(pushed_by.clone()),
                Some(LineageSource::Deposition {
                    owner, curated_by, ..
                }) => {
                    actors.push(owner.clone());
                    actors.extend(curated_by.clone());
                }
                None => {}
            }
        }
        let mut agents = lineage.lineage_agents(&actors).await?;
        agents.retain(|agent| reader.may_name(&agent.actor));
        let mut tables = Vec::new();
        for hook in &begun.hooks {
            if let Some(summary) = self.ports.registry.hook(hook).await? {
                tables.push(LineageTable {
                    hook: hook.clone(),
                    columns: summary.contract.columns,
                });
            }
        }
        Ok(Lineage {
            node: self.node.clone(),
            base_url: self.base_url.clone(),
            exported_at: self.ports.clock.now(),
            title: begun.title,
            license: None,
            subject: begun.subject,
            truncated: begun.truncated,
            records,
            row_sets: begun.sets,
            runs,
            releases,
            tasks,
            agents,
            tables,
        })
    }
}
