//! What the database says of callers, kept for a few seconds: a warm caller costs no round trip, and no change takes longer than
//! [`FRESH`] to be seen by every server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::Role;
use domain::{ServiceAccountId, UserId};
use moka::future::Cache;
use ports::{IdentityQueries, StoreError};

/// How long an answer of the database is good for, from before it was asked. A change is promised to be seen within 5 s.
const FRESH: Duration = Duration::from_secs(4);
/// The most callers that are remembered.
const MOST: u64 = 10_000;

/// An answer, with the time before it was asked for: a slow database makes it old, not young.
type Answer<T> = (Instant, T);

/// Roles of users and states of service accounts.
pub struct Principals {
    identities: Arc<dyn IdentityQueries>,
    users: Cache<UserId, Answer<Arc<[Role]>>>,
    accounts: Cache<ServiceAccountId, Answer<bool>>,
}

impl Principals {
    /// An empty memory over these queries.
    pub fn new(identities: Arc<dyn IdentityQueries>) -> Self {
        Self {
            identities,
            users: Cache::builder().max_capacity(MOST).time_to_live(FRESH).build(),
            accounts: Cache::builder().max_capacity(MOST).time_to_live(FRESH).build(),
        }
    }

    /// The roles of a user; an unknown user has none (wire contract 3).
    pub async fn roles(&self, user: UserId) -> Result<Arc<[Role]>, StoreError> {
        loop {
            let load = async {
                let asked = Instant::now();
                let profile = self.identities.user(user).await?;
                let roles = profile.map(|p| p.roles).unwrap_or_default();
                // A role that does not read is none.
                let roles = roles.iter().filter_map(|role| role.parse().ok()).collect();
                Ok::<_, StoreError>((asked, roles))
            };
            // Many requests of one caller at once ask the database once.
            let (asked, roles) = self.users.try_get_with(user, load).await.map_err(shared)?;
            if asked.elapsed() < FRESH {
                return Ok(roles);
            }
            self.users.invalidate(&user).await;
        }
    }

    /// Whether a service account is enabled; writes down that it was seen (AUT-3).
    pub async fn is_enabled(&self, issuer: &str, subject: &str) -> Result<bool, StoreError> {
        let account = ServiceAccountId::of(issuer, subject);
        loop {
            let load = async {
                let asked = Instant::now();
                let enabled = self.identities.see_service_account(issuer, subject).await?;
                Ok::<_, StoreError>((asked, enabled))
            };
            let (asked, enabled) = self.accounts.try_get_with(account, load).await.map_err(shared)?;
            if asked.elapsed() < FRESH {
                return Ok(enabled);
            }
            self.accounts.invalidate(&account).await;
        }
    }

    /// Asks again for this user: their roles were changed here.
    pub async fn forget_user(&self, user: UserId) {
        self.users.invalidate(&user).await;
    }

    /// Asks again for this service account: it was changed here.
    pub async fn forget_account(&self, account: ServiceAccountId) {
        self.accounts.invalidate(&account).await;
    }
}

/// One failure that several requests waited for, as the failure of each.
fn shared(error: Arc<StoreError>) -> StoreError {
    match *error {
        StoreError::Unavailable(_) => StoreError::Unavailable(Box::new(error)),
        StoreError::Contended(_) => StoreError::Contended(Box::new(error)),
        _ => StoreError::Internal(Box::new(error)),
    }
}
