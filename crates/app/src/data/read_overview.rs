//! The content of an archive on one page (WC-1.11): conventions, the tables of every schema with their counts, hooks.

use std::collections::BTreeSet;
use std::sync::Arc;

use auth::{Permit, act};
use domain::{Cell, Convention, SchemaId, SchemaRef};
use ports::RegistryQueries;
use ports::registry::HookSummary;

use crate::data::read_data::{Manifest, ReadData, TableRequest};
use crate::failure::Failure;
use crate::machine::Places;

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
        let mut hooks = self.registry.hooks().await?.1;
        for live in hooks.iter_mut().filter_map(|hook| hook.live.as_mut()) {
            Places::of(permit).redact_release(live);
        }
        Ok(Overview {
            conventions: self.registry.conventions().await?,
            schemas,
            hooks,
        })
    }

    /// Returns the newest version of each older major version of every schema, the newest of a schema first.
    #[tracing::instrument(name = "app.read_overview.older_majors", skip_all)]
    pub async fn older_majors(&self, permit: &Permit<act::ReadData>) -> Result<Vec<Manifest>, Failure> {
        let all = self.registry.schemas().await?;
        let references = older_majors(all.into_iter().map(|(schema, _)| schema.reference).collect());
        let mut manifests = Vec::with_capacity(references.len());
        for reference in references {
            let named = reference.to_string();
            manifests.push(self.data.manifest(permit, &named, false).await?);
        }
        Ok(manifests)
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

/// Returns the newest version of each major version but the newest one, for every schema.
fn older_majors(mut all: Vec<SchemaRef>) -> Vec<SchemaRef> {
    all.sort_by(|a, b| {
        let newest_first = b.version.precedence(&a.version);
        a.id.cmp(&b.id).then(newest_first)
    });
    all.dedup_by(|next, kept| next.id == kept.id && next.version.major() == kept.version.major());
    let mut newest: Option<SchemaId> = None;
    all.retain(|reference| {
        let is_newest = newest.as_ref() != Some(&reference.id);
        newest = Some(reference.id.clone());
        !is_newest
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves DAT-1
    #[test]
    fn each_older_major_has_its_newest_version() {
        let all = ["b@1.0.0", "a@1.0.0", "a@1.2.0", "a@3.0.0", "a@2.0.0", "a@3.1.0"];
        let all: Vec<SchemaRef> = all
            .iter()
            .map(|text| format!("schema-{text}").parse().unwrap())
            .collect();
        let older: Vec<String> = older_majors(all).iter().map(ToString::to_string).collect();
        assert_eq!(older, ["schema-a@2.0.0", "schema-a@1.2.0"]);
    }
}
