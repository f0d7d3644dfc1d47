//! Keys of token issuers.

use async_trait::async_trait;

/// Public keys as they are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyDocument {
    /// One key in PEM.
    Pem {
        /// Its id, as configured.
        kid: Option<String>,
        /// The PEM.
        text: String,
    },
    /// A JWKS document (RFC 7517 5).
    Jwks(String),
}

/// Where an issuer publishes keys: a file or a URL.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// Returns its name for logs.
    fn describe(&self) -> String;
    /// Reads the keys now, bounded in time and size. The error is a sentence for the log.
    async fn read(&self) -> Result<KeyDocument, String>;
}
