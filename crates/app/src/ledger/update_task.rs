//! `PATCH /tasks/{id}`: a worker without a delegation updates the state of a task.

use std::sync::Arc;

use auth::{Permit, act};
use domain::ledger::task::{TaskAccess, TaskError};
use domain::{Invalid, TaskId, TaskStatus};
use ports::ledger::TaskView;
use ports::{Committed, Store, TaskQueries, UnitOfWork};

use crate::access::task::{Asker, need, seen};
use crate::failure::Failure;
use crate::retry::retried;

const WHAT: &str = "update the state of";

/// Updates the state of tasks.
pub struct UpdateTask {
    store: Arc<dyn Store>,
    tasks: Arc<dyn TaskQueries>,
}

impl UpdateTask {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>, tasks: Arc<dyn TaskQueries>) -> Self {
        Self { store, tasks }
    }

    /// Moves it to the given state; its current state is no change. A delegated task is updated only through its
    /// delegation.
    #[tracing::instrument(name = "app.update_task", skip_all, fields(task = %task))]
    pub async fn run(
        &self,
        permit: Permit<act::UseTasks>,
        task: TaskId,
        status: TaskStatus,
        detail: Option<&str>,
    ) -> Result<(TaskView, TaskAccess), Failure> {
        if matches!(status, TaskStatus::Queued | TaskStatus::Cancelled) {
            let rule = Invalid::value(
                "must be one of running, completed and failed; use the cancel operation to cancel it",
            );
            return Err(rule.of_field("status").into());
        }
        let asker = Asker::of(&permit);
        // Checked before anything is locked, so that no caller can hold up tasks of others.
        seen(&*self.tasks, &asker, task, WHAT, TaskAccess::Operate).await?;
        retried!(self.attempt(&asker, task, status, detail))?.into_inner();
        seen(&*self.tasks, &asker, task, WHAT, TaskAccess::Read).await
    }

    async fn attempt(
        &self,
        asker: &Asker,
        task: TaskId,
        status: TaskStatus,
        detail: Option<&str>,
    ) -> Result<Committed<()>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = uow.tasks().lock(task, &asker.actor).await?;
        let locked = locked.ok_or(TaskError::UnknownTask(task))?;
        let access = asker.access(&locked.creator, locked.grant);
        need(task, WHAT, access, TaskAccess::Operate)?;
        if locked.kind.is_own() {
            return Err(TaskError::OwnWork(task).into());
        }
        if locked.status == status {
            return Ok(uow.commit(()).await?);
        }
        if locked.status.is_final() {
            let status = locked.status;
            return Err(TaskError::Over { task, status }.into());
        }
        // A new delegation needs the lock that is held here.
        if let Some(open) = uow.delegations().open_of_task(task).await?.first() {
            let delegation = open.to_string();
            return Err(TaskError::Delegated { task, delegation }.into());
        }
        uow.activity().acting(&asker.actor).await?;
        uow.tasks().set_status(task, status, detail).await?;
        Ok(uow.commit(()).await?)
    }
}
