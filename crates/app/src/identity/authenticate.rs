//! From a token to a principal: the token says who it is, the database says what they may do.

use std::sync::Arc;

use auth::{AuthError, Credential, Principal, Verifier};
use ports::Clock;

use crate::failure::Failure;
use crate::identity::issuer_keys::IssuerKeys;
use crate::identity::principals::Principals;

/// Authenticates requests.
pub struct Authenticate {
    verifier: Verifier,
    keys: Vec<Arc<IssuerKeys>>,
    principals: Arc<Principals>,
    clock: Arc<dyn Clock>,
}

impl Authenticate {
    /// Creates the use case with these keys; `keys` are the issuers of the verifier whose keys can be refreshed.
    pub fn new(
        verifier: Verifier,
        keys: Vec<Arc<IssuerKeys>>,
        principals: Arc<Principals>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            verifier,
            keys,
            principals,
            clock,
        }
    }

    /// Returns the principal of a request with this bearer token, or without one.
    pub async fn run(&self, token: Option<&str>) -> Result<Principal, Failure> {
        let Some(token) = token else {
            return Ok(Principal::anonymous());
        };
        match self.verify(token).await? {
            Credential::User(user) => {
                // A token ends with its sign-in, not only with its own lifetime.
                if let Some(session) = user.session()
                    && !self.principals.is_session_open(session).await?
                {
                    return Err(AuthError::InvalidToken("the session has ended").into());
                }
                let roles = self.principals.roles(user.id()).await?;
                Ok(Principal::user(user, roles.iter().copied()))
            }
            Credential::Machine(machine) => {
                let enabled = self
                    .principals
                    .is_enabled(machine.issuer(), machine.subject())
                    .await?;
                if enabled {
                    Ok(Principal::service_account(machine))
                } else {
                    Err(AuthError::Disabled.into())
                }
            }
        }
    }

    async fn verify(&self, token: &str) -> Result<Credential, AuthError> {
        let now = self.clock.now().unix_timestamp();
        let refusal = match self.verifier.verify(token, now) {
            Ok(credential) => return Ok(credential),
            Err(refusal) => refusal,
        };
        let issuer = self
            .keys
            .iter()
            .find(|keys| refusal.unknown_key_of.as_deref() == Some(keys.issuer()));
        match issuer {
            Some(keys) if keys.refresh().await => {
                self.verifier.verify(token, now).map_err(|again| again.error)
            }
            _ => Err(refusal.error),
        }
    }
}
