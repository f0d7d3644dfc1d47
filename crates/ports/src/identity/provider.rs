//! Identity providers.

use async_trait::async_trait;

/// A person's identity at an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalIdentity {
    /// The provider's id of the person, such as an ORCID iD.
    pub external_id: String,
    /// The person's display name.
    pub display_name: String,
}

/// Why an identity provider did not identify a person.
#[derive(Debug, thiserror::Error)]
pub enum IdentityProviderError {
    /// It rejected the code.
    #[error("the identity provider rejected the code")]
    Refused,
    /// It could not be reached, or its response is invalid.
    #[error("the identity provider is unavailable: {0}")]
    Unavailable(String),
}

/// Where people sign in, by OAuth 2.0 with PKCE (RFC 6749 4.1, RFC 7636).
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// Returns its name: the `provider` of its users.
    fn name(&self) -> &str;
    /// Returns the node's client id at the provider.
    fn client_id(&self) -> &str;
    /// Returns the URL to which a browser is sent.
    fn authorization_url(&self, redirect_uri: &str, state: &str, code_challenge: &str) -> String;
    /// Returns the identity of the person who came back with this code.
    async fn identify(
        &self,
        code: &str,
        redirect_uri: &str,
        code_verifier: &str,
    ) -> Result<ExternalIdentity, IdentityProviderError>;
}
