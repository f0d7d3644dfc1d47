//! How long a machine's token takes to verify, beside the bare signature check that is in it: `cargo bench -p auth`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use auth::{IssuerKey, KeyRing, TrustedIssuer, Verifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::{Signer as _, SigningKey};

/// How long each is measured, and how often, in turns; the fastest turn counts, because other processes only slow them down.
const TURN: Duration = Duration::from_millis(500);
const TURNS: usize = 5;

fn microseconds(what: &mut dyn FnMut()) -> f64 {
    let begun = Instant::now();
    let mut times = 0_u32;
    while begun.elapsed() < TURN {
        for _ in 0..100 {
            what();
        }
        times += 100;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

#[expect(clippy::expect_used, reason = "a bench; a panic is its verdict")]
fn main() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let pem = key
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .expect("a PEM");
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!(
        "{}.{}",
        part(r#"{"alg":"EdDSA","typ":"JWT","kid":"k1"}"#),
        part(
            r#"{"iss":"https://ci.example.org","sub":"repo:lab/hooks:ref:refs/heads/main","aud":"https://node.example","iat":1000,"nbf":1000,"exp":1600,"jti":"8d1a4c1c","scope":"hooks:write conventions:write","hooks":["body_shape"]}"#
        )
    );
    let signature = key.sign(message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
    let keys = vec![IssuerKey::from_pem(Some("k1".to_owned()), &pem).expect("a key")];
    let ring = KeyRing::new(keys.clone());
    let issuer = TrustedIssuer {
        issuer: "https://ci.example.org".to_owned(),
        audience: None,
        scope_claim: "scope".to_owned(),
        allowed_scopes: None,
        max_lifetime: 3600,
        keys: ring.clone(),
    };
    let verifier = Verifier::new(&[0; 32], "https://node.example", vec![issuer]).expect("a verifier");
    let public = key.verifying_key();
    let (mut first_time, mut again_time, mut bare_time) = (f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..TURNS {
        first_time = first_time.min(microseconds(&mut || {
            // New keys know no signature.
            ring.replace(keys.clone());
            assert!(black_box(verifier.verify(black_box(&token), 1100)).is_ok());
        }));
        again_time = again_time.min(microseconds(&mut || {
            assert!(black_box(verifier.verify(black_box(&token), 1100)).is_ok());
        }));
        bare_time = bare_time.min(microseconds(&mut || {
            assert!(black_box(public.verify_strict(black_box(message.as_bytes()), &signature)).is_ok());
        }));
    }
    println!(
        "verifying a machine's token (Ed25519): {first_time:.1} µs the first time, {again_time:.1} µs each time after; the signature alone {bare_time:.1} µs; ratio {:.2} and {:.3}; aim: under 100 µs",
        first_time / bare_time,
        again_time / bare_time
    );
}
