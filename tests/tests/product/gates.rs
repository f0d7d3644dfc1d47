//! Who may do what, over HTTP.

use blackbox::World;
use blackbox::fixtures::{PASS, small};
use blackbox::tokens::{ISSUER, key, machine_token, now, public_pem, user_token};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

// proves AUT-1, AUT-5, AUT-8
#[test]
fn every_operation_states_its_gate_and_refuses_strangers_before_it_looks_at_anything() {
    let world = World::start();
    let server = world.serve("a");
    let anonymous = server.anonymous();
    let document = anonymous.get("/openapi.json").expect(200);
    assert_eq!(anonymous.get("/docs").status, 200);
    let (mut gated, mut open) = (0, Vec::new());
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = operation["operationId"]
                .as_str()
                .unwrap_or_else(|| panic!("{method} {path} has no operationId"));
            let security = operation["security"]
                .as_array()
                .unwrap_or_else(|| panic!("{name} states no gate"));
            assert!(operation["x-hallmark-requires"].is_string(), "{name}");
            if security.iter().any(|s| s.as_object().unwrap().is_empty()) {
                open.push(name.to_owned());
                continue;
            }
            gated += 1;
            let path = path.strip_prefix("/api/v1").unwrap().replace(['{', '}'], "");
            for token in [
                None,
                Some("garbage".to_owned()),
                Some(user_token(&json!({"aud": "x"}))),
                Some(user_token(&json!({"exp": 1}))),
            ] {
                let answer = server
                    .with_token(token)
                    .send(
                        &method.to_uppercase(),
                        &path,
                        Some("text/garbage"),
                        "garbage".as_bytes(),
                    )
                    .unwrap();
                assert_eq!(
                    (answer.status, answer.content_type.as_str()),
                    (401, "application/problem+json"),
                    "{name}: {answer:?}"
                );
                assert_eq!(answer.www_authenticate.as_deref(), Some("Bearer"), "{name}");
            }
        }
    }
    assert!(gated >= 20, "{gated}");
    open.sort();
    let known = [
        // Provenance of what is public. Names of people, runs that made nothing public, and why runs failed have gates inside.
        "exportFeatureRows",
        "exportHookRelease",
        "exportHookRun",
        "exportRecord",
        "feature_get",
        // A query of a table, by POST for its size: it reads.
        "feature_post",
        // What these prove is in what they are given: a refresh token, a device's code, the provider's answer.
        "fetchDeviceTokens",
        "finishLogIn",
        "getCatalogue",
        "getConvention",
        "getDescription",
        "getHealth",
        "getHookRelease",
        "getHookRun",
        "getLiveRelease",
        "getManifest",
        "getReadiness",
        "getRecord",
        "getRecordProvenance",
        "getSchema",
        "getStats",
        "listConventions",
        "listEvents",
        "listHookReleases",
        "listHooks",
        "listLiveMoves",
        "listSchemas",
        "logIn",
        "logOut",
        "openDevice",
        "recallRecords",
        "recallRecordsCsv",
        "recallRelease",
        "recallRows",
        "recallRowsCsv",
        "records_get_csv",
        "records_get_csv_gz",
        "records_get_json",
        "records_get_parquet",
        "records_post_csv",
        "records_post_csv_gz",
        "records_post_json",
        "records_post_parquet",
        "refreshTokens",
        "showDeviceComplete",
        "showDeviceError",
        "showDevicePage",
        "traceRow",
        "verifyDevice",
    ];
    assert_eq!(open, known, "what is open to anyone; a new entry needs a reason");
    assert_eq!(
        server
            .with_token(Some("garbage".into()))
            .get("/conventions")
            .status,
        200,
        "a bad token does not close what is open"
    );
}

// proves AUT-1, AUT-2, AUT-4, REG-7
#[test]
fn service_accounts_do_what_their_scopes_say_and_are_named_in_what_they_release() {
    let world = World::start();
    let key = key(7);
    let public = public_pem(&key);
    let server = world.serve_with(
        "a",
        &[
            ("HALLMARK_AUTH__ISSUERS__CI__ISSUER", ISSUER),
            ("HALLMARK_AUTH__ISSUERS__CI__PUBLIC_KEY", &public),
        ],
    );
    let bot = |claims: Value| server.with_token(Some(machine_token(&key, &claims)));
    let pass = world.script("pass", PASS);
    let body = small("Gated", "gated", &[("pass", &pass)]);
    let release = json!({"image": "file:/x", "digest": format!("sha256:{}", "1".repeat(64)), "config": {}, "source_ref": "git:2"});

    bot(json!({"scope": "hooks:write"}))
        .post("/conventions", &body)
        .problem(403, "access_denied");
    bot(json!({"scope": "conventions:write"}))
        .post("/conventions", &body)
        .expect(201);
    bot(json!({"scope": ["conventions:write"]}))
        .post("/hooks/pass/releases?check=false", &release)
        .problem(403, "access_denied");
    bot(json!({"scope": ["x", "hooks:write"]}))
        .post("/hooks/pass/releases?check=false", &release)
        .expect(201);
    let built_by = server.anonymous().get("/hooks/pass/releases/2").expect(200)["built_by"].clone();
    let account = world
        .query("select 'service_account:' || id || ' ' || issuer || ' ' || subject from service_accounts");
    assert_eq!(account, format!("{} {ISSUER} ci-bot", built_by.as_str().unwrap()));
    bot(json!({})).get("/ingestions").problem(403, "access_denied");
    let response = bot(json!({})).get("/auth/me").expect(403);
    assert_eq!(response["detail"]["code"], "access_denied");

    let stranger = blackbox::tokens::key(8);
    server
        .with_token(Some(machine_token(&stranger, &json!({"scope": "hooks:write"}))))
        .post("/hooks/pass/releases?check=false", &release)
        .problem(401, "invalid_token");
    let confused = jsonwebtoken::encode(&Header::default(), &json!({"iss": ISSUER, "sub": "x", "aud": "https://localhost", "exp": now() + 60, "scope": "hooks:write"}), &EncodingKey::from_secret(public.as_bytes())).unwrap();
    server
        .with_token(Some(confused.clone()))
        .post("/hooks/pass/releases?check=false", &release)
        .problem(401, "invalid_token");
    assert!(
        !server.log().contains(&confused[..40]),
        "no token is echoed into the log"
    );

    // A user without roles may only read; roles come from the database.
    let user = server.with_token(Some(user_token(
        &json!({"sub": "00000000-0000-7000-8000-0000000000ff"}),
    )));
    user.post("/conventions", &body).problem(403, "access_denied");
    let me = server.admin().get("/auth/me").expect(200);
    assert_eq!(
        (&me["display_name"], &me["roles"]),
        (&json!("Local Admin"), &json!(["superadmin"]))
    );
    for (token, code) in [
        (None, "missing_token"),
        (Some("x".to_owned()), "invalid_token"),
        (Some(user_token(&json!({"exp": 1}))), "token_expired"),
    ] {
        let response = server.with_token(token).get("/auth/me").expect(401);
        assert_eq!(
            response["detail"]["code"], code,
            "osa-py reads detail.code: {response}"
        );
    }
}
