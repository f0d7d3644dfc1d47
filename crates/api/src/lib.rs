//! The HTTP layer. It depends on `app`, `auth` and `domain`, never on `ports`: a handler reaches data only through a
//! use case, and a use case only with a permit from its `http::gate::Gate`.

mod data;
mod deposit;
mod http;
mod identity;
mod ingest;
mod ledger;
mod registry;
mod services;
mod site;
mod system;

use std::sync::{Arc, LazyLock};

use poem::{Endpoint, EndpointExt, Route};
use poem_openapi::OpenApiService;

use crate::http::query_params::Expanded;

pub use http::body_clock::BodyLimits;
pub use http::listen::{ConnectionLimits, serve};
pub use http::middleware::{HttpOptions, Origins};
pub use http::request_log::DatabaseUse;
pub use http::spec::openapi_document;
pub use pages::{BaseUrl, NotABaseUrl, paths};
pub use services::{Node, Services};

type Apis = (
    registry::Apis,
    ingest::Apis,
    deposit::Apis,
    data::Apis,
    identity::Apis,
    ledger::Apis,
    system::SystemApi,
);

/// What the interactive docs may do: their scripts and styles are in the page, and they call this server only. No page
/// may show them in a frame, where a click could be led to a request.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                           img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";

fn service(services: &Arc<Services>) -> OpenApiService<Expanded<Apis>, ()> {
    let apis = (
        registry::apis(services),
        ingest::apis(services),
        deposit::apis(services),
        data::apis(services),
        identity::apis(services),
        ledger::apis(services),
        system::SystemApi(Arc::clone(services)),
    );
    let service = OpenApiService::new(Expanded(apis), "Hallmark", env!("CARGO_PKG_VERSION"))
        .description(http::spec::DESCRIPTION)
        .url_prefix("/api/v1");
    // Without servers, a document's paths are those of its host (OpenAPI 3.0.3, 4.7.1). A path alone is relative to
    // the document's address, so it holds under every name of the host.
    match services.node.base.path() {
        "" => service,
        path => service.server(path),
    }
}

/// Builds the whole HTTP service: the API below `/api/v1`, its document at `/openapi.json`, and interactive docs at
/// `/docs`, all below the path of the node's base.
pub fn routes(services: Services, http: HttpOptions) -> impl Endpoint<Output = poem::Response> + 'static {
    let services = Arc::new(services);
    let rest = http::unread::ReadRest(http.body);
    let service = service(&services);
    let document = http::spec::finished(&service.spec());
    // Few servers are ever asked for it, and it is another document: made for the first who asks.
    let of_docs = Arc::clone(&services);
    let docs = LazyLock::new(move || crate::service(&of_docs).swagger_ui_html());
    let allowed = Arc::new(http::allow::Allowed::of(&document));
    let route = Route::new()
        .at(
            paths::OPENAPI.route(),
            poem::get(poem::endpoint::make_sync(move |_| {
                poem::Response::builder()
                    .content_type("application/json")
                    .body(document.clone())
            })),
        )
        .at(
            paths::API_DOCS.route(),
            poem::get(poem::endpoint::make_sync(move |_| {
                poem::Response::builder()
                    .content_type("text/html; charset=utf-8")
                    .header("Content-Security-Policy", DOCS_POLICY)
                    .header("X-Frame-Options", "DENY")
                    .body(String::clone(&docs))
            })),
        );
    site::add(route, &services)
        .nest("/api/v1", service)
        .data(Arc::clone(&services.identity.authenticate))
        .data(services.memory.clone())
        .with(http::edge::Edge {
            allowed,
            metrics: Arc::clone(&services.metrics),
            base: services.node.base.clone(),
        })
        .with(http::middleware::Layers::new(http, services.memory.clone()))
        .with(http::base_path::BasePath(services.node.base.clone()))
        .with(rest)
}
