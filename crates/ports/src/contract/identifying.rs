//! Users, roles, service accounts, refresh tokens and devices.

use std::time::Duration;

use domain::ServiceAccountId;

use super::{ADMIN, Subject, UnitOfWork, UserId, id};
use crate::identity::{DeviceBounds, UserProfile};

const HOUR: Duration = Duration::from_secs(3600);

/// Signs in a user for the first time.
async fn signed_in(subject: &Subject<'_>) -> UserProfile {
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let user = UserId::from_uuid(id(70));
    let (profile, is_new) = uow.identities().sign_in(user, "p", "e", "Ada").await.unwrap();
    assert!(is_new && profile.id == user && profile.roles.is_empty());
    uow.commit(profile).await.unwrap().into_inner()
}

/// A person is one user, however often they sign in; a role is granted once; a service account keeps who disabled it
/// first (AUT-1, AUT-3).
pub async fn users_roles_and_accounts_are_stored(subject: &Subject<'_>) {
    subject.identities.ensure_local_admin().await.unwrap();
    let user = signed_in(subject).await;
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let again = UserId::from_uuid(id(71));
    let (profile, is_new) = uow.identities().sign_in(again, "p", "e", "Ada L.").await.unwrap();
    assert!(!is_new && profile.id == user.id && profile.display_name == "Ada L.");
    let by = ADMIN.user();
    let given = uow
        .identities()
        .grant_role(id(72), user.id, "curator", by)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (given.user, given.role.as_str(), given.assigned_by),
        (user.id, "curator", by)
    );
    assert_eq!(
        uow.identities()
            .grant_role(id(73), user.id, "curator", by)
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        uow.identities().lock_superadmins().await.unwrap(),
        [UserId::LOCAL_ADMIN]
    );
    let _ = uow.commit(()).await.unwrap();
    assert_eq!(
        subject.identities.roles(user.id).await.unwrap(),
        Some(vec![given])
    );
    assert_eq!(subject.identities.roles(again).await.unwrap(), None);
    let all = subject.identities.users(None, 10).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(
        subject.identities.users(Some(all[0].id), 10).await.unwrap(),
        all[1..]
    );
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert!(uow.identities().revoke_role(user.id, "curator").await.unwrap());
    assert!(!uow.identities().revoke_role(user.id, "curator").await.unwrap());
    let _ = uow.commit(()).await.unwrap();

    assert!(subject.identities.see_service_account("i", "s").await.unwrap());
    let account = ServiceAccountId::of("i", "s");
    let set = |disabled| async move {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        let set = uow.identities().set_disabled(account, disabled).await.unwrap();
        uow.commit(set).await.unwrap().into_inner()
    };
    let (first, changed) = set(Some((&ADMIN, "leaked"))).await.unwrap();
    assert!(changed && first.disabled.as_ref().unwrap().reason.as_deref() == Some("leaked"));
    assert_eq!(
        set(Some((&ADMIN, "again"))).await.unwrap(),
        (first.clone(), false)
    );
    assert!(!subject.identities.see_service_account("i", "s").await.unwrap());
    assert_eq!(
        subject.identities.service_account(account).await.unwrap(),
        Some(first)
    );
    let (enabled, changed) = set(None).await.unwrap();
    assert!(changed && enabled.disabled.is_none());
    assert_eq!(
        subject.identities.service_accounts(None, 10).await.unwrap().len(),
        1
    );
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    let unknown = ServiceAccountId::of("i", "other");
    assert_eq!(uow.identities().set_disabled(unknown, None).await.unwrap(), None);
}

/// A refresh token is found by its hash, marked when it is used, and revoked with its family (WC-1.10).
pub async fn refresh_tokens_are_single_use(subject: &Subject<'_>) {
    let user = signed_in(subject).await.id;
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    uow.sessions().open_family(id(80), user).await.unwrap();
    uow.sessions()
        .store_token([1; 32], id(80), user, HOUR)
        .await
        .unwrap();
    uow.sessions()
        .store_token([2; 32], id(80), user, Duration::ZERO)
        .await
        .unwrap();
    let _ = uow.commit(()).await.unwrap();
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    assert_eq!(uow.sessions().lock_token([9; 32]).await.unwrap(), None);
    let found = uow.sessions().lock_token([1; 32]).await.unwrap().unwrap();
    assert_eq!((found.family, found.user), (id(80), user));
    assert!(!found.used && !found.expired && !found.revoked);
    assert!(uow.sessions().lock_token([2; 32]).await.unwrap().unwrap().expired);
    uow.sessions().use_token([1; 32]).await.unwrap();
    assert!(uow.sessions().lock_token([1; 32]).await.unwrap().unwrap().used);
    assert!(subject.identities.is_session_open(id(80)).await.unwrap());
    uow.sessions().revoke_family(id(80), "x").await.unwrap();
    assert!(uow.sessions().lock_token([2; 32]).await.unwrap().unwrap().revoked);
    let _ = uow.commit(()).await.unwrap();
    assert!(!subject.identities.is_session_open(id(80)).await.unwrap());
    assert!(!subject.identities.is_session_open(id(81)).await.unwrap());
}

/// A device's code is reserved once, the number of pending requests is bounded, and a user approves a pending request
/// (RFC 8628).
pub async fn devices_are_bounded_and_authorized_once(subject: &Subject<'_>) {
    let user = signed_in(subject).await.id;
    let bounds = DeviceBounds {
        per_client: 9,
        total: 2,
    };
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    for (hash, code, stored, why) in [
        (1, "A", true, "the first"),
        (2, "A", false, "the code is taken"),
        (3, "B", true, "the second"),
        (4, "C", false, "two are waiting"),
    ] {
        let asked = uow
            .sessions()
            .store_device([hash; 32], code, [hash; 32], HOUR, bounds);
        assert_eq!(asked.await.unwrap(), stored, "{why}");
    }
    assert_eq!(uow.sessions().lock_user_code("X").await.unwrap(), None);
    let waiting = uow.sessions().lock_user_code("A").await.unwrap().unwrap();
    assert!(waiting.user.is_none() && !waiting.consumed && !waiting.expired);
    uow.sessions().authorize_device("A", user).await.unwrap();
    let let_in = uow.sessions().lock_device([1; 32]).await.unwrap().unwrap();
    assert_eq!(
        (let_in.user, let_in.consumed, let_in.user_code.as_str()),
        (Some(user), false, "A")
    );
    uow.sessions().consume_device([1; 32]).await.unwrap();
    assert!(
        uow.sessions()
            .lock_device([1; 32])
            .await
            .unwrap()
            .unwrap()
            .consumed
    );
    assert_eq!(uow.sessions().lock_device([4; 32]).await.unwrap(), None);
}

/// A client's pending requests beyond its bound make way for its newest, and for none of another client.
pub async fn a_client_has_a_bound_of_pending_devices(subject: &Subject<'_>) {
    let bounds = DeviceBounds {
        per_client: 2,
        total: 100,
    };
    let (crowd, other) = ([7; 32], [8; 32]);
    for (hash, client) in [(1, other), (2, crowd), (3, crowd), (4, crowd), (5, crowd)] {
        let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
        let code = format!("CODE-{hash}");
        let stored = uow
            .sessions()
            .store_device([hash; 32], &code, client, HOUR, bounds)
            .await;
        assert!(stored.unwrap());
        let _ = uow.commit(()).await.unwrap();
    }
    let mut uow = UnitOfWork::begin(subject.store).await.unwrap();
    for (hash, waits) in [(1, true), (2, false), (3, false), (4, true), (5, true)] {
        let found = uow.sessions().lock_device([hash; 32]).await.unwrap();
        assert_eq!(found.is_some(), waits, "{hash}");
    }
}
