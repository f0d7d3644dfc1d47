//! Reports of a delegation's holder: progress and completion (LED-2, LED-6, LED-7).

use std::sync::Arc;

use app::ledger::finish_delegations::Ended;
use app::views::{Completion, DelegationEnd};
use auth::act;
use domain::kind::Coded as _;
use domain::ledger::delegation::{MAX_PAYLOAD_BYTES, MAX_PREVIEW, preview};
use domain::{DelegationId, Invalid};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde_json::Value;

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::query::{bounded_json, refused_body};
use crate::ledger::claims::{some, worker};
use crate::ledger::delegations::Tag;
use crate::services::Services;

pub(crate) struct CompletionsApi(pub(crate) Arc<Services>);

/// `POST /delegations/{delegation_id}/progress`.
#[derive(Debug, Object)]
struct ProgressBody {
    attempt: i64,
    /// Progress message; truncated to 500 characters.
    note: Option<String>,
}

/// `POST /delegations/{delegation_id}/complete`.
#[derive(Debug, Object)]
struct CompleteBody {
    attempt: i64,
    /// Name of the worker, for the log of late completions.
    worker_id: Option<String>,
    /// The result, for the caller's inbox; at most 256 KiB.
    result: Option<Value>,
    /// Preview of the result for people; defaults to the first characters of the result.
    result_preview: Option<String>,
}

/// `POST /delegations/{delegation_id}/fail`.
#[derive(Debug, Object)]
struct FailBody {
    attempt: i64,
    worker_id: Option<String>,
    /// Reason for the failure; truncated to 500 characters.
    error_detail: String,
}

/// One of several completions: completed, or failed if it has an error.
#[derive(Debug, Object)]
struct EndBlock {
    delegation_id: String,
    attempt: i64,
    result: Option<Value>,
    result_preview: Option<String>,
    error_detail: Option<String>,
}

/// `POST /claims/finish`.
#[derive(Debug, Object)]
struct FinishBody {
    worker_id: Option<String>,
    /// At most 50, each delegation once.
    ends: Vec<EndBlock>,
}

/// Result of one of several completions.
#[derive(Debug, Object)]
struct EndItem {
    delegation_id: String,
    /// `completed` or `failed`; `null` if the completion was refused.
    status: Option<String>,
    /// Stable code of the refusal.
    code: Option<String>,
    /// Message of the refusal.
    message: Option<String>,
}

/// Result of each completion, in request order.
#[derive(Debug, Object)]
struct EndList {
    items: Vec<EndItem>,
}

#[derive(Debug, ApiResponse)]
enum Done {
    /// The delegation is updated.
    #[oai(status = 204)]
    Done,
}

impl From<Ended> for EndItem {
    fn from((id, ended): Ended) -> Self {
        let (status, refused) = match ended {
            Ok(status) => (Some(status.to_string()), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            delegation_id: id.to_string(),
            status,
            code: refused.as_ref().map(|error| error.code().to_owned()),
            message: refused.map(|error| error.to_string()),
        }
    }
}

fn completed(result: Option<Value>, text: Option<String>) -> Result<DelegationEnd, Problem> {
    if let Some(result) = &result {
        bounded_json("result", result, MAX_PAYLOAD_BYTES)?;
    }
    let text = text
        .or_else(|| result.as_ref().map(ToString::to_string))
        .unwrap_or_default();
    Ok(DelegationEnd::Completed {
        preview: preview(&text),
        result,
    })
}

fn failed(why: &str) -> Result<DelegationEnd, Problem> {
    if why.is_empty() {
        return Err(refused_body("error_detail", Invalid::value("must not be empty")));
    }
    Ok(DelegationEnd::Failed(preview(why)))
}

impl EndBlock {
    fn ending(self) -> Result<Completion, Problem> {
        let id: Result<DelegationId, Invalid> = self.delegation_id.parse();
        let end = match (self.error_detail, self.result) {
            (Some(_), Some(_)) => {
                let rule = Invalid::value("must not be given with a result");
                return Err(refused_body("error_detail", rule));
            }
            (Some(why), None) => failed(&why)?,
            (None, result) => completed(result, self.result_preview)?,
        };
        Ok(Completion {
            id: id.map_err(|e| refused_body("delegation_id", e))?,
            attempt: self.attempt,
            end,
        })
    }
}

#[OpenApi(tag = "Tag::Delegations")]
impl CompletionsApi {
    /// Complete or fail several claims. Each is handled separately: a refused one does not affect the others.
    #[oai(path = "/claims/finish", method = "post", operation_id = "finishClaims")]
    async fn finish(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        body: Body<FinishBody>,
    ) -> Result<Json<EndList>, Problem> {
        let worker = worker(body.0.worker_id)?;
        let completions = some("ends", body.0.ends)?
            .into_iter()
            .map(EndBlock::ending)
            .collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<&DelegationId> = completions.iter().map(|ending| &ending.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.last()) {
            let rule = Invalid::value("must name each delegation once");
            return Err(refused_body("ends", rule));
        }
        let items = self
            .0
            .ledger
            .finish_delegations
            .finish(permit, &worker, &completions)
            .await?;
        Ok(Json(EndList {
            items: items.into_iter().map(Into::into).collect(),
        }))
    }

    /// Report progress of a delegation, which marks it as started. It counts as a heartbeat.
    #[oai(
        path = "/delegations/:delegation_id/progress",
        method = "post",
        operation_id = "progressDelegation"
    )]
    async fn progress(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        delegation_id: Path<String>,
        body: Body<ProgressBody>,
    ) -> Result<Done, Problem> {
        let id: DelegationId = path("delegation_id", &delegation_id.0)?;
        let note = body
            .0
            .note
            .map(|note| note.chars().take(MAX_PREVIEW).collect::<String>());
        self.0
            .ledger
            .finish_delegations
            .progress(permit, &id, body.0.attempt, note.as_deref())
            .await?
            .into_inner();
        Ok(Done::Done)
    }

    /// Complete a delegation. Its result reaches the caller's inbox in the same commit.
    #[oai(
        path = "/delegations/:delegation_id/complete",
        method = "post",
        operation_id = "completeDelegation"
    )]
    async fn complete(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        delegation_id: Path<String>,
        body: Body<CompleteBody>,
    ) -> Result<Done, Problem> {
        let id = path("delegation_id", &delegation_id.0)?;
        let body = body.0;
        let end = completed(body.result, body.result_preview)?;
        let worker = worker(body.worker_id)?;
        let attempt = body.attempt;
        self.end(permit, &worker, Completion { id, attempt, end }).await
    }

    /// Fail a delegation. Its error reaches the caller's inbox in the same commit.
    #[oai(
        path = "/delegations/:delegation_id/fail",
        method = "post",
        operation_id = "failDelegation"
    )]
    async fn fail(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        delegation_id: Path<String>,
        body: Body<FailBody>,
    ) -> Result<Done, Problem> {
        let id = path("delegation_id", &delegation_id.0)?;
        let body = body.0;
        let end = failed(&body.error_detail)?;
        let worker = worker(body.worker_id)?;
        let attempt = body.attempt;
        self.end(permit, &worker, Completion { id, attempt, end }).await
    }
}

impl CompletionsApi {
    async fn end(
        &self,
        permit: auth::Permit<act::UseDelegations>,
        worker: &str,
        ending: Completion,
    ) -> Result<Done, Problem> {
        let ended = self
            .0
            .ledger
            .finish_delegations
            .finish(permit, worker, std::slice::from_ref(&ending))
            .await?;
        for (_, refused) in ended {
            refused.map_err(app::Failure::from)?;
        }
        Ok(Done::Done)
    }
}
