//! `/health`, `/ready`, `/auth/me`.

use std::sync::Arc;

use auth::act;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};

use crate::Services;
use crate::gate::Gate;
use crate::problem::Problem;

#[derive(Tags)]
enum Tag {
    /// The server itself.
    System,
}

pub(crate) struct SystemApi(pub(crate) Arc<Services>);

/// That the server runs.
#[derive(Debug, Object)]
struct Health {
    /// `ok`.
    status: String,
    version: String,
}

/// One thing that the server needs.
#[derive(Debug, Object)]
struct Component {
    /// `ok`, `error` or `unchecked`.
    status: String,
    detail: Option<String>,
}

/// What the server needs.
#[derive(Debug, Object)]
struct Components {
    db: Component,
    workers: Component,
    runner: Component,
}

/// Whether the server can do its work.
#[derive(Debug, Object)]
struct Ready {
    /// `ready` or `degraded`.
    status: String,
    version: String,
    components: Components,
}

#[derive(Debug, ApiResponse)]
enum ReadyResponse {
    /// It can.
    #[oai(status = 200)]
    Ready(Json<Ready>),
    /// It cannot.
    #[oai(status = 503)]
    Degraded(Json<Ready>),
}

#[OpenApi]
impl SystemApi {
    /// Say that the server runs.
    #[oai(
        path = "/health",
        method = "get",
        operation_id = "getHealth",
        tag = "Tag::System"
    )]
    async fn health(&self, _gate: Gate<act::ReadHealth>) -> Result<Json<Health>, Problem> {
        Ok(Json(Health {
            status: "ok".to_owned(),
            version: self.0.node.version.to_owned(),
        }))
    }

    /// Say whether the server can do its work.
    #[oai(
        path = "/ready",
        method = "get",
        operation_id = "getReadiness",
        tag = "Tag::System"
    )]
    async fn ready(&self, Gate(permit): Gate<act::ReadHealth>) -> ReadyResponse {
        let database = self.0.read_health.database(permit).await;
        let component = |status: &str, detail: Option<&str>| Component {
            status: status.to_owned(),
            detail: detail.map(str::to_owned),
        };
        let db = match database {
            Ok(()) => component("ok", None),
            Err(why) => component("error", Some(why)),
        };
        let body = Json(Ready {
            status: if database.is_ok() { "ready" } else { "degraded" }.to_owned(),
            version: self.0.node.version.to_owned(),
            components: Components {
                db,
                workers: component("unchecked", None),
                runner: component("unchecked", Some(&self.0.node.runner)),
            },
        });
        if database.is_ok() {
            ReadyResponse::Ready(body)
        } else {
            ReadyResponse::Degraded(body)
        }
    }
}
