//! Conventions (DEP): a schema version, file rules, an ordered list of hooks, an optional ingester and docs.

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

/// The most hooks of one convention.
pub const MAX_HOOKS: usize = 100;

/// One worked example of a convention's docs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConventionExample {
    /// What somebody wants to know.
    pub question: String,
    /// How to ask it.
    pub query: String,
    /// What the answer means.
    pub interpretation: String,
}

/// A convention's mandatory docs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConventionDocs {
    /// What the data are for.
    pub purpose: String,
    /// Questions that the data answer.
    pub example_questions: Vec<String>,
    /// Worked examples.
    pub examples: Vec<ConventionExample>,
    /// When to look elsewhere.
    pub when_not_to_use: Option<String>,
    /// Where else to look.
    pub see_also: Option<Vec<String>>,
}

impl ConventionDocs {
    /// DEP-4: a purpose, at least one worked example, at least three distinct questions; every gap at once.
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
            faults.push(Fault::value(
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

/// Where records are pulled from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IngesterDefinition {
    /// The image.
    pub image: String,
    /// Its digest.
    pub digest: String,
    /// What the ingester is given as `config.json`.
    pub config: Option<serde_json::Map<String, Value>>,
    /// What it may use.
    pub limits: Limits,
    /// When it runs by itself.
    pub schedule: Option<IngesterSchedule>,
    /// Whether it runs once after the deploy.
    pub initial_run: Option<InitialRun>,
    /// The commit it was built from.
    pub source_ref: String,
}

impl IngesterDefinition {
    /// Checks what would else fail only when it is run (WC-D25).
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

/// When an ingester runs by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngesterSchedule {
    /// A cron expression.
    pub cron: String,
    /// The most records of one run.
    pub limit: Option<i64>,
}

/// A run after the deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialRun {
    /// The most records.
    pub limit: Option<i64>,
}

/// A deployed convention.
#[derive(Clone, Debug, PartialEq)]
pub struct Convention {
    /// Its key.
    pub slug: ConventionSlug,
    /// Its title.
    pub title: String,
    /// What it is.
    pub description: String,
    /// The schema version of new records.
    pub schema: SchemaRef,
    /// Which files a deposition may have.
    pub file_requirements: FileRequirements,
    /// The hooks, in the order in which they run.
    pub hooks: Vec<HookName>,
    /// Where records are pulled from.
    pub ingester: Option<IngesterDefinition>,
    /// Whether a curator decides about depositions.
    pub curation: Curation,
    /// Its docs.
    pub docs: ConventionDocs,
    /// When it was first deployed.
    pub created_at: OffsetDateTime,
}

/// One hook of a deploy.
#[derive(Clone, Debug, PartialEq)]
pub struct HookDeploy {
    /// Its name.
    pub name: HookName,
    /// What it writes.
    pub contract: FeatureContract,
    /// The release to make.
    pub release: NewRelease,
}

/// A deploy whose every rule that needs no database holds.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployPlan {
    /// The convention's key.
    pub slug: ConventionSlug,
    /// Its title.
    pub title: String,
    /// What it is.
    pub description: String,
    /// Its schema.
    pub schema: Schema,
    /// Its file rules.
    pub file_requirements: FileRequirements,
    /// Its hooks, in order.
    pub hooks: Vec<HookDeploy>,
    /// Where records are pulled from.
    pub ingester: Option<IngesterDefinition>,
    /// Whether a curator decides about depositions.
    pub curation: Curation,
    /// Its docs.
    pub docs: ConventionDocs,
}

impl DeployPlan {
    /// Checks everything that needs no database, every fault at once.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut faults = Vec::new();
        let mut take = |result: Result<(), Invalid>, under: &[Loc]| {
            faults.extend(result.err().into_iter().flat_map(|e| e.under(under).faults));
        };
        for (name, text) in [("title", &self.title), ("description", &self.description)] {
            let short = if text.is_empty() || text.contains('\0') || text.len() > 10_000 {
                Err(Invalid::value("must have 1 to 10000 bytes and no character NUL"))
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
                        "{:?} stands twice; a convention runs a hook once",
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

/// Why a deploy was refused, or a convention not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConventionError {
    /// What was sent breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A name that cannot be taken.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A hook of it was refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The schema version stands with other fields (DEP-2, WC-D13).
    #[error("schema {reference} exists with other fields: {}; give the changed schema a new version", .fields.join(", "))]
    SchemaDiffers {
        /// The schema version.
        reference: SchemaRef,
        /// The fields that differ.
        fields: Vec<String>,
    },
    /// The schema version stands.
    #[error("schema {0} exists")]
    SchemaExists(SchemaRef),
    /// Another schema's id makes the same table name (WC-D23).
    #[error(
        "schema id {id:?} makes the same table name as the schema {other:?}; choose an id that differs in more than hyphens"
    )]
    SchemaTableTaken {
        /// The id that was sent.
        id: String,
        /// The schema that has the table.
        other: String,
    },
    /// There is no such convention.
    #[error("there is no convention {0:?}")]
    Unknown(String),
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
            Self::Unknown(_) => Kind::NotFound,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(e) => e.code(),
            Self::Name(e) => e.code(),
            Self::Hook(e) => e.code(),
            Self::SchemaDiffers { .. } | Self::SchemaExists(_) => "schema_already_exists",
            Self::SchemaTableTaken { .. } => "schema_table_taken",
            Self::Unknown(_) => "NotFoundError",
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

/// Whether a curator decides about what passed every hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Curation {
    /// What passed is published.
    #[default]
    Automatic,
    /// A curator approves or rejects.
    Required,
}

impl Curation {
    /// The name on the wire.
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
mod tests {
    use super::*;

    // proves DEP-4
    #[test]
    fn docs_name_every_gap() {
        let empty = ConventionDocs {
            purpose: " ".into(),
            example_questions: vec![],
            examples: vec![],
            when_not_to_use: None,
            see_also: None,
        };
        let paths: Vec<_> = empty
            .check()
            .unwrap_err()
            .faults
            .iter()
            .map(Fault::path)
            .collect();
        assert_eq!(paths, ["purpose", "examples", "example_questions"]);
        let example = ConventionExample {
            question: "Q1 ".into(),
            query: "q".into(),
            interpretation: "i".into(),
        };
        let docs = ConventionDocs {
            purpose: "p".into(),
            example_questions: vec!["Q1".into(), "Q2".into()],
            examples: vec![example],
            ..empty
        };
        assert_eq!(
            docs.check().unwrap_err().faults.len(),
            1,
            "Q1 twice is one question"
        );
        let enough = ConventionDocs {
            example_questions: vec!["Q2".into(), "Q3".into()],
            ..docs
        };
        assert_eq!(enough.check(), Ok(()));
    }
}
