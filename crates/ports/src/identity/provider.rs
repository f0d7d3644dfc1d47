//! Identity providers.

use async_trait::async_trait;

/// Who somebody is at an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalIdentity {
    /// The provider's id of the person, such as an ORCID iD.
    pub external_id: String,
    /// What people call them.
    pub display_name: String,
}

/// Why an identity provider did not say who somebody is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityProviderError {
    /// It refused the code.
    #[error("the identity provider refused the code")]
    Refused,
    /// It could not be reached, or answered what cannot be read.
    #[error("the identity provider cannot be used now: {0}")]
    Unavailable(String),
}

/// Where people sign in, by OAuth 2.0 with PKCE (RFC 6749 4.1, RFC 7636).
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// Its name: the `provider` of its users.
    fn name(&self) -> &str;
    /// Our id there.
    fn client_id(&self) -> &str;
    /// Where to send a browser.
    fn authorization_url(&self, redirect_uri: &str, state: &str, code_challenge: &str) -> String;
    /// Who the person is that came back with this code.
    async fn identify(
        &self,
        code: &str,
        redirect_uri: &str,
        code_verifier: &str,
    ) -> Result<ExternalIdentity, IdentityProviderError>;
}
