//! `POST /tasks/{id}/cancel`: an operation of its own (AUD-6).

use std::sync::Arc;

use auth::{Permit, act};
use domain::ledger::delegation::preview;
use domain::ledger::task::{TaskAccess, TaskError};
use domain::{SubmissionStatus, TaskId, TaskKind, TaskStatus};
use ports::ledger::{LockedTask, TaskView};
use ports::{Committed, Notifier, Store, StoreError, TaskQueries, UnitOfWork, inbox_topic};

use crate::access::task::{Asker, need, seen};
use crate::deposit::submissions::give_back;
use crate::failure::Failure;
use crate::ingest::batches::BatchParams;
use crate::ingest::cancel_ingestion::CANCELLED;
use crate::ingest::ending::{end_run, give_up_batch};
use crate::ingest::pulls::PullParams;
use crate::own_tasks::is_own;
use crate::retry::retried;

/// Cancels tasks.
pub struct CancelTask {
    store: Arc<dyn Store>,
    tasks: Arc<dyn TaskQueries>,
    notifier: Arc<dyn Notifier>,
}

impl CancelTask {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>, tasks: Arc<dyn TaskQueries>, notifier: Arc<dyn Notifier>) -> Self {
        Self {
            store,
            tasks,
            notifier,
        }
    }

    /// Cancels a task and ends its open delegation. The holder learns of it at the next heartbeat, and a late result
    /// is refused. Repeating it changes nothing; a task that ended otherwise cannot be cancelled.
    #[tracing::instrument(name = "app.cancel_task", skip_all, fields(task = %task))]
    pub async fn run(
        &self,
        permit: Permit<act::UseTasks>,
        task: TaskId,
        reason: Option<&str>,
    ) -> Result<(TaskView, TaskAccess), Failure> {
        let asker = Asker::of(&permit);
        // Checked before anything is locked, so that no caller can hold up tasks of others.
        seen(&*self.tasks, &asker, task, "cancel", TaskAccess::Operate).await?;
        let why = match reason {
            Some(reason) => format!("cancelled by {}: {reason}", asker.actor),
            None => format!("cancelled by {}", asker.actor),
        };
        let ended_of = retried!(self.attempt(&asker, task, &preview(&why)))?.into_inner();
        if let Some(caller) = ended_of {
            self.notifier.notify(&inbox_topic(&caller));
        }
        seen(&*self.tasks, &asker, task, "cancel", TaskAccess::Read).await
    }

    /// Returns the caller whose delegation was ended, if one was.
    ///
    /// Leases are locked before tasks everywhere. So an open delegation is ended first; then the task is locked,
    /// which keeps new delegations out, and checked again.
    async fn attempt(
        &self,
        asker: &Asker,
        task: TaskId,
        why: &str,
    ) -> Result<Committed<Option<String>>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        uow.activity().acting(&asker.actor).await?;
        let open = uow.delegations().open_of_task(task).await?;
        let ended = uow
            .delegations()
            .cancel(&open, why, TaskStatus::Cancelled)
            .await?;
        let locked = uow.tasks().lock(task, &asker.actor).await?;
        let locked = locked.ok_or(TaskError::UnknownTask(task))?;
        let access = asker.access(&locked.creator, locked.grant);
        need(task, "cancel", access, TaskAccess::Operate)?;
        if !uow.delegations().open_of_task(task).await?.is_empty() {
            // It was delegated in between; a retry finds that delegation.
            return Err(StoreError::Contended("the task was delegated meanwhile".into()).into());
        }
        match locked.status {
            // Cancelled by the statement above, or before.
            TaskStatus::Cancelled if ended.is_empty() => return Ok(uow.commit(None).await?),
            TaskStatus::Cancelled => {}
            TaskStatus::Queued | TaskStatus::Running => {
                uow.tasks()
                    .set_status(task, TaskStatus::Cancelled, Some(why))
                    .await?;
            }
            status => return Err(TaskError::Over { task, status }.into()),
        }
        match locked.kind.as_str() {
            TaskKind::INGEST_BATCH => cancel_batch(&mut uow, &locked, why).await?,
            // Without this pull the run could not go on.
            TaskKind::INGEST_PULL => {
                let pull: PullParams = serde_json::from_value(locked.params.clone())
                    .map_err(|e| StoreError::corrupt("tasks", e))?;
                end_run(&mut uow, pull.run(), CANCELLED, why, &asker.actor).await?;
            }
            TaskKind::SUBMISSION => {
                let reasons = [why.to_owned()];
                give_back(&mut uow, task, SubmissionStatus::Failed, &reasons, &asker.actor).await?;
            }
            _ => {}
        }
        let caller = match ended.first() {
            Some(id) => uow.delegations().find(id).await?.map(|facts| facts.caller),
            None => None,
        };
        Ok(uow.commit(caller.filter(|caller| !is_own(caller))).await?)
    }
}

/// Marks the records of the batch as errored; its ingest run continues without them.
async fn cancel_batch(uow: &mut UnitOfWork, task: &LockedTask, why: &str) -> Result<(), Failure> {
    let params: BatchParams =
        serde_json::from_value(task.params.clone()).map_err(|e| StoreError::corrupt("tasks", e))?;
    give_up_batch(uow, params, CANCELLED, why).await
}
