//! Servers, tokens and bodies of the storm.

use std::net::SocketAddr;
use std::path::Path;

use blackbox::fixtures::small;
use blackbox::tokens::now;
use blackbox::{Server, World};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::ISSUER;

/// Each client is a service account of its own, so that rows and events tell whose they are.
pub(super) fn token(subject: &str) -> String {
    let claims = json!({"iss": ISSUER, "sub": subject, "aud": "https://localhost", "iat": now(), "exp": now() + 3600, "scope": "hooks:write conventions:write"});
    let pem = SigningKey::from_bytes(&[7; 32])
        .to_pkcs8_pem(LineEnding::LF)
        .unwrap();
    let key = EncodingKey::from_ed_pem(pem.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap()
}

pub(super) fn serve(world: &World, name: &str) -> Server {
    let public = SigningKey::from_bytes(&[7; 32]).verifying_key();
    let public = public.to_public_key_pem(LineEnding::LF).unwrap();
    world.serve_with(
        name,
        &[
            ("HALLMARK_AUTH__ISSUERS__CI__ISSUER", ISSUER),
            ("HALLMARK_AUTH__ISSUERS__CI__PUBLIC_KEY", &public),
        ],
    )
}

pub(super) fn address(server: &Server) -> SocketAddr {
    server.url.strip_prefix("http://").unwrap().parse().unwrap()
}

pub(super) fn content(hook: &str, number: usize) -> String {
    let name: String = hook.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{name:f<48}{number:016x}")
}

pub(super) fn release(digest: &str) -> Value {
    json!({"image": "file:/x", "digest": digest, "config": {}, "source_ref": "git:1"})
}

/// The body of a deploy of these hooks, in this order.
pub(super) fn convention(title: &str, schema: &str, minor: usize, hooks: &[(&str, String)]) -> Value {
    let mut body = small(title, schema, &[("any", Path::new("/dev/null"))]);
    let block = body["hooks"][0].clone();
    let blocks = hooks.iter().map(|(name, digest)| {
        let mut block = block.clone();
        block["name"] = json!(name);
        // A content is digest, config and limits; these are what a release without limits has.
        block.as_object_mut().unwrap().remove("limits");
        block["release"] = json!({"image": "file:/x", "digest": digest, "source_ref": "git:1"});
        block
    });
    body["hooks"] = blocks.collect();
    // Each minor version adds an optional field, so any order of their deploys is allowed, and each alters the metadata table.
    body["schema"]["version"] = json!(format!("1.{minor}.0"));
    let fields = body["schema"]["fields"].as_array_mut().unwrap();
    fields.extend((0..minor).map(
        |n| json!({"name": format!("more_{n}"), "type": "text", "required": false, "cardinality": "exactly_one"}),
    ));
    body
}
