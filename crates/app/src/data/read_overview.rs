//! The content of an archive on one page (WC-1.11): conventions, the tables of every schema with their counts, hooks.

use std::collections::BTreeSet;
use std::sync::Arc;

use auth::{Permit, act};
use domain::{Cell, Convention, SchemaId};
use ports::RegistryQueries;
use ports::registry::HookSummary;

use crate::data::read_data::{Manifest, ReadData, TableRequest};
use crate::failure::Failure;

/// The content of an archive.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Its conventions, newest first.
    pub conventions: Vec<Convention>,
    /// For each schema the tables of its newest major version.
    pub schemas: Vec<Manifest>,
    /// Its hooks, by name.
    pub hooks: Vec<HookSummary>,
}

/// A schema with what a reader needs to query it.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its tables.
    pub manifest: Manifest,
    /// Of each table the first row, if it has any.
    pub samples: Vec<Option<Vec<Cell>>>,
    /// The conventions that point at a version of it, newest first.
    pub conventions: Vec<Convention>,
}

/// Reads the content of an archive.
pub struct ReadOverview {
    data: Arc<ReadData>,
    registry: Arc<dyn RegistryQueries>,
}

impl ReadOverview {
    /// Creates the use case over these ports.
    pub fn new(data: Arc<ReadData>, registry: Arc<dyn RegistryQueries>) -> Self {
        Self { data, registry }
    }

    /// Returns everything.
    #[tracing::instrument(name = "app.read_overview.all", skip_all)]
    pub async fn all(&self, permit: &Permit<act::ReadData>) -> Result<Overview, Failure> {
        let ids: BTreeSet<SchemaId> = self
            .registry
            .schemas()
            .await?
            .into_iter()
            .map(|(schema, _)| schema.reference.id)
            .collect();
        let mut schemas = Vec::with_capacity(ids.len());
        for id in ids {
            schemas.push(self.data.manifest(permit, id.as_str(), false).await?);
        }
        Ok(Overview {
            conventions: self.registry.conventions().await?,
            schemas,
            hooks: self.registry.hooks().await?,
        })
    }

    /// Returns one schema.
    #[tracing::instrument(name = "app.read_overview.schema", skip_all)]
    pub async fn schema(&self, permit: &Permit<act::ReadData>, schema: &str) -> Result<Described, Failure> {
        let manifest = self.data.manifest(permit, schema, false).await?;
        let mut samples = Vec::with_capacity(manifest.tables.len());
        for counted in &manifest.tables {
            let feature = counted.table.name();
            let feature = Some(feature).filter(|name| *name != "records");
            let page = self
                .data
                .page(permit, schema, feature, &TableRequest::default(), 1)
                .await?;
            samples.push(page.rows.into_iter().next());
        }
        let id = &manifest.schema.reference.id;
        let mut conventions = self.registry.conventions().await?;
        conventions.retain(|convention| convention.schema.id == *id);
        Ok(Described {
            manifest,
            samples,
            conventions,
        })
    }
}
