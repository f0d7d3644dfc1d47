//! An attack corpus: forged and faulty tokens against a running server. Each is refused with 401, none with 500, and none is written
//! into the log.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use blackbox::World;
use blackbox::tokens::{ISSUER, SECRET, key, machine_claims, now, public_pem, signed, user_token};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

fn b64(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn hmac(header: &Header, claims: &Value, secret: &[u8]) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn hs(algorithm: Algorithm, claims: &Value, secret: &[u8]) -> String {
    hmac(&Header::new(algorithm), claims, secret)
}

const EDDSA: &str = "{\"alg\":\"EdDSA\",\"kid\":\"k1\"}";

/// Every token with what it tries.
fn corpus() -> Vec<(String, String)> {
    let (own, stranger) = (key(1), key(9));
    let pem = public_pem(&own);
    let raw_public = own.verifying_key().to_bytes();
    let machine = machine_claims(&json!({"scope": "hooks:write"}));
    let user = json!({"sub": "00000000-0000-7000-8000-0000000000a1", "provider": "local", "external_id": "admin@osa.local", "aud": "authenticated", "iat": now(), "exp": now() + 3600});
    let with = |base: &Value, name: &str, value: Value| {
        let mut claims = base.clone();
        claims[name] = value;
        claims
    };
    let without = |base: &Value, name: &str| {
        let mut claims = base.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let ed = |claims: &Value| signed(&own, EDDSA, &claims.to_string());
    let user_hs = |claims: &Value| hs(Algorithm::HS256, claims, SECRET.as_bytes());
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |what: &str, token: String| all.push((what.to_owned(), token));

    // Key confusion.
    for (what, secret) in [
        ("the PEM as secret", pem.as_bytes()),
        ("the trimmed PEM as secret", pem.trim().as_bytes()),
        ("the raw public key as secret", &raw_public[..]),
        ("the node's secret under a machine's issuer", SECRET.as_bytes()),
        ("an empty secret", b""),
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            add(&format!("{what}, {algorithm:?}"), hs(algorithm, &machine, secret));
        }
    }
    add("a stranger's key", signed(&stranger, EDDSA, &machine.to_string()));
    add(
        "a user's claims under an Ed25519 key",
        signed(&own, "{\"alg\":\"EdDSA\"}", &user.to_string()),
    );
    add(
        "a user's token with another HMAC",
        hs(Algorithm::HS512, &user, SECRET.as_bytes()),
    );
    add(
        "a user's token with another secret",
        hs(
            Algorithm::HS256,
            &user,
            b"another secret of more than thirty-two bytes",
        ),
    );

    // `none` in every spelling, with and without a signature, of users and machines.
    for alg in ["none", "None", "NONE", "nOnE", "n\u{f6}ne", "", " none", "none\0"] {
        for claims in [&user, &machine] {
            let header = json!({"alg": alg, "typ": "JWT"}).to_string();
            let body = format!("{}.{}", b64(&header), b64(&claims.to_string()));
            add(&format!("alg {alg:?}, no signature"), format!("{body}."));
            add(
                &format!("alg {alg:?}, some signature"),
                format!("{body}.{}", b64("x")),
            );
        }
    }
    // Another algorithm's name over a signature that holds.
    for alg in [
        "RS256",
        "ES256",
        "PS256",
        "Ed448",
        "ed25519",
        "eddsa",
        "HS256",
        "EdDSA\u{200b}",
    ] {
        let header = json!({"alg": alg}).to_string();
        add(
            &format!("alg {alg:?} over Ed25519"),
            signed(&own, &header, &machine.to_string()),
        );
    }
    for alg in [json!(null), json!(["EdDSA"]), json!({"a": 1}), json!(7)] {
        let header = json!({"alg": alg}).to_string();
        add("alg of another type", signed(&own, &header, &machine.to_string()));
    }
    add("no alg", signed(&own, "{}", &machine.to_string()));

    // Keys that the token brings itself, signed with them.
    let x = URL_SAFE_NO_PAD.encode(stranger.verifying_key().to_bytes());
    for header in [
        json!({"alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}}),
        json!({"alg": "EdDSA", "jku": "https://evil.example/keys"}),
        json!({"alg": "EdDSA", "jku": "file:///etc/passwd"}),
        json!({"alg": "EdDSA", "x5u": "https://evil.example/cert"}),
        json!({"alg": "EdDSA", "x5c": ["MIIB"]}),
        json!({"alg": "EdDSA", "crit": ["exp"]}),
        json!({"alg": "EdDSA", "crit": ["b64"], "b64": false}),
    ] {
        add(
            &format!("header {header}"),
            signed(&stranger, &header.to_string(), &machine.to_string()),
        );
        add(
            &format!("header {header}, own key"),
            signed(&own, &header.to_string(), &machine.to_string()),
        );
    }

    // Key ids.
    for kid in [
        "k2",
        "K1",
        "k1 ",
        "k1\0",
        "\u{212a}1",
        "k\u{ff11}",
        "../../etc/passwd",
        "' or 1=1 --",
        "",
    ] {
        let header = json!({"alg": "EdDSA", "kid": kid}).to_string();
        add(
            &format!("kid {kid:?}"),
            signed(&own, &header, &machine.to_string()),
        );
    }
    for kid in [json!(1), json!(null), json!(["k1"]), json!({})] {
        let header = json!({"alg": "EdDSA", "kid": kid}).to_string();
        add("kid of another type", signed(&own, &header, &machine.to_string()));
    }

    // Issuers.
    for iss in [
        "https://evil.example",
        "https://ci.example.org/",
        "https://CI.example.org",
        " https://ci.example.org",
        "https://ci.example.org\0",
        "https://ci.ex\u{430}mple.org",
        "https://ci\u{2024}example.org",
        "",
    ] {
        add(&format!("iss {iss:?}"), ed(&with(&machine, "iss", json!(iss))));
        add(
            &format!("iss {iss:?} of a user"),
            user_hs(&with(&user, "iss", json!(iss))),
        );
    }
    for iss in [
        json!(null),
        json!([ISSUER]),
        json!({"iss": ISSUER}),
        json!(7),
        json!(true),
    ] {
        add("iss of another type", ed(&with(&machine, "iss", iss.clone())));
        add(
            "iss of another type, of a user",
            user_hs(&with(&user, "iss", iss)),
        );
    }

    // Wrong types and values of every claim.
    let odd = [
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!(""),
        json!("x"),
    ];
    for name in ["exp", "nbf", "iat"] {
        for value in &odd {
            add(
                &format!("{name} {value}"),
                ed(&with(&machine, name, value.clone())),
            );
            add(
                &format!("{name} {value} of a user"),
                user_hs(&with(&user, name, value.clone())),
            );
        }
    }
    for value in [
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!(7),
        json!("x"),
        json!(["x"]),
    ] {
        add(&format!("aud {value}"), ed(&with(&machine, "aud", value.clone())));
        add(
            &format!("aud {value} of a user"),
            user_hs(&with(&user, "aud", value)),
        );
    }
    for value in [
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!(7),
        json!(""),
        json!(" \t"),
        json!("a\0b"),
        json!("a".repeat(501)),
    ] {
        add("sub", ed(&with(&machine, "sub", value.clone())));
        add("sub of a user", user_hs(&with(&user, "sub", value)));
    }
    for value in [
        json!("a"),
        json!(7),
        json!(["a", 1]),
        json!({"a": 1}),
        json!(null),
    ] {
        add(&format!("hooks {value}"), ed(&with(&machine, "hooks", value)));
    }
    for name in ["sub", "aud", "exp", "iat", "iss"] {
        add(&format!("no {name}"), ed(&without(&machine, name)));
    }
    for name in ["sub", "aud", "exp"] {
        add(&format!("no {name} of a user"), user_hs(&without(&user, name)));
    }

    // The clock.
    let at = |seconds: i64| json!(i64::try_from(now()).unwrap() + seconds);
    add("expired", ed(&with(&machine, "exp", at(-60))));
    add("expired, of a user", user_hs(&with(&user, "exp", at(-60))));
    add("not yet", ed(&with(&machine, "nbf", at(120))));
    add("issued in the future", ed(&with(&machine, "iat", at(120))));
    add(
        "a lifetime of a year",
        ed(&with(&machine, "exp", at(365 * 86_400))),
    );
    add(
        "issued long ago for long",
        ed(&with(&machine, "iat", at(-90_000))),
    );
    for number in [
        "1e400",
        "-1",
        "0",
        "1e18",
        "9".repeat(400).as_str(),
        "NaN",
        "Infinity",
    ] {
        let claims = machine
            .to_string()
            .replacen(&machine["exp"].to_string(), number, 1);
        add(&format!("exp {number}"), signed(&own, EDDSA, &claims));
    }

    // Claims and headers that two readers would read differently.
    let twice = |text: &str, more: &str| format!("{{{more},{}", &text[1..]);
    let claims = machine.to_string();
    for more in [
        "\"sub\":\"admin\"",
        "\"exp\":99999999999",
        "\"scope\":\"conventions:write\"",
        "\"iss\":\"x\"",
        "\"aud\":\"https://localhost\"",
        "\"\\u0073ub\":\"admin\"",
    ] {
        add(
            &format!("twice: {more}"),
            signed(&own, EDDSA, &twice(&claims, more)),
        );
    }
    add(
        "twice: alg",
        signed(&own, "{\"alg\":\"EdDSA\",\"alg\":\"none\"}", &claims),
    );

    // The form of the whole.
    let good = ed(&machine);
    let parts: Vec<&str> = good.split('.').collect();
    for (what, token) in [
        ("no dots", "garbage".to_owned()),
        ("one dot", format!("{}.{}", parts[0], parts[1])),
        ("three dots", format!("{good}.")),
        ("a fourth part", format!("{good}.{}", parts[2])),
        ("no header", format!(".{}.{}", parts[1], parts[2])),
        ("no claims", format!("{}..{}", parts[0], parts[2])),
        ("a cut signature", good[..good.len() - 3].to_owned()),
        ("a longer signature", format!("{good}AAAA")),
        ("a changed signature", {
            let mut bytes = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
            bytes[0] ^= 1;
            format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode(bytes))
        }),
        // The same signature with the group's order added to its scalar (RFC 8032 5.1.7).
        ("a malleable signature", {
            let mut bytes = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
            bytes[63] |= 0xe0;
            format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode(bytes))
        }),
        ("padded", format!("{}=.{}.{}", parts[0], parts[1], parts[2])),
        ("standard base64", {
            let header = STANDARD.encode("{\"alg\":\"EdDSA\",\"x\":\"???>>>\"}");
            format!("{header}.{}.{}", parts[1], parts[2])
        }),
        ("padded base64url", {
            format!(
                "{}.{}.{}",
                URL_SAFE.encode("{\"alg\":\"EdDSA\" }"),
                parts[1],
                parts[2]
            )
        }),
        ("claims that are a list", signed(&own, EDDSA, "[]")),
        ("claims that are a text", signed(&own, EDDSA, "\"x\"")),
        ("claims that are not JSON", signed(&own, EDDSA, "{")),
        ("claims and more", signed(&own, EDDSA, &format!("{claims} {{}}"))),
        ("a header that is a list", signed(&own, "[]", &claims)),
        (
            "a deep header",
            signed(&own, &format!("{}{}", "[".repeat(900), "]".repeat(900)), &claims),
        ),
        (
            "a deep claim",
            signed(
                &own,
                EDDSA,
                &twice(&claims, &format!("\"d\":{}{}", "[".repeat(900), "]".repeat(900))),
            ),
        ),
        (
            "9 KiB",
            signed(
                &own,
                EDDSA,
                &twice(&claims, &format!("\"pad\":\"{}\"", "a".repeat(7000))),
            ),
        ),
        ("30 KiB of a", "a".repeat(30_000)),
        ("another token's claims", {
            let other = ed(&with(&machine, "sub", json!("other")));
            format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2])
        }),
        ("two tokens", format!("{good} {good}")),
    ] {
        add(what, token);
    }
    all
}

// proves AUT-2, AUT-8
#[test]
fn no_forged_or_faulty_token_gets_in_or_into_the_log() {
    let world = World::start();
    let public = public_pem(&key(1));
    let server = world.serve_with(
        "a",
        &[
            ("HALLMARK_AUTH__ISSUERS__CI__ISSUER", ISSUER),
            ("HALLMARK_AUTH__ISSUERS__CI__KEYS__0__KID", "k1"),
            ("HALLMARK_AUTH__ISSUERS__CI__KEYS__0__PEM", &public),
            ("HALLMARK_LOG__LEVEL", "debug"),
        ],
    );
    // What the corpus is a corruption of holds, or it would prove nothing: 404 is past the gate.
    let claims = machine_claims(&json!({"scope": "hooks:write"}));
    let release = json!({"image": "x", "digest": format!("sha256:{}", "1".repeat(64)), "config": {}, "source_ref": "x"});
    for good in [
        signed(&key(1), EDDSA, &claims.to_string()),
        signed(&key(1), "{\"alg\":\"Ed25519\"}", &claims.to_string()),
        user_token(&json!({})),
    ] {
        let answer = server
            .with_token(Some(good))
            .post("/hooks/none/releases", &release);
        answer.problem(404, "hook_not_found");
    }
    let corpus = corpus();
    assert!(corpus.len() >= 60, "{}", corpus.len());
    let log_before = server.log();
    let (mut wrong, mut echoed) = (Vec::new(), Vec::new());
    for (what, token) in &corpus {
        // What no HTTP client can send as a header is no attack over HTTP.
        if token.is_empty() || !token.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            continue;
        }
        let answer = server
            .with_token(Some(token.clone()))
            .post("/hooks/none/releases", &release);
        // The server's own limit of a request's head comes before ours.
        let fits = answer.status == 401 && answer.content_type == "application/problem+json";
        let too_long = token.len() > 16_000 && answer.status < 500;
        if !fits && !too_long {
            wrong.push(format!("{what}: {} {}", answer.status, answer.text));
        }
        if fits && answer.www_authenticate.as_deref() != Some("Bearer") {
            wrong.push(format!("{what}: no WWW-Authenticate"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let log = server.log();
    let log = log.strip_prefix(&log_before).unwrap();
    for (what, token) in &corpus {
        for part in token.split('.').filter(|part| part.len() > 20) {
            if log.contains(part) {
                echoed.push(what);
            }
        }
    }
    assert!(echoed.is_empty(), "echoed into the log: {echoed:?}");
    assert_eq!(server.anonymous().get("/health").expect(200)["status"], "ok");
}
