//! Verification of tokens: from text to credentials (WC-3; AUT-1, AUT-2, AUT-4, AUT-6, AUT-7).
//!
//! The claimed issuer, never the header, decides which algorithm verifies a token. A token whose `iss` is a configured
//! issuer must be Ed25519. A token without `iss` must be `HS256` with the node's own secret. Any other token is
//! refused. (A node without configured issuers ignores `iss`, as AUT-6 requires.)

mod claims;
mod credential;
mod keys;
mod parts;

use std::collections::BTreeSet;
use std::fmt;

use domain::UserId;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use crate::error::AuthError;
use claims::{audiences, check_id, check_times, hooks, scopes, text, times};
pub use credential::{Credential, VerifiedMachine, VerifiedUser};
pub use keys::{IssuerKey, KeyError, KeyRing};
use parts::Parts;

/// Minimum length of the HS256 secret, in bytes (RFC 7518 3.2: at least the hash's 256 bits).
const MIN_SECRET: usize = 32;
/// Maximum length of a machine's `sub`, in bytes.
const MAX_SUBJECT_BYTES: usize = 500;

/// A trusted issuer of machine credentials.
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    /// The `iss` claim of its tokens.
    pub issuer: String,
    /// Audience that its tokens may name instead of this node's own origin.
    pub audience: Option<String>,
    /// Name of the claim that holds the scopes.
    pub scope_claim: String,
    /// Scopes that the issuer may grant; others in its tokens are ignored. `None` allows all.
    pub allowed_scopes: Option<BTreeSet<String>>,
    /// Maximum time from `iat` to `exp`, in seconds.
    pub max_lifetime: i64,
    /// Keys of the issuer, which may change while the node runs (AUT-7).
    pub keys: KeyRing,
}

/// Reason why a configuration cannot become a verifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierConfigError {
    /// The secret has less than 32 bytes.
    #[error("the JWT secret must have at least {MIN_SECRET} bytes (RFC 7518 3.2)")]
    ShortSecret,
    /// Two issuers have the same name.
    #[error("the issuer {0:?} is configured twice")]
    DuplicateIssuer(String),
}

/// Reason for refusing a token, and whether fresh keys of its issuer might change that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error for the caller.
    pub error: AuthError,
    /// The configured issuer whose known keys do not fit the token. It may have a new key.
    pub unknown_key_of: Option<String>,
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Self {
            error,
            unknown_key_of: None,
        }
    }
}

/// Verifies tokens. It holds only keys.
pub struct Verifier {
    secret: DecodingKey,
    own_audience: String,
    issuers: Vec<TrustedIssuer>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("own_audience", &self.own_audience)
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Creates a verifier with the node's own secret, its origin (`https://<domain>`, accepted as audience of machine
    /// tokens), and the issuers of machine credentials, which may be none (AUT-6).
    pub fn new(
        secret: &[u8],
        own_audience: impl Into<String>,
        issuers: Vec<TrustedIssuer>,
    ) -> Result<Self, VerifierConfigError> {
        if secret.len() < MIN_SECRET {
            return Err(VerifierConfigError::ShortSecret);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = issuers.iter().find(|i| !names.insert(i.issuer.clone())) {
            return Err(VerifierConfigError::DuplicateIssuer(twice.issuer.clone()));
        }
        Ok(Self {
            secret: DecodingKey::from_secret(secret),
            own_audience: own_audience.into(),
            issuers,
        })
    }

    /// Verifies `token` at the time `now`, in seconds since 1970, and returns its credentials.
    pub fn verify(&self, token: &str, now: i64) -> Result<Credential, Refusal> {
        let parts = Parts::of(token)?;
        // The claims are untrusted so far: the issuer only decides which key and algorithm must verify the whole token.
        match (parts.claims.get("iss"), self.issuers.is_empty()) {
            (None, _) | (Some(_), true) => Ok(self.user(&parts, now).map(Credential::User)?),
            (Some(issuer), false) => {
                let known = self.issuers.iter().find(|i| issuer.as_str() == Some(&i.issuer));
                let issuer = known.ok_or(AuthError::InvalidToken("unknown issuer"))?;
                self.machine(&parts, issuer, now).map(Credential::Machine)
            }
        }
    }

    fn user(&self, parts: &Parts<'_>, now: i64) -> Result<VerifiedUser, AuthError> {
        if parts.algorithm() != Some("HS256")
            || !jsonwebtoken::crypto::verify(
                parts.signature,
                parts.signed.as_bytes(),
                &self.secret,
                Algorithm::HS256,
            )
            .unwrap_or(false)
        {
            return Err(AuthError::InvalidToken("wrong signature or algorithm"));
        }
        let claims = &parts.claims;
        check_id(claims)?;
        check_times(&times(claims)?, now)?;
        if !audiences(claims).contains("authenticated") {
            return Err(AuthError::InvalidToken("wrong audience"));
        }
        let id = text(claims, "sub").and_then(|sub| sub.parse::<UserId>().ok());
        let id = id.ok_or(AuthError::InvalidToken("the subject is not a user id"))?;
        let part = |name: &str| text(claims, name).unwrap_or_default().to_owned();
        let session = match claims.get("sid") {
            None => None,
            Some(sid) => {
                let sid = sid.as_str().and_then(|sid| sid.parse().ok());
                Some(sid.ok_or(AuthError::InvalidToken("the session is not a session id"))?)
            }
        };
        Ok(VerifiedUser::new(
            id,
            part("provider"),
            part("external_id"),
            session,
        ))
    }

    fn machine(
        &self,
        parts: &Parts<'_>,
        issuer: &TrustedIssuer,
        now: i64,
    ) -> Result<VerifiedMachine, Refusal> {
        // RFC 8037 names the algorithm EdDSA, RFC 9864 names Ed25519. Both mean this algorithm; the rest of the header
        // has no influence.
        if !matches!(parts.algorithm(), Some("EdDSA" | "Ed25519")) {
            return Err(AuthError::InvalidToken("wrong signature or algorithm").into());
        }
        let kid = match parts.header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.as_str()),
            Some(_) => return Err(AuthError::InvalidToken("kid is not a string").into()),
        };
        if !issuer.keys.verify(kid, parts.signed.as_bytes(), parts.signature) {
            return Err(Refusal {
                error: AuthError::InvalidToken("wrong signature or algorithm"),
                unknown_key_of: Some(issuer.issuer.clone()),
            });
        }
        Ok(self.machine_claims(&parts.claims, issuer, now)?)
    }

    fn machine_claims(
        &self,
        claims: &Map<String, Value>,
        issuer: &TrustedIssuer,
        now: i64,
    ) -> Result<VerifiedMachine, AuthError> {
        check_id(claims)?;
        let times = times(claims)?;
        check_times(&times, now)?;
        let (Some(issued), Some(expires)) = (times.issued, times.expires) else {
            return Err(AuthError::InvalidToken("iat is missing"));
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds since 1970 are exact in a float"
        )]
        if expires - issued > issuer.max_lifetime as f64 {
            return Err(AuthError::InvalidToken(
                "the lifetime exceeds the maximum of its issuer",
            ));
        }
        let audiences = audiences(claims);
        if !audiences.contains(self.own_audience.as_str())
            && !issuer.audience.as_deref().is_some_and(|a| audiences.contains(a))
        {
            return Err(AuthError::InvalidToken("wrong audience"));
        }
        let subject = text(claims, "sub").filter(|sub| {
            !sub.trim().is_empty() && sub.len() <= MAX_SUBJECT_BYTES && !sub.chars().any(char::is_control)
        });
        let subject = subject.ok_or(AuthError::InvalidToken("the subject is missing"))?;
        let mut scopes = scopes(claims.get(&issuer.scope_claim));
        if let Some(allowed) = &issuer.allowed_scopes {
            scopes.retain(|scope| allowed.contains(scope));
        }
        Ok(VerifiedMachine::new(
            issuer.issuer.clone(),
            subject.to_owned(),
            scopes,
            hooks(claims.get("hooks"))?,
        ))
    }
}

#[cfg(test)]
mod tests;
