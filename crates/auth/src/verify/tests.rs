//! Tests of forged, faulty and valid tokens.

use super::*;
use crate::{Principal, Role, act};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ServiceAccountId;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey};
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;

const SECRET: &[u8] = b"a secret of more than thirty-two bytes, for tests";
const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://ci.example.org";

fn pair(seed: u8) -> (EncodingKey, String) {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let private = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    (EncodingKey::from_ed_pem(private.as_bytes()).unwrap(), public)
}

fn verifier() -> Verifier {
    let issuer = TrustedIssuer {
        issuer: ISSUER.into(),
        audience: Some("hallmark".into()),
        scope_claim: "scope".into(),
        allowed_scopes: None,
        max_lifetime: 3600,
        keys: KeyRing::new(vec![
            IssuerKey::from_pem(Some("k1".into()), &pair(1).1).unwrap(),
            IssuerKey::from_pem(Some("k2".into()), &pair(2).1).unwrap(),
        ]),
    };
    Verifier::new(SECRET, "https://node.example", vec![issuer]).unwrap()
}

fn user_claims() -> Value {
    json!({"sub": "00000000-0000-7000-8000-0000000000a1", "provider": "local", "external_id": "a@b", "aud": "authenticated", "iat": NOW - 5, "exp": NOW + 60})
}

fn machine_claims() -> Value {
    json!({"iss": ISSUER, "sub": "ci", "aud": ["x", "hallmark"], "iat": NOW - 5, "exp": NOW + 60, "scope": "hooks:write conventions:write"})
}

fn hs256(claims: &Value, secret: &[u8]) -> String {
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(secret),
    )
    .unwrap()
}

fn eddsa(claims: &Value, seed: u8, kid: Option<&str>) -> String {
    let header = Header {
        kid: kid.map(str::to_owned),
        ..Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, claims, &pair(seed).0).unwrap()
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn raw(header: &str, payload: &str) -> String {
    format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload),
        URL_SAFE_NO_PAD.encode("x")
    )
}

// proves AUT-1
#[test]
fn a_users_token_gives_the_user_and_the_roles_come_from_elsewhere() {
    let Ok(Credential::User(user)) = verifier().verify(&hs256(&user_claims(), SECRET), NOW) else {
        panic!("a user")
    };
    assert_eq!(user.id(), UserId::LOCAL_ADMIN);
    assert!(
        Principal::user(user.clone(), [])
            .permit::<act::DeployConvention>()
            .is_err()
    );
    assert!(
        Principal::user(user, [Role::Admin])
            .permit::<act::DeployConvention>()
            .is_ok()
    );
}

// proves AUT-2, AUT-4, AUT-7
#[test]
fn a_machines_token_gives_its_scopes_as_text_or_list_and_any_key_of_the_issuer_will_do() {
    let list = with(machine_claims(), "scope", json!(["hooks:write"]));
    for token in [
        eddsa(&machine_claims(), 1, Some("k1")),
        eddsa(&machine_claims(), 2, Some("k2")),
        eddsa(&list, 2, None),
    ] {
        let Ok(Credential::Machine(machine)) = verifier().verify(&token, NOW) else {
            panic!("a machine")
        };
        assert_eq!(machine.id(), ServiceAccountId::of(ISSUER, "ci"));
        let principal = Principal::service_account(machine);
        assert!(principal.clone().permit::<act::WriteHooks>().is_ok());
        assert!(principal.clone().permit::<act::WriteIngestions>().is_err());
        assert_eq!(
            principal.permit::<act::ReadOwnProfile>().unwrap_err(),
            AuthError::NotAUser
        );
    }
    let none = with(machine_claims(), "scope", json!({"hooks:write": true}));
    let Ok(Credential::Machine(machine)) = verifier().verify(&eddsa(&none, 1, None), NOW) else {
        panic!("a machine")
    };
    assert!(
        Principal::service_account(machine)
            .permit::<act::WriteHooks>()
            .is_err()
    );
}

// proves AUT-2
#[test]
fn what_does_not_hold_is_refused() {
    let public_pem = pair(1).1;
    let good = hs256(&user_claims(), SECRET);
    let tampered = {
        let mut parts: Vec<_> = good.split('.').map(str::to_owned).collect();
        parts[1] = URL_SAFE_NO_PAD.encode(
            with(
                user_claims(),
                "sub",
                json!("00000000-0000-7000-8000-0000000000a2"),
            )
            .to_string(),
        );
        parts.join(".")
    };
    let mut refused = vec![
        ("empty", String::new()),
        ("two parts", "a.b".into()),
        ("four parts", format!("{good}.x")),
        ("too long", "a".repeat(9000)),
        ("not base64", "é.é.é".into()),
        ("tampered", tampered),
        ("signature cut", good[..good.len() - 2].to_owned()),
        (
            "another secret",
            hs256(&user_claims(), b"another secret of more than thirty-two bytes"),
        ),
        (
            "the public key as the secret",
            hs256(&machine_claims(), public_pem.as_bytes()),
        ),
        (
            "the own secret under a machine's issuer",
            hs256(&machine_claims(), SECRET),
        ),
        ("EdDSA under no issuer", eddsa(&user_claims(), 1, None)),
        (
            "EdDSA under an unknown issuer",
            eddsa(
                &with(machine_claims(), "iss", json!("https://evil.example")),
                1,
                None,
            ),
        ),
        ("EdDSA by another key", eddsa(&machine_claims(), 3, None)),
        (
            "EdDSA by a key under another kid",
            eddsa(&machine_claims(), 1, Some("k2")),
        ),
        (
            "issuer with a trailing slash",
            eddsa(
                &with(machine_claims(), "iss", json!("https://ci.example.org/")),
                1,
                None,
            ),
        ),
        (
            "key in the token's own header",
            raw(
                "{\"alg\":\"EdDSA\",\"jwk\":{\"kty\":\"OKP\"}}",
                &machine_claims().to_string(),
            ),
        ),
        (
            "duplicated issuer",
            raw(
                "{\"alg\":\"EdDSA\"}",
                &format!("{{\"iss\":\"{ISSUER}\",\"iss\":\"x\"}}"),
            ),
        ),
        (
            "critical extension",
            raw(
                "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
                &user_claims().to_string(),
            ),
        ),
    ];
    for alg in ["none", "None", "NONE", "nOnE", "", "RS256", "ES256", "HS512"] {
        refused.push((
            "algorithm",
            raw(&format!("{{\"alg\":\"{alg}\"}}"), &user_claims().to_string()),
        ));
        refused.push((
            "algorithm",
            raw(&format!("{{\"alg\":\"{alg}\"}}"), &machine_claims().to_string()),
        ));
        let unsigned = raw(&format!("{{\"alg\":\"{alg}\"}}"), &user_claims().to_string());
        refused.push((
            "no signature",
            unsigned
                .rsplit_once('.')
                .map(|(rest, _)| format!("{rest}."))
                .unwrap(),
        ));
    }
    for (name, value) in [
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!("admin")),
        ("aud", json!("other")),
        ("aud", json!(7)),
        ("exp", json!("tomorrow")),
        ("exp", json!(null)),
        ("iat", json!(NOW + 3600)),
        ("nbf", json!(NOW + 3600)),
        ("nbf", json!([])),
    ] {
        refused.push((name, hs256(&with(user_claims(), name, value), SECRET)));
    }
    for (name, value) in [
        ("sub", json!("")),
        ("sub", json!("  ")),
        ("sub", json!({})),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("nbf", json!(NOW + 3600)),
        ("exp", json!(true)),
    ] {
        refused.push((name, eddsa(&with(machine_claims(), name, value), 1, None)));
    }
    for name in ["sub", "aud", "exp"] {
        refused.push((name, hs256(&without(user_claims(), name), SECRET)));
    }
    for name in ["sub", "aud", "exp", "iat"] {
        refused.push((name, eddsa(&without(machine_claims(), name), 1, None)));
    }
    let verifier = verifier();
    for (what, token) in refused {
        let answer = verifier.verify(&token, NOW);
        assert!(
            matches!(
                answer,
                Err(Refusal {
                    error: AuthError::InvalidToken(_),
                    ..
                })
            ),
            "{what}: {answer:?}"
        );
    }
}

#[test]
fn an_expired_token_says_so_once_the_clocks_leeway_is_over() {
    let token = hs256(&user_claims(), SECRET);
    assert!(verifier().verify(&token, NOW + 60 + 29).is_ok());
    assert_eq!(
        verifier().verify(&token, NOW + 60 + 30).unwrap_err().error,
        AuthError::TokenExpired
    );
}

fn machine(verifier: &Verifier, token: &str) -> Result<VerifiedMachine, Refusal> {
    verifier.verify(token, NOW).map(|credential| match credential {
        Credential::Machine(machine) => machine,
        Credential::User(_) => panic!("a machine"),
    })
}

// proves AUT-2
#[test]
fn a_lifetime_over_the_issuers_maximum_is_refused() {
    let lives = |seconds: i64| with(machine_claims(), "exp", json!(NOW - 5 + seconds));
    assert!(machine(&verifier(), &eddsa(&lives(3600), 1, None)).is_ok());
    let refusal = machine(&verifier(), &eddsa(&lives(3601), 1, None)).unwrap_err();
    assert!(refusal.error.to_string().contains("lifetime"), "{refusal:?}");
    // An earlier issue time does not help, and a token from the future is not valid yet.
    let claims = with(lives(3600), "iat", json!(NOW - 100_000));
    assert!(machine(&verifier(), &eddsa(&claims, 1, None)).is_err());
}

// proves AUT-4
#[test]
fn an_issuer_gives_no_scope_that_it_is_not_allowed_to_give() {
    let mut verifier = verifier();
    verifier.issuers[0].allowed_scopes = Some(BTreeSet::from(["hooks:write".to_owned()]));
    let principal =
        Principal::service_account(machine(&verifier, &eddsa(&machine_claims(), 1, None)).unwrap());
    assert!(principal.clone().permit::<act::WriteHooks>().is_ok());
    assert!(principal.permit::<act::DeployConvention>().is_err());
}

#[test]
fn a_token_that_is_limited_to_hooks_grants_no_other_and_an_unreadable_limit_is_no_limit_lifted() {
    let (mine, other) = ("a".parse().unwrap(), "b".parse().unwrap());
    let permit = |claims: &Value| {
        let machine = machine(&verifier(), &eddsa(claims, 1, None)).unwrap();
        Principal::service_account(machine)
            .permit::<act::WriteHooks>()
            .unwrap()
    };
    let limited = permit(&with(machine_claims(), "hooks", json!(["a", "c"])));
    assert!(limited.over_hook(&mine).is_ok());
    assert_eq!(
        limited.over_hook(&other).unwrap_err(),
        AuthError::OtherHook(other.clone())
    );
    assert!(permit(&machine_claims()).over_hook(&other).is_ok());
    assert!(
        permit(&with(machine_claims(), "hooks", json!([])))
            .over_hook(&mine)
            .is_err()
    );
    for unreadable in [json!("a"), json!(["a", 7]), json!({"a": true}), json!(null)] {
        assert!(
            machine(
                &verifier(),
                &eddsa(&with(machine_claims(), "hooks", unreadable.clone()), 1, None)
            )
            .is_err(),
            "{unreadable}"
        );
    }
}

// proves AUT-7
#[test]
fn keys_are_read_from_jwks_replaced_at_once_and_an_unknown_key_is_reported() {
    let x = |seed: u8| URL_SAFE_NO_PAD.encode(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes());
    let jwks = json!({"keys": [
        {"kty": "RSA", "kid": "r", "n": "x", "e": "AQAB"},
        {"kty": "OKP", "crv": "X25519", "kid": "e", "x": x(5)},
        {"kty": "OKP", "crv": "Ed25519", "kid": "k5", "use": "enc", "x": x(5)},
        {"kty": "OKP", "crv": "Ed25519", "kid": "k5", "x": "c2hvcnQ"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "zero", "x": URL_SAFE_NO_PAD.encode([0_u8; 32])},
        {"kty": "OKP", "crv": "Ed25519", "kid": "k4", "alg": "EdDSA", "use": "sig", "x": x(4)},
    ]});
    let verifier = verifier();
    let fresh = eddsa(&machine_claims(), 4, Some("k4"));
    let refusal = machine(&verifier, &fresh).unwrap_err();
    assert_eq!(refusal.unknown_key_of.as_deref(), Some(ISSUER));
    verifier.issuers[0]
        .keys
        .replace(IssuerKey::from_jwks(&jwks.to_string()).unwrap());
    assert_eq!(verifier.issuers[0].keys.len(), 1);
    assert!(machine(&verifier, &fresh).is_ok());
    assert!(
        machine(&verifier, &eddsa(&machine_claims(), 1, Some("k1"))).is_err(),
        "a replaced key is no longer accepted"
    );
    assert_eq!(IssuerKey::from_jwks("[]").unwrap_err(), KeyError::Jwks);
    assert_eq!(
        IssuerKey::from_jwks("{\"keys\":[]}").unwrap_err(),
        KeyError::NoKey
    );
}

// proves AUT-2
#[test]
fn both_names_of_the_algorithm_are_taken_and_neither_is_trusted() {
    let sign = |header: &str, claims: &Value| {
        use ed25519_dalek::Signer as _;
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = SigningKey::from_bytes(&[1; 32]).sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    };
    for name in ["EdDSA", "Ed25519"] {
        assert!(
            machine(
                &verifier(),
                &sign(&format!("{{\"alg\":\"{name}\"}}"), &machine_claims())
            )
            .is_ok()
        );
    }
    for name in ["Ed448", "ed25519", "EdDSA ", "HS256", "none"] {
        assert!(
            machine(
                &verifier(),
                &sign(&format!("{{\"alg\":\"{name}\"}}"), &machine_claims())
            )
            .is_err()
        );
    }
}

// proves AUT-6
#[test]
fn without_extra_issuers_every_issuer_is_ignored() {
    let single = Verifier::new(SECRET, "https://node.example", vec![]).unwrap();
    assert!(
        single
            .verify(&hs256(&with(user_claims(), "iss", json!(ISSUER)), SECRET), NOW)
            .is_ok()
    );
    assert!(single.verify(&eddsa(&machine_claims(), 1, None), NOW).is_err());
    assert_eq!(
        Verifier::new(b"short", "x", vec![]).unwrap_err(),
        VerifierConfigError::ShortSecret
    );
}

proptest! {
    #[test]
    fn no_text_makes_verifying_panic_or_succeed(token in "[A-Za-z0-9_=.-]{0,200}") {
        prop_assert!(verifier().verify(&token, NOW).is_err());
    }
}
