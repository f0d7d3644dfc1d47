//! `POST /auth/logout`.

use std::sync::Arc;

use auth::{Permit, act};
use domain::{Actor, Event};
use ports::{Committed, Store, UnitOfWork};
use serde_json::json;

use crate::failure::Failure;
use crate::identity::tokens::hash;
use crate::retry::retried;

/// Ends sign-ins.
pub struct EndSession {
    store: Arc<dyn Store>,
}

impl EndSession {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Revokes every refresh token of the sign-in that this token belongs to. An unknown token revokes nothing and is
    /// not an error.
    #[tracing::instrument(name = "app.end_session", skip_all)]
    pub async fn run(
        &self,
        _permit: Permit<act::SignIn>,
        refresh_token: &str,
    ) -> Result<Committed<()>, Failure> {
        retried!(self.attempt(refresh_token))
    }

    async fn attempt(&self, refresh_token: &str) -> Result<Committed<()>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        if let Some(found) = uow.sessions().lock_token(hash(refresh_token)).await?
            && !found.revoked
        {
            uow.sessions().revoke_family(found.family, "signed out").await?;
            uow.activity()
                .append(&Event {
                    kind: "UserLoggedOut",
                    subject: format!("user:{}", found.user),
                    actor: Actor::User(found.user),
                    payload: json!({"user_id": found.user.to_string()}),
                })
                .await?;
        }
        Ok(uow.commit(()).await?)
    }
}
