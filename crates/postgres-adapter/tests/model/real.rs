//! The ledger as it is: the adapter on PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::{Actor, DelegationId, TaskId, TaskStatus};
use ports::ledger::{
    ClaimRequest, Completion, Deadline, Delegated, DelegationEnd, NewDelegation, NewTask, Stuck,
};
use ports::{Ledger as _, LedgerQueries as _, UnitOfWork, WorkerIdentity};
use postgres_adapter::testing::TestDatabase;
use postgres_adapter::{PgLedger, PgStore};
use serde_json::json;
use uuid::Uuid;

use crate::reference::name;
use crate::{CALLEE, CALLER, Forged, Known, OTHER, Op, SILENCE, Seen, TASKS};

/// The real one.
pub(crate) struct Real {
    database: TestDatabase,
    store: PgStore,
    ledger: PgLedger,
}

fn task_id(task: u8) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(1 + u128::from(task)))
}

fn id(name: &str) -> DelegationId {
    name.parse().unwrap()
}

impl Real {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::new().await.unwrap();
        let store = database.store();
        let mut uow = UnitOfWork::begin(&store).await.unwrap();
        for task in 0..TASKS {
            let new = NewTask {
                id: task_id(task),
                kind: "model".parse().unwrap(),
                name: "n".into(),
                params: json!({}),
                creator: Actor::System,
                request: None,
            };
            uow.tasks().create(&new).await.unwrap();
        }
        uow.commit(()).await.unwrap().into_inner();
        Self {
            ledger: PgLedger::new(database.pool.clone()),
            store,
            database,
        }
    }

    async fn execute(&self, statement: &'static str, name: Option<String>) {
        let done = sqlx::query(statement)
            .bind(name)
            .execute(&self.database.pool)
            .await;
        done.unwrap();
    }

    async fn go_on(uow: &mut UnitOfWork, mut stuck: Vec<Stuck>) -> BTreeSet<String> {
        stuck.sort_by(|a, b| a.id.cmp(&b.id));
        for one in &stuck {
            let next = (!one.expired && one.retry_count < one.max_retries)
                .then(|| one.id.retry(one.retry_count + 1));
            let next = match next {
                Some(next)
                    if uow
                        .delegations()
                        .redelegate(&one.id, &next, Duration::ZERO, false)
                        .await
                        .unwrap() =>
                {
                    Some(next)
                }
                _ => None,
            };
            if next.is_none() {
                let (task, ..) = one.task.as_ref().unwrap();
                uow.delegations().give_up(*task, &one.why).await.unwrap();
            }
            uow.delegations().notify_stuck(one, next.as_ref()).await.unwrap();
        }
        stuck.iter().map(|one| one.id.to_string()).collect()
    }

    pub(crate) async fn step(&self, op: &Op, known: &Known) -> Seen {
        let sweeper = WorkerIdentity {
            name: "sweeper".into(),
            boot: Uuid::from_u128(1),
        };
        let callee = |forged: Forged| {
            if forged == Forged::Callee { OTHER } else { CALLEE }
        };
        let claim = |n: usize, forged: Forged| {
            let known = known.claim(n);
            known.map(|(id, attempt)| (id, attempt + i64::from(forged == Forged::Attempt)))
        };
        let mut uow = UnitOfWork::begin(&self.store).await.unwrap();
        let seen = match op {
            Op::Delegate {
                task,
                second,
                max_retries,
            } => {
                let new = NewDelegation {
                    id: id(&name(*task, *second)),
                    task: Some(task_id(*task)),
                    caller: CALLER.into(),
                    callee: CALLEE.into(),
                    preview: "p".into(),
                    input: None,
                    request: None,
                    nesting: None,
                    deadline: Deadline::Default,
                    may_expire: true,
                    retry_count: 0,
                    retry_of: None,
                    max_retries: u32::from(*max_retries),
                    delay: Duration::ZERO,
                };
                Seen::Delegated(match uow.delegations().create(&new).await.unwrap() {
                    Delegated::New => "new",
                    Delegated::Existing(_) => "existing",
                    Delegated::TaskOver(_) => "over",
                    Delegated::TaskDelegated(_) => "delegated",
                })
            }
            Op::Claim { most, begin } => {
                let request = ClaimRequest {
                    callee: CALLEE.into(),
                    worker: sweeper,
                    most: u32::from(*most),
                    begin: *begin,
                };
                let claimed = self.ledger.claim(&request).await.unwrap();
                let mut claimed: Vec<_> = claimed.iter().map(|c| (c.id.to_string(), c.attempt)).collect();
                claimed.sort();
                Seen::Claimed(claimed)
            }
            Op::Heartbeat { claim: n, forged } => {
                let Some((name, attempt)) = claim(*n, *forged) else {
                    return Seen::Is(false);
                };
                let party = callee(*forged).parse().unwrap();
                let held = self.ledger.heartbeat(Some(&party), &[(id(&name), attempt)]).await;
                Seen::Is(!held.unwrap().is_empty())
            }
            Op::Progress { claim: n, forged } => {
                let Some((name, attempt)) = claim(*n, *forged) else {
                    return Seen::Is(false);
                };
                let held = uow
                    .delegations()
                    .progress(&id(&name), attempt, callee(*forged), Some("x"))
                    .await;
                Seen::Is(held.unwrap())
            }
            Op::Finish {
                claim: n,
                forged,
                completes,
            } => {
                let Some((name, attempt)) = claim(*n, *forged) else {
                    return Seen::Is(false);
                };
                let end = if *completes {
                    DelegationEnd::Completed {
                        result: Some(json!(attempt)),
                        preview: "r".into(),
                    }
                } else {
                    DelegationEnd::Failed("f".into())
                };
                let ending = Completion {
                    id: id(&name),
                    attempt,
                    end,
                };
                let ended = uow
                    .delegations()
                    .finish_all(Some(callee(*forged)), &[ending])
                    .await;
                Seen::Is(!ended.unwrap().is_empty())
            }
            Op::FallSilent { row: n } => {
                let statement = "update delegation_leases set last_heartbeat = last_heartbeat - interval '1000 s' where delegation_id = $1";
                self.execute(statement, known.row(*n)).await;
                Seen::Nothing
            }
            Op::PassDeadline { row: n } => {
                let leases =
                    "update delegation_leases set deadline = now() - interval '1 s' where delegation_id = $1";
                self.execute(leases, known.row(*n)).await;
                let ready =
                    "update delegation_ready set deadline = now() - interval '1 s' where delegation_id = $1";
                self.execute(ready, known.row(*n)).await;
                Seen::Nothing
            }
            Op::CancelDelegationBody { row: n } => {
                let Some(name) = known.row(*n) else {
                    return Seen::Is(false);
                };
                let ended = uow
                    .delegations()
                    .cancel(&[id(&name)], "off", TaskStatus::Queued)
                    .await;
                Seen::Is(!ended.unwrap().is_empty())
            }
            Op::Redelegate { row: n } => {
                let Some(name) = known.row(*n) else {
                    return Seen::Is(false);
                };
                let facts = uow.delegations().find(&id(&name)).await.unwrap().unwrap();
                let next = id(&name).retry(facts.retry_count + 1);
                let done = uow
                    .delegations()
                    .redelegate(&id(&name), &next, Duration::ZERO, true)
                    .await;
                Seen::Is(done.unwrap())
            }
            Op::CancelTask { task } => {
                // As the use case does it: again, if the task was delegated in between.
                loop {
                    let open = uow.delegations().open_of_task(task_id(*task)).await.unwrap();
                    let ended = uow
                        .delegations()
                        .cancel(&open, "off", TaskStatus::Cancelled)
                        .await;
                    ended.unwrap();
                    uow.tasks().lock(task_id(*task), &Actor::System).await.unwrap();
                    let left = uow.delegations().open_of_task(task_id(*task)).await.unwrap();
                    if left.is_empty() {
                        break;
                    }
                    drop(uow);
                    uow = UnitOfWork::begin(&self.store).await.unwrap();
                }
                uow.tasks()
                    .set_status(task_id(*task), TaskStatus::Cancelled, Some("off"))
                    .await
                    .unwrap();
                Seen::Nothing
            }
            Op::Sweep => {
                let swept = uow
                    .delegations()
                    .take_stuck(&sweeper, SILENCE, 100)
                    .await
                    .unwrap();
                assert_eq!(swept.held_back, 0);
                Seen::These(Self::go_on(&mut uow, swept.stuck).await)
            }
            Op::SweepWaiting => {
                let stuck = uow.delegations().take_expired(100).await.unwrap();
                Seen::These(Self::go_on(&mut uow, stuck).await)
            }
            Op::Acknowledge => {
                let party = CALLER.parse().unwrap();
                let waiting = self.ledger.inbox(&party, 0, 100).await.unwrap();
                let ids: Vec<i64> = waiting.iter().map(|message| message.id).collect();
                let done = uow.delegations().acknowledge(CALLER, &ids).await.unwrap();
                let done = waiting.iter().filter(|message| done.contains(&message.id));
                Seen::These(done.map(|message| message.delegation.to_string()).collect())
            }
        };
        uow.commit(()).await.unwrap().into_inner();
        seen
    }

    /// What the tables say, in the words of the model; and that they agree with each other.
    pub(crate) async fn look(
        &self,
    ) -> (
        BTreeMap<String, (String, i64, bool, bool, bool)>,
        BTreeMap<u8, String>,
    ) {
        let rows: Vec<(String, String, i64, bool, bool, bool, bool)> = sqlx::query_as(
            "select d.delegation_id, d.status, d.attempt, l.delegation_id is not null, m.message_id is not null, m.acknowledged_at is not null,
               d.attempt = (select count(*) from delegation_attempts a where a.delegation_id = d.delegation_id and a.event = 'claimed')
               and (d.status in ('completed', 'failed', 'stuck'))::int
                 = (select count(*) from delegation_attempts a where a.delegation_id = d.delegation_id and a.event in ('completed', 'failed', 'stuck'))
               and (l.attempt is null or l.attempt = d.attempt)
               and (l.attempt is not null) = (d.status in ('dispatched', 'in_progress'))
               and (m.kind is null or m.kind = d.status) and (m.attempt is null or m.attempt = d.attempt)
             from delegations d left join delegation_leases l on l.delegation_id = d.delegation_id
             left join delegation_inbox m on m.delegation_id = d.delegation_id and m.caller_id = d.caller_id",
        )
        .fetch_all(&self.database.pool)
        .await
        .unwrap();
        let tasks: Vec<(Uuid, String)> = sqlx::query_as("select id, status from tasks")
            .fetch_all(&self.database.pool)
            .await
            .unwrap();
        let lost: i64 = sqlx::query_scalar(
            "select count(*) from delegations d where status = 'queued' and not exists (select from delegation_ready q where q.delegation_id = d.delegation_id)",
        )
        .fetch_one(&self.database.pool)
        .await
        .unwrap();
        assert_eq!(lost, 0, "what is queued is in the queue");
        let mut seen = BTreeMap::new();
        for (id, status, attempt, held, notified, acknowledged, agrees) in rows {
            assert!(agrees, "the tables disagree on {id}");
            seen.insert(id, (status, attempt, held, notified, acknowledged));
        }
        let number = |id: &Uuid| u8::try_from(id.as_u128() - 1).unwrap();
        (
            seen,
            tasks
                .iter()
                .map(|(id, status)| (number(id), status.clone()))
                .collect(),
        )
    }
}
