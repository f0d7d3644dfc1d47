//! Mapping of a pushed CSV file to a schema, and conversion of its cells to values.

use serde_json::{Map, Value};

use crate::ingest::run::PushedRecord;
use crate::ingest::source_id::SourceId;
use crate::json::number_survives;
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

/// How a table's cells are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The character between two cells.
    pub delimiter: u8,
    /// Whether a cell may be quoted (RFC 4180). Without, a quote is a character like others.
    pub quotes: bool,
}

impl Dialect {
    /// `text/csv`: commas and quotes.
    pub const CSV: Self = Self {
        delimiter: b',',
        quotes: true,
    };
    /// `text/tab-separated-values` as IANA registers it: tabs and no quotes.
    pub const TSV: Self = Self {
        delimiter: b'\t',
        quotes: false,
    };

    /// The delimiters, each with its name.
    const DELIMITERS: [(u8, &'static str); 4] = [
        (b',', "comma"),
        (b'\t', "tab"),
        (b';', "semicolon"),
        (b'|', "pipe"),
    ];

    /// Returns this dialect with another delimiter: `comma`, `tab`, `semicolon`, `pipe` or the character itself.
    pub fn delimited_by(self, text: &str) -> Result<Self, Invalid> {
        let known = Self::DELIMITERS.iter().find(|(byte, name)| {
            text.eq_ignore_ascii_case(name) || text.as_bytes() == [*byte] || (*byte == b'\t' && text == "\\t")
        });
        let (delimiter, _) = known.ok_or_else(|| Invalid::value("must be comma, tab, semicolon or pipe"))?;
        Ok(Self {
            delimiter: *delimiter,
            ..self
        })
    }

    /// Returns what to tell about a header that one cell holds because another character separates its names.
    pub fn other_delimiter(self, header: &[String]) -> Option<String> {
        let [only] = header else { return None };
        if only.trim().to_ascii_lowercase().starts_with("sep=") {
            let rule = "the first line is a setting of a spreadsheet program, not the header; remove it";
            return Some(rule.to_owned());
        }
        let count = |byte: u8| only.bytes().filter(|b| *b == byte).count();
        let others = Self::DELIMITERS
            .iter()
            .filter(|(byte, _)| *byte != self.delimiter);
        let (byte, name) = others.max_by_key(|(byte, _)| count(*byte)).copied()?;
        let number = count(byte);
        let own = Self::DELIMITERS.iter().find(|(byte, _)| *byte == self.delimiter);
        let own = own.map_or("delimiter", |(_, name)| name);
        let s = if number == 1 { "" } else { "s" };
        let what = match (byte, self.quotes) {
            (b'\t', _) => {
                "Content-Type: text/tab-separated-values, or ?delimiter=tab if cells are quoted".to_owned()
            }
            (b',', false) => "Content-Type: text/csv".to_owned(),
            _ => format!("?delimiter={name}"),
        };
        (number > 0)
            .then(|| format!("the header has {number} {name}{s} and no {own}: send the file with {what}"))
    }
}

impl Default for Dialect {
    fn default() -> Self {
        Self::CSV
    }
}

/// Options for reading a push in CSV.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvOptions {
    /// How cells are separated.
    pub dialect: Dialect,
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
                None if wanted.contains(&name.as_str()) => {
                    if header[..columns.len()].contains(name) {
                        faults.push(Fault::value(
                            [shortened(name).into()],
                            "is the second column of this name, and the name identifies records",
                        ));
                    }
                }
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
            for (n, name) in options.id_columns.iter().enumerate() {
                if options.id_columns[..n].contains(name) {
                    faults.push(Fault::value(
                        ["source_id".into()],
                        format!("names the column {:?} twice", shortened(name)),
                    ));
                }
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
        let id = self.source_id(row).map_err(|e| e.of_field("source_id"))?;
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

    /// Returns the id that a refused row names, if the row has the header's columns and its id is valid.
    pub fn id_in_row(&self, row: &[&str]) -> Option<SourceId> {
        if row.len() != self.columns.len() {
            return None;
        }
        self.source_id(row).ok()
    }
}

impl CsvMapping {
    /// Joins the id's columns by `:`. Two rows whose columns differ get different ids: only the last part may contain
    /// the `:` itself.
    fn source_id(&self, row: &[&str]) -> Result<SourceId, Invalid> {
        let parts: Vec<&str> = self
            .id_columns
            .iter()
            .filter_map(|index| row.get(*index).copied())
            .collect();
        let mut faults = Vec::new();
        for (n, part) in parts.iter().enumerate() {
            let rule = if part.is_empty() || self.null_values.iter().any(|null| null == part) {
                "is empty"
            } else if part.trim() != *part {
                "has a blank at its start or end"
            } else if n + 1 < parts.len() && part.contains(':') {
                "contains a colon, which joins the parts of the id: it could be equal to the id of another row"
            } else {
                continue;
            };
            let part = if parts.len() == 1 {
                String::new()
            } else {
                format!("part {} of the id ", n + 1)
            };
            faults.push(Fault::value([], format!("{part}{rule}")));
        }
        Invalid::unless_empty(faults)?;
        parts.join(":").parse()
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
            if !number_survives(text) {
                return Err(
                    "must be a number that a 64-bit float holds exactly (use a text field to keep every digit)",
                );
            }
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
