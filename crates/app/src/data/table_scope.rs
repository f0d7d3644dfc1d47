//! The meaning of `{schema}` and `{schema}/{table}` in a path: schema versions, tables, and their columns (WC-7.2,
//! WC-D17). Resolved from the catalogue, never from rows (WC-D31).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::data::filter::{ColumnScope, FilterColumnType, RawFilter};
use domain::data::record::DataError;
use domain::names::RESERVED;
use domain::{
    ColumnType, FeatureContract, FieldDefinition, FieldType, Filter, HookName, JsonType, Schema, SchemaId,
    SchemaRef,
};
use ports::data::{Table, TableColumn, TableKind};
use ports::{DataQueries, RegistryQueries};

use crate::failure::Failure;

/// The schema versions that a `{schema}` of a path names, and their hooks.
pub(crate) struct Scope {
    /// The newest version in scope; its fields are a superset of the others'.
    pub(crate) newest: Schema,
    versions: Vec<String>,
    pub(crate) hooks: BTreeSet<HookName>,
}

/// Finds tables.
pub(crate) struct Tables {
    pub(crate) data: Arc<dyn DataQueries>,
    registry: Arc<dyn RegistryQueries>,
}

impl Tables {
    pub(crate) fn new(data: Arc<dyn DataQueries>, registry: Arc<dyn RegistryQueries>) -> Self {
        Self { data, registry }
    }

    /// Returns one table; `feature` is the table's name, `None` for the records.
    pub(crate) async fn one(&self, schema: &str, feature: Option<&str>) -> Result<(Scope, Table), Failure> {
        let scope = self.scope(schema).await?;
        let Some(feature) = feature else {
            let table = scope.records();
            return Ok((scope, table));
        };
        let table = self.features(&scope, scope.hook(schema, feature)?).await?;
        Ok((scope, table))
    }

    /// Returns a feature table without its columns, for callers that know the row.
    pub(crate) async fn feature(&self, schema: &str, feature: &str) -> Result<Table, Failure> {
        let scope = self.scope(schema).await?;
        let hook = scope.hook(schema, feature)?.clone();
        Ok(scope.table(TableKind::Feature(hook), Vec::new()))
    }

    /// Returns every table of a schema: records first, then feature tables in the order in which the conventions name
    /// their hooks.
    pub(crate) async fn all(&self, schema: &str) -> Result<(Scope, Vec<Table>), Failure> {
        let scope = self.scope(schema).await?;
        let mut hooks: Vec<&HookName> = scope.hooks.iter().collect();
        let order = self.hook_order(&scope.newest.reference.id).await?;
        sort_hooks(&mut hooks, &order);
        let mut tables = vec![scope.records()];
        for hook in hooks {
            tables.push(self.features(&scope, hook).await?);
        }
        Ok((scope, tables))
    }

    /// Returns the hooks of the conventions that point at a version of a schema, newest convention first.
    async fn hook_order(&self, schema: &SchemaId) -> Result<Vec<HookName>, Failure> {
        let conventions = self.registry.conventions().await?.into_iter();
        Ok(conventions
            .filter(|convention| convention.schema.id == *schema)
            .flat_map(|convention| convention.hooks)
            .collect())
    }

    /// Parses the filter over a table, its records' metadata, and the feature tables that it names.
    pub(crate) async fn filter(
        &self,
        scope: &Scope,
        table: &Table,
        raw: &RawFilter,
    ) -> Result<Filter, Failure> {
        let typed = |c: &TableColumn| (c.name.clone(), FilterColumnType::of(c.column_type));
        let mut columns = ColumnScope {
            implicit: table.columns.iter().filter(|c| c.implicit).map(typed).collect(),
            metadata: scope.newest.fields.iter().map(field_type).collect(),
            features: BTreeMap::new(),
        };
        for hook in raw.hooks().intersection(&scope.hooks) {
            let of_hook = self.features(scope, hook).await?;
            columns
                .features
                .insert(hook.clone(), of_hook.columns.iter().map(typed).collect());
        }
        Ok(raw.check(&columns).map_err(DataError::Query)?)
    }

    async fn features(&self, scope: &Scope, hook: &HookName) -> Result<Table, Failure> {
        let unknown = || DataError::UnknownFeature {
            schema: scope.newest.reference.to_string(),
            feature: hook.to_string(),
        };
        let contract = self.registry.hook(hook).await?.ok_or_else(unknown)?.contract;
        Ok(scope.table(TableKind::Feature(hook.clone()), feature_columns(contract)))
    }

    /// Resolves a schema: `id` means every version of the newest major (WC-D17), `id@version` exactly one.
    pub(crate) async fn scope(&self, schema: &str) -> Result<Scope, Failure> {
        let unknown = || DataError::UnknownSchema(domain::registry::schema::shortened(schema));
        let (id, version) = match schema.split_once('@') {
            Some(_) => {
                let reference: SchemaRef = schema
                    .parse()
                    .map_err(|e: domain::Invalid| DataError::from(e.of_field("schema")))?;
                (reference.id, Some(reference.version))
            }
            None => (
                schema
                    .parse::<SchemaId>()
                    .map_err(|e| DataError::from(e.of_field("schema")))?,
                None,
            ),
        };
        if RESERVED.contains(&id.as_str()) {
            return Err(DataError::Reserved(id.to_string()).into());
        }
        let mut all = self.data.schema_versions(&id).await?;
        if let Some(version) = version {
            all.retain(|(schema, _)| schema.reference.version == version);
        } else {
            let major = all
                .iter()
                .map(|(schema, _)| schema.reference.version.major())
                .max();
            all.retain(|(schema, _)| Some(schema.reference.version.major()) == major);
        }
        all.sort_by(|(a, _), (b, _)| a.reference.version.precedence(&b.reference.version));
        let versions = all
            .iter()
            .map(|(schema, _)| schema.reference.version.to_string())
            .collect();
        let hooks = all.iter().flat_map(|(_, hooks)| hooks.iter().cloned()).collect();
        let (newest, _) = all.pop().ok_or_else(unknown)?;
        Ok(Scope {
            newest,
            versions,
            hooks,
        })
    }
}

impl Scope {
    /// Returns the hook of this name; `schema` is the text in the path.
    fn hook(&self, schema: &str, feature: &str) -> Result<&HookName, DataError> {
        let found = self.hooks.iter().find(|hook| hook.as_str() == feature);
        found.ok_or_else(|| DataError::UnknownFeature {
            schema: schema.to_owned(),
            feature: domain::registry::schema::shortened(feature),
        })
    }

    /// Returns the table of the records.
    pub(crate) fn records(&self) -> Table {
        self.table(TableKind::Records, records_columns(&self.newest))
    }

    fn table(&self, kind: TableKind, columns: Vec<TableColumn>) -> Table {
        let reference = &self.newest.reference;
        Table {
            kind,
            schema: reference.id.clone(),
            major: reference.version.major(),
            versions: self.versions.clone(),
            columns,
        }
    }
}

/// Sorts hooks by their first place in `order`. Those without a place come last, by name.
fn sort_hooks(hooks: &mut [&HookName], order: &[HookName]) {
    let place = |hook: &HookName| order.iter().position(|other| other == hook).unwrap_or(usize::MAX);
    hooks.sort_by(|a, b| (place(a), a.as_str()).cmp(&(place(b), b.as_str())));
}

/// Returns a column that the server adds.
pub(crate) fn implicit(
    name: &str,
    column_type: ColumnType,
    wire_type: &'static str,
    format: Option<&str>,
) -> TableColumn {
    TableColumn {
        name: name.to_owned(),
        column_type,
        wire_type,
        format: format.map(str::to_owned),
        description: None,
        unit: None,
        implicit: true,
    }
}

fn records_columns(schema: &Schema) -> Vec<TableColumn> {
    let mut columns = vec![
        implicit("id", ColumnType::Uuid, "text", Some("uuid")),
        implicit("srn", ColumnType::Text, "text", None),
        implicit("schema_id", ColumnType::Text, "text", None),
        implicit("version", ColumnType::Integer, "number", None),
        implicit("created_at", ColumnType::Timestamp, "date", Some("date-time")),
    ];
    let declared = |field: &FieldDefinition| TableColumn {
        name: field.name.to_string(),
        column_type: field.field_type.column(),
        wire_type: field.field_type.as_str(),
        format: None,
        description: field.description.clone(),
        unit: field.constraints.as_ref().and_then(|c| c.unit.clone()),
        implicit: false,
    };
    columns.extend(schema.fields.iter().map(declared));
    columns
}

/// Returns the columns of a feature table.
pub(crate) fn feature_columns(contract: FeatureContract) -> Vec<TableColumn> {
    let mut columns = vec![
        implicit("id", ColumnType::Integer, "number", None),
        implicit("record_srn", ColumnType::Text, "text", None),
        implicit("run_id", ColumnType::Uuid, "text", Some("uuid")),
        implicit("created_at", ColumnType::Timestamp, "date", Some("date-time")),
    ];
    columns.extend(contract.columns.into_iter().map(|column| TableColumn {
        column_type: column.column_type(),
        wire_type: match column.json_type {
            JsonType::Number | JsonType::Integer => "number",
            JsonType::Boolean => "boolean",
            JsonType::String | JsonType::Array | JsonType::Object => "text",
        },
        name: column.name.into(),
        format: column.format,
        description: column.description,
        unit: column.unit,
        implicit: false,
    }));
    columns
}

fn field_type(field: &FieldDefinition) -> (String, FilterColumnType) {
    let column = FilterColumnType {
        column_type: field.field_type.column(),
        term: field.field_type == FieldType::Term,
    };
    (field.name.to_string(), column)
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves DAT-1 (WC-7.2)
    #[test]
    fn tables_have_the_order_of_the_conventions_and_times_are_dates() {
        let [ant, bee, cat, dog]: [HookName; 4] =
            ["ant", "bee", "cat", "dog"].map(|name| name.parse().unwrap());
        let mut hooks = vec![&ant, &bee, &cat, &dog];
        sort_hooks(&mut hooks, &[dog.clone(), bee.clone(), dog.clone()]);
        assert_eq!(hooks, [&dog, &bee, &ant, &cat]);
        let contract = FeatureContract {
            cardinality: domain::Cardinality::One,
            columns: Vec::new(),
        };
        let columns = feature_columns(contract);
        let created = columns.iter().find(|c| c.name == "created_at").unwrap();
        assert_eq!(created.wire_type, "date");
    }
}
