//! Curation of depositions, and the results of their hooks (`/validation/runs`, WC-1.8).

use std::sync::Arc;

use app::views::ValidationResult;
use auth::act;
use domain::{Invalid, SubmissionStatus};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::deposit::depositions::{Done, Tag};
use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::query::{bounded, refused_body};
use crate::http::render::model_time;
use crate::ledger::tasks::MAX_REASON;
use crate::services::Services;

pub(crate) struct CurationApi(pub(crate) Arc<Services>);

/// `POST /depositions/{srn}/reject`.
#[derive(Debug, Object)]
#[oai(rename = "RejectBody")]
struct RejectBody {
    /// Reason for the rejection, shown to the owner.
    reason: String,
}

/// A published record.
#[derive(Debug, Object)]
struct ApprovedDeposition {
    record_srn: String,
}

/// Progress of a validation run.
#[derive(Debug, Object)]
#[oai(rename = "ValidationProgress")]
struct Progress {
    status: String,
}

/// Result of one hook.
#[derive(Debug, Object)]
#[oai(rename = "ValidationHookResult")]
struct HookResult {
    hook_name: String,
    /// `passed`, `rejected` or `errored`.
    status: String,
    rejection_reason: Option<String>,
    error_message: Option<String>,
    duration_seconds: f64,
    oom_retries: u32,
    /// Id for `/hooks/runs/{run_id}`.
    run_id: String,
    /// Version of the release that ran.
    version: u32,
}

impl From<ValidationResult> for HookResult {
    fn from(result: ValidationResult) -> Self {
        let reason = |outcome: &str| result.reason.clone().filter(|_| result.outcome == outcome);
        Self {
            rejection_reason: reason("rejected"),
            error_message: reason("errored"),
            hook_name: result.hook.into(),
            status: result.outcome,
            duration_seconds: result.duration_s,
            oom_retries: result.oom_retries,
            run_id: result.run.to_string(),
            version: result.version.get(),
        }
    }
}

/// A validation run: the hooks' run over one submission.
#[derive(Debug, Object)]
struct ValidationRun {
    run_id: String,
    deposition_srn: String,
    /// `pending`, `running`, `completed`, `rejected` or `failed`.
    status: String,
    /// `passed` or `rejected`; `null` until there is a verdict.
    summary: Option<String>,
    progress: Option<Progress>,
    results: Vec<HookResult>,
    /// Why it did not pass.
    reasons: Vec<String>,
    started_at: String,
    completed_at: Option<String>,
}

#[OpenApi(tag = "Tag::Depositions")]
impl CurationApi {
    /// Approve a deposition in review. It is published with the rows that its hooks computed.
    #[oai(
        path = "/depositions/:srn/approve",
        method = "post",
        operation_id = "approveDeposition"
    )]
    async fn approve(
        &self,
        Gate(permit): Gate<act::CurateDepositions>,
        srn: Path<String>,
    ) -> Result<Json<ApprovedDeposition>, Problem> {
        let record = self
            .0
            .deposit
            .curate_deposition
            .approve(permit, &srn.0)
            .await?
            .into_inner();
        Ok(Json(ApprovedDeposition {
            record_srn: record.to_string(),
        }))
    }

    /// Return a deposition in review to its owner.
    #[oai(
        path = "/depositions/:srn/reject",
        method = "post",
        operation_id = "rejectDeposition"
    )]
    async fn reject(
        &self,
        Gate(permit): Gate<act::CurateDepositions>,
        srn: Path<String>,
        body: Body<RejectBody>,
    ) -> Result<Json<Done>, Problem> {
        let reason = bounded("reason", Some(body.0.reason), MAX_REASON)?.unwrap_or_default();
        if reason.trim().is_empty() {
            return Err(refused_body("reason", Invalid::value("must not be blank")));
        }
        self.0
            .deposit
            .curate_deposition
            .reject(permit, &srn.0, &reason)
            .await?
            .into_inner();
        Ok(Json(Done {}))
    }

    /// Get a validation run, as the deposition's owner or a curator. Other callers receive 404.
    #[oai(
        path = "/validation/runs/:id",
        method = "get",
        operation_id = "getValidationRun"
    )]
    async fn validation(
        &self,
        Gate(permit): Gate<act::ReadValidations>,
        id: Path<String>,
    ) -> Result<Json<ValidationRun>, Problem> {
        let id = path("id", &id.0)?;
        let found = self.0.deposit.read_depositions.validation(permit, id).await?;
        let running = matches!(
            found.status,
            SubmissionStatus::Pending | SubmissionStatus::Running
        );
        Ok(Json(ValidationRun {
            run_id: found.id.to_string(),
            deposition_srn: found.deposition.srn(&self.0.node.domain),
            status: found.status.as_str().to_owned(),
            summary: found.status.summary().map(ToOwned::to_owned),
            progress: running.then(|| Progress {
                status: "running".to_owned(),
            }),
            results: found.results.into_iter().map(Into::into).collect(),
            reasons: found.reasons,
            started_at: model_time(found.submitted_at),
            completed_at: found.completed_at.map(model_time),
        }))
    }
}
