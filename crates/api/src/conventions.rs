//! `/conventions`.

use std::sync::Arc;

use app::Committed;
use app::deploy::Deployed;
use auth::act;
use domain::convention::Convention;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};

use crate::Services;
use crate::body::Body;
use crate::gate::Gate;
use crate::problem::{Problem, path};
use crate::render::model_time;
use crate::wire::WireSchemaId;
use crate::wire_deploy::{DeployBody, DocsBlock, WireFiles, WireIngester};

#[derive(Tags)]
enum Tag {
    /// What labs deploy.
    Conventions,
}

pub(crate) struct ConventionsApi(pub(crate) Arc<Services>);

/// What became of one hook of a deploy.
#[derive(Debug, Object)]
struct DeployedHook {
    name: String,
    /// The version that has the deployed content.
    version: u32,
    /// Whether it is new.
    created: bool,
    /// The version that is live; another one where an operator rolled back.
    live_version: Option<u32>,
}

/// A deployed convention.
#[derive(Debug, Object)]
struct DeployedConvention {
    slug: String,
    title: String,
    description: String,
    schema_id: WireSchemaId,
    /// The names of its hooks, in order.
    hooks: Vec<String>,
    created_at: String,
    /// What became of each hook.
    releases: Vec<DeployedHook>,
}

#[derive(Debug, ApiResponse)]
enum DeployResponse {
    /// Deployed, or already so.
    #[oai(status = 201)]
    Created(Json<DeployedConvention>),
}

impl From<Committed<Deployed>> for DeployResponse {
    fn from(done: Committed<Deployed>) -> Self {
        let done = done.into_inner();
        let c = done.convention;
        let hook = |h: app::deploy::DeployedHook| DeployedHook {
            name: h.name.into(),
            version: h.version.get(),
            created: h.created,
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
        }))
    }
}

/// A convention in a list.
#[derive(Debug, Object)]
struct ConventionSummary {
    /// Its slug.
    id: String,
    title: String,
    description: String,
    schema_id: WireSchemaId,
    created_at: String,
}

/// Conventions.
#[derive(Debug, Object)]
struct ConventionList {
    items: Vec<ConventionSummary>,
}

/// A convention.
#[derive(Debug, Object)]
struct ConventionDetail {
    /// Its slug.
    id: String,
    title: String,
    description: String,
    schema_id: WireSchemaId,
    file_requirements: WireFiles,
    /// The names of its hooks, in order.
    hooks: Vec<String>,
    ingester: Option<WireIngester>,
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
            docs: c.docs.into(),
            created_at: model_time(c.created_at),
        }
    }
}

#[OpenApi(tag = "Tag::Conventions")]
impl ConventionsApi {
    /// Deploy a convention.
    ///
    /// Registers its schema, hooks, releases and tables in one transaction. Declarative: the same body again changes nothing.
    #[oai(path = "/conventions", method = "post", operation_id = "deployConvention")]
    async fn deploy(
        &self,
        Gate(permit): Gate<act::DeployConvention>,
        body: Body<DeployBody>,
    ) -> Result<DeployResponse, Problem> {
        let plan = body.0.into_plan().map_err(|e| Problem::invalid(&e, "body"))?;
        Ok(self.0.deploy.run(permit, plan).await?.into())
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
                .read_conventions
                .list(permit)
                .await?
                .into_iter()
                .map(summary)
                .collect(),
        }))
    }

    /// Read a convention.
    #[oai(path = "/conventions/:slug", method = "get", operation_id = "getConvention")]
    async fn get(
        &self,
        Gate(permit): Gate<act::ReadConventions>,
        slug: Path<String>,
    ) -> Result<Json<ConventionDetail>, Problem> {
        let slug = path("slug", &slug.0)?;
        Ok(Json(self.0.read_conventions.get(permit, &slug).await?.into()))
    }
}
