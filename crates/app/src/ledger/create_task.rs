//! `POST /tasks`.

use std::num::NonZeroU32;
use std::sync::Arc;

use auth::{Permit, act};
use domain::ledger::task::TaskError;
use domain::{Actor, Invalid, TaskId, TaskKind};
use ports::ledger::{NewTask, RequestKey, TaskView};
use ports::{Committed, Ids, Store, TaskQueries, UnitOfWork};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::limits::{CallerLimits, Rate, is_visitor};
use crate::request_hash::request_hash;
use crate::retry::retried;

/// A request for a task.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// Its kind; must not be one of the server's own.
    pub kind: TaskKind,
    /// A name for people.
    pub name: String,
    /// What the work needs.
    pub params: Value,
    /// The caller's idempotency key: the same request with the same key returns the same task.
    pub idempotency_key: Option<String>,
}

/// An object, and whether this request created it.
#[derive(Clone, Debug)]
pub struct Created<T> {
    /// The object.
    pub view: T,
    /// Whether it is new.
    pub is_new: bool,
}

/// Creates tasks.
pub struct CreateTask {
    store: Arc<dyn Store>,
    tasks: Arc<dyn TaskQueries>,
    ids: Arc<dyn Ids>,
    rate: Rate,
    visitor_per_day: Option<NonZeroU32>,
}

impl CreateTask {
    /// Creates the use case over these ports, within these limits.
    pub fn new(
        store: Arc<dyn Store>,
        tasks: Arc<dyn TaskQueries>,
        ids: Arc<dyn Ids>,
        limits: CallerLimits,
    ) -> Self {
        Self {
            store,
            tasks,
            ids,
            rate: Rate::new(limits.ledger_per_minute),
            visitor_per_day: limits.visitor_per_day,
        }
    }

    /// Creates it, or finds the task that the caller created with this key before. The same key with another request
    /// is refused.
    #[tracing::instrument(name = "app.create_task", skip_all)]
    pub async fn run(
        &self,
        permit: Permit<act::UseTasks>,
        request: TaskRequest,
    ) -> Result<Created<TaskView>, Failure> {
        if request.kind.is_own() {
            let rule = Invalid::value("is reserved: only the server creates tasks of this kind");
            return Err(rule.of_field("kind").into());
        }
        let actor = permit.actor();
        self.rate.take(&actor).map_err(|most| TaskError::TooMany {
            most,
            period: "minute",
        })?;
        let most_today = self.visitor_per_day.filter(|_| is_visitor(permit.principal()));
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
        let (id, is_new) = retried!(self.attempt(&actor, &new, hash, most_today))?.into_inner();
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
        most_today: Option<NonZeroU32>,
    ) -> Result<Committed<(TaskId, bool)>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        if uow.tasks().create(new).await? {
            if let (Some(most), Some(user)) = (most_today.map(NonZeroU32::get), actor.user()) {
                // The new one is among them.
                let beyond = most.saturating_add(1);
                if uow.tasks().created_today(user, beyond).await? >= beyond {
                    return Err(TaskError::TooMany { most, period: "day" }.into());
                }
            }
            return Ok(uow.commit((new.id, true)).await?);
        }
        let key = new.request.as_ref().and_then(|request| request.key.as_deref());
        let found = uow.tasks().find_request(actor, key.unwrap_or_default()).await?;
        match found {
            Some((id, theirs)) if theirs == hash => Ok(uow.commit((id, false)).await?),
            Some((id, _)) => Err(TaskError::OtherRequest(id).into()),
            // Only a repeated id gets here, and the server generates ids.
            None => Err(TaskError::UnknownTask(new.id).into()),
        }
    }
}
