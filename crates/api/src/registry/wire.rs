//! Wire types of schemas, features and limits (WC-4.1, WC-4.2, WC-5), and their conversion to domain types.

use domain::{
    Cardinality, ColumnDef, ColumnName, FeatureContract, FieldCardinality, FieldConstraints, FieldDefinition,
    FieldType, Invalid, JsonType, Limits, SchemaRef,
};
use poem_openapi::{Enum, Object};

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident as $domain:ident / $wire:literal { $($variant:ident),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
        #[oai(rename = $wire, rename_all = "snake_case")]
        pub(crate) enum $name { $($variant),+ }

        impl From<$name> for $domain {
            fn from(value: $name) -> Self { match value { $($name::$variant => Self::$variant),+ } }
        }
        impl From<$domain> for $name {
            fn from(value: $domain) -> Self { match value { $($domain::$variant => Self::$variant),+ } }
        }
    };
}
wire_enum!(/// What a field holds.
    WireFieldType as FieldType / "FieldType" { Text, Number, Date, Boolean, Term, Url });
wire_enum!(/// How many values a field has.
    WireFieldCardinality as FieldCardinality / "FieldCardinality" { ExactlyOne, OneOrMore, ZeroOrMore });
wire_enum!(/// How many rows a hook computes for one record.
    WireCardinality as Cardinality / "Cardinality" { One, Many });
wire_enum!(/// The JSON type of a feature column.
    WireJsonType as JsonType / "JsonType" { String, Number, Integer, Boolean, Array, Object });

/// A schema and its version.
#[derive(Clone, Debug, Object)]
#[oai(rename = "SchemaId")]
pub(crate) struct WireSchemaId {
    /// Id of the schema.
    pub(crate) id: String,
    /// Semantic version of the schema.
    pub(crate) version: String,
}

impl From<&SchemaRef> for WireSchemaId {
    fn from(reference: &SchemaRef) -> Self {
        Self {
            id: reference.id.to_string(),
            version: reference.version.to_string(),
        }
    }
}

/// Constraints on a field's values beyond its type.
#[derive(Clone, Debug, Object)]
#[oai(rename = "FieldConstraints")]
pub(crate) struct WireConstraints {
    #[oai(rename = "type")]
    kind: Option<String>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    pattern: Option<String>,
    min_value: Option<f64>,
    max_value: Option<f64>,
    integer_only: Option<bool>,
    unit: Option<String>,
    ontology_srn: Option<String>,
    root_term: Option<String>,
}

/// One field of a schema.
#[derive(Clone, Debug, Object)]
#[oai(rename = "FieldDefinition")]
pub(crate) struct WireField {
    /// Name of the field and of its column.
    name: String,
    #[oai(rename = "type")]
    field_type: WireFieldType,
    /// Whether every record must have a value.
    required: bool,
    cardinality: WireFieldCardinality,
    description: Option<String>,
    constraints: Option<WireConstraints>,
    examples: Option<Vec<String>>,
}

impl From<&FieldDefinition> for WireField {
    fn from(field: &FieldDefinition) -> Self {
        let constraints = field.constraints.clone().map(|c| WireConstraints {
            integer_only: c.shown_integer_only(field.field_type),
            kind: c.kind,
            min_length: c.min_length,
            max_length: c.max_length,
            pattern: c.pattern,
            min_value: c.min_value,
            max_value: c.max_value,
            unit: c.unit,
            ontology_srn: c.ontology_srn,
            root_term: c.root_term,
        });
        Self {
            name: field.name.to_string(),
            field_type: field.field_type.into(),
            required: field.required,
            cardinality: field.cardinality.into(),
            description: field.description.clone(),
            constraints,
            examples: field.shown_examples().map(<[String]>::to_vec),
        }
    }
}

impl WireField {
    pub(crate) fn into_domain(self) -> Result<FieldDefinition, Invalid> {
        let constraints = self.constraints.map(|c| FieldConstraints {
            kind: c.kind,
            min_length: c.min_length,
            max_length: c.max_length,
            pattern: c.pattern,
            min_value: c.min_value,
            max_value: c.max_value,
            integer_only: c.integer_only,
            unit: c.unit,
            ontology_srn: c.ontology_srn,
            root_term: c.root_term,
        });
        Ok(FieldDefinition {
            name: ColumnName::for_declared(&self.name).map_err(|e| e.of_field("name"))?,
            field_type: self.field_type.into(),
            required: self.required,
            cardinality: self.cardinality.into(),
            description: self.description,
            constraints,
            examples: self.examples.unwrap_or_default(),
        })
    }
}

/// One column of a feature table.
#[derive(Clone, Debug, Object)]
#[oai(rename = "ColumnDef")]
pub(crate) struct WireColumn {
    /// Name of the column.
    name: String,
    json_type: WireJsonType,
    /// `date`, `date-time` or `uuid`; other values are stored without effect.
    format: Option<String>,
    /// Whether every row must have a value.
    required: bool,
    description: Option<String>,
    unit: Option<String>,
}

/// The output table of a hook.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Feature")]
pub(crate) struct WireFeature {
    /// Always `table`.
    #[oai(default = "table")]
    kind: String,
    cardinality: WireCardinality,
    columns: Vec<WireColumn>,
}

fn table() -> String {
    "table".to_owned()
}

impl From<&FeatureContract> for WireFeature {
    fn from(contract: &FeatureContract) -> Self {
        let column = |c: &ColumnDef| WireColumn {
            name: c.name.to_string(),
            json_type: c.json_type.into(),
            format: c.format.clone(),
            required: c.required,
            description: c.description.clone(),
            unit: c.unit.clone(),
        };
        Self {
            kind: table(),
            cardinality: contract.cardinality.into(),
            columns: contract.columns.iter().map(column).collect(),
        }
    }
}

impl WireFeature {
    pub(crate) fn into_domain(self) -> Result<FeatureContract, Invalid> {
        let mut faults = Vec::new();
        if self.kind != "table" {
            faults.extend(Invalid::value("must be table").of_field("kind").faults);
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.into_iter().enumerate() {
            match ColumnName::for_declared(&column.name) {
                Ok(name) => columns.push(ColumnDef {
                    name,
                    json_type: column.json_type.into(),
                    format: column.format,
                    required: column.required,
                    description: column.description,
                    unit: column.unit,
                }),
                Err(e) => faults.extend(e.under(&["columns".into(), index.into(), "name".into()]).faults),
            }
        }
        Invalid::unless_empty(faults)?;
        Ok(FeatureContract {
            cardinality: self.cardinality.into(),
            columns,
        })
    }
}

/// Limits of one execution.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Limits")]
pub(crate) struct WireLimits {
    /// Wall-clock time, in seconds (1–86400).
    timeout_seconds: Option<i64>,
    /// Resident memory, such as `512m` or `1g` (1024-based).
    memory: Option<String>,
    /// CPU cores, such as `0.5`.
    cpu: Option<String>,
}

impl WireLimits {
    /// Converts to domain limits; missing values get the contract's defaults.
    pub(crate) fn into_domain(
        limits: Option<Self>,
        default_timeout: i64,
        default_cpu: &str,
    ) -> Result<Limits, Invalid> {
        let given = limits.unwrap_or(Self {
            timeout_seconds: None,
            memory: None,
            cpu: None,
        });
        Limits::parse(
            given.timeout_seconds.unwrap_or(default_timeout),
            given.memory.as_deref().unwrap_or("1g"),
            given.cpu.as_deref().unwrap_or(default_cpu),
        )
        .map_err(|e| e.of_field("limits"))
    }
}

impl From<&Limits> for WireLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            timeout_seconds: Some(i64::from(limits.timeout_seconds)),
            memory: Some(limits.memory.to_string()),
            cpu: Some(limits.cpu.to_string()),
        }
    }
}

/// A location of a release's image.
#[derive(Clone, Debug, Object)]
#[oai(rename = "ImageLocation")]
pub(crate) struct WireLocation {
    /// A registry reference, or `file:<path>` for the process runner.
    image: String,
    /// Who registered it: `user:<id>` or `service_account:<id>`.
    registered_by: String,
    registered_at: String,
}

/// Converts the locations of a release, in order: that in use is the last.
pub(crate) fn locations(locations: &domain::Locations) -> Vec<WireLocation> {
    let location = |l: &domain::ImageLocation| WireLocation {
        image: l.image.clone(),
        registered_by: l.by.to_string(),
        registered_at: crate::http::render::model_time(l.at),
    };
    locations.all().map(location).collect()
}

/// Details of a yank.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Yank")]
pub(crate) struct WireYank {
    /// Reason for the yank.
    reason: String,
    /// Who yanked the release: `user:<id>` or `service_account:<id>`.
    by: String,
    at: String,
}

impl From<domain::Yank> for WireYank {
    fn from(yank: domain::Yank) -> Self {
        Self {
            reason: yank.reason,
            by: yank.by.to_string(),
            at: crate::http::render::model_time(yank.at),
        }
    }
}
