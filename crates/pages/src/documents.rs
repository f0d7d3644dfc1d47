//! The content of the markdown documents.

use serde_json::Value;
use time::OffsetDateTime;

use crate::model::{Column, Count, Node};

/// A convention, in `/SKILL.md`.
#[derive(Clone, Debug)]
pub struct SkillConvention {
    /// Its title.
    pub title: String,
    /// The purpose of its data.
    pub purpose: Option<String>,
    /// Questions that its data answer.
    pub example_questions: Vec<String>,
    /// When to use other data.
    pub when_not_to_use: Option<String>,
    /// Related data.
    pub see_also: Vec<String>,
}

/// The features that a hook computed for a dataset.
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
    /// Its computed features.
    pub features: Vec<SkillFeature>,
}

/// `/SKILL.md`: what an agent should know about the archive before it queries it.
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

/// A column with a value that occurs in it, for the worked requests.
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
    /// The hook's columns, without the common ones of every feature table.
    pub columns: Vec<Column>,
    /// How many rows there are.
    pub rows: Count,
    /// How many records have rows.
    pub records_covered: Count,
    /// A value of one of its columns; `None` while it is empty.
    pub sample: Option<Sample>,
    /// The id of a row; `None` while it is empty.
    pub sample_row: Option<i64>,
}

/// A worked example by a convention's author.
#[derive(Clone, Debug)]
pub struct SchemaExample {
    /// The question.
    pub question: String,
    /// The query that answers it.
    pub query: String,
    /// The meaning of the result.
    pub interpretation: String,
}

/// `/api/v1/data/{schema}.md`: how to read one schema's tables.
#[derive(Clone, Debug)]
pub struct SchemaDoc {
    /// The node.
    pub node: Node,
    /// The schema as the path names it: `id` or `id@version`.
    pub schema: String,
    /// `id@version` of the version whose columns are described.
    pub reference: String,
    /// Its title.
    pub title: String,
    /// The purpose of its data; `None` if no convention states one.
    pub purpose: Option<String>,
    /// The declared fields, in order, without the common columns of every records table.
    pub fields: Vec<Column>,
    /// How many records there are.
    pub records: Count,
    /// A value of one of the fields; `None` while there are no records.
    pub sample: Option<Sample>,
    /// The id of a record; `None` while there are none.
    pub sample_record: Option<String>,
    /// The feature tables.
    pub features: Vec<SchemaFeature>,
    /// Worked examples.
    pub examples: Vec<SchemaExample>,
    /// When to use other data.
    pub when_not_to_use: Option<String>,
    /// Related data.
    pub see_also: Vec<String>,
    /// When the rows were counted.
    pub as_of: Option<OffsetDateTime>,
}
