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
    /// A use case on these queries.
    pub fn new(identities: Arc<dyn IdentityQueries>) -> Self {
        Self { identities }
    }

    /// At most `most` users after this one, by id; and whether there are more.
    pub async fn users(
        &self,
        _permit: Permit<act::ManageRoles>,
        after: Option<UserId>,
        most: u32,
    ) -> Result<(Vec<UserProfile>, bool), Failure> {
        Ok(page(self.identities.users(after, most + 1).await?, most))
    }

    /// The roles of a user.
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

    /// At most `most` service accounts after this one, by id; and whether there are more.
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

    /// A service account.
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

/// What was asked for, and whether the one more that was fetched is there.
fn page<T>(mut rows: Vec<T>, most: u32) -> (Vec<T>, bool) {
    let more = rows.len() > most as usize;
    rows.truncate(most as usize);
    (rows, more)
}
