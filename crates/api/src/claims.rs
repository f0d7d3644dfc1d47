//! `/claims` and what the holder of a delegation says of it: claim, heartbeat, progress, end (LED-4, LED-6).

use std::sync::Arc;

use app::claim_delegations::{Beaten, ClaimCommand};
use app::finish_delegations::Ended;
use app::views::{Claimed, DelegationEnd, Ending};
use auth::act;
use domain::delegation::{MOST_AT_ONCE, MOST_PAYLOAD_BYTES, MOST_PREVIEW, preview};
use domain::kind::Coded as _;
use domain::{DelegationId, Invalid};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde_json::Value;

use crate::Services;
use crate::body::Body;
use crate::delegations::Tag;
use crate::gate::Gate;
use crate::problem::{Problem, path};
use crate::query::{bounded, bounded_json, refused_body, wait};
use crate::render::model_time;

/// The most bytes of a worker's name.
const MOST_WORKER: usize = 200;

pub(crate) struct ClaimsApi(pub(crate) Arc<Services>);

/// `POST /claims`.
#[derive(Debug, Object)]
struct ClaimBody {
    /// Which of the callee's workers asks; its name stands in the attempt log.
    worker_id: String,
    /// The most delegations, from 1 to 50; 1 where nothing is said.
    limit: Option<i64>,
    /// Whether the worker begins with them at once (`in_progress`, where nothing is said); else they are `dispatched`, and begin with the
    /// first progress.
    begin: Option<bool>,
    /// For how many seconds to wait where there is nothing, at most 30.
    wait_seconds: Option<i64>,
}

/// A delegation that was claimed. Whatever is written to it names its id and its attempt.
#[derive(Debug, Object)]
struct Claim {
    delegation_id: String,
    attempt: i64,
    caller_id: String,
    task_preview: String,
    input: Option<Value>,
    task_id: Option<String>,
    task_kind: Option<String>,
    task_params: Option<Value>,
    retry_count: u32,
    depth: u32,
    deadline: String,
}

/// What was claimed, oldest first.
#[derive(Debug, Object)]
struct ClaimList {
    items: Vec<Claim>,
    /// After so many seconds without a heartbeat a claim is taken away. Beat three times as often at least.
    silence_seconds: f64,
}

/// A claim by its id and attempt.
#[derive(Debug, Object)]
struct HeldBlock {
    delegation_id: String,
    attempt: i64,
}

/// `POST /claims/heartbeat`.
#[derive(Debug, Object)]
struct HeartbeatBody {
    /// At most 50.
    claims: Vec<HeldBlock>,
}

/// A claim that is still held.
#[derive(Debug, Object)]
struct HeldItem {
    delegation_id: String,
    attempt: i64,
    deadline: String,
}

/// What of the claims is still held.
#[derive(Debug, Object)]
struct HeartbeatAnswer {
    held: Vec<HeldItem>,
    /// Taken away, called off or ended: stop working on these.
    lost: Vec<LostItem>,
}

/// A claim that is not held.
#[derive(Debug, Object)]
struct LostItem {
    delegation_id: String,
    attempt: i64,
}

/// `POST /delegations/{delegation_id}/heartbeat`.
#[derive(Debug, Object)]
struct AttemptBody {
    attempt: i64,
}

/// `POST /delegations/{delegation_id}/progress`.
#[derive(Debug, Object)]
struct ProgressBody {
    attempt: i64,
    /// What there is to tell; cut after 500 characters.
    note: Option<String>,
}

/// `POST /delegations/{delegation_id}/complete`.
#[derive(Debug, Object)]
struct CompleteBody {
    attempt: i64,
    /// Which worker, for the log of what comes too late.
    worker_id: Option<String>,
    /// The result, for the caller's inbox; at most 256 KiB.
    result: Option<Value>,
    /// Its first characters, for people; the result's own where nothing is said.
    result_preview: Option<String>,
}

/// `POST /delegations/{delegation_id}/fail`.
#[derive(Debug, Object)]
struct FailBody {
    attempt: i64,
    worker_id: Option<String>,
    /// Why; cut after 500 characters.
    error_detail: String,
}

/// One of several ends: completed, or failed where there is an error.
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

/// How one of several ends went.
#[derive(Debug, Object)]
struct EndItem {
    delegation_id: String,
    /// `completed` or `failed`; null where it was refused.
    status: Option<String>,
    /// The stable code of why it was refused.
    code: Option<String>,
    /// The same in a sentence.
    message: Option<String>,
}

/// How each end went, in the order in which they were sent.
#[derive(Debug, Object)]
struct EndList {
    items: Vec<EndItem>,
}

#[derive(Debug, ApiResponse)]
enum Done {
    /// Done.
    #[oai(status = 204)]
    Done,
}

impl From<Claimed> for Claim {
    fn from(claimed: Claimed) -> Self {
        let (task_id, task_kind, task_params) =
            claimed.task.map_or((None, None, None), |(id, kind, params)| {
                (Some(id.to_string()), Some(kind.to_string()), Some(params))
            });
        Self {
            delegation_id: claimed.id.to_string(),
            attempt: claimed.attempt,
            caller_id: claimed.caller,
            task_preview: claimed.preview,
            input: claimed.input,
            task_id,
            task_kind,
            task_params,
            retry_count: claimed.retry_count,
            depth: claimed.depth,
            deadline: model_time(claimed.deadline),
        }
    }
}

impl From<Beaten> for HeartbeatAnswer {
    fn from(beaten: Beaten) -> Self {
        Self {
            held: beaten
                .held
                .into_iter()
                .map(|(id, attempt, deadline)| HeldItem {
                    delegation_id: id.to_string(),
                    attempt,
                    deadline: model_time(deadline),
                })
                .collect(),
            lost: beaten
                .lost
                .into_iter()
                .map(|(id, attempt)| LostItem {
                    delegation_id: id.to_string(),
                    attempt,
                })
                .collect(),
        }
    }
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

/// What is sent of several: at least one, at most 50.
fn some<T>(field: &str, items: Vec<T>) -> Result<Vec<T>, Problem> {
    if items.is_empty() || items.len() > MOST_AT_ONCE {
        let rule = format!("must have 1 to {MOST_AT_ONCE} entries");
        return Err(refused_body(field, Invalid::value(rule)));
    }
    Ok(items)
}

fn completed(result: Option<Value>, told: Option<String>) -> Result<DelegationEnd, Problem> {
    if let Some(result) = &result {
        bounded_json("result", result, MOST_PAYLOAD_BYTES)?;
    }
    let told = told
        .or_else(|| result.as_ref().map(ToString::to_string))
        .unwrap_or_default();
    Ok(DelegationEnd::Completed {
        preview: preview(&told),
        result,
    })
}

fn failed(why: &str) -> Result<DelegationEnd, Problem> {
    if why.is_empty() {
        return Err(refused_body("error_detail", Invalid::value("must not be empty")));
    }
    Ok(DelegationEnd::Failed(preview(why)))
}

fn worker(name: Option<String>) -> Result<String, Problem> {
    Ok(bounded("worker_id", name, MOST_WORKER)?.unwrap_or_default())
}

impl EndBlock {
    fn ending(self) -> Result<Ending, Problem> {
        let id: Result<DelegationId, Invalid> = self.delegation_id.parse();
        let end = match (self.error_detail, self.result) {
            (Some(_), Some(_)) => {
                let rule = Invalid::value("must not be given with a result");
                return Err(refused_body("error_detail", rule));
            }
            (Some(why), None) => failed(&why)?,
            (None, result) => completed(result, self.result_preview)?,
        };
        Ok(Ending {
            id: id.map_err(|e| refused_body("delegation_id", e))?,
            attempt: self.attempt,
            end,
        })
    }
}

fn held(claims: Vec<HeldBlock>) -> Result<Vec<(DelegationId, i64)>, Problem> {
    claims
        .into_iter()
        .map(|claim| {
            let id = claim.delegation_id.parse();
            Ok((id.map_err(|e| refused_body("claims", e))?, claim.attempt))
        })
        .collect()
}

#[OpenApi(tag = "Tag::Delegations")]
impl ClaimsApi {
    /// Claim what was handed to the caller, oldest first. Two claims never get the same.
    ///
    /// What nobody beats for is taken away after `silence_seconds`.
    #[oai(path = "/claims", method = "post", operation_id = "claimDelegations")]
    async fn claim(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        body: Body<ClaimBody>,
    ) -> Result<Json<ClaimList>, Problem> {
        let body = body.0;
        let most = match body.limit {
            None => 1,
            Some(n) => u32::try_from(n)
                .ok()
                .filter(|n| (1..=MOST_AT_ONCE).contains(&(*n as usize)))
                .ok_or_else(|| {
                    let rule = format!("must be from 1 to {MOST_AT_ONCE}");
                    refused_body("limit", Invalid::value(rule))
                })?,
        };
        let command = ClaimCommand {
            worker: worker(Some(body.worker_id))?,
            most,
            begin: body.begin.unwrap_or(true),
            wait: wait(body.wait_seconds),
        };
        let items = self.0.claim_delegations.run(permit, command).await?;
        Ok(Json(ClaimList {
            items: items.into_iter().map(Into::into).collect(),
            silence_seconds: self.0.claim_delegations.silence().as_secs_f64(),
        }))
    }

    /// Beat for several claims. What is lost is to be stopped.
    #[oai(path = "/claims/heartbeat", method = "post", operation_id = "heartbeatClaims")]
    async fn heartbeats(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        body: Body<HeartbeatBody>,
    ) -> Result<Json<HeartbeatAnswer>, Problem> {
        let claims = held(some("claims", body.0.claims)?)?;
        Ok(Json(self.0.claim_delegations.beat(permit, claims).await?.into()))
    }

    /// End several claims, each for itself: one that is refused does not keep the others.
    #[oai(path = "/claims/finish", method = "post", operation_id = "finishClaims")]
    async fn finish(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        body: Body<FinishBody>,
    ) -> Result<Json<EndList>, Problem> {
        let worker = worker(body.0.worker_id)?;
        let endings = some("ends", body.0.ends)?
            .into_iter()
            .map(EndBlock::ending)
            .collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<&DelegationId> = endings.iter().map(|ending| &ending.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.last()) {
            let rule = Invalid::value("must name each delegation once");
            return Err(refused_body("ends", rule));
        }
        let items = self
            .0
            .finish_delegations
            .finish(permit, &worker, &endings)
            .await?;
        Ok(Json(EndList {
            items: items.into_iter().map(Into::into).collect(),
        }))
    }

    /// Beat for one claim.
    #[oai(
        path = "/delegations/:delegation_id/heartbeat",
        method = "post",
        operation_id = "heartbeatDelegation"
    )]
    async fn heartbeat(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        delegation_id: Path<String>,
        body: Body<AttemptBody>,
    ) -> Result<Json<HeartbeatAnswer>, Problem> {
        let id: DelegationId = path("delegation_id", &delegation_id.0)?;
        let claims = vec![(id, body.0.attempt)];
        Ok(Json(self.0.claim_delegations.beat(permit, claims).await?.into()))
    }

    /// Say that the work has begun and how it gets on. That is a heartbeat, too.
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
            .map(|note| note.chars().take(MOST_PREVIEW).collect::<String>());
        self.0
            .finish_delegations
            .progress(permit, &id, body.0.attempt, note.as_deref())
            .await?
            .into_inner();
        Ok(Done::Done)
    }

    /// Complete a delegation. Its result is in its caller's inbox with the same commit.
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
        self.end(permit, &worker, Ending { id, attempt, end }).await
    }

    /// Give a delegation up. Its error is in its caller's inbox with the same commit.
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
        self.end(permit, &worker, Ending { id, attempt, end }).await
    }
}

impl ClaimsApi {
    async fn end(
        &self,
        permit: auth::Permit<act::UseDelegations>,
        worker: &str,
        ending: Ending,
    ) -> Result<Done, Problem> {
        let ended = self
            .0
            .finish_delegations
            .finish(permit, worker, std::slice::from_ref(&ending))
            .await?;
        for (_, refused) in ended {
            refused.map_err(app::Failure::from)?;
        }
        Ok(Done::Done)
    }
}
