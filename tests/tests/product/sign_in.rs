//! Signing in with a stand-in for ORCID, refreshing, signing out, and the device flow.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use blackbox::{Answer, Client, Server, World};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use url::Url;

/// A stand-in for ORCID's token endpoint. It gives an identity for the code `good-<iD>`, and only to who shows the verifier of the
/// challenge that the browser was sent with (RFC 7636 4.6).
pub(super) struct Orcid {
    url: String,
    challenge: Arc<Mutex<String>>,
}

impl Orcid {
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let challenge = Arc::new(Mutex::new(String::new()));
        let expected = Arc::clone(&challenge);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut text = String::new();
                let mut piece = [0; 4096];
                // The head says how long the form is.
                let form = loop {
                    let n = stream.read(&mut piece).unwrap();
                    text.push_str(std::str::from_utf8(&piece[..n]).unwrap());
                    let Some((head, form)) = text.split_once("\r\n\r\n") else {
                        continue;
                    };
                    let length = head
                        .lines()
                        .find_map(|l| {
                            l.to_lowercase()
                                .strip_prefix("content-length: ")
                                .map(|n| n.parse::<usize>().unwrap())
                        })
                        .unwrap();
                    if form.len() >= length {
                        break form.to_owned();
                    }
                };
                assert!(text.starts_with("POST /oauth/token "), "{text}");
                let get = |name: &str| {
                    url::form_urlencoded::parse(form.as_bytes())
                        .find(|(key, _)| key == name)
                        .map(|(_, value)| value.into_owned())
                        .unwrap_or_default()
                };
                let verifier = get("code_verifier");
                let shown = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
                let code = get("code");
                let fits = get("client_secret") == "hush" && shown == *expected.lock().unwrap();
                let (status, answer) = match code.strip_prefix("good-").filter(|_| fits) {
                    Some(orcid) => (
                        200,
                        json!({"access_token": "x", "name": "Ada <b>", "orcid": orcid}),
                    ),
                    None if code == "broken" => (200, json!({"orcid": "nonsense"})),
                    None if code == "down" => (503, json!({})),
                    None => (400, json!({"error": "invalid_grant"})),
                };
                let body = answer.to_string();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { url, challenge }
    }
}

pub(super) const ADA: &str = "0000-0002-1825-0097";
pub(super) const BOB: &str = "0000-0001-5109-370X";

pub(super) fn serve(world: &World, orcid: &Orcid, name: &str) -> Server {
    world.serve_with(
        name,
        &[
            ("OSA_AUTH__PROVIDERS__ORCID__CLIENT_ID", "APP-1"),
            ("OSA_AUTH__PROVIDERS__ORCID__CLIENT_SECRET", "hush"),
            ("HALLMARK_AUTH__ORCID__BASE_URL", &orcid.url),
            ("OSA_AUTH__ADMINS__ORCID", "[\"0000-0002-1825-0097\"]"),
            ("OSA_AUTH__BASE_ROLE", "DEPOSITOR"),
            ("OSA_FRONTEND__URL", "https://app.example.org"),
            ("HALLMARK_AUTH__REDIRECT_ORIGINS", "[\"http://127.0.0.1:3000\"]"),
        ],
    )
}

pub(super) fn query(url: &str) -> Vec<(String, String)> {
    Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

pub(super) fn find(pairs: &[(String, String)], name: &str) -> String {
    let found = pairs.iter().find(|(key, _)| key == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {pairs:?}"))
        .1
        .clone()
}

/// A browser that was sent to the provider: the state that it carries, and its cookie.
pub(super) struct Away {
    pub(super) state: String,
    pub(super) cookie: String,
}

pub(super) fn departed(orcid: &Orcid, answer: &Answer) -> Away {
    assert_eq!(answer.status, 302, "{answer:?}");
    let to = answer.location.clone().unwrap();
    assert!(to.starts_with(&format!("{}/oauth/authorize?", orcid.url)), "{to}");
    let pairs = query(&to);
    assert_eq!(find(&pairs, "scope"), "/authenticate");
    assert_eq!(find(&pairs, "code_challenge_method"), "S256");
    *orcid.challenge.lock().unwrap() = find(&pairs, "code_challenge");
    let cookie = answer.set_cookie.clone().unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    Away {
        state: find(&pairs, "state"),
        cookie: cookie.split(';').next().unwrap().to_owned(),
    }
}

pub(super) fn back(client: &Client, parameters: &[(&str, &str)], cookie: Option<&str>) -> Answer {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    client
        .send_with(
            "GET",
            &format!("/auth/callback?{query}"),
            None,
            cookie.map(|cookie| ("cookie", cookie)),
            std::io::empty(),
        )
        .unwrap()
}

/// Signs a person in; returns the fragment of the last redirect.
pub(super) fn sign_in(server: &Server, orcid: &Orcid, who: &str) -> Vec<(String, String)> {
    let browser = server.anonymous();
    let away = departed(orcid, &browser.get("/auth/login?provider=orcid"));
    let landed = back(
        &browser,
        &[("code", &format!("good-{who}")), ("state", &away.state)],
        Some(&away.cookie),
    );
    assert_eq!(landed.status, 302, "{landed:?}");
    let location = landed.location.unwrap();
    let auth = location
        .strip_prefix("https://app.example.org/#auth=")
        .unwrap_or_else(|| panic!("{location}"));
    url::form_urlencoded::parse(auth.as_bytes())
        .into_owned()
        .collect()
}

pub(super) fn refresh(server: &Server, token: &str) -> Answer {
    server
        .anonymous()
        .post("/auth/refresh", &json!({"refresh_token": token}))
}

// proves AUT-1
#[test]
fn people_sign_in_refresh_and_sign_out() {
    let (world, orcid) = (World::start(), Orcid::serve());
    let server = serve(&world, &orcid, "a");
    let ada = sign_in(&server, &orcid, ADA);
    assert_eq!(
        (
            find(&ada, "external_id"),
            find(&ada, "display_name"),
            find(&ada, "token_type"),
            find(&ada, "expires_in")
        ),
        (ADA.into(), "Ada <b>".into(), "Bearer".into(), "3600".into())
    );
    let me = server
        .with_token(Some(find(&ada, "access_token")))
        .get("/auth/me")
        .expect(200);
    assert_eq!(
        (&me["roles"], &me["provider"]),
        (&json!(["superadmin"]), &json!("orcid"))
    );
    let bob = sign_in(&server, &orcid, BOB);
    let me = server
        .with_token(Some(find(&bob, "access_token")))
        .get("/auth/me")
        .expect(200);
    assert_eq!(
        me["roles"],
        json!(["depositor"]),
        "the base role, at the first sign-in"
    );
    // Signing in again makes no second user, and gives no role back that was taken.
    world.execute("delete from role_assignments where role = 'depositor'");
    assert_eq!(
        find(&sign_in(&server, &orcid, BOB), "user_id"),
        find(&bob, "user_id")
    );
    assert_eq!(
        world.query("select count(*)::text || ' ' || (select count(*) from role_assignments) from users"),
        "3 2"
    );

    // A refresh token is single-use; reuse revokes that sign-in, and no other.
    let first = find(&ada, "refresh_token");
    let next = refresh(&server, &first).expect(200);
    assert_eq!(
        (&next["token_type"], &next["expires_in"]),
        (&json!("Bearer"), &json!(3600))
    );
    let second = next["refresh_token"].as_str().unwrap();
    assert_eq!(
        server
            .with_token(next["access_token"].as_str().map(str::to_owned))
            .get("/auth/me")
            .status,
        200
    );
    let response = refresh(&server, &first).expect(401);
    assert_eq!(
        response["detail"]["code"], "token_family_revoked",
        "osa-py reads detail.code"
    );
    assert_eq!(
        refresh(&server, second).expect(401)["detail"]["code"],
        "token_family_revoked"
    );
    let bobs = find(&bob, "refresh_token");
    let bobs = refresh(&server, &bobs).expect(200);
    let access = bobs["access_token"].as_str().map(str::to_owned);
    let of_bob = server.with_token(access.clone());
    of_bob.get("/auth/me").expect(200);
    let elsewhere = serve(&world, &orcid, "elsewhere");
    elsewhere.with_token(access.clone()).get("/auth/me").expect(200);
    let bobs = bobs["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(
        server
            .anonymous()
            .post("/auth/logout", &json!({"refresh_token": bobs}))
            .expect(200),
        json!({"success": true})
    );
    assert_eq!(
        refresh(&server, &bobs).expect(401)["detail"]["code"],
        "token_family_revoked"
    );
    // The access tokens of that sign-in end with it: here at once, on another server soon.
    assert_eq!(
        of_bob.get("/auth/me").expect(401)["detail"]["code"],
        "invalid_token"
    );
    blackbox::parties::until("another server knows it", || {
        elsewhere.with_token(access.clone()).get("/auth/me").status == 401
    });
    for nonsense in ["", "x", "dev-no-refresh"] {
        assert_eq!(
            refresh(&server, nonsense).expect(401)["detail"]["code"],
            "invalid_refresh_token"
        );
        server
            .anonymous()
            .post("/auth/logout", &json!({"refresh_token": nonsense}))
            .expect(200);
    }
    let late = find(&sign_in(&server, &orcid, ADA), "refresh_token");
    world.execute("update refresh_tokens set expires_at = now() - interval '1 second'");
    assert_eq!(
        refresh(&server, &late).expect(401)["detail"]["code"],
        "refresh_token_expired"
    );
    // The tokens themselves are not stored.
    assert_eq!(
        world.query("select count(*)::text from refresh_tokens where octet_length(token_hash) <> 32"),
        "0"
    );
    assert!(!server.log().contains(&late) && !server.log().contains("hush"));

    let config = server.admin().get("/auth/config").expect(200);
    assert_eq!(
        config,
        json!({"provider": "orcid", "client_id": "APP-1", "admin_orcids": [ADA]})
    );
    server.anonymous().get("/auth/config").expect(401);
}

// proves AUT-1
#[test]
fn one_refresh_token_that_two_use_at_once_is_good_for_one_of_them() {
    let (world, orcid) = (World::start(), Orcid::serve());
    let servers = [serve(&world, &orcid, "a"), serve(&world, &orcid, "b")];
    for _ in 0..5 {
        let token = find(&sign_in(&servers[0], &orcid, ADA), "refresh_token");
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..8)
                .map(|n| {
                    let (server, token) = (&servers[n % 2], &token);
                    scope.spawn(move || refresh(server, token).status)
                })
                .collect();
            running.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let good = statuses.iter().filter(|s| **s == 200).count();
        assert!(
            good <= 1 && statuses.iter().all(|s| matches!(s, 200 | 401)),
            "{statuses:?}"
        );
        assert_eq!(good, 1, "the first of them is no thief");
    }
}

#[test]
fn a_sign_in_is_bound_to_its_browser_and_sends_tokens_only_where_it_may() {
    let (world, orcid) = (World::start(), Orcid::serve());
    let server = serve(&world, &orcid, "a");
    let browser = server.anonymous();
    let response = browser.get("/auth/login?provider=github").expect(400);
    assert_eq!(response["detail"]["code"], "unknown_provider");
    browser.get("/auth/login").problem(422, "VALIDATION_ERROR");
    for evil in [
        "https://evil.example/",
        "https://app.example.org.evil.example/",
        "https://app.example.org@evil.example/",
        "https://user@app.example.org/",
        "http://app.example.org/",
        "https://app.example.org:444/",
        "//evil.example",
        "javascript:alert(1)",
        "/relative",
        "https://app.example.org/#x",
        "",
    ] {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("provider", "orcid"), ("redirect_uri", evil)])
            .finish();
        let response = browser.get(&format!("/auth/login?{query}")).expect(422);
        assert_eq!(
            response["errors"][0]["loc"],
            json!(["query", "redirect_uri"]),
            "{evil}"
        );
    }
    let query = "provider=orcid&redirect_uri=http%3A%2F%2F127.0.0.1%3A3000%2Fdone%3Fx%3D1";
    let away = departed(&orcid, &browser.get(&format!("/auth/login?{query}")));
    let good = format!("good-{ADA}");
    let failed = |answer: Answer, error: &str| {
        assert_eq!(answer.status, 307, "{answer:?}");
        let location = answer.location.unwrap();
        assert!(
            location.starts_with("https://app.example.org/auth/error?"),
            "{location}"
        );
        assert_eq!(find(&self::query(&location), "error"), error);
    };
    failed(
        back(&browser, &[("code", &good)], Some(&away.cookie)),
        "oauth_state_missing",
    );
    // Another browser, no cookie, another browser's state, a state that was changed.
    failed(
        back(&browser, &[("code", &good), ("state", &away.state)], None),
        "oauth_state_invalid",
    );
    let other = departed(&orcid, &browser.get("/auth/login?provider=orcid"));
    failed(
        back(
            &browser,
            &[("code", &good), ("state", &away.state)],
            Some(&other.cookie),
        ),
        "oauth_state_invalid",
    );
    let forged = away.state.replacen('A', "B", 1);
    failed(
        back(
            &browser,
            &[("code", &good), ("state", &forged)],
            Some(&away.cookie),
        ),
        "oauth_state_invalid",
    );
    let state = [("state", away.state.as_str())];
    failed(back(&browser, &state, Some(&away.cookie)), "missing_code");
    failed(
        back(
            &browser,
            &[state[0], ("error", "access_denied")],
            Some(&away.cookie),
        ),
        "access_denied",
    );
    for (code, error) in [
        ("bad", "oauth_error"),
        ("broken", "idp_unavailable"),
        ("down", "idp_unavailable"),
    ] {
        failed(
            back(&browser, &[state[0], ("code", code)], Some(&away.cookie)),
            error,
        );
    }
    // A code that was stolen on its way is worthless without the verifier: this state's challenge is another sign-in's by now.
    failed(
        back(&browser, &[state[0], ("code", &good)], Some(&away.cookie)),
        "oauth_error",
    );
    let away = departed(&orcid, &browser.get(&format!("/auth/login?{query}")));
    let landed = back(
        &browser,
        &[("state", &away.state), ("code", &good)],
        Some(&away.cookie),
    );
    let location = landed.location.unwrap();
    assert!(
        location.starts_with("http://127.0.0.1:3000/done?x=1#auth=access_token="),
        "{location}"
    );
    assert!(
        landed.set_cookie.unwrap().contains("Max-Age=0"),
        "the cookie is over"
    );
    assert_eq!(world.query("select count(*)::text from refresh_tokens"), "1");
}
