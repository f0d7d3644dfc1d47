//! The ledger against a model of it: any sequence of claims, heartbeats, ends, sweeps, re-delegations and returns from the dead, with pairs of
//! them at the same time, does what one of the orders of the model does (LED-2, LED-3, LED-5 to LED-7).
#![cfg(feature = "testing")]
#![expect(
    clippy::disallowed_methods,
    reason = "time passes here by setting it back behind the adapter's back"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

mod real;
mod reference;

use std::collections::BTreeSet;
use std::time::Duration;

use postgres_adapter::testing::TestDatabase;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use real::Real;
use reference::{Model, agrees};

const CALLER: &str = "user:00000000-0000-7000-8000-00000000000a";
const CALLEE: &str = "user:00000000-0000-7000-8000-00000000000b";
const OTHER: &str = "user:00000000-0000-7000-8000-00000000000c";
/// No worker is silent for so long while a case runs, unless the case says so.
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
    Heartbeat {
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
    CancelDelegationBody {
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

/// What the caller of an operation sees.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Delegated(&'static str),
    Claimed(Vec<(String, i64)>),
    Is(bool),
    These(BTreeSet<String>),
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
        2 => (claim.clone(), forged.clone()).prop_map(|(claim, forged)| Op::Heartbeat { claim, forged }),
        2 => (claim.clone(), forged.clone()).prop_map(|(claim, forged)| Op::Progress { claim, forged }),
        4 => (claim, forged, any::<bool>()).prop_map(|(claim, forged, completes)| Op::Finish { claim, forged, completes }),
        4 => row.clone().prop_map(|row| Op::FallSilent { row }),
        2 => row.clone().prop_map(|row| Op::PassDeadline { row }),
        1 => row.clone().prop_map(|row| Op::CancelDelegationBody { row }),
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
    let apart = sets_back(a) || sets_back(b) || (sweeps(a) && sweeps(b));
    !apart
}

/// The delegations whose leases an operation may hold for as long as it lasts.
fn rows_of(op: &Op, model: &Model, known: &Known) -> Vec<String> {
    match op {
        Op::Heartbeat { claim, .. } | Op::Progress { claim, .. } | Op::Finish { claim, .. } => {
            known.claim(*claim).map(|(id, _)| id).into_iter().collect()
        }
        Op::FallSilent { row }
        | Op::PassDeadline { row }
        | Op::CancelDelegationBody { row }
        | Op::Redelegate { row } => known.row(*row).into_iter().collect(),
        Op::CancelTask { task } | Op::Delegate { task, .. } => model.rows_of(*task),
        Op::Claim { .. } | Op::Sweep | Op::SweepWaiting | Op::Acknowledge => Vec::new(),
    }
}

/// What a model may be after two operations at the same time, by what was seen of each.
fn after_both(model: &Model, ops: [&Op; 2], seen: [&Seen; 2], known: &Known) -> Vec<Model> {
    let mut all = Vec::new();
    for (first, second) in [(0, 1), (1, 0)] {
        let mut one = model.clone();
        if one.step(ops[first], known) == *seen[first] && one.step(ops[second], known) == *seen[second] {
            all.push(one);
        }
        // A heartbeat skips a lease that is being revoked, and reports it as held, which it is until that commits.
        if matches!(ops[first], Op::Heartbeat { .. }) && model.clone().step(ops[first], known) == *seen[first]
        {
            let mut one = model.clone();
            if one.step(ops[second], known) == *seen[second] {
                all.push(one);
            }
        }
        // A sweep passes over a lease that another statement just holds, even one that changes nothing; the next one takes it, if it is
        // still late.
        if matches!(ops[first], Op::Sweep) {
            for passed_over in rows_of(ops[second], model, known) {
                let mut one = model.clone();
                let later = one.step(ops[second], known);
                if later == *seen[second] && one.sweep_without(&passed_over) == *seen[first] {
                    all.push(one);
                }
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
        prop_assert_eq!(distinct.len(), known.claims.len(), "an attempt was claimed twice");
    }
    Ok(())
}

// proves LED-2, LED-3, LED-5, LED-6, LED-7
#[test]
fn any_operations_even_two_at_a_time_do_what_the_model_does() {
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
