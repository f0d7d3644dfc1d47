//! Reading tasks and their grants (AUD-5, AUD-6).

use std::sync::Arc;

use auth::{Permit, act};
use domain::data::page::PageScope;
use domain::ledger::task::TaskAccess;
use domain::{Invalid, TaskId};
use ports::TaskQueries;
use ports::data::PageKey;
use ports::ledger::{TaskFilter, TaskGrant, TaskView};

use crate::access::task::{Asker, seen};
use crate::cursor::{self, Listed};
use crate::failure::Failure;
use crate::page::Page;

/// Reads tasks.
pub struct ReadTasks {
    tasks: Arc<dyn TaskQueries>,
}

impl ReadTasks {
    /// Creates the use case over these queries.
    pub fn new(tasks: Arc<dyn TaskQueries>) -> Self {
        Self { tasks }
    }

    /// Returns one task, and the caller's access to it.
    #[tracing::instrument(name = "app.read_tasks.get", skip_all, fields(task = %id))]
    pub async fn get(
        &self,
        permit: &Permit<act::UseTasks>,
        id: TaskId,
    ) -> Result<(TaskView, TaskAccess), Failure> {
        seen(&*self.tasks, &Asker::of(permit), id, "see", TaskAccess::Read).await
    }

    /// Returns at most `most` tasks that the caller may see, newest first, after the end of the page `cursor`.
    #[tracing::instrument(name = "app.read_tasks.list", skip_all)]
    pub async fn list(
        &self,
        permit: Permit<act::UseTasks>,
        mut filter: TaskFilter,
        cursor: Option<&str>,
        most: u32,
    ) -> Result<Page<TaskView>, Failure> {
        let asker = Asker::of(&permit);
        filter.visible_to = (!asker.manages_all).then_some(asker.actor);
        // A cursor is valid only for the list that issued it.
        let scope = PageScope::of(&[
            "tasks",
            &filter
                .creator
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            filter.kind.as_ref().map_or("", domain::TaskKind::as_str),
            filter.status.map_or("", domain::TaskStatus::as_str),
        ]);
        filter.after = match cursor {
            Some(text) => match cursor::decode(&scope, Listed::Records, text)? {
                PageKey::Record(at, id) => Some((at, id.parse().map_err(|e: Invalid| e.of_field("cursor"))?)),
                _ => None,
            },
            None => None,
        };
        let page = self.tasks.tasks(&filter, most).await?;
        Ok(Page {
            items: page.items,
            next: page
                .next
                .map(|(at, id)| cursor::encode(&scope, &PageKey::Record(at, id.to_string()))),
        })
    }

    /// Returns the grants on a task, for those who may grant.
    #[tracing::instrument(name = "app.read_tasks.grants", skip_all, fields(task = %id))]
    pub async fn grants(&self, permit: Permit<act::UseTasks>, id: TaskId) -> Result<Vec<TaskGrant>, Failure> {
        let asker = Asker::of(&permit);
        seen(&*self.tasks, &asker, id, "see the grants of", TaskAccess::Own).await?;
        Ok(self.tasks.grants(id).await?)
    }
}
