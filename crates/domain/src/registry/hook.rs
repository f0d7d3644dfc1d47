//! Hooks and their releases (REG): a stable identity with a fixed output contract, and the immutable,
//! numbered artifacts that fulfil it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::data::activity::Actor;
use crate::data::cell::{ColumnType, has_nul};
use crate::ids::ReleaseId;
use crate::json::canonical_json;
use crate::kind::{Fault, Invalid, Loc};
use crate::names::{ColumnName, HookName};
use crate::registry::digest::Digest;
use crate::registry::limits::Limits;
use crate::registry::row_size;
use crate::registry::version::ReleaseVersion;

mod error;
mod history;
mod locations;
pub use error::HookError;
pub use history::{LiveMove, MAX_REASON_CHARS, Reason, Yank};
pub use locations::{ImageLocation, Locations, MAX_LOCATIONS};

/// Maximum number of columns of a feature table.
pub const MAX_COLUMNS: usize = 500;
/// Maximum size of a release's `config`, in bytes of JSON.
pub const MAX_CONFIG_BYTES: usize = 256 * 1024;

/// Number of rows that a hook computes for one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cardinality {
    /// At most one.
    One,
    /// Any number.
    Many,
}

impl Cardinality {
    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Many => "many",
        }
    }
}

/// The JSON type of a feature column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonType {
    /// A string.
    String,
    /// A number.
    Number,
    /// An integer.
    Integer,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// An object.
    Object,
}

impl JsonType {
    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

/// One column of a feature table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDef {
    /// Name of the column.
    pub name: ColumnName,
    /// JSON type of the values.
    pub json_type: JsonType,
    /// Format (`date`, `date-time`, `uuid`); other values are stored without effect.
    pub format: Option<String>,
    /// Whether every row must have a value.
    pub required: bool,
    /// Meaning of the column.
    pub description: Option<String>,
    /// Unit of the values.
    pub unit: Option<String>,
}

impl ColumnDef {
    /// Returns the type of the table's column (WC-4.2).
    pub fn column_type(&self) -> ColumnType {
        match (self.json_type, self.format.as_deref()) {
            (JsonType::String, Some("date-time")) => ColumnType::Timestamp,
            (JsonType::String, Some("date")) => ColumnType::Date,
            (JsonType::String, Some("uuid")) => ColumnType::Uuid,
            (JsonType::String, _) => ColumnType::Text,
            (JsonType::Number, _) => ColumnType::Number,
            (JsonType::Integer, _) => ColumnType::Integer,
            (JsonType::Boolean, _) => ColumnType::Boolean,
            (JsonType::Array | JsonType::Object, _) => ColumnType::Json,
        }
    }
}

/// Output contract of a hook. It never changes, except for descriptions and units (REG-1, WC-D14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureContract {
    /// Number of rows per record.
    pub cardinality: Cardinality,
    /// Columns, in order.
    pub columns: Vec<ColumnDef>,
}

impl FeatureContract {
    /// Checks the rules that span several columns.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut faults = Vec::new();
        if self.columns.len() > MAX_COLUMNS {
            faults.push(Fault::value(
                ["columns".into()],
                format!("must have at most {MAX_COLUMNS} columns"),
            ));
        }
        let mut seen = BTreeSet::new();
        for (index, column) in self.columns.iter().enumerate() {
            if !seen.insert(&column.name) {
                let loc = [Loc::from("columns"), index.into(), "name".into()];
                faults.push(Fault::value(
                    loc,
                    format!(
                        "{:?} is given twice; column names are unique",
                        column.name.as_str()
                    ),
                ));
            }
        }
        Invalid::unless_empty(faults)
    }

    /// Refuses columns whose required values a row cannot hold. Only a new hook is checked: an older server took others,
    /// whose values may be short.
    pub fn check_size(&self) -> Result<(), Invalid> {
        let columns = self.columns.iter().map(|c| (c.column_type(), c.required));
        row_size::check("columns", columns)
    }

    /// Returns where `other` breaks the contract: cardinality, and name, type, format, required and order of the
    /// columns. Empty if both are the same contract; descriptions and units may differ (WC-D14).
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.cardinality != other.cardinality {
            found.push(format!(
                "cardinality is {}, not {}",
                self.cardinality.as_str(),
                other.cardinality.as_str()
            ));
        }
        for index in 0..self.columns.len().max(other.columns.len()) {
            match (self.columns.get(index), other.columns.get(index)) {
                (Some(a), Some(b)) if a.name != b.name => found.push(format!(
                    "column {} is {:?}, not {:?}",
                    index + 1,
                    a.name.as_str(),
                    b.name.as_str()
                )),
                (Some(a), Some(b)) => {
                    let name = a.name.as_str();
                    if a.json_type != b.json_type {
                        found.push(format!(
                            "column {name:?} is of type {}, not {}",
                            a.json_type.as_str(),
                            b.json_type.as_str()
                        ));
                    }
                    if a.format != b.format {
                        let show = |f: &Option<String>| f.clone().unwrap_or_else(|| "none".to_owned());
                        found.push(format!(
                            "column {name:?} has the format {}, not {}",
                            show(&a.format),
                            show(&b.format)
                        ));
                    }
                    if a.required != b.required {
                        found.push(format!(
                            "column {name:?} is {}",
                            if a.required { "required" } else { "optional" }
                        ));
                    }
                }
                (Some(a), None) => found.push(format!("column {:?} is missing", a.name.as_str())),
                (None, Some(b)) => found.push(format!("column {:?} is not in the contract", b.name.as_str())),
                (None, None) => {}
            }
        }
        found
    }
}

/// A hook: its name, its contract, and its live release.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// Name of the hook and of its feature table.
    pub name: HookName,
    /// Output contract of the hook.
    pub contract: FeatureContract,
    /// The live release; `None` before the first release.
    pub live: Option<ReleaseVersion>,
}

/// The content that identifies a release of a hook: digest, config and limits (REG-3). `source_ref` and the image's
/// location are not part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReleaseContent {
    /// Digest of the image.
    pub digest: Digest,
    /// Configuration that the hook receives as `config.json`.
    pub config: Map<String, Value>,
    /// Resource limits of one execution.
    pub limits: Limits,
}

impl ReleaseContent {
    /// Returns a key that is equal only for equal contents: SHA-256 over an unambiguous form of the three.
    pub fn key(&self) -> [u8; 32] {
        let limits = format!(
            "{}/{}/{}",
            self.limits.timeout_seconds,
            self.limits.memory.bytes(),
            self.limits.cpu.millicores()
        );
        let mut hash = Sha256::new();
        for part in [
            self.digest.as_str(),
            &canonical_json(&Value::Object(self.config.clone())),
            &limits,
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }
}

/// A submitted release.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRelease {
    /// Location of the image: a registry reference, or `file:<path>` for the process runner.
    pub image: String,
    /// Digest, configuration and limits.
    pub content: ReleaseContent,
    /// The commit it was built from, as stated by the client.
    pub source_ref: String,
}

impl NewRelease {
    /// Checks the free texts and the size of the config.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut faults = Vec::new();
        for (name, text) in [("image", &self.image), ("source_ref", &self.source_ref)] {
            if text.trim().is_empty() {
                faults.push(Fault::value([name.into()], "must not be blank"));
            } else if text.len() > 1024 || text.chars().any(char::is_control) {
                faults.push(Fault::value(
                    [name.into()],
                    "must have at most 1024 bytes and no control characters",
                ));
            }
        }
        let config = Value::Object(self.content.config.clone());
        if has_nul(&config) {
            faults.push(Fault::value(
                ["config".into()],
                "must not contain the character NUL",
            ));
        }
        if config.to_string().len() > MAX_CONFIG_BYTES {
            faults.push(Fault::value(
                ["config".into()],
                format!("must have at most {MAX_CONFIG_BYTES} bytes as JSON"),
            ));
        }
        Invalid::unless_empty(faults)
    }
}

/// An immutable, numbered artifact of a hook.
#[derive(Clone, Debug, PartialEq)]
pub struct HookRelease {
    /// Id of the release.
    pub id: ReleaseId,
    /// The hook that the release belongs to.
    pub hook: HookName,
    /// Version number of the release.
    pub version: ReleaseVersion,
    /// The submitted release. Its `image` is the location in use.
    pub release: NewRelease,
    /// Every location of its image (REG-8).
    pub locations: Locations,
    /// Who released it (REG-7).
    pub built_by: Actor,
    /// When it was released.
    pub built_at: OffsetDateTime,
    /// Details of the yank; `None` unless the release is yanked.
    pub yanked: Option<Yank>,
}

impl HookRelease {
    /// Adds the next location of the image, which is in use from now on.
    pub fn relocate(&mut self, next: ImageLocation) {
        self.release.image.clone_from(&next.image);
        self.locations.push(next);
    }

    /// Returns the location that a run of this release read its image from, given its number. Each run's location was
    /// there before it.
    pub fn location_of_run(&self, number: u32) -> &ImageLocation {
        self.locations
            .get(number)
            .unwrap_or_else(|| self.locations.in_use())
    }
}

#[cfg(test)]
mod tests;
