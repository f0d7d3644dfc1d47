//! `/claims`: claiming delegations and renewing their leases (LED-4, LED-6).

use std::sync::Arc;

use app::ledger::claim_delegations::{ClaimCommand, HeartbeatOutcome};
use app::views::Claimed;
use auth::act;
use domain::ledger::delegation::MAX_AT_ONCE;
use domain::{DelegationId, Invalid};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::query::{Limit, bounded, refused_body, wait};
use crate::http::render::model_time;
use crate::ledger::delegations::Tag;
use crate::services::Services;

/// Maximum length of a worker's name, in bytes.
const MAX_WORKER: usize = 200;

pub(crate) struct ClaimsApi(pub(crate) Arc<Services>);

/// `POST /claims`.
#[derive(Debug, Object)]
struct ClaimBody {
    /// Name of the callee's worker that claims; recorded in the attempt log.
    worker_id: String,
    /// Maximum number of delegations to claim (1–50, default 1).
    limit: Option<i64>,
    /// Whether the worker starts at once (`in_progress`, the default). Otherwise the delegations are `dispatched` and
    /// start with the first progress report.
    begin: Option<bool>,
    /// Long poll: seconds to wait if there is nothing to claim (at most 30, default 0).
    wait_seconds: Option<Limit>,
}

/// A claimed delegation. Every later request about it must carry its id and attempt.
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

/// The claimed delegations, oldest first.
#[derive(Debug, Object)]
struct ClaimList {
    items: Vec<Claim>,
    /// The lease expires after this many seconds without a heartbeat. Send heartbeats at least three times as often.
    silence_seconds: f64,
}

/// A claim, identified by id and attempt.
#[derive(Debug, Object)]
struct HeldBlock {
    delegation_id: String,
    attempt: i64,
}

/// `POST /claims/heartbeat`.
#[derive(Debug, Object)]
struct HeartbeatBody {
    /// Claims to send heartbeats for, at most 50.
    claims: Vec<HeldBlock>,
}

/// A claim that the caller still holds.
#[derive(Debug, Object)]
struct HeldItem {
    delegation_id: String,
    attempt: i64,
    deadline: String,
}

/// The claims that are still held, and those that are lost.
#[derive(Debug, Object)]
struct HeartbeatAnswer {
    held: Vec<HeldItem>,
    /// Claims that were lost: the lease expired, or the delegation was cancelled or has ended. Stop working on these.
    lost: Vec<LostItem>,
}

/// A claim that the caller does not hold.
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

impl From<HeartbeatOutcome> for HeartbeatAnswer {
    fn from(outcome: HeartbeatOutcome) -> Self {
        Self {
            held: outcome
                .held
                .into_iter()
                .map(|(id, attempt, deadline)| HeldItem {
                    delegation_id: id.to_string(),
                    attempt,
                    deadline: model_time(deadline),
                })
                .collect(),
            lost: outcome
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

/// Checks that a list has 1 to 50 entries.
pub(crate) fn some<T>(field: &str, items: Vec<T>) -> Result<Vec<T>, Problem> {
    if items.is_empty() || items.len() > MAX_AT_ONCE {
        let rule = format!("must have 1 to {MAX_AT_ONCE} entries");
        return Err(refused_body(field, Invalid::value(rule)));
    }
    Ok(items)
}

pub(crate) fn worker(name: Option<String>) -> Result<String, Problem> {
    Ok(bounded("worker_id", name, MAX_WORKER)?.unwrap_or_default())
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
    /// Claim delegations of the caller, oldest first. No delegation is claimed twice at the same time.
    ///
    /// The lease of a claim expires after `silence_seconds` without a heartbeat.
    #[oai(path = "/claims", method = "post", operation_id = "claimDelegations")]
    async fn claim(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        body: Body<ClaimBody>,
    ) -> Result<Json<ClaimList>, Problem> {
        let Body(body, room) = body;
        // Its value is small, and the claim may wait for half a minute.
        drop(room);
        let most = match body.limit {
            None => 1,
            Some(n) => u32::try_from(n)
                .ok()
                .filter(|n| (1..=MAX_AT_ONCE).contains(&(*n as usize)))
                .ok_or_else(|| {
                    let rule = format!("must be from 1 to {MAX_AT_ONCE}");
                    refused_body("limit", Invalid::value(rule))
                })?,
        };
        let command = ClaimCommand {
            worker: worker(Some(body.worker_id))?,
            most,
            begin: body.begin.unwrap_or(true),
            wait: wait(body.wait_seconds),
        };
        let items = self.0.ledger.claim_delegations.run(permit, command).await?;
        Ok(Json(ClaimList {
            items: items.into_iter().map(Into::into).collect(),
            silence_seconds: self.0.ledger.claim_delegations.silence().as_secs_f64(),
        }))
    }

    /// Send heartbeats for several claims. Stop working on any reported as lost.
    #[oai(path = "/claims/heartbeat", method = "post", operation_id = "heartbeatClaims")]
    async fn heartbeats(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        body: Body<HeartbeatBody>,
    ) -> Result<Json<HeartbeatAnswer>, Problem> {
        let claims = held(some("claims", body.0.claims)?)?;
        Ok(Json(
            self.0
                .ledger
                .claim_delegations
                .heartbeat(permit, claims)
                .await?
                .into(),
        ))
    }

    /// Send a heartbeat for one claim.
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
        Ok(Json(
            self.0
                .ledger
                .claim_delegations
                .heartbeat(permit, claims)
                .await?
                .into(),
        ))
    }
}
