//! Tasks, what is granted about them, and the activity log that follows them.

use domain::{Event, TaskId, TaskKind, TaskStatus};

use super::{ADMIN, Actor, NewTask, Subject, UnitOfWork, id, json};
use crate::data::ActivityFilter;
use crate::ledger::{RequestKey, TaskFilter};

fn task(n: u128, key: Option<&str>) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(id(n)),
        kind: "measure".parse::<TaskKind>().unwrap(),
        name: "measure it".into(),
        params: json!({"n": 1}),
        creator: ADMIN,
        request: Some(RequestKey {
            key: key.map(str::to_owned),
            hash: [7; 32],
        }),
    }
}

/// A task is created once per id and per creator's key, and is found by its creator (AUD-1, AUD-5).
pub async fn tasks_are_created_once_and_found_by_their_creator(subject: &Subject<'_>) {
    subject.identities.ensure_local_admin().await.unwrap();
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(uow.tasks().create(&task(80, Some("k"))).await.unwrap());
    assert!(!uow.tasks().create(&task(80, None)).await.unwrap());
    assert!(!uow.tasks().create(&task(81, Some("k"))).await.unwrap());
    assert_eq!(
        uow.tasks().find_request(&ADMIN, "k").await.unwrap(),
        Some((task(80, None).id, [7; 32]))
    );
    assert_eq!(uow.tasks().find_request(&Actor::System, "k").await.unwrap(), None);
    let creator = ADMIN.user().unwrap();
    for (most, counted) in [(10, 1), (1, 1), (0, 0)] {
        assert_eq!(uow.tasks().created_today(creator, most).await.unwrap(), counted);
    }
    uow.commit(()).await.unwrap().into_inner();

    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let locked = uow
        .tasks()
        .lock(task(80, None).id, &ADMIN)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (locked.status, locked.creator, locked.grant),
        (TaskStatus::Queued, ADMIN, None)
    );
    uow.tasks()
        .set_status(task(80, None).id, TaskStatus::Failed, Some("why"))
        .await
        .unwrap();
    uow.commit(()).await.unwrap().into_inner();
    let of = async |creator: Actor| {
        let filter = TaskFilter {
            creator: Some(creator),
            ..TaskFilter::default()
        };
        subject.tasks.tasks(&filter, 10).await.unwrap().items
    };
    let found = of(ADMIN).await;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].status, found[0].status_detail.as_deref()),
        (TaskStatus::Failed, Some("why"))
    );
    assert!(of(Actor::System).await.is_empty());
}

/// The log is read in its order, by subject, from where a page ended (LED-8).
pub async fn the_activity_log_is_read_in_order_from_any_place(subject: &Subject<'_>) {
    let event = |n: u32, about: &str| Event {
        kind: "HookReleased",
        subject: about.to_owned(),
        actor: Actor::System,
        payload: json!({"n": n}),
    };
    for n in 0..4 {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        let about = if n % 2 == 0 { "hook:even" } else { "hook:odd" };
        uow.activity().append(&event(n, about)).await.unwrap();
        uow.commit(()).await.unwrap().into_inner();
    }
    // What is not committed is in no page.
    let mut dropped = UnitOfWork::begin(subject.store).await.unwrap();
    dropped.activity().append(&event(9, "hook:even")).await.unwrap();
    drop(dropped);
    let read = async |filter: ActivityFilter, most: u32| {
        let page = subject.activity.activity(&filter, most).await.unwrap();
        let numbers: Vec<_> = page
            .entries
            .iter()
            .map(|entry| entry.payload["n"].clone())
            .collect();
        (numbers, page)
    };
    let of_hooks = || ActivityFilter {
        kinds: vec!["HookReleased".to_owned()],
        ..ActivityFilter::default()
    };
    // Another transaction of the server may hold the log back for a moment.
    let mut all = read(of_hooks(), 10).await;
    for _ in 0..100 {
        if all.0.len() == 4 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        all = read(of_hooks(), 10).await;
    }
    assert_eq!(all.0, [0, 1, 2, 3]);
    let (first, page) = read(of_hooks(), 2).await;
    assert_eq!(first, [0, 1]);
    let rest = ActivityFilter {
        after: page.next,
        ..of_hooks()
    };
    assert_eq!(read(rest, 10).await.0, [2, 3]);
    let odd = ActivityFilter {
        subject: Some("hook:odd".to_owned()),
        newest_first: true,
        ..of_hooks()
    };
    assert_eq!(read(odd, 10).await.0, [3, 1]);
    let last = all.1.entries.last().unwrap().id;
    assert!(subject.activity.has_entry(last).await.unwrap());
}
