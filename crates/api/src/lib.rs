//! HTTP. Depends on `app`, `auth` and `domain`, never on `ports`: a handler has no way to the data but through a use case, and no
//! way into a use case but with a permit from its [`gate::Gate`].

mod body;
mod conventions;
mod data;
mod edge;
mod gate;
mod hooks;
mod ingestions;
mod problem;
mod render;
mod spec;
mod system;
mod trace;
mod wire;
mod wire_deploy;

use std::sync::Arc;

use app::{
    Authenticate, CloseIngestion, CreateRelease, Deploy, OpenIngestion, PushRecords, ReadConventions,
    ReadData, ReadHealth, ReadHooks, ReadIngestions, ReadProfile, ReadProvenance, SetLive,
};
use domain::NodeDomain;
use poem::{Endpoint, EndpointExt, Route};
use poem_openapi::OpenApiService;

pub use spec::openapi_document;

/// The use cases that the API serves.
pub struct Services {
    /// From tokens to principals.
    pub authenticate: Arc<Authenticate>,
    /// `POST /conventions`.
    pub deploy: Deploy,
    /// Reading conventions.
    pub read_conventions: ReadConventions,
    /// `POST /hooks/{name}/releases`.
    pub create_release: CreateRelease,
    /// `PUT /hooks/{name}/live`.
    pub set_live: SetLive,
    /// Reading hooks.
    pub read_hooks: ReadHooks,
    /// `POST /ingestions`.
    pub open_ingestion: OpenIngestion,
    /// `POST /ingestions/{id}/records`.
    pub push_records: PushRecords,
    /// `POST /ingestions/{id}/close`.
    pub close_ingestion: CloseIngestion,
    /// Reading ingest runs.
    pub read_ingestions: ReadIngestions,
    /// Reading tables.
    pub read_data: Arc<ReadData>,
    /// Tracing rows.
    pub read_provenance: ReadProvenance,
    /// `GET /auth/me`.
    pub read_profile: ReadProfile,
    /// Health.
    pub read_health: ReadHealth,
    /// What the node is.
    pub node: Node,
}

/// What the node is.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its domain, as in every SRN.
    pub domain: NodeDomain,
    /// The server's version.
    pub version: &'static str,
    /// The runner's name and what it guards against.
    pub runner: String,
}

type Apis = (
    conventions::ConventionsApi,
    hooks::HooksApi,
    ingestions::IngestionsApi,
    data::DataApi,
    system::SystemApi,
);

fn service(services: &Arc<Services>) -> OpenApiService<Apis, ()> {
    let apis = (
        conventions::ConventionsApi(Arc::clone(services)),
        hooks::HooksApi(Arc::clone(services)),
        ingestions::IngestionsApi(Arc::clone(services)),
        data::DataApi(Arc::clone(services)),
        system::SystemApi(Arc::clone(services)),
    );
    OpenApiService::new(apis, "Hallmark", env!("CARGO_PKG_VERSION"))
        .description(spec::DESCRIPTION)
        .url_prefix("/api/v1")
}

/// The whole HTTP service: the API below `/api/v1`, its document at `/openapi.json`, and interactive docs at `/docs`.
pub fn routes(services: Services) -> impl Endpoint {
    let services = Arc::new(services);
    let service = service(&services);
    let document = spec::finished(&service.spec());
    let docs = service.swagger_ui_html();
    Route::new()
        .at(
            "/openapi.json",
            poem::get(poem::endpoint::make_sync(move |_| {
                poem::Response::builder()
                    .content_type("application/json")
                    .body(document.clone())
            })),
        )
        .at(
            "/docs",
            poem::get(poem::endpoint::make_sync(move |_| poem::web::Html(docs.clone()))),
        )
        .nest("/api/v1", service)
        .data(Arc::clone(&services.authenticate))
        .with(edge::Edge)
}
