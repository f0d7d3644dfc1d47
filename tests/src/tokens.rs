//! Tokens of people and machines.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

pub const SECRET: &str = "osa-local-dev-jwt-secret-CHANGE-IN-PRODUCTION-not-suitable-for-real-use";

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token of the local administrator, with some claims replaced.
pub fn user_token(claims: &Value) -> String {
    let mut all = json!({"sub": "00000000-0000-7000-8000-0000000000a1", "provider": "local", "external_id": "admin@osa.local", "aud": "authenticated", "iat": now(), "exp": now() + 3600});
    all.as_object_mut()
        .unwrap()
        .extend(claims.as_object().unwrap().clone());
    jsonwebtoken::encode(
        &jsonwebtoken::Header::default(),
        &all,
        &jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

/// An issuer of machine credentials in tests.
pub const ISSUER: &str = "https://ci.example.org";

/// The key pair that this seed gives.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Its public half in PEM.
pub fn public_pem(key: &SigningKey) -> String {
    key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
}

/// The claims of a machine's token, with some replaced.
pub fn machine_claims(claims: &Value) -> Value {
    let mut all =
        json!({"iss": ISSUER, "sub": "ci-bot", "aud": "https://localhost", "iat": now(), "exp": now() + 600});
    all.as_object_mut()
        .unwrap()
        .extend(claims.as_object().unwrap().clone());
    all
}

/// A token with any header and claims, signed with Ed25519.
pub fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// A machine's token of [`ISSUER`], with some claims replaced.
pub fn machine_token(key: &SigningKey, claims: &Value) -> String {
    signed(
        key,
        "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}",
        &machine_claims(claims).to_string(),
    )
}
