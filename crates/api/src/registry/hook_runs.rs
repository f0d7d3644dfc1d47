//! `/hooks/runs`.

use std::sync::Arc;

use auth::act;
use domain::HookRun;
use domain::registry::hook::HookError;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::render::{LogText, model_time};
use crate::registry::hooks::Tag;
use crate::services::Services;

pub(crate) struct HookRunsApi(pub(crate) Arc<Services>);

/// A hook run.
#[derive(Debug, Object)]
#[oai(rename = "HookRun")]
pub(crate) struct RunDetail {
    id: String,
    release_id: String,
    /// Number of the release's location that the image was read from, from 1.
    location: u32,
    /// `passed`, `failed` or `error`.
    status: String,
    started_at: String,
    finished_at: String,
    /// Run time of the hook over all tries, in seconds.
    duration_s: f64,
    /// Number of retries with more memory.
    oom_retries: u32,
    has_logs: bool,
    /// The worker that ran the hook.
    worker: String,
    /// Reason for the failure. For readers of the log it ends with the last lines that the hook printed.
    failure: Option<String>,
    /// Number of records that it passed; `null` for runs of old servers.
    passed: Option<u64>,
    /// Number of records that it rejected.
    rejected: Option<u64>,
    /// Number of records that it could not judge.
    errored: Option<u64>,
}

impl From<HookRun> for RunDetail {
    fn from(run: HookRun) -> Self {
        Self {
            id: run.id.to_string(),
            release_id: run.release.to_string(),
            location: run.location,
            status: run.status.as_str().to_owned(),
            started_at: model_time(run.started_at),
            finished_at: model_time(run.finished_at),
            duration_s: run.duration_s,
            oom_retries: run.oom_retries,
            has_logs: run.log_ref.is_some(),
            worker: run.worker,
            failure: run.failure,
            passed: run.counts.map(|c| c.passed),
            rejected: run.counts.map(|c| c.rejected),
            errored: run.counts.map(|c| c.errored),
        }
    }
}

#[OpenApi(tag = "Tag::Hooks")]
impl HookRunsApi {
    /// Get a hook run.
    ///
    /// Runs that made public rows are public. Only admins and readers of its log see the reason for a failure, and other
    /// runs.
    #[oai(path = "/hooks/runs/:run_id", method = "get", operation_id = "getHookRun")]
    async fn run(
        &self,
        Gate(permit): Gate<act::ReadHookRuns>,
        run_id: Path<String>,
    ) -> Result<Json<RunDetail>, Problem> {
        if run_id.0 == "releases" {
            // The releases of a hook named `runs`, which no hook can have (WC-4.5).
            let hook = path("name", "runs")?;
            return Err(Problem::of_error(&HookError::UnknownHook(hook), "path"));
        }
        let run = path("run_id", &run_id.0)?;
        Ok(Json(self.0.data.read_hook_run.run(permit, run).await?.into()))
    }

    /// Get the output of a run that failed or left a record errored.
    ///
    /// For admins, the requester of the work, and callers with read permission on its task. Other callers receive 404.
    /// The output may contain everything that the hook received.
    #[oai(
        path = "/hooks/runs/:run_id/logs",
        method = "get",
        operation_id = "getHookRunLogs"
    )]
    async fn logs(
        &self,
        Gate(permit): Gate<act::ReadRunLogs>,
        run_id: Path<String>,
    ) -> Result<LogText, Problem> {
        let run = path("run_id", &run_id.0)?;
        Ok(LogText(self.0.data.read_run_logs.run(permit, run).await?))
    }
}
