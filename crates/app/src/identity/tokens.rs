//! The pair of tokens of a signed-in user, and how they are created.

use std::sync::Arc;
use std::time::Duration;

use auth::{Minter, TokenIds};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ports::identity::UserProfile;
use ports::{Clock, Ids, Randomness, Repos};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::failure::Failure;

/// The tokens of a user.
#[derive(Clone)]
pub struct Tokens {
    /// A JWT, for requests.
    pub access_token: String,
    /// An opaque, single-use token for the next pair.
    pub refresh_token: String,
    /// The lifetime of the access token, in seconds.
    pub expires_in: u64,
}

/// The lifetimes of tokens.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of access tokens.
    pub access: Duration,
    /// Of refresh tokens.
    pub refresh: Duration,
}

/// Creates tokens.
pub struct TokenMaker {
    /// Signs access tokens.
    pub minter: Minter,
    /// Generates secrets.
    pub randomness: Arc<dyn Randomness>,
    /// Generates ids.
    pub ids: Arc<dyn Ids>,
    /// The local clock.
    pub clock: Arc<dyn Clock>,
    /// The lifetimes of tokens.
    pub lifetimes: Lifetimes,
}

impl TokenMaker {
    /// Issues a pair for a user, of a new or an existing family.
    pub(crate) async fn issue(
        &self,
        repos: &mut dyn Repos,
        user: &UserProfile,
        family: Option<Uuid>,
    ) -> Result<Tokens, Failure> {
        let family = match family {
            Some(family) => family,
            None => {
                let family = self.ids.new_id();
                repos.sessions().open_family(family, user.id).await?;
                family
            }
        };
        let refresh_token = self.secret();
        repos
            .sessions()
            .store_token(hash(&refresh_token), family, user.id, self.lifetimes.refresh)
            .await?;
        let seconds = self.lifetimes.access.as_secs();
        let access_token = self.minter.user_token(
            user.id,
            &user.provider,
            &user.external_id,
            TokenIds {
                jti: self.ids.new_id(),
                session: Some(family),
            },
            self.clock.now().unix_timestamp(),
            i64::try_from(seconds).unwrap_or(i64::MAX),
        );
        Ok(Tokens {
            access_token,
            refresh_token,
            expires_in: seconds,
        })
    }

    /// Returns 32 random bytes as base64url.
    pub(crate) fn secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.randomness.bytes())
    }
}

/// Returns the hash of a secret, which is what the database stores.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
