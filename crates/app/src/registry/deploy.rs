//! `POST /conventions`: schema, hooks, releases, tables and convention in one transaction (DEP).

use std::sync::Arc;

use auth::{Permit, act};
use domain::ingest::run::DEFAULT_BATCH_SIZE;
use domain::names::NameError;
use domain::registry::convention::{Convention, ConventionError, DeployPlan};
use domain::registry::hook::HookError;
use domain::{
    Actor, Event, FeatureContract, FieldDefinition, HookName, IngestMode, IngestRunId, Loc, ReleaseVersion,
    Schema, SchemaId,
};
use ports::ingest::NewIngestRun;
use ports::{Committed, Ids, Repos, Store, UnitOfWork, WorkQueue};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::failure::Failure;
use crate::ingest::pulls::open_run;
use crate::registry::image_check::{Findings, ImageCheck, Images, refuse};
use crate::registry::locked_hook::release_under_lock;
use crate::retry::retried;

/// The result of a deploy for one hook (WC-D14).
#[derive(Clone, Debug)]
pub struct DeployedHook {
    /// The hook.
    pub name: HookName,
    /// The release that has the deployed content.
    pub version: ReleaseVersion,
    /// Whether it is new.
    pub created: bool,
    /// Whether its image has a new location (REG-8).
    pub located: bool,
    /// Which version is live.
    pub live: Option<ReleaseVersion>,
}

/// The result of a deploy.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The convention.
    pub convention: Convention,
    /// Its hooks, in order.
    pub hooks: Vec<DeployedHook>,
    /// The ingest run that its ingester requests, if this deploy opened it.
    pub initial_run: Option<IngestRunId>,
}

/// Deploys conventions.
pub struct Deploy {
    store: Arc<dyn Store>,
    ids: Arc<dyn Ids>,
    queue: Arc<dyn WorkQueue>,
    images: Arc<Images>,
}

impl Deploy {
    /// Creates the use case over these ports.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        ids: Arc<dyn Ids>,
        queue: Arc<dyn WorkQueue>,
        images: Arc<Images>,
    ) -> Self {
        Self {
            store,
            ids,
            queue,
            images,
        }
    }

    /// Deploys a convention. The same plan again changes nothing. A new release is refused if its image is looked at and
    /// cannot be run, and so are a new location of a release and a new ingester.
    #[tracing::instrument(name = "app.deploy", skip_all)]
    pub async fn run(
        &self,
        permit: Permit<act::DeployConvention>,
        plan: DeployPlan,
        check: ImageCheck,
    ) -> Result<Committed<Deployed>, Failure> {
        check_names(&plan).map_err(ConventionError::from)?;
        plan.check()?;
        // A token that is limited to named hooks cannot deploy others.
        for hook in &plan.hooks {
            permit.over_hook(&hook.name)?;
        }
        let findings = self.images.of_plan(check, &plan).await;
        let deployed = retried!(self.attempt(&permit, &plan, &findings))?;
        // Harmless if no run was opened.
        self.queue.notify();
        Ok(deployed)
    }

    /// Deploys once. Every deploy takes its locks in one order: convention, schema, hooks by name, tables.
    async fn attempt(
        &self,
        permit: &Permit<act::DeployConvention>,
        plan: &DeployPlan,
        findings: &Findings,
    ) -> Result<Committed<Deployed>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        uow.conventions().lock(&plan.slug).await?;
        let before = uow.conventions().find(&plan.slug).await?;
        // Nor can it remove others from a convention that has them.
        for hook in before.iter().flat_map(|before| &before.hooks) {
            permit.over_hook(hook)?;
        }
        if before
            .as_ref()
            .is_none_or(|before| before.ingester != plan.ingester)
        {
            refuse(findings.ingester.as_ref())?;
        }
        let new_schema = settle_schema(&mut *uow, &plan.schema, &["schema".into()]).await?;
        let hooks = self.release_hooks(&mut *uow, permit, plan, findings).await?;
        for hook in &plan.hooks {
            uow.features().create_table(&hook.name, &hook.contract).await?;
        }
        if new_schema.is_some() {
            let (id, major) = (&plan.schema.reference.id, plan.schema.reference.version.major());
            uow.schemas().sync_columns(id, major, &plan.schema.fields).await?;
        }
        let convention = match before {
            Some(before) if is_same(&before, plan) => before,
            _ => {
                let convention = uow.conventions().put(plan).await?;
                uow.activity().append(&registered(permit.actor(), plan)).await?;
                convention
            }
        };
        let initial_run = self.open_initial_run(&mut *uow, &permit.actor(), plan).await?;
        let deployed = Deployed {
            convention,
            hooks,
            initial_run,
        };
        Ok(uow.commit(deployed).await?)
    }

    /// Opens the run that a new ingester requests, once: a convention that has had a run gets none automatically.
    async fn open_initial_run(
        &self,
        repos: &mut dyn Repos,
        actor: &Actor,
        plan: &DeployPlan,
    ) -> Result<Option<IngestRunId>, Failure> {
        let Some(initial) = plan
            .ingester
            .as_ref()
            .and_then(|ingester| ingester.initial_run.as_ref())
        else {
            return Ok(None);
        };
        if repos.pulls().has_run(&plan.slug, None).await? {
            return Ok(None);
        }
        let run = NewIngestRun {
            id: IngestRunId::from_uuid(self.ids.new_id()),
            convention: plan.slug.clone(),
            mode: IngestMode::Pull,
            schema: plan.schema.reference.clone(),
            batch_size: DEFAULT_BATCH_SIZE,
            limit: initial.limit.and_then(|limit| u64::try_from(limit).ok()),
            since: None,
            scheduled_for: None,
            opened_by: actor.clone(),
        };
        Ok(open_run(repos, &run).await?.is_none().then_some(run.id))
    }

    async fn release_hooks(
        &self,
        repos: &mut dyn Repos,
        permit: &Permit<act::DeployConvention>,
        plan: &DeployPlan,
        findings: &Findings,
    ) -> Result<Vec<DeployedHook>, Failure> {
        let mut by_name: Vec<_> = plan.hooks.iter().zip(&findings.hooks).collect();
        by_name.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let mut done = Vec::with_capacity(by_name.len());
        for (hook, finding) in by_name {
            let locked = repos
                .hooks()
                .register(&hook.name, &hook.contract, Some(hook.release.content.key()))
                .await?;
            let differences = locked.contract.differences(&hook.contract);
            if !differences.is_empty() {
                return Err(HookError::ContractDiffers {
                    hook: hook.name.clone(),
                    differences,
                }
                .into());
            }
            if locked.last.is_none() {
                let index = plan.hooks.iter().position(|other| other.name == hook.name);
                let at: [Loc; 3] = ["hooks".into(), index.unwrap_or_default().into(), "feature".into()];
                hook.contract.check_size().map_err(|e| e.under(&at))?;
            }
            if locked.contract != hook.contract {
                repos
                    .hooks()
                    .update_descriptions(&hook.name, &hook.contract)
                    .await?;
            }
            let released = release_under_lock(
                repos,
                &*self.ids,
                &permit.over_hook(&hook.name)?,
                &locked,
                &hook.release,
                finding.as_ref(),
            )
            .await?;
            done.push(DeployedHook {
                name: hook.name.clone(),
                version: released.release.version,
                created: released.created,
                located: released.located,
                live: released.live,
            });
        }
        let place = |name: &HookName| plan.hooks.iter().position(|hook| hook.name == *name);
        done.sort_by_key(|hook| place(&hook.name));
        Ok(done)
    }
}

/// Refuses reserved names on write (WC-4.5).
fn check_names(plan: &DeployPlan) -> Result<(), NameError> {
    SchemaId::for_new_schema(
        plan.schema.reference.id.as_str(),
        plan.schema.reference.version.major(),
    )?;
    plan.hooks
        .iter()
        .try_for_each(|hook| HookName::for_new_hook(hook.name.as_str()).map(|_| ()))
}

/// Reuses the schema version if its fields are the same, refuses it if not (WC-D13), and inserts it if it is new and
/// may follow (WC-D15). Returns the time of its registration, if it is new. `at` is where the request has the schema.
pub(crate) async fn settle_schema(
    repos: &mut dyn Repos,
    schema: &Schema,
    at: &[Loc],
) -> Result<Option<OffsetDateTime>, Failure> {
    let (id, version) = (&schema.reference.id, &schema.reference.version);
    if let Some(other) = repos.schemas().reserve_table(id, version.major()).await? {
        return Err(ConventionError::SchemaTableTaken {
            id: id.to_string(),
            other: other.to_string(),
        }
        .into());
    }
    let versions = repos.schemas().of_major(id, version.major()).await?;
    if let Some(same) = versions.iter().find(|s| s.reference.version == *version) {
        let fields = same.differences(schema);
        return if fields.is_empty() {
            Ok(None)
        } else {
            Err(ConventionError::SchemaDiffers {
                reference: schema.reference.clone(),
                fields,
            }
            .into())
        };
    }
    schema.check_size().map_err(|e| e.under(at))?;
    let lower = versions
        .iter()
        .filter(|s| s.reference.version.precedence(version).is_lt());
    if let Some(newest) = lower.max_by(|a, b| a.reference.version.precedence(&b.reference.version)) {
        schema.check_extends(newest).map_err(|e| e.under(at))?;
    }
    // A version that is registered late, below others, must leave those able to follow it.
    let higher = versions
        .iter()
        .filter(|s| s.reference.version.precedence(version).is_gt());
    if let Some(next) = higher.min_by(|a, b| a.reference.version.precedence(&b.reference.version)) {
        next.check_extends(schema).map_err(|e| e.under(at))?;
    }
    Ok(Some(repos.schemas().insert(schema).await?))
}

fn is_same(before: &Convention, plan: &DeployPlan) -> bool {
    before.title == plan.title
        && before.description == plan.description
        && before.schema == plan.schema.reference
        && before.file_requirements == plan.file_requirements
        && before.hooks.iter().eq(plan.hooks.iter().map(|hook| &hook.name))
        && before.ingester == plan.ingester
        && before.curation == plan.curation
        && before.docs == plan.docs
}

/// Returns a feature contract as responses show it (WC-1.2).
fn feature(contract: &FeatureContract) -> Value {
    json!({"kind": "table", "cardinality": contract.cardinality, "columns": contract.columns})
}

/// Creates the event of DEP-5, with the data keys of WC-1.7.
fn registered(actor: Actor, plan: &DeployPlan) -> Event {
    let schema = &plan.schema.reference;
    let hooks: Vec<_> = plan
        .hooks
        .iter()
        .map(|hook| json!({"name": hook.name.as_str(), "feature": feature(&hook.contract)}))
        .collect();
    let fields: Vec<_> = plan.schema.fields.iter().map(FieldDefinition::shown).collect();
    Event {
        kind: "ConventionRegistered",
        subject: format!("convention:{}", plan.slug),
        actor,
        payload: json!({
            "convention_id": plan.slug.as_str(),
            "schema_id": {"id": schema.id.as_str(), "version": schema.version.to_string()},
            "schema_fields": fields,
            "hooks": hooks,
        }),
    }
}
