//! What is true of the ledger, as a model: one operation at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Forged, Known, Op, Seen, TASKS};

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
    notified: bool,
    acknowledged: bool,
}

/// What is true of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    rows: BTreeMap<String, Row>,
    /// Ids in the order in which they are claimed, and whether their time passed while they waited.
    queue: Vec<(String, bool)>,
    tasks: BTreeMap<u8, &'static str>,
}

fn is_final(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "stuck")
}

pub(crate) fn name(task: u8, second: bool) -> String {
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

    /// The delegations of a task.
    pub(crate) fn rows_of(&self, task: u8) -> Vec<String> {
        let of = self.rows.iter().filter(|(_, row)| row.task == task);
        of.map(|(id, _)| id.clone()).collect()
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
            notified: false,
            acknowledged: false,
        };
        self.rows.insert(id.to_owned(), row);
        self.queue.push((id.to_owned(), false));
    }

    fn end(&mut self, id: &str, status: &'static str) {
        let row = self.rows.get_mut(id).unwrap();
        assert!(!is_final(row.status), "{id} ends twice");
        (row.status, row.held, row.notified) = (status, false, true);
        (row.silent, row.late) = (false, false);
    }

    /// Redelegates; returns whether it did.
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

    /// A sweep that does not look at this one.
    pub(crate) fn sweep_without(&mut self, id: &str) -> Seen {
        let before = self.rows.get(id).map(|row| (row.silent, row.late));
        if let Some(row) = self.rows.get_mut(id) {
            (row.silent, row.late) = (false, false);
        }
        let seen = self.step(&Op::Sweep, &Known::default());
        if let (Some(row), Some((silent, late))) = (self.rows.get_mut(id), before) {
            (row.silent, row.late) = (silent, late);
        }
        seen
    }

    pub(crate) fn step(&mut self, op: &Op, known: &Known) -> Seen {
        // The callee that names the current attempt of a held delegation holds it.
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
            Op::Heartbeat { claim: n, forged } => {
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
            Op::CancelDelegationBody { row: n } => {
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
                    .filter(|(_, row)| row.notified && !row.acknowledged);
                let mut messages = BTreeSet::new();
                for (id, row) in waiting {
                    row.acknowledged = true;
                    messages.insert(id.clone());
                }
                Seen::These(messages)
            }
        }
    }
}

pub(crate) fn agrees(
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
                    row.notified,
                    row.acknowledged,
                ))
        })
        && (0..TASKS).all(|task| tasks.get(&task).map(String::as_str) == Some(model.task(task)))
}
