//! `POST /auth/device/token`: an approved device fetches its tokens, once (RFC 8628 3.4).

use std::sync::Arc;

use auth::{AuthError, Permit, act};
use domain::identity::SessionError;
use ports::{Committed, Store, UnitOfWork};

use crate::failure::Failure;
use crate::identity::tokens::{TokenMaker, Tokens, hash};
use crate::retry::retried;

/// Issues tokens to devices.
pub struct FetchDeviceTokens {
    store: Arc<dyn Store>,
    tokens: Arc<TokenMaker>,
}

impl FetchDeviceTokens {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>, tokens: Arc<TokenMaker>) -> Self {
        Self { store, tokens }
    }

    /// Returns the tokens of the user who approved the device.
    #[tracing::instrument(name = "app.fetch_device_tokens", skip_all)]
    pub async fn run(
        &self,
        _permit: Permit<act::SignIn>,
        device_code: &str,
        grant_type: &str,
    ) -> Result<Committed<Tokens>, Failure> {
        if grant_type != "urn:ietf:params:oauth:grant-type:device_code" {
            return Err(SessionError::UnsupportedGrantType.into());
        }
        retried!(self.attempt(device_code))
    }

    async fn attempt(&self, device_code: &str) -> Result<Committed<Tokens>, Failure> {
        let hash = hash(device_code);
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let request = uow.sessions().lock_device(hash).await?;
        let request = request.ok_or(SessionError::DeviceNotFound)?;
        if request.consumed {
            return Err(SessionError::DeviceConsumed.into());
        }
        if request.expired {
            return Err(SessionError::DeviceExpired.into());
        }
        let user = request.user.ok_or(SessionError::AuthorizationPending)?;
        uow.sessions().consume_device(hash).await?;
        let user = uow.identities().lock_user(user).await?;
        let user = user.ok_or(AuthError::UnknownUser)?;
        let tokens = self.tokens.issue(&mut *uow, &user, None).await?;
        Ok(uow.commit(tokens).await?)
    }
}
