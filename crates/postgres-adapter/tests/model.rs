//! The ledger against a model of it: any sequence of claims, beats, ends, sweeps, re-delegations and returns from the dead, with pairs of
//! them at the same time, does what one of the orders of the model does (LED-2, LED-3, LED-5 to LED-7).
#![cfg(feature = "testing")]
#![expect(
    clippy::disallowed_methods,
    reason = "time passes here by setting it back behind the adapter's back"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::{Actor, DelegationId, TaskId, TaskStatus};
use ports::ledger::{Deadline, Delegated, DelegationEnd, Ending, NewDelegation, NewTask, Stuck};
use ports::ledger_queries::ClaimRequest;
use ports::{Ledger as _, UnitOfWork, WorkerIdentity};
use postgres_adapter::testing::TestDatabase;
use postgres_adapter::{PgLedger, PgStore};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use uuid::Uuid;

const CALLER: &str = "user:00000000-0000-7000-8000-00000000000a";
const CALLEE: &str = "user:00000000-0000-7000-8000-00000000000b";
const OTHER: &str = "user:00000000-0000-7000-8000-00000000000c";
/// Nobody falls silent for so long while a case runs, unless the case says so.
const SILENCE: Duration = Duration::from_secs(20);
const TASKS: u8 = 3;

/// By whom something is done in the name of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forged {
    /// By the callee, under the attempt of the claim.
    Not,
    /// By another callee.
    Callee,
    /// Under an attempt that there was not.
    Attempt,
}

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Op {
    /// Hands a task out under an id of its own, or under a second one.
    Delegate {
        task: u8,
        second: bool,
        max_retries: u8,
    },
    Claim {
        most: u8,
        begin: bool,
    },
    /// What these do is done with the n-th claim that there ever was, held or not, by its callee or by another.
    Beat {
        claim: usize,
        forged: Forged,
    },
    Progress {
        claim: usize,
        forged: Forged,
    },
    Finish {
        claim: usize,
        forged: Forged,
        completes: bool,
    },
    /// These concern the n-th delegation that there ever was.
    FallSilent {
        row: usize,
    },
    PassDeadline {
        row: usize,
    },
    CallOff {
        row: usize,
    },
    Redelegate {
        row: usize,
    },
    CancelTask {
        task: u8,
    },
    Sweep,
    SweepWaiting,
    Acknowledge,
}

/// What somebody sees who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Delegated(&'static str),
    Claimed(Vec<(String, i64)>),
    Is(bool),
    These(BTreeSet<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    status: &'static str,
    attempt: i64,
    task: u8,
    retry: u8,
    max_retries: u8,
    next: bool,
    held: bool,
    silent: bool,
    late: bool,
    told: bool,
    acknowledged: bool,
}

/// What is true of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    rows: BTreeMap<String, Row>,
    /// Ids in the order in which they are handed out, and whether their time passed while they waited.
    queue: Vec<(String, bool)>,
    tasks: BTreeMap<u8, &'static str>,
}

/// What operations name by number: every claim that there ever was, and every delegation.
#[derive(Clone, Debug, Default)]
struct Known {
    claims: Vec<(String, i64)>,
    names: Vec<String>,
}

impl Known {
    fn claim(&self, n: usize) -> Option<(String, i64)> {
        self.claims.get(n % self.claims.len().max(1)).cloned()
    }

    fn row(&self, n: usize) -> Option<String> {
        self.names.get(n % self.names.len().max(1)).cloned()
    }
}

fn is_final(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "stuck")
}

fn name(task: u8, second: bool) -> String {
    format!("{}{task}", if second { "e" } else { "d" })
}

/// As [`DelegationId::retry`] has it.
fn next_name(id: &str, retry: u8) -> String {
    format!("{}~{}", id.split('~').next().unwrap(), retry + 1)
}

impl Model {
    fn task(&self, task: u8) -> &'static str {
        self.tasks.get(&task).copied().unwrap_or("queued")
    }

    fn move_task(&mut self, task: u8, to: &'static str) {
        if matches!(self.task(task), "queued" | "running") {
            self.tasks.insert(task, to);
        }
    }

    fn open_of(&self, task: u8) -> Vec<String> {
        let open = self
            .rows
            .iter()
            .filter(|(_, row)| row.task == task && !is_final(row.status));
        open.map(|(id, _)| id.clone()).collect()
    }

    fn add(&mut self, id: &str, task: u8, retry: u8, max_retries: u8) {
        let row = Row {
            status: "queued",
            attempt: 0,
            task,
            retry,
            max_retries,
            next: false,
            held: false,
            silent: false,
            late: false,
            told: false,
            acknowledged: false,
        };
        self.rows.insert(id.to_owned(), row);
        self.queue.push((id.to_owned(), false));
    }

    fn end(&mut self, id: &str, status: &'static str) {
        let row = self.rows.get_mut(id).unwrap();
        assert!(!is_final(row.status), "{id} ends twice");
        (row.status, row.held, row.told) = (status, false, true);
        (row.silent, row.late) = (false, false);
    }

    /// Hands out again; whether it did.
    fn again(&mut self, id: &str) -> bool {
        let row = self.rows[id].clone();
        let goes = matches!(row.status, "stuck" | "failed")
            && !row.next
            && !matches!(self.task(row.task), "completed" | "cancelled")
            && self.open_of(row.task).is_empty();
        if goes {
            self.rows.get_mut(id).unwrap().next = true;
            self.add(
                &next_name(id, row.retry),
                row.task,
                row.retry + 1,
                row.max_retries,
            );
            self.tasks.insert(row.task, "queued");
        }
        goes
    }

    fn stuck(&mut self, ids: &BTreeSet<String>, never_again: impl Fn(&Row) -> bool) {
        let before: Vec<(String, Row)> = ids.iter().map(|id| (id.clone(), self.rows[id].clone())).collect();
        for id in ids {
            self.end(id, "stuck");
        }
        for (id, row) in before {
            let goes_on = !never_again(&row) && row.retry < row.max_retries && self.again(&id);
            if !goes_on {
                self.move_task(row.task, "failed");
            }
        }
    }

    fn step(&mut self, op: &Op, known: &Known) -> Seen {
        // Whoever names the current attempt of what is held, as its callee, holds it.
        let holds = |model: &Self, claim: &Option<(String, i64)>, forged: Forged| {
            let (id, attempt) = claim.as_ref()?;
            let held = model.rows.get(id)?;
            (held.held && held.attempt == *attempt && forged == Forged::Not).then(|| id.clone())
        };
        match op {
            Op::Delegate {
                task,
                second,
                max_retries,
            } => {
                let id = name(*task, *second);
                if matches!(self.task(*task), "completed" | "failed" | "cancelled") {
                    return Seen::Delegated("over");
                }
                if self.open_of(*task).iter().any(|open| *open != id) {
                    return Seen::Delegated("delegated");
                }
                if self.rows.contains_key(&id) {
                    return Seen::Delegated("existing");
                }
                self.add(&id, *task, 0, *max_retries);
                if self.task(*task) == "running" {
                    self.tasks.insert(*task, "queued");
                }
                Seen::Delegated("new")
            }
            Op::Claim { most, begin } => {
                let mut claimed = Vec::new();
                loop {
                    let hints: Vec<String> = self
                        .queue
                        .iter()
                        .filter(|(_, passed)| !passed)
                        .take(usize::from(*most))
                        .map(|(id, _)| id.clone())
                        .collect();
                    self.queue.retain(|(id, _)| !hints.contains(id));
                    for id in &hints {
                        let row = self.rows.get_mut(id).unwrap();
                        if row.status != "queued" {
                            continue;
                        }
                        row.status = if *begin { "in_progress" } else { "dispatched" };
                        (row.attempt, row.held) = (row.attempt + 1, true);
                        claimed.push((id.clone(), row.attempt));
                        let task = row.task;
                        if self.task(task) == "queued" {
                            self.tasks.insert(task, "running");
                        }
                    }
                    if !claimed.is_empty() || hints.is_empty() {
                        claimed.sort();
                        return Seen::Claimed(claimed);
                    }
                }
            }
            Op::Beat { claim: n, forged } => {
                let id = holds(self, &known.claim(*n), *forged);
                if let Some(id) = &id {
                    self.rows.get_mut(id).unwrap().silent = false;
                }
                Seen::Is(id.is_some())
            }
            Op::Progress { claim: n, forged } => {
                let id = holds(self, &known.claim(*n), *forged);
                if let Some(id) = &id {
                    let row = self.rows.get_mut(id).unwrap();
                    (row.status, row.silent) = ("in_progress", false);
                }
                Seen::Is(id.is_some())
            }
            Op::Finish {
                claim: n,
                forged,
                completes,
            } => {
                let id = holds(self, &known.claim(*n), *forged);
                if let Some(id) = &id {
                    let end = if *completes { "completed" } else { "failed" };
                    self.end(id, end);
                    self.move_task(self.rows[id].task, end);
                }
                Seen::Is(id.is_some())
            }
            Op::FallSilent { row: n } => {
                if let Some(row) = known.row(*n).and_then(|id| self.rows.get_mut(&id)) {
                    row.silent |= row.held;
                }
                Seen::Nothing
            }
            Op::PassDeadline { row: n } => {
                if let Some(id) = known.row(*n) {
                    let row = self.rows.get_mut(&id).unwrap();
                    row.late |= row.held;
                    for (waiting, passed) in &mut self.queue {
                        *passed |= *waiting == id;
                    }
                }
                Seen::Nothing
            }
            Op::CallOff { row: n } => {
                let open = known.row(*n).filter(|id| !is_final(self.rows[id].status));
                if let Some(id) = &open {
                    self.end(id, "failed");
                    self.move_task(self.rows[id].task, "queued");
                }
                Seen::Is(open.is_some())
            }
            Op::Redelegate { row: n } => Seen::Is(known.row(*n).is_some_and(|id| self.again(&id))),
            Op::CancelTask { task } => {
                for id in self.open_of(*task) {
                    self.end(&id, "failed");
                }
                self.move_task(*task, "cancelled");
                Seen::Nothing
            }
            Op::Sweep => {
                let silent = |row: &Row| row.held && (row.silent || row.late);
                let taken: BTreeSet<String> = self
                    .rows
                    .iter()
                    .filter(|(_, row)| silent(row))
                    .map(|(id, _)| id.clone())
                    .collect();
                self.stuck(&taken, |row| row.late);
                Seen::These(taken)
            }
            Op::SweepWaiting => {
                let passed: Vec<String> = self
                    .queue
                    .iter()
                    .filter(|(_, p)| *p)
                    .map(|(id, _)| id.clone())
                    .collect();
                self.queue.retain(|(_, passed)| !passed);
                let taken = passed
                    .into_iter()
                    .filter(|id| self.rows[id].status == "queued")
                    .collect();
                self.stuck(&taken, |_| true);
                Seen::These(taken)
            }
            Op::Acknowledge => {
                let waiting = self
                    .rows
                    .iter_mut()
                    .filter(|(_, row)| row.told && !row.acknowledged);
                let mut told = BTreeSet::new();
                for (id, row) in waiting {
                    row.acknowledged = true;
                    told.insert(id.clone());
                }
                Seen::These(told)
            }
        }
    }
}

/// The real one.
struct Real {
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
    async fn new() -> Self {
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
            uow.delegations().tell_stuck(one, next.as_ref()).await.unwrap();
        }
        stuck.iter().map(|one| one.id.to_string()).collect()
    }

    async fn step(&self, op: &Op, known: &Known) -> Seen {
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
            Op::Beat { claim: n, forged } => {
                let Some((name, attempt)) = claim(*n, *forged) else {
                    return Seen::Is(false);
                };
                let party = callee(*forged).parse().unwrap();
                let held = self.ledger.beat(Some(&party), &[(id(&name), attempt)]).await;
                Seen::Is(!held.unwrap().is_empty())
            }
            Op::Progress { claim: n, forged } => {
                let Some((name, attempt)) = claim(*n, *forged) else {
                    return Seen::Is(false);
                };
                let told = uow
                    .delegations()
                    .progress(&id(&name), attempt, callee(*forged), Some("x"))
                    .await;
                Seen::Is(told.unwrap())
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
                let ending = Ending {
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
            Op::CallOff { row: n } => {
                let Some(name) = known.row(*n) else {
                    return Seen::Is(false);
                };
                let ended = uow
                    .delegations()
                    .call_off(&[id(&name)], "off", TaskStatus::Queued)
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
                // As the use case does it: again, where somebody delegated the task in between.
                loop {
                    let open = uow.delegations().open_of_task(task_id(*task)).await.unwrap();
                    let ended = uow
                        .delegations()
                        .call_off(&open, "off", TaskStatus::Cancelled)
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
    async fn look(
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
        for (id, status, attempt, held, told, acknowledged, agrees) in rows {
            assert!(agrees, "the tables disagree on {id}");
            seen.insert(id, (status, attempt, held, told, acknowledged));
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

fn agrees(
    model: &Model,
    rows: &BTreeMap<String, (String, i64, bool, bool, bool)>,
    tasks: &BTreeMap<u8, String>,
) -> bool {
    model.rows.len() == rows.len()
        && model.rows.iter().all(|(id, row)| {
            rows.get(id)
                == Some(&(
                    row.status.to_owned(),
                    row.attempt,
                    row.held,
                    row.told,
                    row.acknowledged,
                ))
        })
        && (0..TASKS).all(|task| tasks.get(&task).map(String::as_str) == Some(model.task(task)))
}

fn op() -> impl Strategy<Value = Op> {
    let claim = 0..24_usize;
    let row = 0..24_usize;
    let forged = prop_oneof![
        8 => Just(Forged::Not),
        1 => Just(Forged::Callee),
        1 => Just(Forged::Attempt),
    ];
    prop_oneof![
        5 => (0..TASKS, prop::bool::weighted(0.2), 0..3_u8).prop_map(|(task, second, max_retries)| Op::Delegate { task, second, max_retries }),
        6 => (1..4_u8, any::<bool>()).prop_map(|(most, begin)| Op::Claim { most, begin }),
        2 => (claim.clone(), forged.clone()).prop_map(|(claim, forged)| Op::Beat { claim, forged }),
        2 => (claim.clone(), forged.clone()).prop_map(|(claim, forged)| Op::Progress { claim, forged }),
        4 => (claim, forged, any::<bool>()).prop_map(|(claim, forged, completes)| Op::Finish { claim, forged, completes }),
        4 => row.clone().prop_map(|row| Op::FallSilent { row }),
        2 => row.clone().prop_map(|row| Op::PassDeadline { row }),
        1 => row.clone().prop_map(|row| Op::CallOff { row }),
        2 => row.prop_map(|row| Op::Redelegate { row }),
        1 => (0..TASKS).prop_map(|task| Op::CancelTask { task }),
        5 => Just(Op::Sweep),
        1 => Just(Op::SweepWaiting),
        1 => Just(Op::Acknowledge),
    ]
}

/// One after the other, or two at the same time.
fn steps() -> impl Strategy<Value = Vec<(Op, Option<Op>)>> {
    prop::collection::vec((op(), prop::option::weighted(0.4, op())), 1..40)
}

/// Whether two can be done at the same time so that one of their orders explains it. Two sweeps share what there is, which no order does,
/// and a deadline is set back in two tables at once, which only this test does.
fn can_race(a: &Op, b: &Op) -> bool {
    let sweeps = |op: &Op| matches!(op, Op::Sweep | Op::SweepWaiting);
    let sets_back = |op: &Op| matches!(op, Op::PassDeadline { .. });
    !(sweeps(a) && sweeps(b)) && !sets_back(a) && !sets_back(b)
}

/// What a model may be after two operations at the same time, by what was seen of each.
fn after_both(model: &Model, ops: [&Op; 2], seen: [&Seen; 2], known: &Known) -> Vec<Model> {
    let mut all = Vec::new();
    for (first, second) in [(0, 1), (1, 0)] {
        let mut one = model.clone();
        if one.step(ops[first], known) == *seen[first] && one.step(ops[second], known) == *seen[second] {
            all.push(one);
        }
        // A beat passes over a lease that somebody is about to take away, and says that it is still held, which it is until that commits.
        if matches!(ops[first], Op::Beat { .. }) && model.clone().step(ops[first], known) == *seen[first] {
            let mut one = model.clone();
            if one.step(ops[second], known) == *seen[second] {
                all.push(one);
            }
        }
    }
    all
}

async fn run(steps: &[(Op, Option<Op>)]) -> Result<(), TestCaseError> {
    let real = Real::new().await;
    // Every model that explains what was seen.
    let mut models = vec![Model::default()];
    let mut known = Known::default();
    for (first, second) in steps {
        let second = second.as_ref().filter(|second| can_race(first, second));
        let before = models.clone();
        let seen = match second {
            None => {
                let seen = real.step(first, &known).await;
                models.retain_mut(|model| model.step(first, &known) == seen);
                vec![seen]
            }
            Some(second) => {
                let (a, b) = tokio::join!(real.step(first, &known), real.step(second, &known));
                models = models
                    .iter()
                    .flat_map(|model| after_both(model, [first, second], [&a, &b], &known))
                    .collect();
                vec![a, b]
            }
        };
        let (rows, tasks) = real.look().await;
        models.retain(|model| agrees(model, &rows, &tasks));
        models.dedup();
        prop_assert!(
            !models.is_empty(),
            "nothing explains {seen:?} of {first:?} and {second:?} with {rows:?} and {tasks:?} after {before:?}, known {known:?}"
        );
        for seen in &seen {
            if let Seen::Claimed(new) = seen {
                known.claims.extend(new.iter().cloned());
            }
        }
        known.names = rows.into_keys().collect();
        let distinct: BTreeSet<_> = known.claims.iter().collect();
        prop_assert_eq!(
            distinct.len(),
            known.claims.len(),
            "an attempt was handed out twice"
        );
    }
    Ok(())
}

// proves LED-2, LED-3, LED-5, LED-6, LED-7
#[test]
fn whatever_is_done_and_two_at_a_time_the_ledger_does_what_the_model_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    // The sweep leaves the silent alone until PostgreSQL has been up for as long as they may be silent.
    runtime.block_on(async {
        let database = TestDatabase::new().await.unwrap();
        let up = "select extract(epoch from clock_timestamp() - pg_postmaster_start_time())::float8";
        let up: f64 = sqlx::query_scalar(up).fetch_one(&database.pool).await.unwrap();
        tokio::time::sleep(Duration::try_from_secs_f64(SILENCE.as_secs_f64() - up + 0.5).unwrap_or_default())
            .await;
    });
    let config = Config {
        cases: 40,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&steps(), |steps| runtime.block_on(run(&steps)))
        .unwrap();
}
