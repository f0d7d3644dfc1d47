//! `POST /delegations`: the durable fact that a task was delegated to a callee (LED-1, LED-3).
//!
//! Invariant: what others did decides neither whether a caller may use an id, nor anything of the answer but the name in
//! front of the id. A delegation whose id another party has is stored under the caller's name and the id, which no other
//! may choose. Who can break it: a look-up by an id that does not ask whose it is.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::ledger::delegation::{DelegationError, MAX_DEPTH};
use domain::ledger::task::{TaskAccess, TaskError};
use domain::{DelegationId, Party, TaskId};
use ports::ledger::{Deadline, Delegated, DelegationView, Existing, Nesting, NewDelegation, RequestKey};
use ports::{Committed, LedgerQueries, Notifier, Store, StoreError, TaskQueries, UnitOfWork, work_topic};
use serde_json::{Value, json};

use crate::access::delegation::{accepted, party, viewed};
use crate::access::task::{Asker, need, seen};
use crate::failure::Failure;
use crate::ledger::create_task::Created;
use crate::limits::{CallerLimits, Rate, is_visitor};
use crate::request_hash::request_hash;
use crate::retry::retried;

/// A request for a delegation.
#[derive(Clone, Debug)]
pub struct DelegationRequest {
    /// The id, chosen by the caller.
    pub id: DelegationId,
    /// The party that it is delegated to.
    pub callee: Party,
    /// The task, if it is about one.
    pub task: Option<TaskId>,
    /// A summary for people.
    pub preview: String,
    /// The input for the callee.
    pub input: Option<Value>,
    /// The caller's idempotency key: two delegations of one caller with one key are one.
    pub idempotency_key: Option<String>,
    /// The delegation that the caller holds, and its attempt, if this one is for that.
    pub parent: Option<(DelegationId, i64)>,
    /// The time until its deadline. Default: six hours.
    pub deadline: Option<Duration>,
    /// How long it waits before it can be claimed.
    pub delay: Duration,
    /// How often it is redelegated automatically after it got stuck.
    pub max_retries: u32,
}

impl DelegationRequest {
    /// Hashes the request without the id: the same request with the same key is the same delegation, under its first
    /// id.
    fn hash(&self) -> [u8; 32] {
        request_hash(&json!({
            "callee_id": self.callee.as_str(), "task_id": self.task.map(|id| id.to_string()),
            "preview": self.preview, "input": self.input, "idempotency_key": self.idempotency_key,
            "parent": self.parent.as_ref().map(|(id, _)| id.as_str()), "deadline_s": self.deadline.map(|d| d.as_secs()),
            "delay_s": self.delay.as_secs(), "max_retries": self.max_retries,
        }))
    }
}

/// A request with what was found out about it.
struct Checked<'a> {
    request: &'a DelegationRequest,
    hash: [u8; 32],
    /// How many delegations the caller may create in a day.
    most_today: Option<NonZeroU32>,
}

/// Delegates.
pub struct Delegate {
    store: Arc<dyn Store>,
    tasks: Arc<dyn TaskQueries>,
    ledger: Arc<dyn LedgerQueries>,
    notifier: Arc<dyn Notifier>,
    rate: Rate,
    visitor_per_day: Option<NonZeroU32>,
}

impl Delegate {
    /// Creates the use case over these ports, within these limits.
    pub fn new(
        store: Arc<dyn Store>,
        tasks: Arc<dyn TaskQueries>,
        ledger: Arc<dyn LedgerQueries>,
        notifier: Arc<dyn Notifier>,
        limits: CallerLimits,
    ) -> Self {
        Self {
            store,
            tasks,
            ledger,
            notifier,
            rate: Rate::new(limits.ledger_per_minute),
            visitor_per_day: limits.visitor_per_day,
        }
    }

    /// Stores and queues it, or finds the one that the caller stored with the same id or key; either with another
    /// request is refused. The id is the caller's own: if another party has it, the caller's name is put in front.
    ///
    /// A task is delegated by those who may operate it, to one callee at a time; below a delegation only by its
    /// holder.
    #[tracing::instrument(name = "app.delegate", skip_all)]
    pub async fn run(
        &self,
        permit: Permit<act::UseDelegations>,
        request: DelegationRequest,
    ) -> Result<Created<DelegationView>, Failure> {
        let asker = Asker::of(&permit);
        let caller = party(&permit)?;
        // Before anything is looked up: the answer must not depend on what others did.
        if let Some(owner) = request.id.namespace().filter(|owner| *owner != caller) {
            return Err(DelegationError::OthersId(owner.to_string()).into());
        }
        self.rate
            .take(&asker.actor)
            .map_err(|most| DelegationError::TooMany {
                most,
                period: "minute",
            })?;
        let most_today = self.visitor_per_day.filter(|_| is_visitor(permit.principal()));
        let hash = request.hash();
        let checked = Checked {
            request: &request,
            hash,
            most_today,
        };
        let (id, is_new) = retried!(self.attempt(&asker, &caller, &checked))?.into_inner();
        if is_new {
            self.notifier.notify(&work_topic(request.callee.as_str()));
        }
        let view = viewed(&*self.ledger, &id).await?;
        Ok(Created { view, is_new })
    }

    async fn attempt(
        &self,
        asker: &Asker,
        caller: &Party,
        &Checked {
            request,
            hash,
            most_today,
        }: &Checked<'_>,
    ) -> Result<Committed<(DelegationId, bool)>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        // A repeated request finds the delegation that it created, even if its task, its parent or the callee's list
        // changed meanwhile.
        let (id, existing) = place(&mut uow, caller, request).await?;
        if let Some(existing) = existing {
            let id = same(&mut uow, &existing, &id, caller, hash).await?;
            return Ok(uow.commit((id, false)).await?);
        }
        if let Some(most) = most_today.map(NonZeroU32::get)
            && uow.delegations().created_today(caller.as_str(), most).await? >= most
        {
            return Err(DelegationError::TooMany { most, period: "day" }.into());
        }
        accepted(&mut *uow, request.callee.as_str(), caller.as_str()).await?;
        uow.activity().acting(&asker.actor).await?;
        let nesting = nesting(&mut uow, caller, request).await?;
        if let Some(task) = request.task {
            // Checked before anything is locked, so that no caller can hold up tasks of others.
            seen(&*self.tasks, asker, task, "delegate", TaskAccess::Operate).await?;
            let locked = uow.tasks().lock(task, &asker.actor).await?;
            let access = locked
                .as_ref()
                .and_then(|task| asker.access(&task.creator, task.grant));
            need(task, "delegate", access, TaskAccess::Operate)?;
            if locked.is_some_and(|task| task.kind.is_own()) {
                return Err(TaskError::OwnWork(task).into());
            }
        }
        let new = NewDelegation {
            id: id.clone(),
            task: request.task,
            caller: caller.to_string(),
            callee: request.callee.to_string(),
            preview: request.preview.clone(),
            input: request.input.clone(),
            request: Some(RequestKey {
                key: request.idempotency_key.clone(),
                hash,
            }),
            nesting,
            deadline: request.deadline.map_or(Deadline::Default, Deadline::In),
            may_expire: true,
            retry_count: 0,
            retry_of: None,
            max_retries: request.max_retries,
            delay: request.delay,
        };
        match uow.delegations().create(&new).await? {
            Delegated::New => Ok(uow.commit((id, true)).await?),
            // The next try finds it, and whose it is.
            Delegated::Existing(_) => {
                Err(StoreError::Contended("a delegation of this id or key came meanwhile".into()).into())
            }
            Delegated::TaskOver(status) => Err(over(request.task, |task| TaskError::Over { task, status })),
            Delegated::TaskDelegated(id) => {
                let delegation = id.to_string();
                Err(over(request.task, |task| TaskError::Delegated {
                    task,
                    delegation,
                }))
            }
        }
    }
}

/// Returns the id that stands for the request's in this caller's delegations, and the delegation that has it or the
/// caller's key.
async fn place(
    uow: &mut UnitOfWork,
    caller: &Party,
    request: &DelegationRequest,
) -> Result<(DelegationId, Option<Existing>), Failure> {
    let key = request.idempotency_key.as_deref();
    for id in [request.id.clone(), request.id.of_party(caller.as_str())] {
        let found = uow.delegations().find_existing(&id, caller.as_str(), key).await?;
        if found.as_ref().is_none_or(|found| found.is_own) {
            return Ok((id, found));
        }
    }
    // Only before ids that begin with a party were the party's could another take the second one.
    Err(DelegationError::OtherRequest {
        what: "delegation_id",
    }
    .into())
}

/// Returns where the new delegation is below the one that the caller holds, if it names one.
async fn nesting(
    uow: &mut UnitOfWork,
    caller: &Party,
    request: &DelegationRequest,
) -> Result<Option<Nesting>, Failure> {
    let Some((parent, attempt)) = &request.parent else {
        return Ok(None);
    };
    let held = uow
        .delegations()
        .hold_parent(parent, Some(*attempt), caller.as_str())
        .await?
        .ok_or_else(|| DelegationError::ParentNotHeld(parent.to_string()))?;
    if held.depth > MAX_DEPTH {
        return Err(DelegationError::TooDeep.into());
    }
    Ok(Some(held))
}

fn over(task: Option<TaskId>, error: impl FnOnce(TaskId) -> TaskError) -> Failure {
    task.map_or_else(
        || {
            DelegationError::OtherRequest {
                what: "delegation_id",
            }
            .into()
        },
        |task| error(task).into(),
    )
}

/// Returns the existing delegation of the caller if this request created it. `id` is the one that stands for the
/// request's.
async fn same(
    uow: &mut UnitOfWork,
    existing: &Existing,
    id: &DelegationId,
    caller: &Party,
    hash: [u8; 32],
) -> Result<DelegationId, Failure> {
    let facts = uow.delegations().find(&existing.id).await?;
    let facts = facts.ok_or_else(|| DelegationError::UnknownDelegation(existing.id.to_string()))?;
    if facts.caller == caller.as_str() && facts.request_hash == Some(hash) {
        return Ok(facts.id);
    }
    Err(DelegationError::OtherRequest {
        what: if facts.id == *id {
            "delegation_id"
        } else {
            "idempotency_key"
        },
    }
    .into())
}
