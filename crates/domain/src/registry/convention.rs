//! Conventions (DEP): a schema version, file rules, an ordered list of hooks, an optional ingester and documentation.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::deposit::file::FileRequirements;
use crate::ingest::schedule::Schedule;
use crate::kind::{Coded, Fault, Invalid, Kind, Loc};
use crate::names::{ConventionSlug, HookName, NameError};
use crate::registry::digest::Digest;
use crate::registry::hook::{FeatureContract, HookError, NewRelease};
use crate::registry::limits::Limits;
use crate::registry::schema::Schema;
use crate::registry::version::SchemaRef;

/// Maximum number of hooks of one convention.
pub const MAX_HOOKS: usize = 100;

/// One worked example in a convention's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConventionExample {
    /// A question of a reader.
    pub question: String,
    /// The query that answers it.
    pub query: String,
    /// How to interpret the result.
    pub interpretation: String,
}

/// Mandatory documentation of a convention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConventionDocs {
    /// Purpose of the data.
    pub purpose: String,
    /// Questions that the data answer.
    pub example_questions: Vec<String>,
    /// Worked examples.
    pub examples: Vec<ConventionExample>,
    /// When not to use the data.
    pub when_not_to_use: Option<String>,
    /// Related resources.
    pub see_also: Option<Vec<String>>,
}

impl ConventionDocs {
    /// Checks DEP-4: a purpose, at least one worked example, at least three distinct questions. Reports every gap at
    /// once.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut faults = Vec::new();
        let blank = |text: &str| text.trim().is_empty();
        if blank(&self.purpose) {
            faults.push(Fault::value(["purpose".into()], "must not be blank"));
        }
        for (index, question) in self.example_questions.iter().enumerate() {
            if blank(question) {
                faults.push(Fault::value(
                    ["example_questions".into(), index.into()],
                    "must not be blank",
                ));
            }
        }
        if self.examples.is_empty() {
            faults.push(Fault::typed(
                "too_short",
                ["examples".into()],
                "must have at least one worked example",
            ));
        }
        for (index, example) in self.examples.iter().enumerate() {
            for (name, text) in [
                ("question", &example.question),
                ("query", &example.query),
                ("interpretation", &example.interpretation),
            ] {
                if blank(text) {
                    faults.push(Fault::value(
                        ["examples".into(), index.into(), name.into()],
                        "must not be blank",
                    ));
                }
            }
        }
        let questions = self
            .example_questions
            .iter()
            .chain(self.examples.iter().map(|e| &e.question));
        let distinct: BTreeSet<&str> = questions.map(|q| q.trim()).filter(|q| !q.is_empty()).collect();
        if distinct.len() < 3 {
            let message = format!(
                "must name at least three distinct questions, over example_questions and examples; {} found",
                distinct.len()
            );
            faults.push(Fault::value(["example_questions".into()], message));
        }
        Invalid::unless_empty(faults)
    }
}

/// The ingester of a convention, from which the server pulls records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IngesterDefinition {
    /// Location of the image.
    pub image: String,
    /// Digest of the image.
    pub digest: String,
    /// Configuration that the ingester receives as `config.json`.
    pub config: Option<serde_json::Map<String, Value>>,
    /// Resource limits of one execution.
    pub limits: Limits,
    /// Schedule of automatic runs.
    pub schedule: Option<IngesterSchedule>,
    /// The run after the deploy, if any.
    pub initial_run: Option<InitialRun>,
    /// The commit it was built from.
    pub source_ref: String,
}

impl IngesterDefinition {
    /// Checks everything that would otherwise fail only at run time (WC-D25).
    fn check(&self) -> Result<(), Invalid> {
        let mut faults = Vec::new();
        let mut take = |result: Result<(), Invalid>, at: &[&str]| {
            let at: Vec<Loc> = at.iter().map(|key| Loc::from(*key)).collect();
            faults.extend(result.err().into_iter().flat_map(|e| e.under(&at).faults));
        };
        take(self.digest.parse::<Digest>().map(|_| ()), &["release", "digest"]);
        let at_least_one = |limit: Option<i64>| match limit {
            Some(limit) if limit < 1 => Err(Invalid::value("must be at least 1")),
            _ => Ok(()),
        };
        if let Some(schedule) = &self.schedule {
            take(Schedule::parse(&schedule.cron).map(|_| ()), &["schedule", "cron"]);
            take(at_least_one(schedule.limit), &["schedule", "limit"]);
        }
        if let Some(initial) = &self.initial_run {
            take(at_least_one(initial.limit), &["initial_run", "limit"]);
        }
        Invalid::unless_empty(faults)
    }
}

/// Schedule of an ingester's automatic runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngesterSchedule {
    /// A cron expression, in UTC.
    pub cron: String,
    /// Maximum number of records of one run.
    pub limit: Option<i64>,
}

/// A run that starts after the deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialRun {
    /// Maximum number of records.
    pub limit: Option<i64>,
}

/// A deployed convention.
#[derive(Clone, Debug, PartialEq)]
pub struct Convention {
    /// Key of the convention, derived from its title.
    pub slug: ConventionSlug,
    /// Title of the convention.
    pub title: String,
    /// Description, for people.
    pub description: String,
    /// Schema version of new records.
    pub schema: SchemaRef,
    /// Files that a deposition may have.
    pub file_requirements: FileRequirements,
    /// Hooks in execution order.
    pub hooks: Vec<HookName>,
    /// The ingester, if records can be pulled.
    pub ingester: Option<IngesterDefinition>,
    /// Whether a curator decides on depositions.
    pub curation: Curation,
    /// Mandatory documentation.
    pub docs: ConventionDocs,
    /// When the convention was first deployed.
    pub created_at: OffsetDateTime,
}

/// One hook of a deploy.
#[derive(Clone, Debug, PartialEq)]
pub struct HookDeploy {
    /// Name of the hook.
    pub name: HookName,
    /// Output contract of the hook.
    pub contract: FeatureContract,
    /// The release to create.
    pub release: NewRelease,
}

/// A deploy that passed every check without a database.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployPlan {
    /// Key of the convention, derived from its title.
    pub slug: ConventionSlug,
    /// Title of the convention.
    pub title: String,
    /// Description, for people.
    pub description: String,
    /// Schema of the records.
    pub schema: Schema,
    /// Files that a deposition may have.
    pub file_requirements: FileRequirements,
    /// Hooks in execution order.
    pub hooks: Vec<HookDeploy>,
    /// The ingester, if records can be pulled.
    pub ingester: Option<IngesterDefinition>,
    /// Whether a curator decides on depositions.
    pub curation: Curation,
    /// Mandatory documentation.
    pub docs: ConventionDocs,
}

impl DeployPlan {
    /// Checks everything that needs no database, and reports every fault at once.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut faults = Vec::new();
        let mut take = |result: Result<(), Invalid>, under: &[Loc]| {
            faults.extend(result.err().into_iter().flat_map(|e| e.under(under).faults));
        };
        for (name, text) in [("title", &self.title), ("description", &self.description)] {
            const RULE: &str = "must have 1 to 10000 bytes and no character NUL";
            let short = if text.is_empty() {
                Err(Invalid::typed("string_too_short", RULE))
            } else if text.contains('\0') || text.len() > 10_000 {
                Err(Invalid::value(RULE))
            } else {
                Ok(())
            };
            take(short, &[name.into()]);
        }
        take(self.schema.check(), &["schema".into()]);
        if self.hooks.len() > MAX_HOOKS {
            take(
                Err(Invalid::value(format!("must have at most {MAX_HOOKS} hooks"))),
                &["hooks".into()],
            );
        }
        let mut seen = BTreeSet::new();
        for (index, hook) in self.hooks.iter().enumerate() {
            let at = |key: &str| vec![Loc::from("hooks"), index.into(), key.into()];
            if !seen.insert(&hook.name) {
                take(
                    Err(Invalid::value(format!(
                        "{:?} is given twice; a convention runs a hook once",
                        hook.name.as_str()
                    ))),
                    &at("name"),
                );
            }
            take(hook.contract.check(), &at("feature"));
            take(hook.release.check(), &at("release"));
        }
        take(self.docs.check(), &["docs".into()]);
        if let Some(ingester) = &self.ingester {
            take(ingester.check(), &["ingester".into()]);
        }
        let f = &self.file_requirements;
        for (name, value) in [
            ("min_count", f.min_count),
            ("max_count", f.max_count),
            ("max_file_size", f.max_file_size),
        ] {
            if value < 0 {
                take(
                    Err(Invalid::value("must not be negative")),
                    &["file_requirements".into(), name.into()],
                );
            }
        }
        Invalid::unless_empty(faults)
    }
}

/// Reason for refusing a deploy, or for not finding a convention.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConventionError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A name is refused.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A hook of the convention is refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The schema version already exists with other fields (DEP-2, WC-D13).
    #[error("schema {reference} already exists with other fields: {}; give the changed schema a new version", .fields.join(", "))]
    SchemaDiffers {
        /// The schema version.
        reference: SchemaRef,
        /// The fields that differ.
        fields: Vec<String>,
    },
    /// The schema version already exists.
    #[error("schema {0} already exists")]
    SchemaExists(SchemaRef),
    /// Another schema's id leads to the same table name (WC-D23).
    #[error(
        "schema id {id:?} leads to the same table name as the schema {other:?}; choose an id that differs in more than hyphens"
    )]
    SchemaTableTaken {
        /// The id in the request.
        id: String,
        /// The schema that owns the table.
        other: String,
    },
    /// The convention does not exist.
    #[error("there is no convention {0:?}")]
    Unknown(String),
    /// The schema version does not exist.
    #[error("there is no schema {0}")]
    UnknownSchema(SchemaRef),
}

impl Coded for ConventionError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::Name(e) => e.kind(),
            Self::Hook(e) => e.kind(),
            Self::SchemaDiffers { .. } | Self::SchemaExists(_) | Self::SchemaTableTaken { .. } => {
                Kind::Conflict
            }
            Self::Unknown(_) | Self::UnknownSchema(_) => Kind::NotFound,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(e) => e.code(),
            Self::Name(e) => e.code(),
            Self::Hook(e) => e.code(),
            Self::SchemaDiffers { .. } | Self::SchemaExists(_) => "schema_already_exists",
            Self::SchemaTableTaken { .. } => "schema_table_taken",
            Self::Unknown(_) | Self::UnknownSchema(_) => "NotFoundError",
        }
    }
    fn faults(&self) -> &[Fault] {
        match self {
            Self::Invalid(e) => e.faults(),
            Self::Name(e) => e.faults(),
            Self::Hook(e) => e.faults(),
            _ => &[],
        }
    }
}

/// Whether a curator decides on depositions that passed every hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Curation {
    /// Depositions that passed are published.
    #[default]
    Automatic,
    /// A curator approves or rejects them.
    Required,
}

impl Curation {
    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Required => "required",
        }
    }
}

impl FromStr for Curation {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "automatic" => Ok(Self::Automatic),
            "required" => Ok(Self::Required),
            _ => Err(Invalid::value("must be automatic or required")),
        }
    }
}

#[cfg(test)]
mod tests;
