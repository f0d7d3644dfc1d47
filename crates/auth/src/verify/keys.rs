//! Public keys of issuers, from PEM files and JWKS documents (RFC 7517, RFC 8037).

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::DecodePublicKey as _;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Maximum number of keys read from one document.
const MAX_KEYS: usize = 100;

/// Reason why a text contains no usable keys. It never carries any part of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The PEM holds no Ed25519 public key.
    #[error("is not an Ed25519 public key in PEM (BEGIN PUBLIC KEY)")]
    Pem,
    /// The document is not a JWKS.
    #[error("is not a JWKS: requires a JSON object with a list `keys` (RFC 7517 5)")]
    Jwks,
    /// The JWKS has no key that could verify a token here.
    #[error("is a JWKS without a usable Ed25519 key (kty OKP, crv Ed25519, RFC 8037)")]
    NoKey,
}

/// One public key of an issuer.
#[derive(Clone, Debug)]
pub struct IssuerKey {
    /// Key id, if any. A token with a `kid` is tried with the keys of that id and with the keys without id.
    pub kid: Option<String>,
    key: VerifyingKey,
}

impl IssuerKey {
    /// Reads the key in a PEM file (`BEGIN PUBLIC KEY`, Ed25519).
    pub fn from_pem(kid: Option<String>, pem: &str) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_pem(pem.trim()).map_err(|_| KeyError::Pem)?;
        // A key of small order verifies forged signatures.
        if key.is_weak() {
            return Err(KeyError::Pem);
        }
        Ok(Self { kid, key })
    }

    /// Reads the Ed25519 keys of a JWKS document. Keys of other kinds and for other uses are ignored, as RFC 7517 5
    /// requires.
    pub fn from_jwks(document: &str) -> Result<Vec<Self>, KeyError> {
        let document: Value = serde_json::from_str(document).map_err(|_| KeyError::Jwks)?;
        let keys = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(KeyError::Jwks)?;
        let keys: Vec<Self> = keys.iter().filter_map(Self::from_jwk).take(MAX_KEYS).collect();
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

/// The keys of one issuer, replaceable while tokens are being verified (AUT-7).
///
/// A machine sends one token with many requests, and the signature is nearly the whole cost of verifying a token. So
/// the ring caches valid signatures as long as it has the same keys. Times, audience and all other claims are checked
/// anew each time.
#[derive(Clone, Default)]
pub struct KeyRing(Arc<RwLock<Arc<Keys>>>);

/// Keys and the signatures that they verified, which share one lifetime.
#[derive(Default)]
struct Keys {
    keys: Vec<IssuerKey>,
    held: Mutex<Held>,
}

/// Cache keyed by the SHA-256 of the signed text and its signature. Two generations keep it bounded and its used
/// entries alive: a full generation becomes the old one, and a hit in the old one moves to the new one. Only valid
/// signatures are cached, so a stranger cannot evict any entry.
#[derive(Default)]
struct Held {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

impl Held {
    /// Maximum number of entries in one generation.
    const MOST: usize = 4096;

    fn has(&mut self, token: &[u8; 32]) -> bool {
        if self.young.contains(token) {
            return true;
        }
        let known = self.old.contains(token);
        if known {
            self.add(*token);
        }
        known
    }

    fn add(&mut self, token: [u8; 32]) {
        if self.young.len() >= Self::MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token);
    }
}

impl Keys {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        // No holder of the lock can leave the state half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verify(&self, kid: Option<&str>, signed: &[u8], signature: &Signature) -> bool {
        // The key's id is part of the signed text, so this hash identifies the whole question.
        let token: [u8; 32] = Sha256::new()
            .chain_update(signature.to_bytes())
            .chain_update(signed)
            .finalize()
            .into();
        if self.held().has(&token) {
            return true;
        }
        let holds = self.keys.iter().any(|key| {
            let fits = match (kid, key.kid.as_deref()) {
                (Some(kid), Some(own)) => kid == own,
                _ => true,
            };
            // Strict: one message has one signature per key, and keys of small order are rejected (RFC 8032 8.9).
            fits && key.key.verify_strict(signed, signature).is_ok()
        });
        if holds {
            self.held().add(token);
        }
        holds
    }
}

impl KeyRing {
    /// Creates a ring with these keys.
    pub fn new(keys: Vec<IssuerKey>) -> Self {
        let ring = Self::default();
        ring.replace(keys);
        ring
    }

    /// Replaces all keys and forgets the signatures that the old ones verified.
    pub fn replace(&self, keys: Vec<IssuerKey>) {
        let keys = Arc::new(Keys {
            keys,
            held: Mutex::default(),
        });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.current().keys.len()
    }

    /// Returns whether the ring has no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns whether a key that fits `kid` (from the header within `signed`) made this signature (base64url) over
    /// `signed`.
    pub(super) fn verify(&self, kid: Option<&str>, signed: &[u8], signature: &str) -> bool {
        let bytes = URL_SAFE_NO_PAD.decode(signature).ok();
        let signature = bytes.and_then(|bytes| Signature::from_slice(&bytes).ok());
        signature.is_some_and(|signature| self.current().verify(kid, signed, &signature))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<_> = self.current().keys.iter().map(|key| key.kid.clone()).collect();
        f.debug_tuple("KeyRing").field(&kids).finish()
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    fn key(seed: u8, kid: Option<&str>) -> (SigningKey, IssuerKey) {
        let signing = SigningKey::from_bytes(&[seed; 32]);
        let key = IssuerKey {
            kid: kid.map(str::to_owned),
            key: signing.verifying_key(),
        };
        (signing, key)
    }

    // proves AUT-7
    #[test]
    fn what_a_key_verified_is_forgotten_with_the_key() {
        let ((signing, first), (_, second)) = (key(1, None), key(2, None));
        let signature = URL_SAFE_NO_PAD.encode(signing.sign(b"a").to_bytes());
        let ring = KeyRing::new(vec![first]);
        for _ in 0..3 {
            assert!(ring.verify(None, b"a", &signature));
            assert!(
                !ring.verify(None, b"b", &signature),
                "one message's signature is no other's"
            );
        }
        ring.replace(vec![second]);
        assert!(!ring.verify(None, b"a", &signature));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_in_use_stays() {
        let token = |n: u32| <[u8; 32]>::from(Sha256::digest(n.to_le_bytes()));
        let mut held = Held::default();
        held.add(token(0));
        for n in 1..100_000 {
            held.add(token(n));
            if n % 1000 == 0 {
                assert!(held.has(&token(0)));
            }
            assert!(held.young.len() <= Held::MOST && held.old.len() <= Held::MOST);
        }
        assert!(!held.has(&token(1)));
    }
}
