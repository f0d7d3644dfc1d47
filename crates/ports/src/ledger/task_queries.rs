//! Reads of tasks.

use async_trait::async_trait;
use domain::{Actor, TaskId, TaskKind, TaskStatus};
use serde_json::Value;
use time::OffsetDateTime;

use crate::error::StoreError;

/// A task as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// Its kind.
    pub kind: TaskKind,
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub params: Value,
    /// Its state.
    pub status: TaskStatus,
    /// Why it failed or was cancelled.
    pub status_detail: Option<String>,
    /// Who created it; the system if no principal did.
    pub creator: Actor,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When its state last changed.
    pub updated_at: OffsetDateTime,
}

/// A grant on a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskGrant {
    /// The grantee.
    pub grantee: Actor,
    /// Whether the grantee may operate the task, and not only see it.
    pub can_operate: bool,
    /// Who granted it.
    pub granted_by: Actor,
    /// When it was granted.
    pub granted_at: OffsetDateTime,
}

/// Selects tasks.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only those that this principal may see, as creator or by a grant. All tasks if `None`.
    pub visible_to: Option<Actor>,
    /// Only those of this creator.
    pub creator: Option<Actor>,
    /// Only those of this kind.
    pub kind: Option<TaskKind>,
    /// Only those in this state.
    pub status: Option<TaskStatus>,
    /// Only those after this one, in the order of the list.
    pub after: Option<(OffsetDateTime, TaskId)>,
}

/// A page of a list that searches a bounded part per call: it may hold fewer items than requested and still have a
/// next page.
#[derive(Clone, Debug)]
pub struct BoundedPage<T, K> {
    /// The items found.
    pub items: Vec<T>,
    /// The key after which the next page begins, if there may be more.
    pub next: Option<K>,
}

/// Reads of tasks.
#[async_trait]
pub trait TaskQueries: Send + Sync {
    /// Returns a task, and the requester's grant on it: whether they may operate it too.
    async fn task(&self, id: TaskId, who: &Actor) -> Result<Option<(TaskView, Option<bool>)>, StoreError>;
    /// Returns tasks, newest first, at most `most`.
    async fn tasks(
        &self,
        filter: &TaskFilter,
        most: u32,
    ) -> Result<BoundedPage<TaskView, (OffsetDateTime, TaskId)>, StoreError>;
    /// Returns the grants on a task, oldest first.
    async fn grants(&self, id: TaskId) -> Result<Vec<TaskGrant>, StoreError>;
}
