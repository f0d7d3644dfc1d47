//! What the markdown documents are made of.

use serde_json::Value;
use time::OffsetDateTime;

use crate::model::{Column, Count, Node};

/// A convention, in `/SKILL.md`.
#[derive(Clone, Debug)]
pub struct SkillConvention {
    /// Its title.
    pub title: String,
    /// What its data are for.
    pub purpose: Option<String>,
    /// Questions that its data answer.
    pub example_questions: Vec<String>,
    /// When to look elsewhere.
    pub when_not_to_use: Option<String>,
    /// Where else to look.
    pub see_also: Vec<String>,
}

/// What a hook computed for a dataset.
#[derive(Clone, Debug)]
pub struct SkillFeature {
    /// The hook's name.
    pub name: String,
    /// How many rows there are.
    pub rows: Count,
    /// How many of the records have rows.
    pub records_covered: Count,
}

/// A schema version's data, in `/SKILL.md`.
#[derive(Clone, Debug)]
pub struct SkillDataset {
    /// `id@version`.
    pub schema: String,
    /// Its title.
    pub title: String,
    /// How many records there are.
    pub records: Count,
    /// What was computed for them.
    pub features: Vec<SkillFeature>,
}

/// `/SKILL.md`: what an agent should know of the archive before it asks.
#[derive(Clone, Debug)]
pub struct Skill {
    /// The node.
    pub node: Node,
    /// Its conventions.
    pub conventions: Vec<SkillConvention>,
    /// Its data.
    pub datasets: Vec<SkillDataset>,
    /// When they were counted.
    pub as_of: Option<OffsetDateTime>,
}

/// A column's value that occurs, for the worked requests.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The column.
    pub column: String,
    /// A value of it.
    pub value: Value,
}

/// A feature table, in a schema's document.
#[derive(Clone, Debug)]
pub struct SchemaFeature {
    /// The hook's name.
    pub name: String,
    /// The hook's columns; those that every feature table has are known.
    pub columns: Vec<Column>,
    /// How many rows there are.
    pub rows: Count,
    /// How many records have rows.
    pub records_covered: Count,
    /// A value of one of its columns; nothing while it is empty.
    pub sample: Option<Sample>,
    /// The id of a row; nothing while it is empty.
    pub sample_row: Option<i64>,
}

/// A worked example of a convention's author.
#[derive(Clone, Debug)]
pub struct SchemaExample {
    /// What is asked.
    pub question: String,
    /// How to ask it.
    pub query: String,
    /// What the answer means.
    pub interpretation: String,
}

/// `/api/v1/data/{schema}.md`: how to read one schema's tables.
#[derive(Clone, Debug)]
pub struct SchemaDoc {
    /// The node.
    pub node: Node,
    /// `id@version`.
    pub schema: String,
    /// Its title.
    pub title: String,
    /// What its data are for; nothing when no convention says so.
    pub purpose: Option<String>,
    /// The declared fields, in order; the columns that every records table has are known.
    pub fields: Vec<Column>,
    /// How many records there are.
    pub records: Count,
    /// A value of one of the fields; nothing while there are no records.
    pub sample: Option<Sample>,
    /// The id of a record; nothing while there are none.
    pub sample_record: Option<String>,
    /// The feature tables.
    pub features: Vec<SchemaFeature>,
    /// Worked examples.
    pub examples: Vec<SchemaExample>,
    /// When to look elsewhere.
    pub when_not_to_use: Option<String>,
    /// Where else to look.
    pub see_also: Vec<String>,
    /// When the rows were counted.
    pub as_of: Option<OffsetDateTime>,
}
