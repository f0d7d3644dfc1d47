//! Exports of provenance. `?format=` on the exported resource is an alias (`aliases.rs`).

use std::sync::Arc;

use auth::act;
use domain::HookName;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use crate::data::catalogue::Tag;
use crate::data::export::{Export, ExportFormat};
use crate::data::table::{TableParams, TableQuery};
use crate::http::gate::{Gate, anyone};
use crate::http::problem::{Problem, path};
use crate::http::query_params::QueryParams;
use crate::registry::hooks::version;
use crate::services::Services;

pub(crate) struct ExportsApi(pub(crate) Arc<Services>);

#[OpenApi(tag = "Tag::Data")]
impl ExportsApi {
    /// Export the provenance of a record and of everything computed for it.
    ///
    /// `format` is `prov-json` (W3C PROV-JSON), `ro-crate` (metadata document of a Process Run Crate 0.5) or
    /// `openlineage` (run events of `OpenLineage` 2-0-2, one per line). `?format=` on the exported resource is an
    /// alias. Only curators see the names of people.
    #[oai(
        path = "/data/records/:id/export",
        method = "get",
        operation_id = "exportRecord"
    )]
    async fn record(
        &self,
        Gate(permit): Gate<act::ReadProvenance>,
        id: Path<String>,
        format: Query<String>,
    ) -> Result<Export, Problem> {
        let format = ExportFormat::of(&format.0)?;
        let lineage = self
            .0
            .data
            .read_lineage
            .record(&permit, &anyone()?, &id.0)
            .await?;
        Ok(format.write(&lineage))
    }

    /// Export the provenance of a page of a feature table.
    #[oai(
        path = "/data/:schema/:feature/export",
        method = "get",
        operation_id = "exportFeatureRows"
    )]
    async fn rows(
        &self,
        Gate(permit): Gate<act::ReadProvenance>,
        schema: Path<String>,
        feature: Path<String>,
        format: Query<String>,
        query: QueryParams<TableQuery>,
    ) -> Result<Export, Problem> {
        let format = ExportFormat::of(&format.0)?;
        let wanted = TableParams::try_from(query.0)?;
        let read = anyone()?;
        let lineage = wanted.lineage(&self.0, &permit, &read, (&schema.0, &feature.0));
        Ok(format.write(&lineage.await?))
    }

    /// Export the provenance of a hook run and of its rows.
    #[oai(
        path = "/hooks/runs/:run_id/export",
        method = "get",
        operation_id = "exportHookRun"
    )]
    async fn run(
        &self,
        Gate(permit): Gate<act::ReadHookRuns>,
        run_id: Path<String>,
        format: Query<String>,
    ) -> Result<Export, Problem> {
        let format = ExportFormat::of(&format.0)?;
        let run = path("run_id", &run_id.0)?;
        let lineage = self.0.data.read_lineage.run(permit, run).await?;
        Ok(format.write(&lineage))
    }

    /// Export the provenance of the rows that a release produced.
    #[oai(
        path = "/hooks/:name/releases/:version/export",
        method = "get",
        operation_id = "exportHookRelease"
    )]
    async fn release(
        &self,
        Gate(permit): Gate<act::ReadProvenance>,
        name: Path<String>,
        #[oai(name = "version")] number: Path<String>,
        format: Query<String>,
    ) -> Result<Export, Problem> {
        let format = ExportFormat::of(&format.0)?;
        let name: HookName = path("name", &name.0)?;
        let number = version(&number.0)?;
        let lineage = self.0.data.read_lineage.release(&permit, &name, number).await?;
        Ok(format.write(&lineage))
    }
}
