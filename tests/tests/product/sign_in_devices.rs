//! Signing in a device.

use blackbox::tokens::user_token;
use blackbox::{Answer, World};
use serde_json::{Value, json};

use super::sign_in::{BOB, Orcid, back, departed, refresh, serve};

// proves AUT-1
#[test]
fn a_device_is_let_in_by_a_person_and_fetches_its_tokens_once() {
    let (world, orcid) = (World::start(), Orcid::serve());
    let server = serve(&world, &orcid, "a");
    let device = server.anonymous();
    let open = || {
        device
            .send("POST", "/auth/device", None, std::io::empty())
            .unwrap()
            .expect(200)
    };
    let codes = open();
    let (code, shown) = (
        codes["device_code"].as_str().unwrap(),
        codes["user_code"].as_str().unwrap(),
    );
    assert!(
        code.len() == 64 && shown.len() == 9 && shown.as_bytes()[4] == b'-',
        "{codes}"
    );
    assert_eq!(
        (&codes["expires_in"], &codes["interval"]),
        (&json!(900), &json!(5))
    );
    let page = codes["verification_uri"].as_str().unwrap();
    assert_eq!(
        page,
        format!("{}/api/v1/auth/device/verify?code={shown}", server.url)
    );

    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let fetch = |code: &str, grant: &str| {
        device.post(
            "/auth/device/token",
            &json!({"device_code": code, "grant_type": grant}),
        )
    };
    let refused = |answer: Answer, error: &str| {
        let response: Value = answer.expect(400);
        assert_eq!(
            (&response["error"], &response["detail"]["code"]),
            (&json!(error), &json!(error)),
            "osa-py reads error: {response}"
        );
        assert!(response["error_description"].is_string());
    };
    refused(fetch(code, grant), "authorization_pending");
    refused(fetch(&"0".repeat(64), grant), "device_not_found");
    refused(fetch(code, "password"), "unsupported_grant_type");
    device
        .push(
            "/auth/device/token",
            "application/x-www-form-urlencoded",
            "device_code=x",
        )
        .expect(415);

    // A person opens the page, types the code, and signs in.
    let browser = server.anonymous();
    let shown_page = browser.get(&format!("/auth/device/verify?code=%22%3E{shown}"));
    assert_eq!(shown_page.status, 200);
    assert!(
        shown_page.text.contains(&format!("value=\"&quot;&gt;{shown}\"")),
        "{}",
        shown_page.text
    );
    let form = "application/x-www-form-urlencoded";
    let cookie = shown_page.set_cookie.clone().unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let token = cookie.split_once('=').unwrap().1;
    assert!(
        shown_page
            .text
            .contains(&format!("name=\"form_token\" value=\"{token}\""))
    );
    let send = |cookie: Option<&str>, body: &str| {
        browser
            .send_with(
                "POST",
                "/auth/device/verify",
                Some(form),
                cookie.map(|cookie| ("cookie", cookie)),
                body.as_bytes(),
            )
            .unwrap()
    };
    // The form of another site's page brings no cookie, or not the one of its token.
    for (cookie, body) in [
        (None, format!("user_code={shown}")),
        (None, format!("user_code={shown}&form_token=")),
        (Some(cookie), format!("user_code={shown}")),
        (Some(cookie), format!("user_code={shown}&form_token=other")),
        (
            Some("hallmark_device_form="),
            format!("user_code={shown}&form_token="),
        ),
    ] {
        let refused = send(cookie, &body);
        assert_eq!(refused.status, 302);
        let back = refused.location.unwrap();
        assert!(
            back.starts_with("/api/v1/auth/device/verify?error_message=This+form"),
            "{back}"
        );
    }
    let wrong = send(Some(cookie), &format!("user_code=BBBB-BBBB&form_token={token}"));
    assert_eq!(wrong.status, 302);
    assert!(
        wrong
            .location
            .unwrap()
            .starts_with("/api/v1/auth/device/verify?code=BBBB-BBBB&error_message=")
    );
    send(Some(cookie), "x=y").expect(422);
    let long = "x".repeat(20_000);
    device
        .post("/auth/refresh", &json!({"refresh_token": long}))
        .expect(413);
    let typed = shown.to_lowercase().replace('-', "+");
    let away = departed(
        &orcid,
        &send(Some(cookie), &format!("user_code={typed}&form_token={token}")),
    );
    assert!(
        !away.state.contains(code),
        "the device's own code never reaches a browser"
    );
    let landed = back(
        &browser,
        &[("code", &format!("good-{BOB}")), ("state", &away.state)],
        Some(&away.cookie),
    );
    assert_eq!(
        (landed.status, landed.location.as_deref()),
        (302, Some("/api/v1/auth/device/complete"))
    );
    assert_eq!(browser.get("/auth/device/complete").status, 200);
    // The page says what the server says, and nothing that a link puts into its mouth.
    for (told, shown) in [
        ("call+555", "The sign-in failed."),
        (
            "the+identity+provider+refused+the+sign-in",
            "the identity provider refused the sign-in",
        ),
    ] {
        let page = browser
            .get(&format!("/auth/device/error?error_description={told}"))
            .text;
        assert!(page.contains(shown) && !page.contains("call 555"), "{page}");
    }
    let page = browser.get("/auth/device/verify?error_message=call+555").text;
    assert!(!page.contains("call 555"), "{page}");

    let tokens = fetch(code, grant).expect(200);
    let me = server
        .with_token(tokens["access_token"].as_str().map(str::to_owned))
        .get("/auth/me")
        .expect(200);
    assert_eq!(me["external_id"], BOB);
    refresh(&server, tokens["refresh_token"].as_str().unwrap()).expect(200);
    refused(fetch(code, grant), "device_consumed");

    let late = open();
    world.execute("update device_authorizations set expires_at = now() - interval '1 second'");
    refused(
        fetch(late["device_code"].as_str().unwrap(), grant),
        "expired_token",
    );

    // Where sign-in is not configured, the pages do not exist, and a token of the node still works.
    let bare = world.serve("bare");
    assert_eq!(
        bare.anonymous().get("/auth/device/verify").expect(404)["code"],
        "unknown_provider"
    );
    assert_eq!(
        bare.with_token(Some(user_token(&json!({}))))
            .get("/auth/me")
            .status,
        200
    );
}
