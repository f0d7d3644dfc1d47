//! Wire types of a deploy and of a release (WC-1.1, WC-1.2), and their conversion to a plan.

use std::collections::BTreeMap;

use domain::deposit::file::FileRequirements;
use domain::registry::convention::{
    ConventionDocs, ConventionExample, DeployPlan, HookDeploy, IngesterDefinition, IngesterSchedule,
    InitialRun,
};
use domain::registry::hook::{NewRelease, ReleaseContent};
use domain::{ConventionSlug, Curation, HookName, Invalid, Loc, Schema, SchemaId, SchemaRef};
use poem_openapi::Object;
use serde_json::{Map, Value};

use crate::registry::wire::{WireFeature, WireField, WireLimits};

/// A release within a deploy.
#[derive(Clone, Debug, Object)]
pub(crate) struct ReleaseBlock {
    /// Location of the image: a registry reference, or `file:<path>` for the process runner.
    image: String,
    /// Digest of the image: `sha256:` and 64 hex digits.
    digest: String,
    /// The commit it was built from.
    source_ref: String,
}

/// A hook of a deploy.
#[derive(Clone, Debug, Object)]
pub(crate) struct HookBlock {
    /// Name of the hook and of its feature table.
    name: String,
    feature: WireFeature,
    /// Configuration that the hook receives as `config.json`.
    config: BTreeMap<String, Value>,
    limits: Option<WireLimits>,
    release: ReleaseBlock,
}

/// An ingester of a deploy.
#[derive(Clone, Debug, Object)]
pub(crate) struct IngesterBlock {
    /// Name of the ingester; not stored.
    name: String,
    config: Option<BTreeMap<String, Value>>,
    limits: Option<WireLimits>,
    schedule: Option<WireSchedule>,
    initial_run: Option<WireInitialRun>,
    release: ReleaseBlock,
}

/// Schedule of an ingester's automatic runs.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Schedule")]
pub(crate) struct WireSchedule {
    cron: String,
    limit: Option<i64>,
}

/// A run that starts after the deploy.
#[derive(Clone, Debug, Object)]
#[oai(rename = "InitialRun")]
pub(crate) struct WireInitialRun {
    limit: Option<i64>,
}

/// A schema of a deploy.
#[derive(Clone, Debug, Object)]
pub(crate) struct SchemaBlock {
    pub(crate) id: String,
    pub(crate) version: String,
    #[oai(default)]
    pub(crate) fields: Vec<WireField>,
}

/// Files that a deposition may have.
#[derive(Clone, Debug, Object)]
#[oai(rename = "FileRequirements")]
pub(crate) struct WireFiles {
    /// Extensions such as `.cif`; an empty list allows all.
    accepted_types: Vec<String>,
    #[oai(default)]
    min_count: i64,
    max_count: i64,
    /// Maximum size of a file, in bytes (default 1 GiB; WC-D29).
    #[oai(default = "gibibyte")]
    max_file_size: i64,
}

const fn gibibyte() -> i64 {
    1 << 30
}

impl From<&FileRequirements> for WireFiles {
    fn from(f: &FileRequirements) -> Self {
        Self {
            accepted_types: f.accepted_types.clone(),
            min_count: f.min_count,
            max_count: f.max_count,
            max_file_size: f.max_file_size,
        }
    }
}

/// An example question with its query.
#[derive(Clone, Debug, Object)]
pub(crate) struct ExampleBlock {
    question: String,
    query: String,
    interpretation: String,
}

/// Documentation of a convention.
#[derive(Clone, Debug, Object)]
pub(crate) struct DocsBlock {
    purpose: String,
    #[oai(default)]
    example_questions: Vec<String>,
    examples: Vec<ExampleBlock>,
    when_not_to_use: Option<String>,
    see_also: Option<Vec<String>>,
}

impl From<ConventionDocs> for DocsBlock {
    fn from(docs: ConventionDocs) -> Self {
        let example = |e: ConventionExample| ExampleBlock {
            question: e.question,
            query: e.query,
            interpretation: e.interpretation,
        };
        Self {
            purpose: docs.purpose,
            example_questions: docs.example_questions,
            examples: docs.examples.into_iter().map(example).collect(),
            when_not_to_use: docs.when_not_to_use,
            see_also: docs.see_also,
        }
    }
}

/// `POST /conventions`.
#[derive(Clone, Debug, Object)]
pub(crate) struct DeployBody {
    /// Title of the convention; its slug is derived from it.
    title: String,
    description: String,
    file_requirements: WireFiles,
    /// Schema of the records; `schema_block` is accepted as an alias.
    schema: Option<SchemaBlock>,
    schema_block: Option<SchemaBlock>,
    #[oai(default)]
    hooks: Vec<HookBlock>,
    ingester: Option<IngesterBlock>,
    /// `required`: a curator decides on depositions that passed every hook. Default: `automatic`.
    curation: Option<String>,
    docs: DocsBlock,
}

fn object(map: BTreeMap<String, Value>) -> Map<String, Value> {
    map.into_iter().collect()
}

/// Builds a release from these parts. Faults of `config` and `limits` lie next to the release's, as in both bodies that
/// have one.
fn release(
    image: String,
    digest: &str,
    source_ref: String,
    config: BTreeMap<String, Value>,
    limits: Option<WireLimits>,
    digest_at: &[Loc],
) -> Result<NewRelease, Invalid> {
    let mut faults = Vec::new();
    let digest = digest
        .parse()
        .map_err(|e: Invalid| faults.extend(e.under(digest_at).faults))
        .ok();
    let limits = WireLimits::into_domain(limits, 300, "0.5")
        .map_err(|e| faults.extend(e.faults))
        .ok();
    match (digest, limits) {
        (Some(digest), Some(limits)) => Ok(NewRelease {
            image,
            content: ReleaseContent {
                digest,
                config: object(config),
                limits,
            },
            source_ref,
        }),
        _ => Err(Invalid { faults }),
    }
}

impl HookBlock {
    fn into_domain(self) -> Result<HookDeploy, Invalid> {
        let mut faults = Vec::new();
        let name = self
            .name
            .parse::<HookName>()
            .map_err(|e| faults.extend(e.of_field("name").faults))
            .ok();
        let contract = self
            .feature
            .into_domain()
            .map_err(|e| faults.extend(e.of_field("feature").faults))
            .ok();
        let at = ["release".into(), "digest".into()];
        let block = self.release;
        let release = release(
            block.image,
            &block.digest,
            block.source_ref,
            self.config,
            self.limits,
            &at,
        )
        .map_err(|e| faults.extend(e.faults))
        .ok();
        match (name, contract, release) {
            (Some(name), Some(contract), Some(release)) => Ok(HookDeploy {
                name,
                contract,
                release,
            }),
            _ => Err(Invalid { faults }),
        }
    }
}

impl IngesterBlock {
    fn into_domain(self) -> Result<IngesterDefinition, Invalid> {
        let limits = WireLimits::into_domain(self.limits, 3600, "0.25")?;
        let digest: domain::Digest = self
            .release
            .digest
            .parse()
            .map_err(|e: Invalid| e.under(&["release".into(), "digest".into()]))?;
        Ok(IngesterDefinition {
            image: self.release.image,
            digest: digest.to_string(),
            config: self.config.map(object),
            limits,
            schedule: self.schedule.map(|s| IngesterSchedule {
                cron: s.cron,
                limit: s.limit,
            }),
            initial_run: self.initial_run.map(|r| InitialRun { limit: r.limit }),
            source_ref: self.release.source_ref,
        })
    }
}

impl DeployBody {
    /// Builds the plan, or returns every fault of the single values.
    pub(crate) fn into_plan(self) -> Result<DeployPlan, Invalid> {
        let mut faults = Vec::new();
        let slug = ConventionSlug::from_title(&self.title)
            .map_err(|e| faults.extend(e.of_field("title").faults))
            .ok();
        let block = match (self.schema, self.schema_block) {
            (Some(block), None) | (None, Some(block)) => Some(block),
            (None, None) => {
                faults.push(domain::Fault::missing(["schema".into()], "is required"));
                None
            }
            (Some(_), Some(_)) => {
                faults.extend(
                    Invalid::value("is given twice: as schema and as schema_block")
                        .of_field("schema")
                        .faults,
                );
                None
            }
        };
        let schema = block.and_then(|block| {
            schema(block, &self.title)
                .map_err(|e| faults.extend(e.of_field("schema").faults))
                .ok()
        });
        let mut hooks = Vec::with_capacity(self.hooks.len());
        for (index, hook) in self.hooks.into_iter().enumerate() {
            match hook.into_domain() {
                Ok(hook) => hooks.push(hook),
                Err(e) => faults.extend(e.under(&["hooks".into(), index.into()]).faults),
            }
        }
        let ingester = self
            .ingester
            .map(IngesterBlock::into_domain)
            .transpose()
            .map_err(|e| faults.extend(e.of_field("ingester").faults))
            .ok()
            .flatten();
        let curation = match self.curation.as_deref().map(str::parse) {
            None => Curation::Automatic,
            Some(Ok(curation)) => curation,
            Some(Err(invalid)) => {
                let invalid: Invalid = invalid;
                faults.extend(invalid.of_field("curation").faults);
                Curation::Automatic
            }
        };
        let docs = self.docs;
        let example = |e: ExampleBlock| ConventionExample {
            question: e.question,
            query: e.query,
            interpretation: e.interpretation,
        };
        let docs = ConventionDocs {
            purpose: docs.purpose,
            example_questions: docs.example_questions,
            examples: docs.examples.into_iter().map(example).collect(),
            when_not_to_use: docs.when_not_to_use,
            see_also: docs.see_also,
        };
        let (Some(slug), Some(schema), true) = (slug, schema, faults.is_empty()) else {
            // Faults in the docs are reported together with the others, not after them.
            faults.extend(
                docs.check()
                    .err()
                    .into_iter()
                    .flat_map(|e| e.of_field("docs").faults),
            );
            return Err(Invalid { faults });
        };
        let f = self.file_requirements;
        let file_requirements = FileRequirements {
            accepted_types: f.accepted_types,
            min_count: f.min_count,
            max_count: f.max_count,
            max_file_size: f.max_file_size,
        };
        Ok(DeployPlan {
            slug,
            title: self.title,
            description: self.description,
            schema,
            file_requirements,
            hooks,
            ingester,
            curation,
            docs,
        })
    }
}

pub(crate) fn schema(block: SchemaBlock, title: &str) -> Result<Schema, Invalid> {
    let mut faults = Vec::new();
    let id = block
        .id
        .parse::<SchemaId>()
        .map_err(|e| faults.extend(e.of_field("id").faults))
        .ok();
    let version = block
        .version
        .parse()
        .map_err(|e: Invalid| faults.extend(e.of_field("version").faults))
        .ok();
    let mut fields = Vec::with_capacity(block.fields.len());
    for (index, field) in block.fields.into_iter().enumerate() {
        match field.into_domain() {
            Ok(field) => fields.push(field),
            Err(e) => faults.extend(e.under(&["fields".into(), index.into()]).faults),
        }
    }
    match (id, version) {
        (Some(id), Some(version)) if faults.is_empty() => Ok(Schema {
            reference: SchemaRef { id, version },
            title: title.to_owned(),
            fields,
        }),
        _ => Err(Invalid { faults }),
    }
}

/// `POST /hooks/{name}/releases`.
#[derive(Clone, Debug, Object)]
pub(crate) struct NewReleaseBody {
    /// Location of the image: a registry reference, or `file:<path>` for the process runner.
    image: String,
    /// Digest of the image: `sha256:` and 64 hex digits.
    digest: String,
    /// Configuration that the hook receives as `config.json`.
    config: BTreeMap<String, Value>,
    limits: Option<WireLimits>,
    /// The commit it was built from.
    source_ref: String,
}

impl NewReleaseBody {
    pub(crate) fn into_domain(self) -> Result<NewRelease, Invalid> {
        release(
            self.image,
            &self.digest,
            self.source_ref,
            self.config,
            self.limits,
            &["digest".into()],
        )
    }
}

/// An ingester in the response for a convention.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Ingester")]
pub(crate) struct WireIngester {
    image: String,
    digest: String,
    config: Option<BTreeMap<String, Value>>,
    limits: WireLimits,
    schedule: Option<WireSchedule>,
    initial_run: Option<WireInitialRun>,
    source_ref: String,
}

impl From<IngesterDefinition> for WireIngester {
    fn from(i: IngesterDefinition) -> Self {
        Self {
            image: i.image,
            digest: i.digest,
            config: i.config.map(|c| c.into_iter().collect()),
            limits: (&i.limits).into(),
            schedule: i.schedule.map(|s| WireSchedule {
                cron: s.cron,
                limit: s.limit,
            }),
            initial_run: i.initial_run.map(|r| WireInitialRun { limit: r.limit }),
            source_ref: i.source_ref,
        }
    }
}
