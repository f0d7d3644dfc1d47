//! `/health`, `/stats`, `/ready`.

use std::sync::Arc;

use app::read_health::Check;
use auth::act;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};

use crate::http::gate::Gate;
use crate::http::problem::Problem;
use crate::http::render::model_time;
use crate::services::Services;

#[derive(Tags)]
enum Tag {
    /// Health and statistics of the server.
    System,
}

pub(crate) struct SystemApi(pub(crate) Arc<Services>);

/// Liveness of the server.
#[derive(Debug, Object)]
struct Health {
    /// `ok`.
    status: String,
    version: String,
}

/// One dependency of the server.
#[derive(Debug, Object)]
struct Component {
    /// `ok`, `error` or `unchecked`.
    status: String,
    detail: Option<String>,
}

/// Statistics of the archive.
#[derive(Debug, Object)]
#[oai(rename = "Stats")]
struct StatsBody {
    /// Number of records, without counting versions.
    records: u64,
    /// Number of records whose newest version was published in this calendar month (UTC).
    records_this_month: u64,
    /// Size of the records' files, in bytes.
    storage_bytes: u64,
    /// Average number of current feature rows per record.
    features_per_record: f64,
    /// When the statistics were computed.
    computed_at: Option<String>,
    /// Path of the catalogue on the archive's host.
    data_url: String,
}

/// Dependencies of the server.
#[derive(Debug, Object)]
struct Components {
    /// The database and the room on its disk.
    db: Component,
    /// The blob store and the room on its disk.
    storage: Component,
    workers: Component,
    /// The background loops of the server. The detail lists loops that failed, also those that work again.
    loops: Component,
    runner: Component,
}

/// Readiness of the server.
#[derive(Debug, Object)]
struct Ready {
    /// `ready` or `degraded`.
    status: String,
    version: String,
    components: Components,
}

#[derive(Debug, ApiResponse)]
enum ReadyResponse {
    /// The server is ready.
    #[oai(status = 200)]
    Ready(Json<Ready>),
    /// The server is degraded.
    #[oai(status = 503)]
    Degraded(Json<Ready>),
}

#[OpenApi]
impl SystemApi {
    /// Check that the server is alive.
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

    /// Get archive statistics. They are at most five minutes old.
    #[oai(
        path = "/stats",
        method = "get",
        operation_id = "getStats",
        tag = "Tag::System"
    )]
    async fn stats(&self, Gate(permit): Gate<act::ReadData>) -> Result<Json<StatsBody>, Problem> {
        let (stats, at) = self.0.data.read_stats.stats(permit).await?;
        // Counts of an archive are far below 2^53.
        let float = |number: u64| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
        Ok(Json(StatsBody {
            records: stats.records,
            records_this_month: stats.records_this_month,
            storage_bytes: stats.storage_bytes,
            features_per_record: if stats.records == 0 {
                0.0
            } else {
                float(stats.feature_rows) / float(stats.records)
            },
            computed_at: Some(model_time(at)),
            data_url: self.0.node.base.href(&pages::paths::CATALOGUE),
        }))
    }

    /// Check whether the server is ready to work.
    #[oai(
        path = "/ready",
        method = "get",
        operation_id = "getReadiness",
        tag = "Tag::System"
    )]
    async fn ready(&self, Gate(permit): Gate<act::ReadHealth>) -> ReadyResponse {
        let health = self.0.read_health.check(permit).await;
        let is_ready = health.is_ready();
        let component = |check: Option<Check>, detail: Option<String>| {
            let status = match check {
                Some(Ok(())) => "ok",
                Some(Err(_)) => "error",
                None => "unchecked",
            };
            let fault = check.and_then(Check::err).map(String::from);
            Component {
                status: status.to_owned(),
                detail: fault.or(detail),
            }
        };
        let body = Json(Ready {
            status: if is_ready { "ready" } else { "degraded" }.to_owned(),
            version: self.0.node.version.to_owned(),
            components: Components {
                db: component(Some(health.database), self.0.node.database.map(str::to_owned)),
                storage: component(Some(health.storage), None),
                workers: component(Some(health.workers), None),
                loops: component(Some(health.loops), health.loops_history),
                runner: component(health.runner, Some(self.0.node.runner.clone())),
            },
        });
        if is_ready {
            ReadyResponse::Ready(body)
        } else {
            ReadyResponse::Degraded(body)
        }
    }
}
