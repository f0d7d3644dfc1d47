//! Units of work, hooks and releases.

use super::{
    ADMIN, Actor, Reason, ReleaseId, ReleaseVersion, StoreError, Subject, UnitOfWork, UserId, contract,
    deployed, hook, id, join_all, release, released,
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
