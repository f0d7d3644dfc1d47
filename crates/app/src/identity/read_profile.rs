//! `GET /auth/me`.

use std::sync::Arc;

use auth::{AuthError, Permit, Who, act};
use ports::IdentityQueries;
use ports::identity::UserProfile;

use crate::failure::Failure;

/// Reads the caller's own profile.
pub struct ReadProfile {
    identities: Arc<dyn IdentityQueries>,
}

impl ReadProfile {
    /// Creates the use case over these queries.
    pub fn new(identities: Arc<dyn IdentityQueries>) -> Self {
        Self { identities }
    }

    /// Returns the caller's profile.
    #[tracing::instrument(name = "app.read_profile", skip_all)]
    pub async fn run(&self, permit: Permit<act::ReadOwnProfile>) -> Result<UserProfile, Failure> {
        let Who::User { id, .. } = permit.principal().who() else {
            return Err(AuthError::NotAUser.into());
        };
        Ok(self.identities.user(*id).await?.ok_or(AuthError::UnknownUser)?)
    }
}
