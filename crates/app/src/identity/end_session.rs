//! `POST /auth/logout`.

use std::sync::Arc;

use auth::{Permit, act};
use domain::{Actor, Event};
use ports::{Committed, Store, UnitOfWork};
use serde_json::json;
use uuid::Uuid;

use crate::failure::Failure;
use crate::identity::principals::Principals;
use crate::identity::tokens::hash;
use crate::retry::retried;

/// Ends sign-ins.
pub struct EndSession {
    store: Arc<dyn Store>,
    principals: Arc<Principals>,
}

impl EndSession {
    /// Creates the use case over this store and cache.
    pub fn new(store: Arc<dyn Store>, principals: Arc<Principals>) -> Self {
        Self { store, principals }
    }

    /// Revokes every refresh token of the sign-in that this token belongs to, and with them its access tokens: on this
    /// server at once, on others within 5 s. An unknown token revokes nothing and is
    /// not an error.
    #[tracing::instrument(name = "app.end_session", skip_all)]
    pub async fn run(&self, _permit: Permit<act::SignIn>, refresh_token: &str) -> Result<(), Failure> {
        if let Some(family) = retried!(self.attempt(refresh_token))?.into_inner() {
            self.principals.forget_session(family).await;
        }
        Ok(())
    }

    async fn attempt(&self, refresh_token: &str) -> Result<Committed<Option<Uuid>>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let mut ended = None;
        if let Some(found) = uow.sessions().lock_token(hash(refresh_token)).await?
            && !found.revoked
        {
            uow.sessions().revoke_family(found.family, "signed out").await?;
            ended = Some(found.family);
            uow.activity()
                .append(&Event {
                    kind: "UserLoggedOut",
                    subject: format!("user:{}", found.user),
                    actor: Actor::User(found.user),
                    payload: json!({"user_id": found.user.to_string()}),
                })
                .await?;
        }
        Ok(uow.commit(ended).await?)
    }
}
