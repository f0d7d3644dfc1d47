//! `/delegations`: delegating work, and the caller's view of its delegations (LED).

use std::sync::Arc;
use std::time::Duration;

use app::ledger::create_task::Created;
use app::ledger::delegate::DelegationRequest;
use app::views::{AttemptEntry, DelegationStates, DelegationView, Payload, Side};
use auth::act;
use domain::ledger::delegation::{DEADLINE, MAX_DELAY, MAX_PAYLOAD_BYTES, MAX_PREVIEW, RETRIES};
use domain::{DelegationId, Invalid, TaskId};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, Tags};
use serde_json::Value;

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::query::{Limit, bounded, bounded_json, page_size, refused, refused_body};
use crate::http::render::model_time;
use crate::ledger::tasks::{CancelBody, MAX_KEY, MAX_REASON};
use crate::services::Services;

/// Page size: default and maximum.
const PAGE: (u32, u32) = (50, 500);

#[derive(Tags)]
pub(crate) enum Tag {
    /// Delegating work, holding it, and its results.
    Delegations,
}

pub(crate) struct DelegationsApi(pub(crate) Arc<Services>);

/// The delegation that the caller holds and creates another one for.
#[derive(Debug, Object)]
struct ParentBlock {
    delegation_id: String,
    /// The attempt under which the caller holds it.
    attempt: i64,
}

/// `POST /delegations`.
#[derive(Debug, Object)]
struct NewDelegationBody {
    /// Id chosen by the caller: at most 180 bytes, without control characters and `~`. Repeating the same request
    /// returns the same delegation; another request of the caller with this id is refused. If another party has the id,
    /// the delegation gets the caller's party and a colon in front of it.
    delegation_id: String,
    /// Callee: `user:<id>` or `service_account:<id>`.
    callee_id: String,
    /// The task, if the delegation concerns one. The caller must be allowed to operate it.
    task_id: Option<String>,
    /// Summary of the work, for people; truncated to 500 characters.
    task_preview: Option<String>,
    /// Input for the callee; at most 256 KiB.
    input: Option<Value>,
    /// Idempotency key: two delegations of one caller with the same key are one.
    idempotency_key: Option<String>,
    /// The delegation that the caller holds and for which this one is created. It bounds the new deadline.
    parent: Option<ParentBlock>,
    /// Time until the deadline, in seconds (from 1 s to 30 days, default 6 hours).
    deadline_seconds: Option<i64>,
    /// Delay before it can be claimed, in seconds (at most 7 days).
    delay_seconds: Option<i64>,
    /// Number of automatic retries after it got stuck (0–20, default 3).
    max_retries: Option<i64>,
}

/// A delegation.
#[derive(Debug, Object)]
pub(crate) struct Delegation {
    delegation_id: String,
    task_id: Option<String>,
    /// Caller: `user:<id>` or `service_account:<id>`.
    caller_id: String,
    /// Callee: `user:<id>` or `service_account:<id>`.
    callee_id: String,
    task_preview: String,
    /// `queued`, `dispatched`, `in_progress`, `completed`, `failed` or `stuck`.
    status: String,
    /// Number of its latest claim.
    attempt: i64,
    /// The callee's worker that holds it.
    worker_id: Option<String>,
    last_heartbeat: Option<String>,
    /// Latest progress message of the holder.
    progress: Option<String>,
    progress_at: Option<String>,
    deadline: String,
    result_preview: Option<String>,
    /// Why it failed or got stuck.
    error_detail: Option<String>,
    /// Number of earlier delegations of the same work.
    retry_count: u32,
    /// The failed or stuck delegation that this one replaces.
    retry_of: Option<String>,
    /// The delegation that replaced this one.
    redelegated_as: Option<String>,
    parent_id: Option<String>,
    /// The root delegation of the tree.
    root_id: Option<String>,
    /// Depth below the root.
    depth: u32,
    created_at: String,
    updated_at: String,
    /// Input for the callee; only in the response for a single delegation.
    #[oai(skip_serializing_if_is_none)]
    input: Option<Value>,
    /// Result of the callee; only in the response for a single delegation.
    #[oai(skip_serializing_if_is_none)]
    result: Option<Value>,
}

/// A page of delegations, newest first.
#[derive(Debug, Object)]
struct DelegationList {
    items: Vec<Delegation>,
    /// Send as `cursor` to read the next page; `null` on the last page.
    next_cursor: Option<String>,
    has_more: bool,
}

/// An entry of a delegation's attempt log.
#[derive(Debug, Object)]
struct AttemptItem {
    attempt: i64,
    /// `claimed`, `completed`, `failed`, `stuck` or `refused-late`. The last one means that a former holder reported
    /// too late: the report is recorded but not applied.
    event: String,
    worker_id: Option<String>,
    detail: Option<String>,
    at: String,
}

/// A delegation's attempt log, oldest first.
#[derive(Debug, Object)]
struct AttemptList {
    items: Vec<AttemptItem>,
}

/// Side of a delegation.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case")]
enum SideName {
    /// The party that delegates.
    Caller,
    /// The party that receives the delegation.
    Callee,
}

/// Selection of delegations by state.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case")]
enum StateName {
    /// Delegations that are not final.
    InFlight,
    /// Stuck delegations.
    Stuck,
    /// All delegations outside the archive.
    All,
    /// Archived delegations.
    Archived,
}

#[derive(Debug, ApiResponse)]
enum NewDelegationResponse {
    /// Created and queued.
    #[oai(status = 201)]
    Created(Json<Delegation>),
    /// An earlier identical request created it.
    #[oai(status = 200)]
    Existing(Json<Delegation>),
}

impl From<DelegationView> for Delegation {
    fn from(d: DelegationView) -> Self {
        Self {
            delegation_id: d.id.to_string(),
            task_id: d.task.map(|id| id.to_string()),
            caller_id: d.caller,
            callee_id: d.callee,
            task_preview: d.preview,
            status: d.status.to_string(),
            attempt: d.attempt,
            worker_id: d.worker,
            last_heartbeat: d.last_heartbeat.map(model_time),
            progress: d.progress,
            progress_at: d.progress_at.map(model_time),
            deadline: model_time(d.deadline),
            result_preview: d.result_preview,
            error_detail: d.error_detail,
            retry_count: d.retry_count,
            retry_of: d.retry_of,
            redelegated_as: d.redelegated_as,
            parent_id: d.parent,
            root_id: d.root,
            depth: d.depth,
            created_at: model_time(d.created_at),
            updated_at: model_time(d.updated_at),
            input: None,
            result: None,
        }
    }
}

impl From<(DelegationView, Payload)> for Delegation {
    fn from((view, payload): (DelegationView, Payload)) -> Self {
        Self {
            input: payload.input,
            result: payload.result,
            ..view.into()
        }
    }
}

impl From<AttemptEntry> for AttemptItem {
    fn from(entry: AttemptEntry) -> Self {
        Self {
            attempt: entry.attempt,
            event: entry.event,
            worker_id: entry.worker,
            detail: entry.detail,
            at: model_time(entry.at),
        }
    }
}

/// Checks a duration of the body, in whole seconds, against two bounds.
fn seconds(
    field: &str,
    given: Option<i64>,
    least: Duration,
    most: Duration,
) -> Result<Option<Duration>, Problem> {
    given
        .map(|n| {
            u64::try_from(n)
                .ok()
                .map(Duration::from_secs)
                .filter(|time| (least..=most).contains(time))
                .ok_or_else(|| {
                    let rule = format!("must be from {} to {}", least.as_secs(), most.as_secs());
                    refused_body(field, Invalid::value(rule))
                })
        })
        .transpose()
}

impl NewDelegationBody {
    fn request(self) -> Result<DelegationRequest, Problem> {
        if let Some(input) = &self.input {
            bounded_json("input", input, MAX_PAYLOAD_BYTES)?;
        }
        let max_retries = match self.max_retries {
            None => RETRIES.0,
            Some(n) => u32::try_from(n).ok().filter(|n| *n <= RETRIES.1).ok_or_else(|| {
                let rule = format!("must be from 0 to {}", RETRIES.1);
                refused_body("max_retries", Invalid::value(rule))
            })?,
        };
        let task: Option<TaskId> = self
            .task_id
            .map(|id| id.parse().map_err(|e| refused_body("task_id", e)))
            .transpose()?;
        let parent = self
            .parent
            .map(|parent| {
                let id: Result<DelegationId, Invalid> = parent.delegation_id.parse();
                id.map(|id| (id, parent.attempt))
                    .map_err(|e| refused_body("parent", e))
            })
            .transpose()?;
        Ok(DelegationRequest {
            id: DelegationId::chosen(&self.delegation_id).map_err(|e| refused_body("delegation_id", e))?,
            callee: self.callee_id.parse().map_err(|e| refused_body("callee_id", e))?,
            task,
            preview: self
                .task_preview
                .unwrap_or_default()
                .chars()
                .take(MAX_PREVIEW)
                .collect(),
            input: self.input,
            idempotency_key: bounded("idempotency_key", self.idempotency_key, MAX_KEY)?,
            parent,
            deadline: seconds("deadline_seconds", self.deadline_seconds, DEADLINE.0, DEADLINE.1)?,
            delay: seconds("delay_seconds", self.delay_seconds, Duration::ZERO, MAX_DELAY)?
                .unwrap_or_default(),
            max_retries,
        })
    }
}

#[OpenApi(tag = "Tag::Delegations")]
impl DelegationsApi {
    /// Delegate work to a callee.
    #[oai(path = "/delegations", method = "post", operation_id = "createDelegation")]
    async fn create(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        body: Body<NewDelegationBody>,
    ) -> Result<NewDelegationResponse, Problem> {
        let request = body.0.request()?;
        let created = self
            .0
            .ledger
            .delegate
            .run(permit, request)
            .await
            .map_err(|e| Problem::of_error(&e, "body"))?;
        let Created { view, is_new } = created;
        Ok(if is_new {
            NewDelegationResponse::Created(Json(view.into()))
        } else {
            NewDelegationResponse::Existing(Json(view.into()))
        })
    }

    /// List delegations, newest first: those in flight, stuck or archived, or all outside the archive.
    #[oai(path = "/delegations", method = "get", operation_id = "listDelegations")]
    async fn list(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        /// Whether the party is the caller or the callee. Admins may omit it with `state=stuck`.
        side: Query<Option<SideName>>,
        /// Selection by state (default `in_flight`).
        state: Query<Option<StateName>>,
        /// The party: `user:<id>` or `service_account:<id>`; the requester by default. Only admins may name another
        /// party.
        party: Query<Option<String>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
        /// Maximum number of delegations per page (1–500, default 50).
        limit: Query<Option<Limit>>,
    ) -> Result<Json<DelegationList>, Problem> {
        let side = side.0.map(|side| match side {
            SideName::Caller => Side::Caller,
            SideName::Callee => Side::Callee,
        });
        let states = match state.0 {
            None | Some(StateName::InFlight) => DelegationStates::InFlight,
            Some(StateName::Stuck) => DelegationStates::Stuck,
            Some(StateName::All) => DelegationStates::All,
            Some(StateName::Archived) => DelegationStates::Archived,
        };
        let party = party
            .0
            .map(|party| party.parse().map_err(|e| refused("party", e)))
            .transpose()?;
        let page = self
            .0
            .ledger
            .read_delegations
            .list(
                permit,
                side,
                party,
                states,
                cursor.0.as_deref(),
                page_size(limit.0, PAGE),
            )
            .await
            .map_err(|e| Problem::of_error(&e, "query"))?;
        Ok(Json(DelegationList {
            items: page.items.into_iter().map(Into::into).collect(),
            has_more: page.next.is_some(),
            next_cursor: page.next,
        }))
    }

    /// Get a delegation with its input and result. For its caller, its callee and admins.
    #[oai(
        path = "/delegations/:delegation_id",
        method = "get",
        operation_id = "getDelegation"
    )]
    async fn get(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        delegation_id: Path<String>,
    ) -> Result<Json<Delegation>, Problem> {
        let id = path("delegation_id", &delegation_id.0)?;
        Ok(Json(
            self.0.ledger.read_delegations.get(&permit, &id).await?.into(),
        ))
    }

    /// List the attempts of a delegation: who held it, how each attempt ended, and late reports.
    #[oai(
        path = "/delegations/:delegation_id/attempts",
        method = "get",
        operation_id = "listDelegationAttempts"
    )]
    async fn attempts(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        delegation_id: Path<String>,
    ) -> Result<Json<AttemptList>, Problem> {
        let id = path("delegation_id", &delegation_id.0)?;
        let items = self.0.ledger.read_delegations.attempts(permit, &id).await?;
        Ok(Json(AttemptList {
            items: items.into_iter().map(Into::into).collect(),
        }))
    }

    /// Cancel a delegation, also while it is held. It ends as failed, and its task waits again. For its caller and
    /// admins.
    #[oai(
        path = "/delegations/:delegation_id/cancel",
        method = "post",
        operation_id = "cancelDelegation"
    )]
    async fn cancel(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        delegation_id: Path<String>,
        body: Body<CancelBody>,
    ) -> Result<Json<Delegation>, Problem> {
        let id = path("delegation_id", &delegation_id.0)?;
        let reason = bounded("reason", body.0.reason, MAX_REASON)?;
        let view = self
            .0
            .ledger
            .cancel_delegation
            .run(permit, &id, reason.as_deref())
            .await?;
        Ok(Json(view.into()))
    }

    /// Retry a stuck or failed delegation as a new one with the original time limit. For its caller and admins.
    #[oai(
        path = "/delegations/:delegation_id/redelegate",
        method = "post",
        operation_id = "redelegate"
    )]
    async fn redelegate(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        delegation_id: Path<String>,
    ) -> Result<NewDelegationResponse, Problem> {
        let id = path("delegation_id", &delegation_id.0)?;
        let view = self.0.ledger.redelegate.run(permit, &id).await?;
        Ok(NewDelegationResponse::Created(Json(view.into())))
    }
}
