//! Converts the data row of a spreadsheet to metadata (WC-1.5).

use serde_json::{Map, Number, Value};
use time::Date;

use crate::kind::Loc;
use crate::registry::schema::{FieldDefinition, FieldType, MetadataChecker};

/// A cell of a spreadsheet.
#[derive(Clone, Debug, PartialEq)]
pub enum SheetValue {
    /// Empty, or only spaces.
    Empty,
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A cell in a date format; its time of day is dropped.
    Date(Date),
    /// An error value of the program that wrote the sheet.
    Error(String),
}

/// Metadata read from a spreadsheet, with warnings and errors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SheetMetadata {
    /// Metadata of the data row.
    pub metadata: Map<String, Value>,
    /// Ignored parts of the sheet.
    pub warnings: Vec<String>,
    /// Errors: the field, and the reason.
    pub errors: Vec<(String, String)>,
}

/// Maximum number of warnings.
const MAX_WARNINGS: usize = 100;

/// Reads the columns of a sheet (header and value in the data row) as metadata of a schema with these fields.
pub fn read(fields: &[FieldDefinition], columns: &[(String, SheetValue)]) -> SheetMetadata {
    let mut read = SheetMetadata::default();
    for (header, value) in columns {
        let header = header.trim();
        if header.is_empty() {
            if *value != SheetValue::Empty {
                read.warnings
                    .push("a column without a header was ignored".to_owned());
            }
            continue;
        }
        let Some(field) = fields.iter().find(|field| field.name.as_str() == header) else {
            let shown: String = header.chars().take(100).collect();
            read.warnings.push(format!(
                "the column {shown:?} is not a field of the schema and was ignored"
            ));
            continue;
        };
        if read.metadata.contains_key(header) {
            read.warnings.push(format!(
                "the column {header:?} occurs twice; the first one counts"
            ));
            continue;
        }
        match json(field.field_type, value) {
            Ok(Value::Null) => {}
            Ok(value) => {
                read.metadata.insert(header.to_owned(), value);
            }
            Err(why) => read.errors.push((header.to_owned(), why)),
        }
    }
    read.warnings.truncate(MAX_WARNINGS);
    if let Err(invalid) = MetadataChecker::new(fields).check(&read.metadata) {
        for fault in invalid.faults {
            let step = |loc: &Loc| match loc {
                Loc::Key(key) => key.clone(),
                Loc::Index(index) => index.to_string(),
            };
            let field: Vec<String> = fault.loc.iter().map(step).collect();
            let field = field.join(".");
            // An invalid cell is not also missing.
            if !read.errors.iter().any(|(known, _)| *known == field) {
                read.errors.push((field, fault.message));
            }
        }
    }
    read
}

fn json(kind: FieldType, value: &SheetValue) -> Result<Value, String> {
    let number = |n: f64| {
        Number::from_f64(n)
            .map(Value::Number)
            .ok_or_else(|| "must be a finite number".to_owned())
    };
    match (kind, value) {
        (_, SheetValue::Empty) => Ok(Value::Null),
        (_, SheetValue::Error(what)) => Err(format!("the cell holds the error {what}")),
        (_, SheetValue::Text(text)) if text.trim().is_empty() => Ok(Value::Null),
        (FieldType::Number, SheetValue::Number(n)) => number(*n),
        (FieldType::Number, SheetValue::Text(text)) => match text.trim().parse() {
            Ok(n) => number(n),
            Err(_) => Err("must be a number".to_owned()),
        },
        (FieldType::Number, _) => Err("must be a number".to_owned()),
        (FieldType::Boolean, SheetValue::Boolean(truth)) => Ok(Value::Bool(*truth)),
        (FieldType::Boolean, SheetValue::Text(text)) => match text.trim().to_lowercase().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err("must be true or false".to_owned()),
        },
        (FieldType::Boolean, _) => Err("must be true or false".to_owned()),
        (_, SheetValue::Date(date)) => Ok(Value::String(date.to_string())),
        (FieldType::Date, SheetValue::Text(text)) => Ok(Value::String(text.trim().to_owned())),
        (FieldType::Date, _) => Err("must be a date, YYYY-MM-DD".to_owned()),
        (_, SheetValue::Text(text)) => Ok(Value::String(text.clone())),
        (_, SheetValue::Boolean(truth)) => Ok(Value::String(truth.to_string())),
        (_, SheetValue::Number(n)) => Ok(Value::String(n.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::date;

    use super::*;

    fn fields() -> Vec<FieldDefinition> {
        let field = |name: &str, kind: &str, required: bool| json!({"name": name, "type": kind, "required": required, "cardinality": "exactly_one", "examples": []});
        serde_json::from_value(json!([
            field("label", "text", true),
            field("mass", "number", false),
            field("born", "date", false),
            field("alive", "boolean", false),
        ]))
        .unwrap()
    }

    // proves PIP-1
    #[test]
    fn a_row_becomes_metadata_by_the_fields_types() {
        let columns = [
            ("label".into(), SheetValue::Number(7.0)),
            (" mass ".into(), SheetValue::Text("3.5".into())),
            ("born".into(), SheetValue::Date(date!(2020 - 02 - 29))),
            ("alive".into(), SheetValue::Text("TRUE".into())),
            ("colour".into(), SheetValue::Text("red".into())),
        ];
        let read = read(&fields(), &columns);
        assert_eq!(
            Value::Object(read.metadata),
            json!({"label": "7", "mass": 3.5, "born": "2020-02-29", "alive": true})
        );
        assert_eq!((read.errors.len(), read.warnings.len()), (0, 1));
        assert!(read.warnings[0].contains("colour"));
    }

    #[test]
    fn every_fault_is_told_with_its_field_and_once() {
        let columns = [
            ("mass".into(), SheetValue::Text("heavy".into())),
            ("born".into(), SheetValue::Number(4.0)),
            ("alive".into(), SheetValue::Error("#REF!".into())),
        ];
        let read = read(&fields(), &columns);
        let fields: Vec<&str> = read.errors.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["mass", "born", "alive", "label"]);
    }
}
