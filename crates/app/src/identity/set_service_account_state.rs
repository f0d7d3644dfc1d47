//! `POST /admin/service-accounts/{id}/disable` and `.../enable` (AUT-3).

use std::sync::Arc;

use auth::{Permit, act};
use domain::identity::IdentityError;
use domain::{Actor, Event, Reason, ServiceAccountId};
use ports::identity::ServiceAccountView;
use ports::{Committed, Store, UnitOfWork};
use serde_json::json;

use crate::failure::Failure;
use crate::identity::principals::Principals;
use crate::retry::retried;

/// The requested state of a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its tokens are refused.
    Disabled(Reason),
    /// Its tokens are accepted.
    Enabled,
}

/// Disables and enables service accounts.
pub struct SetServiceAccountState {
    store: Arc<dyn Store>,
    principals: Arc<Principals>,
}

impl SetServiceAccountState {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>, principals: Arc<Principals>) -> Self {
        Self { store, principals }
    }

    /// Sets the state. This server sees it at once, every other one within 5 s. Repeating it changes nothing.
    #[tracing::instrument(name = "app.set_service_account_state", skip_all, fields(service_account = %account))]
    pub async fn run(
        &self,
        permit: Permit<act::ManageServiceAccounts>,
        account: ServiceAccountId,
        state: State,
    ) -> Result<Committed<ServiceAccountView>, Failure> {
        let actor = permit.actor();
        let set = retried!(self.attempt(&actor, account, &state))?;
        self.principals.forget_account(account).await;
        Ok(set)
    }

    async fn attempt(
        &self,
        actor: &Actor,
        account: ServiceAccountId,
        state: &State,
    ) -> Result<Committed<ServiceAccountView>, Failure> {
        let (kind, reason) = match state {
            State::Disabled(reason) => ("ServiceAccountDisabled", Some(reason.as_str())),
            State::Enabled => ("ServiceAccountEnabled", None),
        };
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let set = uow
            .identities()
            .set_disabled(account, reason.map(|reason| (actor, reason)))
            .await?;
        let (view, changed) = set.ok_or(IdentityError::UnknownServiceAccount(account))?;
        if changed {
            uow.activity()
                .append(&Event {
                    kind,
                    subject: format!("service_account:{account}"),
                    actor: actor.clone(),
                    payload: json!({"service_account_id": account.to_string(), "issuer": view.issuer, "subject": view.subject, "reason": reason}),
                })
                .await?;
        }
        Ok(uow.commit(view).await?)
    }
}
