//! `/conventions`.

use std::sync::Arc;

use app::Committed;
use app::registry::deploy::Deployed;
use auth::act;
use domain::registry::convention::Convention;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::render::model_time;
use crate::registry::hooks::image_check;
use crate::registry::wire::WireSchemaId;
use crate::registry::wire_deploy::{DeployBody, DocsBlock, WireFiles, WireIngester};
use crate::services::Services;

#[derive(Tags)]
enum Tag {
    /// Conventions, which labs deploy.
    Conventions,
}

pub(crate) struct ConventionsApi(pub(crate) Arc<Services>);

/// The result for one hook of a deploy.
#[derive(Debug, Object)]
struct DeployedHook {
    name: String,
    /// The version that has the deployed content.
    version: u32,
    /// Whether this deploy created the version.
    created: bool,
    /// Whether this deploy added a location of the image to an existing version.
    location_added: bool,
    /// The live version; another one if an operator rolled back.
    live_version: Option<u32>,
}

/// A deployed convention.
#[derive(Debug, Object)]
struct DeployedConvention {
    slug: String,
    title: String,
    description: String,
    schema_id: WireSchemaId,
    /// Names of the hooks, in execution order.
    hooks: Vec<String>,
    created_at: String,
    /// The result for each hook.
    releases: Vec<DeployedHook>,
    /// The ingest run that `initial_run` of the ingester requested, if this deploy opened it.
    initial_run: Option<String>,
}

#[derive(Debug, ApiResponse)]
enum DeployResponse {
    /// Deployed, or already in this state.
    #[oai(status = 201)]
    Created(Json<DeployedConvention>),
}

impl From<Committed<Deployed>> for DeployResponse {
    fn from(done: Committed<Deployed>) -> Self {
        let done = done.into_inner();
        let c = done.convention;
        let hook = |h: app::registry::deploy::DeployedHook| DeployedHook {
            name: h.name.into(),
            version: h.version.get(),
            created: h.created,
            location_added: h.located,
            live_version: h.live.map(domain::ReleaseVersion::get),
        };
        Self::Created(Json(DeployedConvention {
            slug: c.slug.into(),
            title: c.title,
            description: c.description,
            schema_id: (&c.schema).into(),
            hooks: c.hooks.into_iter().map(Into::into).collect(),
            created_at: model_time(c.created_at),
            releases: done.hooks.into_iter().map(hook).collect(),
            initial_run: done.initial_run.map(|run| run.to_string()),
        }))
    }
}

/// A convention in a list.
#[derive(Debug, Object)]
struct ConventionSummary {
    /// Slug of the convention.
    id: String,
    title: String,
    description: String,
    schema_id: WireSchemaId,
    created_at: String,
}

/// All conventions, newest first.
#[derive(Debug, Object)]
struct ConventionList {
    items: Vec<ConventionSummary>,
}

/// A convention with its schema, hooks and documentation.
#[derive(Debug, Object)]
struct ConventionDetail {
    /// Slug of the convention.
    id: String,
    title: String,
    description: String,
    schema_id: WireSchemaId,
    file_requirements: WireFiles,
    /// Names of the hooks, in execution order.
    hooks: Vec<String>,
    ingester: Option<WireIngester>,
    /// `automatic`, or `required` if a curator decides on depositions.
    curation: String,
    docs: DocsBlock,
    created_at: String,
}

impl From<Convention> for ConventionDetail {
    fn from(c: Convention) -> Self {
        Self {
            id: c.slug.into(),
            title: c.title,
            description: c.description,
            schema_id: (&c.schema).into(),
            file_requirements: (&c.file_requirements).into(),
            hooks: c.hooks.into_iter().map(Into::into).collect(),
            ingester: c.ingester.map(Into::into),
            curation: c.curation.as_str().to_owned(),
            docs: c.docs.into(),
            created_at: model_time(c.created_at),
        }
    }
}

/// A workbook in the Excel format.
#[derive(Debug)]
pub(crate) struct Xlsx(Vec<u8>);

impl Payload for Xlsx {
    const CONTENT_TYPE: &'static str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")))
    }
}

impl IntoResponse for Xlsx {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
    }
}

#[derive(Debug, ApiResponse)]
pub(crate) enum TemplateResponse {
    /// The template as a workbook.
    #[oai(status = 200)]
    Workbook(Xlsx, #[oai(header = "Content-Disposition")] String),
}

/// Builds the template file of a convention with this title and schema.
pub(crate) fn template_of(title: &str, schema: &domain::Schema) -> Result<TemplateResponse, Problem> {
    let bytes = crate::registry::template::workbook(schema).map_err(|error| {
        tracing::error!(%error, "creating a template failed");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "internal server error; the fault was logged",
        )
    })?;
    // A header is ASCII without quotes; the file name omits all other characters of the title.
    let name: String = title
        .to_lowercase()
        .chars()
        .map(|c| if c == ' ' { '_' } else { c })
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        .collect();
    Ok(TemplateResponse::Workbook(
        Xlsx(bytes),
        format!("attachment; filename=\"{name}_template.xlsx\""),
    ))
}

#[OpenApi(tag = "Tag::Conventions")]
impl ConventionsApi {
    /// Deploy a convention.
    ///
    /// Registers its schema, hooks, releases and tables in one transaction. Declarative: deploying the same body again
    /// changes nothing.
    #[oai(path = "/conventions", method = "post", operation_id = "deployConvention")]
    async fn deploy(
        &self,
        Gate(permit): Gate<act::DeployConvention>,
        /// Whether the server looks at images of the form `file:` and refuses new releases and locations that
        /// cannot run (default `true`). Use `false` if the hooks run on other machines.
        check: Query<Option<bool>>,
        body: Body<DeployBody>,
    ) -> Result<DeployResponse, Problem> {
        let plan = body.0.into_plan().map_err(|e| Problem::invalid(&e, "body"))?;
        let check = image_check(check.0);
        Ok(self.0.registry.deploy.run(permit, plan, check).await?.into())
    }

    /// List conventions, newest first.
    #[oai(path = "/conventions", method = "get", operation_id = "listConventions")]
    async fn list(&self, Gate(permit): Gate<act::ReadConventions>) -> Result<Json<ConventionList>, Problem> {
        let summary = |c: Convention| ConventionSummary {
            id: c.slug.into(),
            title: c.title,
            description: c.description,
            schema_id: (&c.schema).into(),
            created_at: model_time(c.created_at),
        };
        Ok(Json(ConventionList {
            items: self
                .0
                .registry
                .read_conventions
                .list(permit)
                .await?
                .into_iter()
                .map(summary)
                .collect(),
        }))
    }

    /// Get a convention.
    #[oai(path = "/conventions/:slug", method = "get", operation_id = "getConvention")]
    async fn get(
        &self,
        Gate(permit): Gate<act::ReadConventions>,
        slug: Path<String>,
    ) -> Result<Json<ConventionDetail>, Problem> {
        let slug = path("slug", &slug.0)?;
        Ok(Json(
            self.0.registry.read_conventions.get(permit, &slug).await?.into(),
        ))
    }

    /// Download the spreadsheet template of a convention.
    #[oai(
        path = "/conventions/:slug/template",
        method = "get",
        operation_id = "getConventionTemplate"
    )]
    async fn template(
        &self,
        Gate(permit): Gate<act::ReadTemplates>,
        slug: Path<String>,
    ) -> Result<TemplateResponse, Problem> {
        let slug = path("slug", &slug.0)?;
        let (convention, schema) = self.0.registry.read_conventions.template(permit, &slug).await?;
        template_of(&convention.title, &schema)
    }
}
