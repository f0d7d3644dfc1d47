//! Tokens: from text to credentials (wire contract 3; AUT-1, AUT-2, AUT-4, AUT-6).
//!
//! Which algorithm verifies a token is decided by who it says it is from, never by its header: a token whose `iss` is a configured
//! issuer is `EdDSA` or refused, every other is `HS256` with the node's own secret or refused.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ServiceAccountId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::AuthError;

/// The longest token that is looked at, in bytes.
const MOST_TOKEN_BYTES: usize = 8 * 1024;
/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 30;
/// The shortest secret of HS256, in bytes (RFC 7518 3.2: at least the hash's 256 bits).
const LEAST_SECRET: usize = 32;

/// One public key of an issuer.
pub struct IssuerKey {
    /// Its id, if it has one: a token that names a `kid` is tried with keys of that id only.
    pub kid: Option<String>,
    key: DecodingKey,
}

impl IssuerKey {
    /// The key in a PEM file (`BEGIN PUBLIC KEY`, Ed25519).
    pub fn from_pem(kid: Option<String>, pem: &str) -> Result<Self, VerifierConfigError> {
        let key = DecodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| VerifierConfigError::Key)?;
        Ok(Self { kid, key })
    }
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// An issuer of machine credentials.
#[derive(Debug)]
pub struct TrustedIssuer {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// What its tokens' `aud` must name, besides this node's own origin.
    pub audience: Option<String>,
    /// The claim that holds the scopes.
    pub scope_claim: String,
    /// Its keys.
    pub keys: Vec<IssuerKey>,
}

/// Why a verifier cannot be made of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierConfigError {
    /// The secret is too short.
    #[error("the JWT secret must have at least {LEAST_SECRET} bytes (RFC 7518 3.2)")]
    ShortSecret,
    /// A PEM holds no Ed25519 public key.
    #[error("is no Ed25519 public key in PEM (BEGIN PUBLIC KEY)")]
    Key,
    /// Two issuers have one name.
    #[error("the issuer {0:?} is configured twice")]
    DuplicateIssuer(String),
}

/// Credentials that hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Of a user.
    User(VerifiedUser),
    /// Of a machine.
    Machine(VerifiedMachine),
}

/// A user whose token holds. Only a [`Verifier`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedUser {
    id: UserId,
    provider: String,
    external_id: String,
}

impl VerifiedUser {
    /// The user's id.
    pub const fn id(&self) -> UserId {
        self.id
    }
    pub(crate) fn into_parts(self) -> (UserId, String, String) {
        (self.id, self.provider, self.external_id)
    }
}

/// A machine whose token holds. Only a [`Verifier`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedMachine {
    issuer: String,
    subject: String,
    scopes: BTreeSet<String>,
}

impl VerifiedMachine {
    /// The account's stable id.
    pub fn id(&self) -> ServiceAccountId {
        ServiceAccountId::of(&self.issuer, &self.subject)
    }
    /// Who vouches for it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
    /// The issuer's name for it.
    pub fn subject(&self) -> &str {
        &self.subject
    }
    pub(crate) fn into_parts(self) -> (ServiceAccountId, BTreeSet<String>) {
        (self.id(), self.scopes)
    }
}

/// Verifies tokens. Holds the keys and nothing else.
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
    /// A verifier with the node's own secret, its origin (`https://<domain>`, accepted as audience of machine tokens),
    /// and the issuers of machine credentials, which may be none (AUT-6).
    pub fn new(
        secret: &[u8],
        own_audience: impl Into<String>,
        issuers: Vec<TrustedIssuer>,
    ) -> Result<Self, VerifierConfigError> {
        if secret.len() < LEAST_SECRET {
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

    /// The credentials that `token` holds at the time `now`, in seconds since 1970.
    pub fn verify(&self, token: &str, now: i64) -> Result<Credential, AuthError> {
        if token.len() > MOST_TOKEN_BYTES {
            return Err(AuthError::InvalidToken("it is longer than 8 KiB"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthError::InvalidToken("it does not have three parts"));
        };
        let header = object(header)?;
        // RFC 7515 4.1.11: extensions named as critical must be understood; we know none.
        if header.contains_key("crit") {
            return Err(AuthError::InvalidToken("its header names a critical extension"));
        }
        // Not yet trusted: it only decides which key and algorithm must verify the whole.
        let claimed = object(payload)?;
        let issuer = claimed.get("iss").and_then(Value::as_str);
        match self.issuers.iter().find(|i| Some(i.issuer.as_str()) == issuer) {
            Some(issuer) => self.machine(token, &header, issuer, now).map(Credential::Machine),
            None => self.user(token, now).map(Credential::User),
        }
    }

    fn user(&self, token: &str, now: i64) -> Result<VerifiedUser, AuthError> {
        let claims = signed_claims(token, &self.secret, Algorithm::HS256)?;
        check_times(&claims, now)?;
        if !audiences(&claims).contains("authenticated") {
            return Err(AuthError::InvalidToken("its audience is another"));
        }
        let id = text(&claims, "sub").and_then(|sub| sub.parse::<UserId>().ok());
        let id = id.ok_or(AuthError::InvalidToken("its subject is no user's id"))?;
        let part = |name: &str| text(&claims, name).unwrap_or_default().to_owned();
        Ok(VerifiedUser {
            id,
            provider: part("provider"),
            external_id: part("external_id"),
        })
    }

    fn machine(
        &self,
        token: &str,
        header: &Map<String, Value>,
        issuer: &TrustedIssuer,
        now: i64,
    ) -> Result<VerifiedMachine, AuthError> {
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.as_str()),
            Some(_) => return Err(AuthError::InvalidToken("its kid is no text")),
        };
        let fits = |key: &&IssuerKey| match (kid, &key.kid) {
            (Some(kid), Some(own)) => kid == own,
            _ => true,
        };
        let mut claims = Err(AuthError::InvalidToken("no key of its issuer fits"));
        for key in issuer.keys.iter().filter(fits) {
            claims = signed_claims(token, &key.key, Algorithm::EdDSA);
            if claims.is_ok() {
                break;
            }
        }
        let claims = claims?;
        if text(&claims, "iss") != Some(issuer.issuer.as_str()) {
            return Err(AuthError::InvalidToken("its issuer is another"));
        }
        check_times(&claims, now)?;
        let audiences = audiences(&claims);
        if !audiences.contains(self.own_audience.as_str())
            && !issuer.audience.as_deref().is_some_and(|a| audiences.contains(a))
        {
            return Err(AuthError::InvalidToken("its audience is another"));
        }
        let subject = text(&claims, "sub")
            .filter(|sub| !sub.trim().is_empty() && sub.len() <= 500 && !sub.contains('\0'));
        let subject = subject
            .ok_or(AuthError::InvalidToken("it has no subject"))?
            .to_owned();
        Ok(VerifiedMachine {
            issuer: issuer.issuer.clone(),
            subject,
            scopes: scopes(claims.get(&issuer.scope_claim)),
        })
    }
}

/// The claims of a token whose signature holds under this key and exactly this algorithm.
fn signed_claims(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
) -> Result<Map<String, Value>, AuthError> {
    let mut validation = Validation::new(algorithm);
    // Times and audience are checked below against the given time, with our own words for each fault.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation)
        .map(|data| data.claims)
        .map_err(|_| AuthError::InvalidToken("its signature or algorithm does not hold"))
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// `exp` is required (D28); `nbf` and `iat` are checked where they stand.
fn check_times(claims: &Map<String, Value>, now: i64) -> Result<(), AuthError> {
    // RFC 7519 2: a NumericDate may have a fraction.
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|t| t.is_finite() && t.abs() < 1e15)
            .map(Some)
            .ok_or(AuthError::InvalidToken("a time in it is no number")),
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are exact in a float"
    )]
    let (now, leeway) = (now as f64, LEEWAY as f64);
    let Some(expires) = time("exp")? else {
        return Err(AuthError::InvalidToken("it has no expiry"));
    };
    if expires + leeway <= now {
        return Err(AuthError::TokenExpired);
    }
    if time("nbf")?.is_some_and(|from| from - leeway > now)
        || time("iat")?.is_some_and(|at| at - leeway > now)
    {
        return Err(AuthError::InvalidToken("it is not valid yet"));
    }
    Ok(())
}

/// `aud` is a text or a list of texts (RFC 7519 4.1.3).
fn audiences(claims: &Map<String, Value>) -> BTreeSet<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => BTreeSet::from([one.as_str()]),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

/// Scopes are a space-delimited text or a list of texts (AUT-4); anything else is none.
fn scopes(claim: Option<&Value>) -> BTreeSet<String> {
    match claim {
        Some(Value::String(text)) => text
            .split(' ')
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => BTreeSet::new(),
    }
}

/// The JSON object of one part of a token, in which no key may stand twice: two readers could see two different tokens (RFC 7519 4).
fn object(part: &str) -> Result<Map<String, Value>, AuthError> {
    struct Unique;
    impl<'de> Visitor<'de> for Unique {
        type Value = Map<String, Value>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object in which no key stands twice")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = Map::new();
            while let Some((key, value)) = access.next_entry::<String, Value>()? {
                if map.insert(key, value).is_some() {
                    return Err(serde::de::Error::custom("a key stands twice"));
                }
            }
            Ok(map)
        }
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| AuthError::InvalidToken("it is not base64url"))?;
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let map = reader
        .deserialize_map(Unique)
        .map_err(|_| AuthError::InvalidToken("a part of it is no JSON object with unique keys"))?;
    reader
        .end()
        .map_err(|_| AuthError::InvalidToken("a part of it is no JSON object with unique keys"))?;
    Ok(map)
}

#[cfg(test)]
mod tests;
