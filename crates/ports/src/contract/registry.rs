//! Units of work, hooks and releases.

use super::{
    ADMIN, Actor, Reason, ReleaseId, ReleaseVersion, StoreError, Subject, UnitOfWork, UserId, contract,
    delegated, deployed, hook, id, join_all, plan, release, released,
};

/// Work that is dropped without a commit leaves nothing, tables included (DEP-1).
pub async fn dropped_work_leaves_nothing(subject: &Subject<'_>) {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.hooks().register(&hook(), &contract(), None).await.unwrap();
    uow.features().create_table(&hook(), &contract()).await.unwrap();
    drop(uow);
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert_eq!(uow.hooks().lock(&hook(), None).await.unwrap(), None);
}

/// After a statement failed, a unit of work cannot commit.
pub async fn a_failed_statement_forbids_commit(subject: &Subject<'_>) {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.hooks().register(&hook(), &contract(), None).await.unwrap();
    // No user has this id.
    let stranger = Actor::User(UserId::from_uuid(id(99)));
    uow.hooks()
        .insert_live(
            ReleaseId::from_uuid(id(1)),
            &hook(),
            ReleaseVersion::FIRST,
            &release('a', "1g"),
            &stranger,
            &released(),
        )
        .await
        .unwrap_err();
    assert!(matches!(uow.commit(()).await, Err(StoreError::Poisoned)));
}

/// A release reads back as it was written, is found by its content, and only by that (REG-3).
pub async fn releases_are_found_by_content(subject: &Subject<'_>) {
    deployed(subject).await;
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let key = |memory| Some(release('a', memory).content.key());
    let other = uow.hooks().lock(&hook(), key("2g")).await.unwrap().unwrap();
    assert_eq!((other.last, other.same), (Some(ReleaseVersion::FIRST), None));
    let locked = uow.hooks().lock(&hook(), key("1024m")).await.unwrap().unwrap();
    assert_eq!(
        (locked.contract, locked.last, locked.same),
        (
            contract(),
            Some(ReleaseVersion::FIRST),
            Some(ReleaseVersion::FIRST)
        )
    );
    assert_eq!(
        locked.live,
        Some((ReleaseId::from_uuid(id(1)), ReleaseVersion::FIRST))
    );
    let found = uow
        .hooks()
        .find_version(&hook(), ReleaseVersion::FIRST)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.release, found.built_by), (release('a', "1g"), ADMIN));
    assert!(
        uow.hooks()
            .find_version(&hook(), ReleaseVersion::new(2).unwrap())
            .await
            .unwrap()
            .is_none()
    );
}

/// Writers of one hook number its releases without gaps, even if they run concurrently and some give up (REG-2).
pub async fn versions_have_no_gaps_under_concurrency(subject: &Subject<'_>) {
    deployed(subject).await;
    let submit = |n: u32| async move {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        let locked = uow.hooks().lock(&hook(), None).await.unwrap().unwrap();
        let next = ReleaseVersion::new(locked.last.unwrap().get() + 1).unwrap();
        let memory = format!("{}m", 100 + n);
        let made = uow
            .hooks()
            .insert_live(
                ReleaseId::from_uuid(id(1000 + u128::from(n))),
                &hook(),
                next,
                &release('b', &memory),
                &ADMIN,
                &released(),
            )
            .await
            .unwrap();
        assert_eq!(made.version, next);
        if n.is_multiple_of(3) {
            return None;
        }
        Some(uow.commit(next.get()).await.unwrap().into_inner())
    };
    let mut versions: Vec<u32> = join_all((0..24).map(submit))
        .await
        .into_iter()
        .flatten()
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=17).collect::<Vec<_>>());
}

/// Every move of a pointer is numbered and stored; a yank is read with its release until it is revoked (REG-4,
/// REG-6).
pub async fn moves_and_yanks_are_stored(subject: &Subject<'_>) {
    deployed(subject).await;
    let reason: Reason = "because".parse().unwrap();
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let first = uow
        .hooks()
        .find_version(&hook(), ReleaseVersion::FIRST)
        .await
        .unwrap()
        .unwrap();
    let second = uow
        .hooks()
        .insert_live(
            ReleaseId::from_uuid(id(2)),
            &hook(),
            ReleaseVersion::new(2).unwrap(),
            &release('b', "1g"),
            &ADMIN,
            &released(),
        )
        .await
        .unwrap();
    uow.hooks()
        .move_live(&hook(), first.id, &ADMIN, None)
        .await
        .unwrap();
    uow.hooks()
        .move_live(&hook(), second.id, &ADMIN, Some(&reason))
        .await
        .unwrap();
    let yank = uow
        .hooks()
        .yank(&hook(), first.id, &ADMIN, &reason)
        .await
        .unwrap();
    let again = uow
        .hooks()
        .find_version(&hook(), first.version)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again.yanked.as_ref(), Some(&yank));
    let _ = uow.commit(()).await.unwrap();

    let registry = subject.registry;
    let moves = registry.live_moves(&hook(), None, 10).await.unwrap();
    let found: Vec<_> = moves
        .iter()
        .map(|m| {
            (
                m.number,
                m.from.map(ReleaseVersion::get),
                m.to.get(),
                m.reason.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (4, Some(1), 2, Some("because")),
            (3, Some(2), 1, None),
            (2, Some(1), 2, None),
            (1, None, 1, None)
        ]
    );
    assert!(moves.is_sorted_by(|a, b| a.at >= b.at) && moves[0].by == ADMIN);
    assert_eq!(
        registry.live_moves(&hook(), Some(4), 10).await.unwrap(),
        moves[1..]
    );
    let (_, then) = registry.live_at(&hook(), Some(moves[3].at)).await.unwrap();
    assert_eq!(then.unwrap().0.to, ReleaseVersion::FIRST);
    let before = moves[3].at - time::Duration::microseconds(1);
    assert_eq!(registry.live_at(&hook(), Some(before)).await.unwrap().1, None);
    let (read, live) = registry.release(&hook(), first.version).await.unwrap().unwrap();
    assert_eq!((read.yanked, live), (Some(yank), false));

    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.hooks().unyank(&hook(), first.id, &ADMIN, None).await.unwrap();
    let _ = uow.commit(()).await.unwrap();
    let (read, _) = registry.release(&hook(), first.version).await.unwrap().unwrap();
    assert_eq!(read.yanked, None);
}

/// Locations are numbered in the order of their writers, even if these are concurrent and some give up. Every read of
/// the release has all of them and uses the newest, also through a pin that was made before (REG-8).
pub async fn a_release_is_used_from_its_newest_location(subject: &Subject<'_>) {
    deployed(subject).await;
    let (first, registry) = (ReleaseId::from_uuid(id(1)), subject.registry);
    let task = delegated(subject, 7, "unit").await;
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.runs()
        .pin_live(task, &plan().slug, &plan().schema.reference)
        .await
        .unwrap();
    let _ = uow.commit(()).await.unwrap();
    // Read before, so that what is remembered of it is old afterwards.
    let (before, _) = registry
        .release(&hook(), ReleaseVersion::FIRST)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (before.locations.number(), before.release.image.as_str()),
        (1, "file:/x")
    );
    assert_eq!(
        (&before.locations.in_use().by, before.locations.in_use().at),
        (&ADMIN, before.built_at)
    );

    let key = release('a', "1g").content.key();
    let locate = |n: u32| async move {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        let locked = uow.hooks().lock(&hook(), Some(key)).await.unwrap().unwrap();
        assert_eq!(locked.same, Some(ReleaseVersion::FIRST));
        let image = format!("file:/moved/{n}");
        let stored = uow
            .hooks()
            .add_location(&hook(), first, &image, &ADMIN)
            .await
            .unwrap();
        assert_eq!((stored.image.as_str(), &stored.by), (image.as_str(), &ADMIN));
        let read = uow
            .hooks()
            .find_version(&hook(), ReleaseVersion::FIRST)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((read.locations.in_use(), &read.release.image), (&stored, &image));
        if n.is_multiple_of(3) {
            return None;
        }
        let number = read.locations.number();
        Some((uow.commit(number).await.unwrap().into_inner(), image))
    };
    let mut kept: Vec<(u32, String)> = join_all((0..9).map(locate)).await.into_iter().flatten().collect();
    kept.sort();
    let numbers: Vec<u32> = kept.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (2..=7).collect::<Vec<_>>());

    let (after, live) = registry
        .release(&hook(), ReleaseVersion::FIRST)
        .await
        .unwrap()
        .unwrap();
    let all: Vec<&str> = after.locations.all().map(|l| l.image.as_str()).collect();
    let expected: Vec<&str> = std::iter::once("file:/x")
        .chain(kept.iter().map(|(_, image)| image.as_str()))
        .collect();
    assert_eq!((all, live), (expected, true));
    assert_eq!(after.release.image, kept[5].1);
    assert_eq!(
        (&after.release.content, after.built_at),
        (&before.release.content, before.built_at)
    );
    let times: Vec<_> = after.locations.all().map(|l| l.at).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(
        registry.releases(&hook()).await.unwrap(),
        std::slice::from_ref(&after)
    );

    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let pins = uow.runs().pins(task).await.unwrap();
    assert_eq!(
        pins[0].release, after,
        "what is pinned is the release, not its location"
    );
}
