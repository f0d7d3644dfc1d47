//! `POST /auth/refresh`: a refresh token is single-use. Reuse means that it was stolen, and revokes the session that
//! it belongs to.

use std::sync::Arc;

use auth::{Permit, act};
use domain::identity::SessionError;
use ports::{Committed, Store, UnitOfWork};

use crate::failure::Failure;
use crate::identity::tokens::{TokenMaker, Tokens, hash};
use crate::retry::retried;

/// Refreshes sessions.
pub struct RefreshSession {
    store: Arc<dyn Store>,
    tokens: Arc<TokenMaker>,
}

impl RefreshSession {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>, tokens: Arc<TokenMaker>) -> Self {
        Self { store, tokens }
    }

    /// Returns the next pair of tokens.
    #[tracing::instrument(name = "app.refresh_session", skip_all)]
    pub async fn run(
        &self,
        _permit: Permit<act::SignIn>,
        refresh_token: &str,
    ) -> Result<Committed<Tokens>, Failure> {
        retried!(self.attempt(refresh_token))
    }

    async fn attempt(&self, refresh_token: &str) -> Result<Committed<Tokens>, Failure> {
        let hash = hash(refresh_token);
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let found = uow.sessions().lock_token(hash).await?;
        let found = found.ok_or(SessionError::InvalidRefreshToken)?;
        if found.revoked {
            return Err(SessionError::FamilyRevoked.into());
        }
        if found.used {
            uow.sessions()
                .revoke_family(found.family, "a refresh token was used twice")
                .await?;
            // The one refusal that commits its write (WC-D1).
            let _: Committed<()> = uow.commit(()).await?;
            return Err(SessionError::FamilyRevoked.into());
        }
        if found.expired {
            return Err(SessionError::RefreshTokenExpired.into());
        }
        uow.sessions().use_token(hash).await?;
        let user = uow.identities().lock_user(found.user).await?;
        let user = user.ok_or(auth::AuthError::UnknownUser)?;
        let tokens = self.tokens.issue(&mut *uow, &user, Some(found.family)).await?;
        Ok(uow.commit(tokens).await?)
    }
}
