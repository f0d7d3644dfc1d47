//! `/tasks`: requested work, and the permissions on it (AUD-5, AUD-6).

use std::collections::BTreeMap;
use std::sync::Arc;

use app::ledger::create_task::{Created, TaskRequest};
use app::ledger::share_task::Share;
use app::views::TaskFilter;
use auth::act;
use domain::ledger::task::{MAX_NAME_BYTES, MAX_PARAMS_BYTES, TaskAccess};
use domain::{Invalid, ServiceAccountId, TaskId, UserId};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};
use serde_json::Value;

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::query::{Limit, actor, bounded, bounded_json, page_size, refused, refused_body};
use crate::http::query_params::{QueryParams, query_params};
use crate::ledger::wire::{Grant, Task, TaskGrantList, TaskList, with_access};
use crate::services::Services;

/// Page size: default and maximum.
const PAGE: (u32, u32) = (50, 500);
/// Maximum length of an idempotency key and of a reason, in bytes.
pub(crate) const MAX_KEY: usize = 200;
pub(crate) const MAX_REASON: usize = 500;

#[derive(Tags)]
enum Tag {
    /// Requested work and its status.
    Tasks,
}

pub(crate) struct TasksApi(pub(crate) Arc<Services>);

/// `POST /tasks`.
#[derive(Debug, Object)]
struct NewTaskBody {
    /// Kind of work: 1 to 64 characters a-z, 0-9, `_`, `-` or `.`, starting with a letter. The server's own kinds
    /// (`ingest_batch`) are reserved.
    kind: String,
    /// Name of the task, for people.
    name: String,
    /// Parameters of the work; at most 64 KiB.
    params: Option<BTreeMap<String, Value>>,
    /// Repeating the same request with the same key returns the same task; another request with this key is refused.
    /// Keys are scoped to the creator.
    idempotency_key: Option<String>,
}

/// `PATCH /tasks/{task_id}`.
#[derive(Debug, Object)]
struct TaskStatusBody {
    /// `running`, `completed` or `failed`.
    status: String,
    /// Reason for the status, for people.
    detail: Option<String>,
}

/// A cancellation.
#[derive(Debug, Object)]
pub(crate) struct CancelBody {
    /// Reason for the cancellation, for people.
    pub(crate) reason: Option<String>,
}

/// `PUT /tasks/{task_id}/grants/{grantee}`.
#[derive(Debug, Object)]
struct TaskGrantBody {
    access: Grant,
}

#[derive(Debug, ApiResponse)]
enum NewTaskResponse {
    /// The task is created.
    #[oai(status = 201)]
    Created(Json<Task>),
    /// An earlier identical request created it.
    #[oai(status = 200)]
    Existing(Json<Task>),
}

#[derive(Debug, ApiResponse)]
enum GrantResponse {
    /// The permission is granted or revoked.
    #[oai(status = 204)]
    Done,
}

query_params! {
    /// Selects tasks.
    struct TaskQuery {
        /// Only tasks that this user requested.
        creator_user_id: Option<String>,
        /// Only tasks that this service account requested.
        creator_service_account_id: Option<String>,
        /// Only tasks of this kind.
        kind: Option<String>,
        /// Only tasks with this status.
        status: Option<String>,
        /// `next_cursor` of the previous page.
        cursor: Option<String>,
        /// Maximum number of tasks per page (1–500, default 50).
        limit: Option<Limit>,
    }
}

#[OpenApi(tag = "Tag::Tasks")]
impl TasksApi {
    /// Create a task.
    #[oai(path = "/tasks", method = "post", operation_id = "createTask")]
    async fn create(
        &self,
        Gate(permit): Gate<act::UseTasks>,
        body: Body<NewTaskBody>,
    ) -> Result<NewTaskResponse, Problem> {
        let body = body.0;
        let params = Value::Object(body.params.unwrap_or_default().into_iter().collect());
        bounded_json("params", &params, MAX_PARAMS_BYTES)?;
        let request = TaskRequest {
            kind: body.kind.parse().map_err(|e| refused_body("kind", e))?,
            name: bounded("name", Some(body.name), MAX_NAME_BYTES)?.unwrap_or_default(),
            params,
            idempotency_key: bounded("idempotency_key", body.idempotency_key, MAX_KEY)?,
        };
        let Created { view, is_new } = self
            .0
            .ledger
            .create_task
            .run(permit, request)
            .await
            .map_err(|e| Problem::of_error(&e, "body"))?;
        let task = with_access((view, TaskAccess::Own));
        Ok(if is_new {
            NewTaskResponse::Created(task)
        } else {
            NewTaskResponse::Existing(task)
        })
    }

    /// List the tasks that the caller may see, newest first.
    #[oai(path = "/tasks", method = "get", operation_id = "listTasks")]
    async fn list(
        &self,
        Gate(permit): Gate<act::UseTasks>,
        QueryParams(query): QueryParams<TaskQuery>,
    ) -> Result<Json<TaskList>, Problem> {
        let rule = || Invalid::typed("uuid_parsing", "must be a UUID");
        let creator = match (query.creator_user_id, query.creator_service_account_id) {
            (None, None) => None,
            (Some(id), None) => {
                let id: UserId = id.parse().map_err(|_| refused("creator_user_id", rule()))?;
                Some(domain::Actor::User(id))
            }
            (None, Some(id)) => {
                let id: ServiceAccountId = id
                    .parse()
                    .map_err(|_| refused("creator_service_account_id", rule()))?;
                Some(domain::Actor::ServiceAccount(id))
            }
            (Some(_), Some(_)) => {
                let rule = Invalid::value("must not be given together with creator_user_id");
                return Err(refused("creator_service_account_id", rule));
            }
        };
        let filter = TaskFilter {
            creator,
            kind: query
                .kind
                .map(|kind| kind.parse().map_err(|e| refused("kind", e)))
                .transpose()?,
            status: query
                .status
                .map(|status| status.parse().map_err(|e| refused("status", e)))
                .transpose()?,
            ..TaskFilter::default()
        };
        let page = self
            .0
            .ledger
            .read_tasks
            .list(
                permit,
                filter,
                query.cursor.as_deref(),
                page_size(query.limit, PAGE),
            )
            .await
            .map_err(|e| Problem::of_error(&e, "query"))?;
        Ok(Json(TaskList {
            items: page.items.into_iter().map(Into::into).collect(),
            has_more: page.next.is_some(),
            next_cursor: page.next,
        }))
    }

    /// Get a task.
    #[oai(path = "/tasks/:task_id", method = "get", operation_id = "getTask")]
    async fn get(
        &self,
        Gate(permit): Gate<act::UseTasks>,
        task_id: Path<String>,
    ) -> Result<Json<Task>, Problem> {
        let id: TaskId = path("task_id", &task_id.0)?;
        Ok(with_access(self.0.ledger.read_tasks.get(&permit, id).await?))
    }

    /// Update the status of a task that is not delegated. The holder of a delegation moves a delegated task.
    #[oai(path = "/tasks/:task_id", method = "patch", operation_id = "updateTask")]
    async fn update(
        &self,
        Gate(permit): Gate<act::UseTasks>,
        task_id: Path<String>,
        body: Body<TaskStatusBody>,
    ) -> Result<Json<Task>, Problem> {
        let id: TaskId = path("task_id", &task_id.0)?;
        let body = body.0;
        let status = body.status.parse().map_err(|e| refused_body("status", e))?;
        let detail = bounded("detail", body.detail, MAX_REASON)?;
        let updated = self
            .0
            .ledger
            .update_task
            .run(permit, id, status, detail.as_deref())
            .await
            .map_err(|e| Problem::of_error(&e, "body"))?;
        Ok(with_access(updated))
    }

    /// Cancel a task. Its delegation ends; the holder learns of this at the next heartbeat.
    #[oai(path = "/tasks/:task_id/cancel", method = "post", operation_id = "cancelTask")]
    async fn cancel(
        &self,
        Gate(permit): Gate<act::UseTasks>,
        task_id: Path<String>,
        body: Body<CancelBody>,
    ) -> Result<Json<Task>, Problem> {
        let id: TaskId = path("task_id", &task_id.0)?;
        let reason = bounded("reason", body.0.reason, MAX_REASON)?;
        Ok(with_access(
            self.0
                .ledger
                .cancel_task
                .run(permit, id, reason.as_deref())
                .await?,
        ))
    }

    /// List the permissions granted on a task. For its creator and admins.
    #[oai(
        path = "/tasks/:task_id/grants",
        method = "get",
        operation_id = "listTaskGrants"
    )]
    async fn grants(
        &self,
        Gate(permit): Gate<act::UseTasks>,
        task_id: Path<String>,
    ) -> Result<Json<TaskGrantList>, Problem> {
        let id: TaskId = path("task_id", &task_id.0)?;
        let items = self.0.ledger.read_tasks.grants(permit, id).await?;
        Ok(Json(TaskGrantList {
            items: items.into_iter().map(Into::into).collect(),
        }))
    }

    /// Grant a permission on a task, which replaces an earlier one. For its creator and admins.
    #[oai(
        path = "/tasks/:task_id/grants/:grantee",
        method = "put",
        operation_id = "grantTask"
    )]
    async fn grant(
        &self,
        Gate(permit): Gate<act::UseTasks>,
        task_id: Path<String>,
        /// `user:<id>` or `service_account:<id>`.
        grantee: Path<String>,
        body: Body<TaskGrantBody>,
    ) -> Result<GrantResponse, Problem> {
        let share = match body.0.access {
            Grant::Read => Share::Read,
            Grant::Operate => Share::Operate,
        };
        self.share(permit, &task_id.0, &grantee.0, share).await
    }

    /// Revoke a permission on a task.
    #[oai(
        path = "/tasks/:task_id/grants/:grantee",
        method = "delete",
        operation_id = "revokeTaskGrant"
    )]
    async fn revoke(
        &self,
        Gate(permit): Gate<act::UseTasks>,
        task_id: Path<String>,
        grantee: Path<String>,
    ) -> Result<GrantResponse, Problem> {
        self.share(permit, &task_id.0, &grantee.0, Share::Nothing).await
    }
}

impl TasksApi {
    async fn share(
        &self,
        permit: auth::Permit<act::UseTasks>,
        task_id: &str,
        grantee: &str,
        share: Share,
    ) -> Result<GrantResponse, Problem> {
        let id: TaskId = path("task_id", task_id)?;
        let grantee = actor(grantee).map_err(|e| Problem::invalid(&e.of_field("grantee"), "path"))?;
        self.0
            .ledger
            .share_task
            .run(permit, id, grantee, share)
            .await
            .map_err(|e| Problem::of_error(&e, "path"))?
            .into_inner();
        Ok(GrantResponse::Done)
    }
}
