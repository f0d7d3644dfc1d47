//! Ingest runs: their states, the ids that sources give their records, and how a pushed line becomes a record.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::cell::{Cell, has_nul};
use crate::hook::canonical_json;
use crate::ids::IngestRunId;
use crate::kind::{Coded, Fault, Invalid, Kind};
use crate::names::{ConventionSlug, NodeDomain};
use crate::schema::{FieldDefinition, FieldType, MetadataChecker, shortened};

/// The batch size of a run that names none.
pub const DEFAULT_BATCH_SIZE: u32 = 1000;
/// The greatest batch size: a batch's records and outputs are held in memory once.
pub const MOST_BATCH_SIZE: u32 = 10_000;
/// The longest line of a push, in bytes.
pub const MOST_LINE_BYTES: usize = 1024 * 1024;

/// The id that a source gives its record. It is also a directory's name in the container contract (D11), so it
/// holds no slash, no control character, and is neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(String);

impl SourceId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = !text.chars().any(|c| c.is_control() || matches!(c, '/' | '\\'));
        if text.is_empty() || text.len() > 200 || !plain || text.trim() != text || matches!(text, "." | "..")
        {
            return Err(Invalid::value(
                "must have 1 to 200 bytes, no slash, backslash or control character, no space at either end, and be neither \".\" nor \"..\"",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an ingest run's records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestMode {
    /// The client sends them.
    Push,
    /// An ingester image is pulled from.
    Pull,
}

impl IngestMode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

impl FromStr for IngestMode {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "push" => Ok(Self::Push),
            "pull" => Ok(Self::Pull),
            _ => Err(Invalid::value("must be push or pull")),
        }
    }
}

/// The state of an ingest run (wire contract 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestStatus {
    /// Opened; nothing came yet.
    Pending,
    /// Records come or are worked on.
    Running,
    /// Everything that came has an outcome.
    Completed,
    /// Given up.
    Failed,
}

impl IngestStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether the run may still change; a convention has at most one such run (D32).
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

impl FromStr for IngestStatus {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Pending, Self::Running, Self::Completed, Self::Failed]
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| Invalid::value("must be pending, running, completed or failed"))
    }
}

/// The SRN of an ingest run.
pub fn ingest_run_srn(node: &NodeDomain, run: IngestRunId) -> String {
    format!("urn:osa:{node}:ing:{run}")
}

/// One pushed record that passed every check of its line.
#[derive(Clone, Debug, PartialEq)]
pub struct PushedRecord {
    /// The source's id.
    pub source_id: SourceId,
    /// The metadata as given.
    pub metadata: Map<String, Value>,
    /// The same, typed, in the order of the schema's fields.
    pub cells: Vec<Cell>,
    /// A hash that is equal for equal metadata only (D21).
    pub content_hash: [u8; 32],
}

impl PushedRecord {
    fn new(
        source_id: SourceId,
        metadata: Map<String, Value>,
        checker: &MetadataChecker,
    ) -> Result<Self, Invalid> {
        let cells = checker.check(&metadata).map_err(|e| e.of_field("metadata"))?;
        let whole = Value::Object(metadata);
        let content_hash = Sha256::digest(canonical_json(&whole).as_bytes()).into();
        let metadata = if let Value::Object(map) = whole {
            map
        } else {
            Map::new()
        };
        Ok(Self {
            source_id,
            metadata,
            cells,
            content_hash,
        })
    }

    /// The record of a line of JSON Lines: `{"source_id": ..., "metadata": {...}}`, where `id` stands for `source_id`
    /// as in the ingester's contract (5.2). A field set to `null` is a field that is not there.
    pub fn from_json_line(line: &[u8], checker: &MetadataChecker) -> Result<Self, Invalid> {
        // serde_json refuses what is nested more than 128 deep, so the stack is safe.
        let value: Value =
            serde_json::from_slice(line).map_err(|e| Invalid::value(format!("is not JSON: {e}")))?;
        let Value::Object(mut object) = value else {
            return Err(Invalid::value("must be a JSON object"));
        };
        let mut faults = Vec::new();
        let id = match object.remove("source_id").or_else(|| object.remove("id")) {
            Some(Value::String(text)) => text
                .parse::<SourceId>()
                .map_err(|e| faults.extend(e.of_field("source_id").faults))
                .ok(),
            Some(_) => {
                faults.push(Fault::value(["source_id".into()], "must be a string"));
                None
            }
            None => {
                faults.push(Fault::missing(["source_id".into()], "is required"));
                None
            }
        };
        let metadata = match object.remove("metadata") {
            Some(Value::Object(map)) => Some(map),
            Some(_) => {
                faults.push(Fault::value(["metadata".into()], "must be an object"));
                None
            }
            None => {
                faults.push(Fault::missing(["metadata".into()], "is required"));
                None
            }
        };
        // `files` and `fetched_at` belong to the ingester's form of this line; files cannot be pushed yet, and saying so beats losing them.
        if object
            .remove("files")
            .is_some_and(|files| files.as_array().is_none_or(|f| !f.is_empty()))
        {
            faults.push(Fault::value(
                ["files".into()],
                "cannot be pushed; only records without files can",
            ));
        }
        object.remove("fetched_at");
        for key in object.keys() {
            faults.push(Fault {
                loc: vec![shortened(key).into()],
                message: "is no key of a record line".to_owned(),
                rule: "extra_forbidden",
            });
        }
        match (id, metadata) {
            (Some(id), Some(metadata)) if faults.is_empty() => {
                if has_nul(&Value::Object(metadata.clone())) {
                    return Err(Invalid::value("must not contain the character NUL").of_field("metadata"));
                }
                Self::new(id, metadata, checker)
            }
            _ => Err(Invalid { faults }),
        }
    }
}

/// How the columns of a CSV file map to a schema's fields, and how its cells become JSON.
#[derive(Clone, Debug)]
pub struct CsvMapping {
    /// For each column of the file: the field that it fills, if any.
    columns: Vec<Option<(String, FieldType)>>,
    /// The columns whose texts, joined by `:`, make the source's id.
    id_columns: Vec<usize>,
    /// Texts that mean "no value", besides the empty one.
    null_values: Vec<String>,
}

/// How a push in CSV is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvOptions {
    /// The names of the columns that make the source's id; empty means the column `source_id` or `id`.
    pub id_columns: Vec<String>,
    /// Texts that mean "no value", besides the empty one.
    pub null_values: Vec<String>,
}

/// A column's name as a field's: lower case, every run of other characters than `a-z0-9` one underscore, trimmed,
/// so that `Culmen Length (mm)` is `culmen_length_mm`.
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
    /// The mapping of this header, or every column that cannot be placed: silently dropping one would lose data.
    pub fn new(
        header: &[String],
        fields: &[&FieldDefinition],
        options: &CsvOptions,
    ) -> Result<Self, Invalid> {
        let mut faults = Vec::new();
        let mut columns: Vec<Option<(String, FieldType)>> = Vec::with_capacity(header.len());
        let wanted: Vec<&str> = if options.id_columns.is_empty() {
            vec!["source_id", "id"]
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
                    message: "is no field of the schema".to_owned(),
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
                "is a required field and the file has no column for it",
            )
        }));
        Invalid::unless_empty(faults)?;
        Ok(Self {
            columns,
            id_columns,
            null_values: options.null_values.clone(),
        })
    }

    /// The record of one row of the file.
    pub fn record(&self, row: &[&str], checker: &MetadataChecker) -> Result<PushedRecord, Invalid> {
        if row.len() != self.columns.len() {
            return Err(Invalid::value(format!(
                "has {} columns where the header has {}",
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
            // A whole number stays one, so that a hook sees 3750 and not 3750.0.
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

/// Why an ingest run was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// What was sent breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such convention.
    #[error("there is no convention {0}")]
    UnknownConvention(ConventionSlug),
    /// There is no such run.
    #[error("there is no ingest run {0}")]
    UnknownRun(IngestRunId),
    /// The convention has no ingester to pull from.
    #[error("convention {0} has no ingester; deploy one, or push records with \"mode\": \"push\"")]
    NoIngester(ConventionSlug),
    /// Pulling is not built yet.
    #[error(
        "pulling from an ingester is not available in this release; push records with \"mode\": \"push\""
    )]
    PullUnavailable,
    /// The convention has an active run (D32).
    #[error("convention {convention} has the active ingest run {run}; close it or wait for its end")]
    AlreadyRunning {
        /// The convention.
        convention: ConventionSlug,
        /// The active run.
        run: IngestRunId,
    },
    /// The run was closed and takes no more records.
    #[error("ingest run {0} is closed and takes no more records")]
    Closed(IngestRunId),
}

impl Coded for IngestError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) | Self::PullUnavailable => Kind::Invalid,
            Self::UnknownConvention(_) | Self::UnknownRun(_) | Self::NoIngester(_) => Kind::NotFound,
            Self::AlreadyRunning { .. } | Self::Closed(_) => Kind::Conflict,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(e) => e.code(),
            Self::UnknownConvention(_) | Self::UnknownRun(_) => "NotFoundError",
            Self::NoIngester(_) => "no_ingester_configured",
            Self::PullUnavailable => "pull_unavailable",
            Self::AlreadyRunning { .. } => "ingest_already_running",
            Self::Closed(_) => "ingest_closed",
        }
    }
    fn faults(&self) -> &[Fault] {
        if let Self::Invalid(e) = self {
            e.faults()
        } else {
            &[]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::FieldCardinality;
    use proptest::prelude::*;

    fn fields() -> Vec<FieldDefinition> {
        let field = |name: &str, field_type, required| FieldDefinition {
            name: name.parse().unwrap(),
            field_type,
            required,
            cardinality: FieldCardinality::ExactlyOne,
            description: None,
            constraints: None,
            examples: vec![],
        };
        vec![
            field("species", FieldType::Text, true),
            field("culmen_length_mm", FieldType::Number, false),
            field("date_egg", FieldType::Date, false),
        ]
    }

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_real_header_maps_to_field_names() {
        assert_eq!(field_name_of_header("Culmen Length (mm)"), "culmen_length_mm");
        assert_eq!(field_name_of_header("Delta 15 N (o/oo)"), "delta_15_n_o_oo");
        assert_eq!(field_name_of_header("studyName"), "studyname");
    }

    #[test]
    fn csv_rows_become_typed_records_and_null_values_are_left_out() {
        let fields = fields();
        let checker = MetadataChecker::new(&fields);
        let options = CsvOptions {
            id_columns: header(&["Species", "Sample"]),
            null_values: header(&["NA"]),
        };
        let refs: Vec<_> = fields.iter().collect();
        let mapping = CsvMapping::new(
            &header(&["Species", "Sample", "Culmen Length (mm)", "Date Egg"]),
            &refs,
            &options,
        )
        .unwrap();
        let record = mapping
            .record(&["Gentoo", "7", "NA", "2007-11-11"], &checker)
            .unwrap();
        assert_eq!(record.source_id.as_str(), "Gentoo:7");
        assert_eq!(
            Value::Object(record.metadata),
            serde_json::json!({"species": "Gentoo", "date_egg": "2007-11-11"})
        );
        let fault = mapping
            .record(&["Gentoo", "7", "long", "2007-11-11"], &checker)
            .unwrap_err();
        assert_eq!(
            fault.to_string(),
            "metadata.culmen_length_mm: must be a number, not \"long\""
        );
        assert!(mapping.record(&["Gentoo", "7"], &checker).is_err());
    }

    #[test]
    fn a_header_names_every_column_that_cannot_be_placed() {
        let fields = fields();
        let refs: Vec<_> = fields.iter().collect();
        let faults = CsvMapping::new(
            &header(&["Date Egg", "Colour", "date_egg"]),
            &refs,
            &CsvOptions::default(),
        )
        .unwrap_err()
        .faults;
        let paths: Vec<_> = faults.iter().map(Fault::path).collect();
        assert_eq!(paths, ["Colour", "date_egg", "source_id", "species"]);
    }

    #[test]
    fn a_line_nested_a_thousand_deep_is_a_fault() {
        let deep = format!(
            "{{\"source_id\":\"a\",\"metadata\":{{\"species\":{}{}}}}}",
            "[".repeat(1000),
            "]".repeat(1000)
        );
        let checker = MetadataChecker::new(&fields());
        assert!(
            PushedRecord::from_json_line(deep.as_bytes(), &checker)
                .unwrap_err()
                .to_string()
                .contains("recursion")
        );
    }

    #[test]
    fn source_ids_cannot_leave_their_directory() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "../x",
            "a\\b",
            "a\n",
            " a",
            &"x".repeat(201),
        ] {
            assert!(bad.parse::<SourceId>().is_err(), "{bad:?}");
        }
        assert!(
            "Adelie Penguin (Pygoscelis adeliae):1@2"
                .parse::<SourceId>()
                .is_ok()
        );
    }

    proptest! {
        // proves PIP-6
        #[test]
        fn the_hash_does_not_depend_on_the_order_of_keys(a in "[a-z]{1,5}", number in any::<i32>()) {
            let checker = MetadataChecker::new(&fields());
            let one = format!("{{\"source_id\":\"x\",\"metadata\":{{\"species\":\"{a}\",\"culmen_length_mm\":{number}}}}}");
            let two = format!("{{\"metadata\":{{\"culmen_length_mm\":{number},\"species\":\"{a}\"}},\"id\":\"x\"}}");
            let hash = |line: &str| PushedRecord::from_json_line(line.as_bytes(), &checker).unwrap().content_hash;
            prop_assert_eq!(hash(&one), hash(&two));
        }

        #[test]
        fn no_line_makes_parsing_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = PushedRecord::from_json_line(&line, &MetadataChecker::new(&fields()));
        }
    }
}
