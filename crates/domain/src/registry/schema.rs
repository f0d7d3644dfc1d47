//! Schemas: typed metadata fields, rules for new versions, and the validation of metadata (WC-4.1, WC-4.6).

use std::collections::BTreeSet;
use std::sync::Arc;

use patterns::{Pattern, compiled};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::cell::{Cell, ColumnType};
pub use crate::kind::shortened;
use crate::kind::{Fault, Invalid, Loc};
use crate::names::ColumnName;
use crate::registry::row_size;
use crate::registry::version::SchemaRef;

mod address;
mod patterns;
mod shown;

/// Maximum number of fields of a schema. PostgreSQL allows 1600 columns; 500 leaves room for every later minor version.
pub const MAX_FIELDS: usize = 500;

/// Maximum size of all compiled patterns of a schema together, in bytes.
pub const MAX_PATTERNS: usize = 32 * 1024 * 1024;

/// Maximum number of reported faults of one record.
pub const MAX_FAULTS: usize = 100;

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Any text.
    Text,
    /// A number.
    Number,
    /// A calendar date.
    Date,
    /// True or false.
    Boolean,
    /// A term of an ontology.
    Term,
    /// A URL.
    Url,
}

impl FieldType {
    /// Returns the type of the field's column.
    pub const fn column(self) -> ColumnType {
        match self {
            Self::Text | Self::Term | Self::Url => ColumnType::Text,
            Self::Number => ColumnType::Number,
            Self::Date => ColumnType::Date,
            Self::Boolean => ColumnType::Boolean,
        }
    }

    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Date => "date",
            Self::Boolean => "boolean",
            Self::Term => "term",
            Self::Url => "url",
        }
    }
}

/// Number of values of a field. Stored and shown, but without effect (WC-4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldCardinality {
    /// One value.
    ExactlyOne,
    /// At least one.
    OneOrMore,
    /// Any number.
    ZeroOrMore,
}

/// Constraints on a field's values beyond its type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldConstraints {
    /// Kind of the constraint, as the client sent it (`text`, `number`, ...).
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Minimum length of a text, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    /// Maximum length of a text, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// Regular expression that must match some part of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Minimum value of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_value: Option<f64>,
    /// Maximum value of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_value: Option<f64>,
    /// Whether only integers are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integer_only: Option<bool>,
    /// Unit of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Ontology of a term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ontology_srn: Option<String>,
    /// The term that must be an ancestor of a term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_term: Option<String>,
}

/// One field of a schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldDefinition {
    /// Name of the field and of its column.
    pub name: ColumnName,
    /// Type of the field.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// Whether every record must have a value.
    pub required: bool,
    /// Number of values of the field.
    pub cardinality: FieldCardinality,
    /// Meaning of the field.
    pub description: Option<String>,
    /// Constraints on the values.
    pub constraints: Option<FieldConstraints>,
    /// Example values, for people.
    pub examples: Vec<String>,
}

/// One version of a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// The schema's id and version.
    pub reference: SchemaRef,
    /// Title of the schema; for a schema of a convention, the convention's title.
    pub title: String,
    /// Fields of the schema, in order; at least one, with unique names.
    pub fields: Vec<FieldDefinition>,
}

impl Schema {
    /// Checks the rules that span several fields: at least one field, not too many, unique names, patterns that
    /// compile.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut faults = Vec::new();
        if self.fields.is_empty() {
            faults.push(Fault::typed(
                "too_short",
                ["fields".into()],
                "must have at least one field",
            ));
        }
        if self.fields.len() > MAX_FIELDS {
            faults.push(Fault::value(
                ["fields".into()],
                format!("must have at most {MAX_FIELDS} fields"),
            ));
        }
        let mut seen = BTreeSet::new();
        let (patterns, mut size) = (count_patterns(&self.fields), 0);
        for (index, field) in self.fields.iter().enumerate() {
            if !seen.insert(&field.name) {
                faults.push(Fault::value(
                    at(index, field, "name"),
                    format!("{:?} is given twice; field names are unique", field.name.as_str()),
                ));
            }
            // Where they are too much, the rest is not even compiled.
            let why = match pattern_of(field).filter(|_| size <= MAX_PATTERNS) {
                None => continue,
                Some(pattern) => match compiled(pattern, patterns) {
                    Ok(pattern) => {
                        size += pattern.size();
                        if size <= MAX_PATTERNS {
                            continue;
                        }
                        format!("takes more than {MAX_PATTERNS} bytes of memory, with the patterns before it")
                    }
                    Err(why) => why,
                },
            };
            let mut loc = at(index, field, "constraints");
            loc.push("pattern".into());
            faults.push(Fault::value(loc, why));
        }
        Invalid::unless_empty(faults)
    }

    /// Refuses fields whose required values a row cannot hold. Only a new version is checked: an older server took
    /// others, whose values may be short.
    pub fn check_size(&self) -> Result<(), Invalid> {
        let columns = self.fields.iter().map(|f| (f.field_type.column(), f.required));
        row_size::check("fields", columns)
    }

    /// Checks whether this version may follow `older`, the next lower version of the same major: it keeps every field
    /// with its column type, adds only optional fields and tightens none (WC-4.6, WC-D15).
    pub fn check_extends(&self, older: &Self) -> Result<(), Invalid> {
        let mut faults = Vec::new();
        for old in &older.fields {
            let Some((index, new)) = self.fields.iter().enumerate().find(|(_, f)| f.name == old.name) else {
                faults.push(Fault::value(
                    [Loc::from("fields"), item(None, old)],
                    format!(
                        "field {:?} of {} is missing; a new minor version must keep all fields",
                        old.name.as_str(),
                        older.reference
                    ),
                ));
                continue;
            };
            if new.field_type.column() != old.field_type.column() {
                let message = format!(
                    "changes from {} ({}) to {}; a new type needs a new major version",
                    old.field_type.as_str(),
                    older.reference,
                    new.field_type.as_str()
                );
                faults.push(Fault::value(at(index, new, "type"), message));
            }
            if new.required && !old.required {
                faults.push(Fault::value(
                    at(index, new, "required"),
                    format!(
                        "was optional in {} and must stay so within a major version",
                        older.reference
                    ),
                ));
            }
        }
        for (index, new) in self.fields.iter().enumerate() {
            if new.required && !older.fields.iter().any(|old| old.name == new.name) {
                faults.push(Fault::value(
                    at(index, new, "required"),
                    format!(
                        "is new since {}; a field added within a major version must be optional",
                        older.reference
                    ),
                ));
            }
        }
        Invalid::unless_empty(faults)
    }

    /// Returns the names of the fields in which this schema differs from `other`, in this schema's order; a different
    /// order counts as `"(order)"`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut names = Vec::new();
        for field in &self.fields {
            if other.fields.iter().find(|f| f.name == field.name) != Some(field) {
                names.push(field.name.to_string());
            }
        }
        for field in &other.fields {
            if !self.fields.iter().any(|f| f.name == field.name) {
                names.push(field.name.to_string());
            }
        }
        let order = |s: &Self| s.fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        if names.is_empty() && order(self) != order(other) {
            names.push("(order)".to_owned());
        }
        names
    }
}

fn at(index: usize, field: &FieldDefinition, key: &str) -> Vec<Loc> {
    vec!["fields".into(), item(Some(index), field), key.into()]
}

/// Returns the step to a field, by which faults name it.
fn item(index: Option<usize>, field: &FieldDefinition) -> Loc {
    Loc::Item {
        index,
        name: field.name.to_string(),
    }
}

fn pattern_of(field: &FieldDefinition) -> Option<&str> {
    field.constraints.as_ref()?.pattern.as_deref()
}

fn count_patterns(fields: &[FieldDefinition]) -> usize {
    fields.iter().filter_map(pattern_of).count()
}

/// A schema with compiled patterns, for checking many records.
#[derive(Debug)]
pub struct MetadataChecker {
    fields: Vec<(FieldDefinition, Option<Arc<Pattern>>)>,
}

impl MetadataChecker {
    /// Creates a checker of these fields. A pattern that does not compile was refused at deploy and checks nothing
    /// here.
    pub fn new(fields: &[FieldDefinition]) -> Self {
        let patterns = count_patterns(fields);
        let pattern = |field: &FieldDefinition| compiled(pattern_of(field)?, patterns).ok();
        Self {
            fields: fields.iter().map(|f| (f.clone(), pattern(f))).collect(),
        }
    }

    /// Returns the fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = &FieldDefinition> {
        self.fields.iter().map(|(field, _)| field)
    }

    /// Returns the typed cells of metadata that was checked on arrival, in the order of the fields; `None` if a type no
    /// longer fits. It does not check constraints again, because the database may have changed the text of a number.
    pub fn cells(&self, metadata: &Map<String, Value>) -> Option<Vec<Cell>> {
        let cell = |field: &FieldDefinition| match metadata.get(field.name.as_str()) {
            None => Some(Cell::Null),
            Some(value) => Cell::from_json(value, field.field_type.column()).ok(),
        };
        self.fields().map(cell).collect()
    }

    /// Returns the typed cells of `metadata` in the order of the fields, or every fault.
    pub fn check(&self, metadata: &Map<String, Value>) -> Result<Vec<Cell>, Invalid> {
        let mut faults = Vec::new();
        let mut cells = Vec::with_capacity(self.fields.len());
        for (field, pattern) in &self.fields {
            let name = field.name.as_str();
            let cell = match metadata.get(name) {
                None | Some(Value::Null) => {
                    if field.required {
                        faults.push(Fault::missing([name.into()], "is required"));
                    }
                    Cell::Null
                }
                Some(value) => match Cell::from_json(value, field.field_type.column()) {
                    Ok(cell) => {
                        let constraints = field.constraints.as_ref();
                        let broken =
                            constraints.and_then(|c| broken_constraint(&cell, c, pattern.as_deref()));
                        if let Some(rule) = broken.or_else(|| broken_type(&cell, field.field_type)) {
                            faults.push(Fault::value([name.into()], rule));
                        }
                        cell
                    }
                    Err(rule) => {
                        faults.push(Fault::value([name.into()], rule));
                        Cell::Null
                    }
                },
            };
            cells.push(cell);
        }
        for key in metadata.keys() {
            if faults.len() >= MAX_FAULTS {
                break;
            }
            if !self.fields.iter().any(|(field, _)| field.name.as_str() == key) {
                faults.push(Fault {
                    loc: vec![shortened(key).into()],
                    message: "is not a field of the schema".to_owned(),
                    rule: "extra_forbidden",
                });
            }
        }
        Invalid::unless_empty(faults).map(|()| cells)
    }
}

/// Returns the rule of its type that a value breaks, beyond the type of its column.
fn broken_type(cell: &Cell, field_type: FieldType) -> Option<String> {
    match cell {
        Cell::Text(text) if field_type == FieldType::Url => address::broken_rule(text),
        _ => None,
    }
}

fn broken_constraint(cell: &Cell, c: &FieldConstraints, pattern: Option<&Pattern>) -> Option<String> {
    match cell {
        Cell::Text(text) => {
            let length = text.chars().count() as u64;
            if c.min_length.is_some_and(|min| length < min) {
                return Some(format!(
                    "must have at least {} characters",
                    c.min_length.unwrap_or_default()
                ));
            }
            if c.max_length.is_some_and(|max| length > max) {
                return Some(format!(
                    "must have at most {} characters",
                    c.max_length.unwrap_or_default()
                ));
            }
            pattern
                .filter(|p| !p.is_match(text))
                .map(|p| format!("must match {}", p.as_str()))
        }
        Cell::Number(number) => {
            if c.integer_only == Some(true) && number.fract() != 0.0 {
                return Some("must be an integer".to_owned());
            }
            if let Some(min) = c.min_value.filter(|min| number < min) {
                return Some(format!("must be at least {min}"));
            }
            c.max_value
                .filter(|max| number > max)
                .map(|max| format!("must be at most {max}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
