//! `POST /tasks`.

use std::sync::Arc;

use auth::{Permit, act};
use domain::ledger::task::TaskError;
use domain::{Actor, Invalid, TaskId, TaskKind};
use ports::ledger::{NewTask, RequestKey, TaskView};
use ports::{Committed, Ids, Store, TaskQueries, UnitOfWork};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::request_hash::request_hash;
use crate::retry::retried;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// What kind; none of the server's own.
    pub kind: TaskKind,
    /// A name for people.
    pub name: String,
    /// What the work needs.
    pub params: Value,
    /// The caller's key: the same request with it is the same task.
    pub idempotency_key: Option<String>,
}

/// A task, and whether this request made it.
#[derive(Clone, Debug)]
pub struct Created<T> {
    /// What there is.
    pub view: T,
    /// Whether it is new.
    pub is_new: bool,
}

/// Makes tasks.
pub struct CreateTask {
    store: Arc<dyn Store>,
    tasks: Arc<dyn TaskQueries>,
    ids: Arc<dyn Ids>,
}

impl CreateTask {
    /// A use case on these ports.
    pub fn new(store: Arc<dyn Store>, tasks: Arc<dyn TaskQueries>, ids: Arc<dyn Ids>) -> Self {
        Self { store, tasks, ids }
    }

    /// Makes it, or finds what the caller made with this key before; the key with another request is refused.
    pub async fn run(
        &self,
        permit: Permit<act::UseTasks>,
        request: TaskRequest,
    ) -> Result<Created<TaskView>, Failure> {
        if request.kind.is_own() {
            let rule = Invalid::value("is the server's own kind of work: it makes these tasks itself");
            return Err(rule.of_field("kind").into());
        }
        let actor = permit.actor();
        let hash = request_hash(
            &json!({"kind": request.kind.as_str(), "name": request.name, "params": request.params}),
        );
        let new = NewTask {
            id: TaskId::from_uuid(self.ids.new_id()),
            kind: request.kind,
            name: request.name,
            params: request.params,
            creator: actor.clone(),
            request: Some(RequestKey {
                key: request.idempotency_key,
                hash,
            }),
        };
        let (id, is_new) = retried!(self.attempt(&actor, &new, hash))?.into_inner();
        let (view, _) = self
            .tasks
            .task(id, &actor)
            .await?
            .ok_or(TaskError::UnknownTask(id))?;
        Ok(Created { view, is_new })
    }

    async fn attempt(
        &self,
        actor: &Actor,
        new: &NewTask,
        hash: [u8; 32],
    ) -> Result<Committed<(TaskId, bool)>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        if uow.tasks().create(new).await? {
            return Ok(uow.commit((new.id, true)).await?);
        }
        let key = new.request.as_ref().and_then(|request| request.key.as_deref());
        let found = uow.tasks().find_request(actor, key.unwrap_or_default()).await?;
        match found {
            Some((id, theirs)) if theirs == hash => Ok(uow.commit((id, false)).await?),
            Some((id, _)) => Err(TaskError::OtherRequest(id).into()),
            // Only an id that came twice gets here, and ids are the server's.
            None => Err(TaskError::UnknownTask(new.id).into()),
        }
    }
}
