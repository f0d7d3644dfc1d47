//! From a token to a principal: the token says who, the database says what they may.

use std::sync::Arc;

use auth::{AuthError, Credential, Principal, Verifier};
use ports::{Clock, IdentityQueries};

use crate::failure::Failure;

/// Makes principals.
pub struct Authenticate {
    verifier: Verifier,
    identities: Arc<dyn IdentityQueries>,
    clock: Arc<dyn Clock>,
}

impl Authenticate {
    /// A use case with these keys.
    pub fn new(verifier: Verifier, identities: Arc<dyn IdentityQueries>, clock: Arc<dyn Clock>) -> Self {
        Self {
            verifier,
            identities,
            clock,
        }
    }

    /// The principal of a request with this bearer token, or with none.
    pub async fn run(&self, token: Option<&str>) -> Result<Principal, Failure> {
        let Some(token) = token else {
            return Ok(Principal::anonymous());
        };
        match self.verifier.verify(token, self.clock.now().unix_timestamp())? {
            Credential::User(user) => {
                let profile = self.identities.user(user.id()).await?;
                // An unknown user has no roles (wire contract 3); a role that does not read is none.
                let roles = profile.map(|p| p.roles).unwrap_or_default();
                Ok(Principal::user(
                    user,
                    roles.iter().filter_map(|role| role.parse().ok()),
                ))
            }
            Credential::Machine(machine) => {
                if self
                    .identities
                    .see_service_account(machine.issuer(), machine.subject())
                    .await?
                {
                    Ok(Principal::service_account(machine))
                } else {
                    Err(AuthError::Disabled.into())
                }
            }
        }
    }
}
