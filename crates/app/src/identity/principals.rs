//! The database's answers about callers, cached for a few seconds: a cached caller costs no round trip, and every
//! server sees a change after `FRESH` at the latest.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use auth::Role;
use domain::{ServiceAccountId, UserId};
use moka::future::Cache;
use ports::{IdentityQueries, StoreError};
use uuid::Uuid;

/// The TTL of an answer, counted from before the query. The guarantee is that a change is seen within 5 s.
const FRESH: Duration = Duration::from_secs(4);
/// The maximum number of cached callers.
const MOST: u64 = 10_000;

/// A cached answer with the state before its query: a slow database makes it old, not fresh.
#[derive(Clone)]
struct Answer<T> {
    /// When the query began.
    asked: Instant,
    /// How often an entry had been invalidated by then.
    forgotten: u64,
    value: T,
}

/// Roles of users, and states of service accounts and of sign-ins.
pub struct Principals {
    identities: Arc<dyn IdentityQueries>,
    users: Cache<UserId, Answer<Arc<[Role]>>>,
    accounts: Cache<ServiceAccountId, Answer<bool>>,
    sessions: Cache<Uuid, Answer<bool>>,
    /// How often an entry was invalidated: an answer whose query was running meanwhile does not count as fresh.
    forgotten: AtomicU64,
}

impl Principals {
    /// Creates an empty cache over these queries.
    pub fn new(identities: Arc<dyn IdentityQueries>) -> Self {
        Self {
            identities,
            users: Cache::builder().max_capacity(MOST).time_to_live(FRESH).build(),
            forgotten: AtomicU64::new(0),
            accounts: Cache::builder().max_capacity(MOST).time_to_live(FRESH).build(),
            sessions: Cache::builder().max_capacity(MOST).time_to_live(FRESH).build(),
        }
    }

    /// Returns the roles of a user; an unknown user has none (WC-3).
    pub async fn roles(&self, user: UserId) -> Result<Arc<[Role]>, StoreError> {
        let load = || async {
            let profile = self.identities.user(user).await?;
            let roles = profile.map(|p| p.roles).unwrap_or_default();
            // A role that cannot be parsed is ignored.
            Ok(roles.iter().filter_map(|role| role.parse().ok()).collect())
        };
        self.answer(&self.users, user, load).await
    }

    /// Returns whether a service account is enabled, and records that it was seen (AUT-3).
    pub async fn is_enabled(&self, issuer: &str, subject: &str) -> Result<bool, StoreError> {
        let account = ServiceAccountId::of(issuer, subject);
        let load = || self.identities.see_service_account(issuer, subject);
        self.answer(&self.accounts, account, load).await
    }

    /// Returns whether a sign-in was neither ended nor revoked.
    pub async fn is_session_open(&self, session: Uuid) -> Result<bool, StoreError> {
        let load = || self.identities.is_session_open(session);
        self.answer(&self.sessions, session, load).await
    }

    /// Returns the cached answer if it is fresh, else the result of `load`. Coalesces concurrent requests for one key
    /// into one query.
    async fn answer<K, T, F>(
        &self,
        cache: &Cache<K, Answer<T>>,
        key: K,
        load: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        K: Copy + Eq + Hash + Send + Sync + 'static,
        T: Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, StoreError>>,
    {
        let (came, needed) = (Instant::now(), self.forgotten.load(Ordering::SeqCst));
        loop {
            let asking = async {
                let (asked, forgotten) = (Instant::now(), self.forgotten.load(Ordering::SeqCst));
                let value = load().await?;
                Ok::<_, StoreError>(Answer {
                    asked,
                    forgotten,
                    value,
                })
            };
            let answer = cache.try_get_with(key, asking).await.map_err(shared)?;
            // An answer whose query began after this caller arrived is fresh for them, however long it took: so the
            // second round is the last.
            let fresh = answer.asked >= came || answer.asked.elapsed() < FRESH;
            if fresh && answer.forgotten >= needed {
                return Ok(answer.value);
            }
            cache.invalidate(&key).await;
        }
    }

    /// Invalidates the entry of this user, whose roles were changed here.
    pub async fn forget_user(&self, user: UserId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.users.invalidate(&user).await;
    }

    /// Invalidates the entry of this sign-in, which was ended here.
    pub async fn forget_session(&self, session: Uuid) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.sessions.invalidate(&session).await;
    }

    /// Invalidates the entry of this service account, which was changed here.
    pub async fn forget_account(&self, account: ServiceAccountId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.accounts.invalidate(&account).await;
    }
}

/// Copies one failure to each of the requests that waited for it.
fn shared(error: Arc<StoreError>) -> StoreError {
    match *error {
        StoreError::Unavailable(_) => StoreError::Unavailable(Box::new(error)),
        StoreError::Contended(_) => StoreError::Contended(Box::new(error)),
        StoreError::Full { disk, .. } => StoreError::full(disk, error),
        _ => StoreError::Internal(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use ports::identity::{RoleAssignment, ServiceAccountView, UserProfile};

    /// A database that counts its queries.
    struct Counting {
        asked: AtomicUsize,
        role: Mutex<&'static str>,
    }

    impl Counting {
        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    #[async_trait::async_trait]
    impl IdentityQueries for Counting {
        async fn user(&self, id: UserId) -> Result<Option<UserProfile>, StoreError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            let role = *self.role.lock().unwrap();
            if role == "away" {
                return Err(StoreError::Unavailable("away".into()));
            }
            Ok(Some(UserProfile {
                id,
                display_name: String::new(),
                provider: String::new(),
                external_id: String::new(),
                roles: vec![role.to_owned(), "nonsense".to_owned()],
            }))
        }
        async fn see_service_account(&self, _: &str, subject: &str) -> Result<bool, StoreError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Ok(subject != "disabled")
        }
        async fn is_session_open(&self, family: Uuid) -> Result<bool, StoreError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Ok(family.is_nil() && *self.role.lock().unwrap() == "curator")
        }
        async fn roles(&self, _: UserId) -> Result<Option<Vec<RoleAssignment>>, StoreError> {
            Ok(None)
        }
        async fn users(&self, _: Option<UserId>, _: u32) -> Result<Vec<UserProfile>, StoreError> {
            Ok(vec![])
        }
        async fn service_account(
            &self,
            _: ServiceAccountId,
        ) -> Result<Option<ServiceAccountView>, StoreError> {
            Ok(None)
        }
        async fn service_accounts(
            &self,
            _: Option<ServiceAccountId>,
            _: u32,
        ) -> Result<Vec<ServiceAccountView>, StoreError> {
            Ok(vec![])
        }
        async fn ensure_local_admin(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn counting() -> (Arc<Counting>, Principals) {
        let database = Arc::new(Counting {
            asked: AtomicUsize::new(0),
            role: Mutex::new("curator"),
        });
        (Arc::clone(&database), Principals::new(database))
    }

    // proves AUT-1, AUT-3
    #[tokio::test]
    async fn a_warm_caller_costs_no_round_trip_and_many_at_once_cost_one() {
        let (database, principals) = counting();
        let user = UserId::LOCAL_ADMIN;
        for roles in futures::future::join_all((0..50).map(|_| principals.roles(user))).await {
            assert_eq!(*roles.unwrap(), [Role::Curator]);
        }
        assert_eq!(database.asked(), 1);
        for _ in 0..100 {
            principals.roles(user).await.unwrap();
            assert!(principals.is_enabled("i", "s").await.unwrap());
            assert!(!principals.is_enabled("i", "disabled").await.unwrap());
        }
        assert_eq!(database.asked(), 3);
        // What was changed here is queried again.
        *database.role.lock().unwrap() = "admin";
        principals.forget_user(user).await;
        assert_eq!(*principals.roles(user).await.unwrap(), [Role::Admin]);
        principals.forget_account(ServiceAccountId::of("i", "s")).await;
        assert!(principals.is_enabled("i", "s").await.unwrap());
        assert_eq!(database.asked(), 5);
    }

    // proves AUT-1
    #[tokio::test]
    async fn a_sign_in_that_was_ended_here_is_over_at_once() {
        let (database, principals) = counting();
        for _ in 0..10 {
            assert!(principals.is_session_open(Uuid::nil()).await.unwrap());
            assert!(!principals.is_session_open(Uuid::max()).await.unwrap());
        }
        assert_eq!(database.asked(), 2);
        *database.role.lock().unwrap() = "none";
        principals.forget_session(Uuid::nil()).await;
        assert!(!principals.is_session_open(Uuid::nil()).await.unwrap());
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let (database, principals) = counting();
        *database.role.lock().unwrap() = "away";
        let error = principals.roles(UserId::LOCAL_ADMIN).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)));
        *database.role.lock().unwrap() = "public";
        assert_eq!(
            *principals.roles(UserId::LOCAL_ADMIN).await.unwrap(),
            [Role::Public]
        );
    }
}
