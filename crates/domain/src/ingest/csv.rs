//! Mapping of a pushed CSV file to a schema, and conversion of its cells to values.

use serde_json::{Map, Value};

use crate::ingest::run::{PushedRecord, SourceId};
use crate::kind::{Fault, Invalid};
use crate::registry::schema::{FieldDefinition, FieldType, MetadataChecker, shortened};

/// Maps the columns of a CSV file to a schema's fields and its cells to JSON.
#[derive(Clone, Debug)]
pub struct CsvMapping {
    /// For each column of the file: the field that it fills, if any.
    columns: Vec<Option<(String, FieldType)>>,
    /// Columns whose texts, joined by `:`, form the source's id.
    id_columns: Vec<usize>,
    /// Texts that mean "no value", in addition to the empty one.
    null_values: Vec<String>,
}

/// Options for reading a push in CSV.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvOptions {
    /// Names of the columns that form the source's id; an empty list means the column `source_id` or `id`.
    pub id_columns: Vec<String>,
    /// Texts that mean "no value", in addition to the empty one.
    pub null_values: Vec<String>,
}

/// Converts a column's name to a field's name: lower case, every run of characters other than `a-z0-9` replaced by one
/// underscore, trimmed. So `Culmen Length (mm)` becomes `culmen_length_mm`.
pub fn field_name_of_header(header: &str) -> String {
    let mut name = String::new();
    for c in header.to_lowercase().chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_end_matches('_').to_owned()
}

impl CsvMapping {
    /// Creates the mapping of this header, or returns every column that has no field: silently dropping one would lose
    /// data.
    pub fn new(
        header: &[String],
        fields: &[&FieldDefinition],
        options: &CsvOptions,
    ) -> Result<Self, Invalid> {
        let mut faults = Vec::new();
        let mut columns: Vec<Option<(String, FieldType)>> = Vec::with_capacity(header.len());
        let wanted: Vec<&str> = if options.id_columns.is_empty() {
            // Only the one of the two that is used; the other would be dropped silently.
            let named = |name: &&str| header.iter().any(|h| h == name);
            ["source_id", "id"].into_iter().find(named).into_iter().collect()
        } else {
            options.id_columns.iter().map(String::as_str).collect()
        };
        for name in header {
            let field = fields.iter().find(|f| f.name.as_str() == name).or_else(|| {
                let normal = field_name_of_header(name);
                fields.iter().find(|f| f.name.as_str() == normal)
            });
            match field {
                Some(field)
                    if columns
                        .iter()
                        .flatten()
                        .any(|(taken, _)| taken == field.name.as_str()) =>
                {
                    faults.push(Fault::value(
                        [shortened(name).into()],
                        format!("is the second column for the field {:?}", field.name.as_str()),
                    ));
                }
                Some(field) => {
                    columns.push(Some((field.name.to_string(), field.field_type)));
                    continue;
                }
                None if wanted.contains(&name.as_str()) => {}
                None => faults.push(Fault {
                    loc: vec![shortened(name).into()],
                    message: "is not a field of the schema".to_owned(),
                    rule: "extra_forbidden",
                }),
            }
            columns.push(None);
        }
        let position = |name: &str| header.iter().position(|h| h == name);
        let mut id_columns = Vec::new();
        if options.id_columns.is_empty() {
            match wanted.iter().find_map(|name| position(name)) {
                Some(index) => id_columns.push(index),
                None => faults.push(Fault::missing(
                    ["source_id".into()],
                    "no column source_id or id; name the columns that identify a record in the query parameter source_id",
                )),
            }
        } else {
            for name in &options.id_columns {
                match position(name) {
                    Some(index) => id_columns.push(index),
                    None => faults.push(Fault::missing(
                        ["source_id".into()],
                        format!("the file has no column {:?}", shortened(name)),
                    )),
                }
            }
        }
        let missing = fields
            .iter()
            .filter(|f| f.required && !columns.iter().flatten().any(|(name, _)| name == f.name.as_str()));
        faults.extend(missing.map(|f| {
            Fault::missing(
                [f.name.as_str().into()],
                "is a required field, but the file has no column for it",
            )
        }));
        Invalid::unless_empty(faults)?;
        Ok(Self {
            columns,
            id_columns,
            null_values: options.null_values.clone(),
        })
    }

    /// Converts one row of the file to a record.
    pub fn record(&self, row: &[&str], checker: &MetadataChecker) -> Result<PushedRecord, Invalid> {
        if row.len() != self.columns.len() {
            return Err(Invalid::value(format!(
                "has {} columns, but the header has {}",
                row.len(),
                self.columns.len()
            )));
        }
        let id: Vec<&str> = self
            .id_columns
            .iter()
            .filter_map(|index| row.get(*index))
            .map(|text| text.trim())
            .collect();
        let id = id
            .join(":")
            .parse::<SourceId>()
            .map_err(|e| e.of_field("source_id"))?;
        let mut metadata = Map::new();
        let mut faults = Vec::new();
        for (cell, column) in row.iter().zip(&self.columns) {
            let Some((name, field_type)) = column else {
                continue;
            };
            if cell.is_empty() || self.null_values.iter().any(|null| null == cell) {
                continue;
            }
            match csv_value(cell, *field_type) {
                Ok(value) => {
                    metadata.insert(name.clone(), value);
                }
                Err(rule) => faults.push(Fault::value(
                    ["metadata".into(), name.as_str().into()],
                    format!("{rule}, not {:?}", shortened(cell)),
                )),
            }
        }
        Invalid::unless_empty(faults)?;
        PushedRecord::new(id, metadata, checker)
    }
}

fn csv_value(cell: &str, field_type: FieldType) -> Result<Value, &'static str> {
    match field_type {
        FieldType::Number => {
            let text = cell.trim();
            // An integer stays an integer, so that a hook sees 3750 and not 3750.0.
            if let Ok(whole) = text.parse::<i64>() {
                return Ok(whole.into());
            }
            let number = text
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite())
                .ok_or("must be a number")?;
            serde_json::Number::from_f64(number)
                .map(Value::Number)
                .ok_or("must be a number")
        }
        FieldType::Boolean => match cell.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            _ => Err("must be true or false"),
        },
        FieldType::Text | FieldType::Date | FieldType::Term | FieldType::Url => {
            if cell.contains('\0') {
                Err("must not contain the character NUL")
            } else {
                Ok(cell.into())
            }
        }
    }
}
