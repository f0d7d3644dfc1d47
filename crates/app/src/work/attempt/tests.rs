use std::sync::Mutex;
use std::time::Instant;

use async_trait::async_trait;
use domain::{DelegationId, TaskId, TaskKind};
use ports::{Disk, StoreError, Tx, WorkerIdentity};
use serde_json::json;
use uuid::Uuid;

use super::*;

/// A queue that answers confirmations from a script, the last answer for ever; and a store that is never there.
struct Scripted {
    confirmations: Mutex<Vec<Result<bool, ()>>>,
    opened: Mutex<u32>,
}

impl Scripted {
    fn new(confirmations: &[Result<bool, ()>]) -> Self {
        Self {
            confirmations: Mutex::new(confirmations.iter().rev().copied().collect()),
            opened: Mutex::new(0),
        }
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("away".into())
}

#[async_trait]
impl WorkQueue for Scripted {
    async fn claim(&self, _: &WorkerIdentity, _: u32) -> Result<Vec<Claim>, StoreError> {
        Err(away())
    }
    async fn heartbeat(&self, _: &[(DelegationId, i64)]) -> Result<Vec<DelegationId>, StoreError> {
        Err(away())
    }
    async fn confirm(&self, _: &Claim) -> Result<bool, StoreError> {
        let mut left = self.confirmations.lock().unwrap();
        let next = if left.len() > 1 {
            left.pop()
        } else {
            left.last().copied()
        };
        next.unwrap().map_err(|()| away())
    }
    async fn begin(&self, _: &Claim) -> Result<bool, StoreError> {
        Err(away())
    }
    async fn stopped(&self, _: &WorkerIdentity) -> Result<u64, StoreError> {
        Err(away())
    }
    async fn disown(&self, _: &WorkerIdentity, _: &[(DelegationId, i64)]) -> Result<u64, StoreError> {
        Err(away())
    }
    async fn refuse_late(&self, _: &Claim, _: &str) -> Result<(), StoreError> {
        Err(away())
    }
    async fn wait(&self, _: Duration) {}
    fn notify(&self) {}
    async fn wait_cancelled(&self, most: Duration) {
        tokio::time::sleep(most).await;
    }
    fn notify_cancelled(&self) {}
}

#[async_trait]
impl Store for Scripted {
    async fn open(&self) -> Result<Box<dyn Tx>, StoreError> {
        *self.opened.lock().unwrap() += 1;
        Err(StoreError::Internal("no transaction here".into()))
    }
    async fn ping(&self) -> Result<(), StoreError> {
        Err(away())
    }
    async fn room(&self) -> Result<(), StoreError> {
        Err(away())
    }
}

fn claim() -> Claim {
    Claim {
        delegation: "d".parse().unwrap(),
        attempt: 1,
        task: TaskId::from_uuid(Uuid::nil()),
        kind: TaskKind::ingest_batch(),
        params: json!({}),
        retry_count: 0,
        crashes: 0,
        worker: WorkerIdentity {
            name: "w".to_owned(),
            boot: Uuid::nil(),
        },
    }
}

/// Runs an attempt whose n-th work ends as `work` says; returns its end, and how often it worked.
async fn run(scripted: &Scripted, work: impl Fn(u32) -> Result<WorkEnd, Failure>) -> (WorkEnd, u32) {
    let (claim, mut count) = (claim(), 0);
    let metrics = Metrics::new(1, Duration::ZERO, || [("stderr", 0), ("stdout", 0)]);
    let attempt = Attempt {
        store: scripted,
        queue: scripted,
        metrics: &metrics,
        claim: &claim,
    };
    let end = attempt
        .run(|| {
            count += 1;
            std::future::ready(work(count))
        })
        .await;
    (end, count)
}

#[tokio::test]
async fn work_is_repeated_as_soon_as_the_store_answers_while_the_claim_is_held() {
    let scripted = Scripted::new(&[Err(()), Err(()), Ok(true)]);
    let begun = Instant::now();
    let ended = run(&scripted, |n| match n {
        1 => Err(away().into()),
        2 => Err(StoreError::full(Disk::Database, "no space left").into()),
        _ => Ok(WorkEnd::Done),
    });
    assert_eq!(ended.await, (WorkEnd::Done, 3));
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(3)..Duration::from_secs(6)).contains(&took),
        "0.2 s and 0.4 s and 0.8 s, then 1.6 s: {took:?}"
    );
    assert_eq!(*scripted.opened.lock().unwrap(), 0, "nothing is let go");
}

#[tokio::test]
async fn nothing_is_repeated_once_the_claim_is_gone() {
    // Its end may be stored: the response of the commit was lost.
    let scripted = Scripted::new(&[Ok(false)]);
    let ended = run(&scripted, |_| Err(away().into())).await;
    assert_eq!(ended, (WorkEnd::Lost, 1));
}

#[tokio::test]
async fn a_defect_and_a_panic_let_the_claim_go_at_once() {
    for panics in [false, true] {
        let scripted = Scripted::new(&[Ok(true)]);
        let ended = run(&scripted, |_| {
            assert!(!panics, "a defect of the work");
            Err(StoreError::Internal("a defect".into()).into())
        });
        assert_eq!(ended.await, (WorkEnd::Failed, 1));
        assert_eq!(
            *scripted.opened.lock().unwrap(),
            1,
            "the transaction that lets it go"
        );
    }
}
