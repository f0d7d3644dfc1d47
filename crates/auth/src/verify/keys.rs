//! Public keys of issuers: from PEM files and JWKS documents (RFC 7517, RFC 8037).

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::DecodePublicKey as _;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::Value;

/// The most keys that are taken of one document.
const MOST_KEYS: usize = 100;

/// Why a text gives no keys. It never carries anything of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A PEM holds no Ed25519 public key.
    #[error("is no Ed25519 public key in PEM (BEGIN PUBLIC KEY)")]
    Pem,
    /// A document is no JWKS.
    #[error("is no JWKS: a JSON object with a list `keys` is needed (RFC 7517 5)")]
    Jwks,
    /// A JWKS has no key that could verify a token here.
    #[error("is a JWKS without a usable Ed25519 key (kty OKP, crv Ed25519, RFC 8037)")]
    NoKey,
}

/// One public key of an issuer.
#[derive(Clone, Debug)]
pub struct IssuerKey {
    /// Its id, if it has one: a token that names a `kid` is tried with keys of that id, and with those that have none.
    pub kid: Option<String>,
    key: VerifyingKey,
}

impl IssuerKey {
    /// The key in a PEM file (`BEGIN PUBLIC KEY`, Ed25519).
    pub fn from_pem(kid: Option<String>, pem: &str) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_pem(pem.trim()).map_err(|_| KeyError::Pem)?;
        // A key of small order verifies signatures that nobody made.
        if key.is_weak() {
            return Err(KeyError::Pem);
        }
        Ok(Self { kid, key })
    }

    /// The Ed25519 keys of a JWKS document. Keys of other kinds and for other uses are passed over, as RFC 7517 5 wants it.
    pub fn from_jwks(document: &str) -> Result<Vec<Self>, KeyError> {
        let document: Value = serde_json::from_str(document).map_err(|_| KeyError::Jwks)?;
        let keys = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(KeyError::Jwks)?;
        let keys: Vec<Self> = keys.iter().filter_map(Self::from_jwk).take(MOST_KEYS).collect();
        if keys.is_empty() {
            return Err(KeyError::NoKey);
        }
        Ok(keys)
    }

    fn from_jwk(jwk: &Value) -> Option<Self> {
        let part = |name: &str| jwk.get(name).and_then(Value::as_str);
        let fits = part("kty") == Some("OKP")
            && part("crv") == Some("Ed25519")
            && part("use").is_none_or(|what| what == "sig")
            && part("alg").is_none_or(|alg| matches!(alg, "EdDSA" | "Ed25519"));
        let x: [u8; 32] = URL_SAFE_NO_PAD
            .decode(part("x").filter(|_| fits)?)
            .ok()?
            .try_into()
            .ok()?;
        let key = VerifyingKey::from_bytes(&x).ok().filter(|key| !key.is_weak())?;
        Some(Self {
            kid: part("kid").map(str::to_owned),
            key,
        })
    }
}

/// The keys of one issuer, which can be replaced while tokens are being verified (AUT-7).
#[derive(Clone, Default)]
pub struct KeyRing(Arc<RwLock<Arc<[IssuerKey]>>>);

impl KeyRing {
    /// A ring of these keys.
    pub fn new(keys: Vec<IssuerKey>) -> Self {
        Self(Arc::new(RwLock::new(keys.into())))
    }

    /// Puts these keys in the place of all that were there.
    pub fn replace(&self, keys: Vec<IssuerKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.current().len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn current(&self) -> Arc<[IssuerKey]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a key that fits `kid` made this signature (base64url) over `signed`.
    pub(super) fn verify(&self, kid: Option<&str>, signed: &[u8], signature: &str) -> bool {
        let bytes = URL_SAFE_NO_PAD.decode(signature).ok();
        let Some(signature) = bytes.and_then(|bytes| Signature::from_slice(&bytes).ok()) else {
            return false;
        };
        self.current().iter().any(|key| {
            let fits = match (kid, key.kid.as_deref()) {
                (Some(kid), Some(own)) => kid == own,
                _ => true,
            };
            // Strict: one message has one signature per key, and no key of small order is taken (RFC 8032 8.9).
            fits && key.key.verify_strict(signed, &signature).is_ok()
        })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<_> = self.current().iter().map(|key| key.kid.clone()).collect();
        f.debug_tuple("KeyRing").field(&kids).finish()
    }
}
