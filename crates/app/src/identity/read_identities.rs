//! Reading users, roles and service accounts, for superadmins.

use std::sync::Arc;

use auth::{Permit, act};
use domain::identity::IdentityError;
use domain::{ServiceAccountId, UserId};
use ports::IdentityQueries;
use ports::identity::{RoleAssignment, ServiceAccountView, UserProfile};

use crate::failure::Failure;

/// Reads identities.
pub struct ReadIdentities {
    identities: Arc<dyn IdentityQueries>,
}

impl ReadIdentities {
    /// Creates the use case over these queries.
    pub fn new(identities: Arc<dyn IdentityQueries>) -> Self {
        Self { identities }
    }

    /// Returns at most `most` users after this one, ordered by id, and whether there are more.
    #[tracing::instrument(name = "app.read_identities.users", skip_all)]
    pub async fn users(
        &self,
        _permit: Permit<act::ManageRoles>,
        after: Option<UserId>,
        most: u32,
    ) -> Result<(Vec<UserProfile>, bool), Failure> {
        Ok(page(self.identities.users(after, most + 1).await?, most))
    }

    /// Returns the roles of a user.
    #[tracing::instrument(name = "app.read_identities.roles", skip_all, fields(user = %user))]
    pub async fn roles(
        &self,
        _permit: Permit<act::ManageRoles>,
        user: UserId,
    ) -> Result<Vec<RoleAssignment>, Failure> {
        Ok(self
            .identities
            .roles(user)
            .await?
            .ok_or(IdentityError::UnknownUser(user))?)
    }

    /// Returns at most `most` service accounts after this one, ordered by id, and whether there are more.
    #[tracing::instrument(name = "app.read_identities.service_accounts", skip_all)]
    pub async fn service_accounts(
        &self,
        _permit: Permit<act::ManageServiceAccounts>,
        after: Option<ServiceAccountId>,
        most: u32,
    ) -> Result<(Vec<ServiceAccountView>, bool), Failure> {
        Ok(page(
            self.identities.service_accounts(after, most + 1).await?,
            most,
        ))
    }

    /// Returns a service account.
    #[tracing::instrument(name = "app.read_identities.service_account", skip_all, fields(service_account = %id))]
    pub async fn service_account(
        &self,
        _permit: Permit<act::ManageServiceAccounts>,
        id: ServiceAccountId,
    ) -> Result<ServiceAccountView, Failure> {
        Ok(self
            .identities
            .service_account(id)
            .await?
            .ok_or(IdentityError::UnknownServiceAccount(id))?)
    }
}

/// Splits off the extra row that was fetched. Returns the requested rows, and whether there are more.
fn page<T>(mut rows: Vec<T>, most: u32) -> (Vec<T>, bool) {
    let more = rows.len() > most as usize;
    rows.truncate(most as usize);
    (rows, more)
}
