//! `PUT /tasks/{id}/grants/{grantee}` and `DELETE` of the same (AUD-6).

use std::sync::Arc;

use auth::{Permit, act};
use domain::ledger::task::{TaskAccess, TaskError};
use domain::{Actor, Event, Invalid, TaskId};
use ports::{Committed, Store, TaskQueries, UnitOfWork};
use serde_json::json;

use crate::access::task::{Asker, need, seen};
use crate::failure::Failure;
use crate::retry::retried;

/// The right to grant, or its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// They may see the task.
    Read,
    /// They may see it, cancel it, update its state, and delegate it.
    Operate,
    /// The grant is revoked.
    Nothing,
}

/// Shares tasks with others.
pub struct ShareTask {
    store: Arc<dyn Store>,
    tasks: Arc<dyn TaskQueries>,
}

impl ShareTask {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>, tasks: Arc<dyn TaskQueries>) -> Self {
        Self { store, tasks }
    }

    /// Grants the right, replacing an earlier grant, or revokes it.
    #[tracing::instrument(name = "app.share_task", skip_all, fields(task = %task))]
    pub async fn run(
        &self,
        permit: Permit<act::UseTasks>,
        task: TaskId,
        grantee: Actor,
        share: Share,
    ) -> Result<Committed<()>, Failure> {
        let asker = Asker::of(&permit);
        // Checked before anything is locked, so that no caller can hold up tasks of others.
        seen(&*self.tasks, &asker, task, "share", TaskAccess::Own).await?;
        retried!(self.attempt(&asker, task, &grantee, share))
    }

    async fn attempt(
        &self,
        asker: &Asker,
        task: TaskId,
        grantee: &Actor,
        share: Share,
    ) -> Result<Committed<()>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = uow.tasks().lock(task, &asker.actor).await?;
        let access = locked
            .as_ref()
            .and_then(|task| asker.access(&task.creator, task.grant));
        need(task, "share", access, TaskAccess::Own)?;
        let kind = match share {
            Share::Read | Share::Operate => {
                let can_operate = share == Share::Operate;
                if !uow
                    .tasks()
                    .share(task, grantee, can_operate, &asker.actor)
                    .await?
                {
                    let rule = Invalid::value("is not a known principal");
                    return Err(rule.of_field("grantee").into());
                }
                "TaskShared"
            }
            Share::Nothing => {
                if !uow.tasks().unshare(task, grantee).await? {
                    return Err(TaskError::NotShared {
                        task,
                        grantee: grantee.to_string(),
                    }
                    .into());
                }
                "TaskUnshared"
            }
        };
        uow.activity()
            .append(&Event {
                kind,
                subject: format!("task:{task}"),
                actor: asker.actor.clone(),
                payload: json!({"task_id": task.to_string(), "grantee": grantee.to_string(), "can_operate": share == Share::Operate}),
            })
            .await?;
        Ok(uow.commit(()).await?)
    }
}
