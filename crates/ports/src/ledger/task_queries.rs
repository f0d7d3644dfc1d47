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
    /// What kind.
    pub kind: TaskKind,
    /// Its name.
    pub name: String,
    /// What it needs.
    pub params: Value,
    /// Its state.
    pub status: TaskStatus,
    /// Why it failed or was called off.
    pub status_detail: Option<String>,
    /// Who asked for it; the system is nobody.
    pub creator: Actor,
    /// When.
    pub created_at: OffsetDateTime,
    /// When its state last changed.
    pub updated_at: OffsetDateTime,
}

/// What was granted to somebody about a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskGrant {
    /// To whom.
    pub grantee: Actor,
    /// Whether they may operate it, and not only see it.
    pub can_operate: bool,
    /// By whom.
    pub granted_by: Actor,
    /// When.
    pub granted_at: OffsetDateTime,
}

/// Which tasks.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Those that this one may see, by having made them or by a grant; all of them where nobody is named.
    pub visible_to: Option<Actor>,
    /// Who asked for them.
    pub creator: Option<Actor>,
    /// What kind.
    pub kind: Option<TaskKind>,
    /// Their state.
    pub status: Option<TaskStatus>,
    /// Only those after this one, in the order of the list.
    pub after: Option<(OffsetDateTime, TaskId)>,
}

/// A page of a list whose every look is bounded: it may hold fewer than were asked for and still have a next one.
#[derive(Clone, Debug)]
pub struct BoundedPage<T, K> {
    /// What was found.
    pub items: Vec<T>,
    /// Where the next page begins, if there may be more.
    pub next: Option<K>,
}

/// Reads of tasks.
#[async_trait]
pub trait TaskQueries: Send + Sync {
    /// The task, and what was granted to the one who asks: whether they may operate it too.
    async fn task(&self, id: TaskId, who: &Actor) -> Result<Option<(TaskView, Option<bool>)>, StoreError>;
    /// Tasks, newest first, at most `most`.
    async fn tasks(
        &self,
        filter: &TaskFilter,
        most: u32,
    ) -> Result<BoundedPage<TaskView, (OffsetDateTime, TaskId)>, StoreError>;
    /// What was granted about a task, oldest first.
    async fn grants(&self, id: TaskId) -> Result<Vec<TaskGrant>, StoreError>;
}
