//! Wire types of tasks and of the permissions on them.

use app::views::{TaskGrant, TaskView};
use domain::ledger::task::TaskAccess;
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object};
use serde_json::Value;

use crate::http::render::model_time;

/// The caller's permission on a task.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case")]
pub(super) enum Access {
    /// View the task.
    Read,
    /// View it, cancel it, update its status, and delegate it.
    Operate,
    /// All permissions of `operate`, and share it.
    Own,
}

/// A permission granted on a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(super) enum Grant {
    /// View the task.
    Read,
    /// View it, cancel it, update its status, and delegate it.
    Operate,
}

/// A task.
#[derive(Debug, Object)]
pub(super) struct Task {
    id: String,
    kind: String,
    name: String,
    params: Value,
    /// `queued`, `running`, `completed`, `failed` or `cancelled`.
    status: String,
    /// Reason for the failure or cancellation.
    status_detail: Option<String>,
    /// The user who requested the task.
    creator_user_id: Option<String>,
    /// The service account that requested the task. If both creators are null, the server created the task itself.
    creator_service_account_id: Option<String>,
    created_at: String,
    updated_at: String,
    /// The caller's permission; only in the response for a single task.
    #[oai(skip_serializing_if_is_none)]
    access: Option<Access>,
}

/// A page of tasks, newest first.
#[derive(Debug, Object)]
pub(super) struct TaskList {
    pub(super) items: Vec<Task>,
    /// Send as `cursor` to read the next page.
    pub(super) next_cursor: Option<String>,
    /// Whether more tasks may follow. A selective filter may return a short or empty page although more tasks follow.
    pub(super) has_more: bool,
}

/// A permission that a user or service account has on a task.
#[derive(Debug, Object)]
pub(super) struct TaskGrantItem {
    /// `user:<id>` or `service_account:<id>`.
    grantee: String,
    access: Grant,
    granted_by: String,
    granted_at: String,
}

/// The permissions granted on a task, oldest first.
#[derive(Debug, Object)]
pub(super) struct TaskGrantList {
    pub(super) items: Vec<TaskGrantItem>,
}

impl From<TaskView> for Task {
    fn from(task: TaskView) -> Self {
        Self {
            id: task.id.to_string(),
            kind: task.kind.to_string(),
            name: task.name,
            params: task.params,
            status: task.status.to_string(),
            status_detail: task.status_detail,
            creator_user_id: task.creator.user().map(|id| id.to_string()),
            creator_service_account_id: task.creator.service_account().map(|id| id.to_string()),
            created_at: model_time(task.created_at),
            updated_at: model_time(task.updated_at),
            access: None,
        }
    }
}

impl From<TaskGrant> for TaskGrantItem {
    fn from(grant: TaskGrant) -> Self {
        Self {
            grantee: grant.grantee.to_string(),
            access: if grant.can_operate {
                Grant::Operate
            } else {
                Grant::Read
            },
            granted_by: grant.granted_by.to_string(),
            granted_at: model_time(grant.granted_at),
        }
    }
}

/// Converts a task, with the caller's permission on it.
pub(super) fn with_access((task, access): (TaskView, TaskAccess)) -> Json<Task> {
    let access = match access {
        TaskAccess::Read => Access::Read,
        TaskAccess::Operate => Access::Operate,
        TaskAccess::Own => Access::Own,
    };
    Json(Task {
        access: Some(access),
        ..task.into()
    })
}
