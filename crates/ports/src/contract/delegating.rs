//! Delegations and claims.

use super::{
    Delegated, DelegationEnd, DelegationId, DelegationStatus, Duration, NewDelegation, Subject, TaskId,
    UnitOfWork, delegated, delegation, join_all, worker,
};
use crate::Claim;
use crate::ledger::Stuck;
use futures::future::join;

fn done(preview: &str) -> DelegationEnd {
    DelegationEnd::Completed {
        result: None,
        preview: preview.into(),
    }
}

/// Inserting is idempotent on the id and on the caller's key, and keys of two callers do not collide (LED-3).
pub async fn delegations_are_inserted_once(subject: &Subject<'_>) {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let first = delegation("d1", None, Some("k"));
    assert_eq!(uow.delegations().create(&first).await.unwrap(), Delegated::New);
    let existing = Delegated::Existing("d1".parse().unwrap());
    assert_eq!(uow.delegations().create(&first).await.unwrap(), existing);
    assert_eq!(
        uow.delegations()
            .create(&delegation("d2", None, Some("k")))
            .await
            .unwrap(),
        existing
    );
    let other = NewDelegation {
        caller: "another".into(),
        ..delegation("d3", None, Some("k"))
    };
    assert_eq!(uow.delegations().create(&other).await.unwrap(), Delegated::New);
    for (caller, most, counted) in [("another", 10, 1), ("another", 0, 0), ("other", 10, 0)] {
        assert_eq!(
            uow.delegations().created_today(caller, most).await.unwrap(),
            counted
        );
    }
    uow.commit(()).await.unwrap().into_inner();
}

/// Without a list a callee takes work from all, with one from those in it; and when a list was set, nothing follows that
/// it does not accept, however many delegate meanwhile (ISO-5).
pub async fn a_callee_says_from_whom_it_takes_work(subject: &Subject<'_>) {
    let (callee, friend, stranger) = ("user:callee", "user:friend", "user:stranger");
    let set = async |callers: Option<&[String]>| {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        uow.callees().set_callers(callee, callers).await.unwrap();
        uow.commit(()).await.unwrap().into_inner();
    };
    let answers = async || {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        let callees = uow.callees();
        (
            callees.accepts(callee, friend).await.unwrap(),
            callees.accepts(callee, stranger).await.unwrap(),
            callees.accepts("user:another", stranger).await.unwrap(),
            callees.callers(callee).await.unwrap().map(|list| list.callers),
        )
    };
    let only = vec![friend.to_owned()];
    assert_eq!(answers().await, (true, true, true, None));
    set(Some([].as_slice())).await;
    assert_eq!(answers().await, (false, false, true, Some(vec![])));
    set(Some(only.as_slice())).await;
    assert_eq!(answers().await, (true, false, true, Some(only.clone())));
    set(None).await;
    assert_eq!(answers().await, (true, true, true, None));

    // Strangers delegate until they are refused.
    let crowd = join_all((0..4).map(|n| async move {
        for number in 0..500 {
            let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
            if !uow.callees().accepts(callee, stranger).await.unwrap() {
                return number;
            }
            let new = NewDelegation {
                caller: stranger.into(),
                callee: callee.into(),
                ..delegation(&format!("s{n}-{number}"), None, None)
            };
            assert_eq!(uow.delegations().create(&new).await.unwrap(), Delegated::New);
            uow.commit(()).await.unwrap().into_inner();
        }
        500
    }));
    let count = async || {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        uow.delegations().created_today(stranger, 5000).await.unwrap()
    };
    let closing = async {
        set(Some(only.as_slice())).await;
        count().await
    };
    let (accepted, seen) = join(crowd, closing).await;
    assert_eq!(
        seen,
        count().await,
        "nothing follows a list that does not accept it"
    );
    assert_eq!(seen, accepted.iter().sum::<u32>());
}

/// Each queued delegation is claimed once, however many workers claim at the same time.
pub async fn a_delegation_is_claimed_once(subject: &Subject<'_>) {
    for n in 0..20 {
        delegated(subject, 100 + n, &format!("d{n}")).await;
    }
    let claims =
        join_all((0..8).map(|n| async move { subject.queue.claim(&worker("w", n), 5).await.unwrap() })).await;
    let mut ids: Vec<DelegationId> = claims
        .into_iter()
        .flatten()
        .map(|claim| claim.delegation)
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

/// A worker that lost its claim can neither send heartbeats nor finish; the task continues under its next delegation
/// (LED-2, LED-5, LED-6).
pub async fn a_lost_claim_writes_nothing(subject: &Subject<'_>) {
    let task = delegated(subject, 7, "d").await;
    let claim = subject.queue.claim(&worker("w", 1), 1).await.unwrap().remove(0);
    let held = [(claim.delegation.clone(), claim.attempt)];
    assert_eq!(subject.queue.heartbeat(&held).await.unwrap().len(), 1);
    let hour = Duration::from_hours(1);

    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(
        uow.delegations()
            .take_stuck(&worker("w", 1), hour, 10)
            .await
            .unwrap()
            .stuck
            .is_empty(),
        "its lease had a heartbeat"
    );
    assert!(
        uow.delegations()
            .take_stuck(&worker("other", 2), hour, 10)
            .await
            .unwrap()
            .stuck
            .is_empty(),
        "it is not another's earlier boot"
    );
    let stuck = uow
        .delegations()
        .take_stuck(&worker("w", 2), hour, 10)
        .await
        .unwrap()
        .stuck;
    assert_eq!(
        stuck
            .iter()
            .map(|s| s.task.as_ref().unwrap().0)
            .collect::<Vec<_>>(),
        [task]
    );
    uow.delegations()
        .create(&NewDelegation {
            retry_count: 1,
            ..delegation("d.1", Some(task), None)
        })
        .await
        .unwrap();
    uow.commit(()).await.unwrap().into_inner();

    assert!(subject.queue.heartbeat(&held).await.unwrap().is_empty());
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(
        !uow.delegations()
            .finish(&claim.delegation, claim.attempt, done("late"))
            .await
            .unwrap()
    );
    assert_eq!(
        uow.delegations()
            .find(&claim.delegation)
            .await
            .unwrap()
            .unwrap()
            .status,
        DelegationStatus::Stuck
    );
    drop(uow);
    subject.queue.refuse_late(&claim, "late").await.unwrap();

    let next = subject.queue.claim(&worker("w", 2), 1).await.unwrap().remove(0);
    assert_eq!((next.task, next.retry_count), (task, 1));
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(
        !uow.delegations()
            .finish(&next.delegation, next.attempt + 1, done("x"))
            .await
            .unwrap()
    );
    assert!(
        uow.delegations()
            .finish(&next.delegation, next.attempt, done("done"))
            .await
            .unwrap()
    );
    assert!(
        !uow.delegations()
            .finish(
                &next.delegation,
                next.attempt,
                DelegationEnd::Failed("twice".into())
            )
            .await
            .unwrap()
    );
    assert_eq!(
        uow.delegations()
            .find(&next.delegation)
            .await
            .unwrap()
            .unwrap()
            .status,
        DelegationStatus::Completed
    );
    uow.commit(()).await.unwrap().into_inner();
}

/// A claim is confirmed while it is held, and after a transaction that ends it has committed it is not (LED-6).
pub async fn a_claim_is_confirmed_while_it_is_held(subject: &Subject<'_>) {
    delegated(subject, 7, "d").await;
    let claim = subject.queue.claim(&worker("w", 1), 1).await.unwrap().remove(0);
    assert!(subject.queue.confirm(&claim).await.unwrap());
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(
        uow.delegations()
            .finish(&claim.delegation, claim.attempt, done("done"))
            .await
            .unwrap()
    );
    // Whether it is held is decided by the commit that is on its way.
    let confirmed = async {
        let begun = std::time::Instant::now();
        (subject.queue.confirm(&claim).await.unwrap(), begun.elapsed())
    };
    let committed = async {
        // So that the confirmation meets the lock.
        for _ in 0..5 {
            subject.store.ping().await.unwrap();
        }
        uow.commit(()).await.unwrap().into_inner();
    };
    let ((held, waited), ()) = futures::future::join(confirmed, committed).await;
    assert!(!held, "it waited {waited:?}");
}

/// A claim whose response was lost is taken back at once, and one that its worker knows is not (LED-5).
pub async fn a_claim_that_its_worker_does_not_know_is_taken_back(subject: &Subject<'_>) {
    let (known, unknown) = (
        delegated(subject, 7, "d1").await,
        delegated(subject, 8, "d2").await,
    );
    let me = worker("w", 1);
    let claims = subject.queue.claim(&me, 2).await.unwrap();
    let held: Vec<(DelegationId, i64)> = claims
        .iter()
        .filter(|claim| claim.task == known)
        .map(|claim| (claim.delegation.clone(), claim.attempt))
        .collect();
    assert_eq!((claims.len(), held.len()), (2, 1));
    assert_eq!(subject.queue.disown(&worker("w", 2), &[]).await.unwrap(), 0);
    assert_eq!(subject.queue.disown(&worker("other", 1), &[]).await.unwrap(), 0);
    assert_eq!(subject.queue.disown(&me, &held).await.unwrap(), 1);
    assert_eq!(subject.queue.disown(&me, &held).await.unwrap(), 0);
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let hour = Duration::from_hours(1);
    let stuck = uow.delegations().take_stuck(&me, hour, 10).await.unwrap().stuck;
    uow.commit(()).await.unwrap().into_inner();
    let taken: Vec<_> = stuck.iter().map(|one| one.task.as_ref().unwrap().0).collect();
    assert_eq!(taken, [unknown]);
    assert!(
        stuck[0].why.contains("did not receive the claim"),
        "{}",
        stuck[0].why
    );
    assert_eq!(subject.queue.heartbeat(&held).await.unwrap().len(), 1);
}

/// The n-th boot of a worker claims the one delegation that is queued.
async fn claimed(subject: &Subject<'_>, boot: u128) -> Claim {
    subject
        .queue
        .claim(&worker("w", boot), 1)
        .await
        .unwrap()
        .remove(0)
}

/// The n-th boot of a worker takes back what the one before it held, and delegates the task again.
async fn taken_back(subject: &Subject<'_>, boot: u128, task: TaskId) -> Stuck {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let hour = Duration::from_hours(1);
    let swept = uow.delegations().take_stuck(&worker("w", boot), hour, 10).await;
    let stuck = swept.unwrap().stuck.remove(0);
    uow.delegations()
        .create(&NewDelegation {
            retry_count: stuck.retry_count + 1,
            ..delegation(&format!("d.{boot}"), Some(task), None)
        })
        .await
        .unwrap();
    uow.commit(()).await.unwrap().into_inner();
    stuck
}

/// The end of a server counts against the work that it had begun. It does not if it stopped in good order, if the work
/// waited to be alone, or if the holder turns out to live (LED-5).
pub async fn the_end_of_a_server_counts_against_its_work(subject: &Subject<'_>) {
    let task = delegated(subject, 7, "d").await;
    assert_eq!(claimed(subject, 1).await.crashes, 0);
    assert_eq!(taken_back(subject, 2, task).await.crashes, 1);

    assert_eq!(claimed(subject, 2).await.crashes, 1);
    assert_eq!(subject.queue.stopped(&worker("w", 1)).await.unwrap(), 0);
    assert_eq!(subject.queue.stopped(&worker("w", 2)).await.unwrap(), 1);
    let stopped = taken_back(subject, 3, task).await;
    assert!(stopped.why.contains("was stopped"), "{}", stopped.why);
    assert_eq!(stopped.crashes, 1);

    assert_eq!(claimed(subject, 3).await.crashes, 1);
    assert_eq!(taken_back(subject, 4, task).await.crashes, 2);

    assert_eq!(claimed(subject, 4).await.crashes, 2);
    assert_eq!(
        taken_back(subject, 5, task).await.crashes,
        2,
        "it waited to be alone"
    );

    let begun = claimed(subject, 5).await;
    assert!(subject.queue.begin(&begun).await.unwrap());
    assert_eq!(taken_back(subject, 6, task).await.crashes, 3);
    assert!(!subject.queue.begin(&begun).await.unwrap());

    let held = [(begun.delegation.clone(), begun.attempt)];
    assert!(subject.queue.heartbeat(&held).await.unwrap().is_empty());
    assert_eq!(claimed(subject, 6).await.crashes, 2, "its holder lived");
}
