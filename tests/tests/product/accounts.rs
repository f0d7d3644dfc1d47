//! Roles, service accounts and keys of issuers, on two servers: what changes here is seen there within five seconds.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use blackbox::tokens::{ISSUER, key, machine_claims, machine_token, public_pem, signed, user_token};
use blackbox::{Answer, World};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

/// The promise of the requirements.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// Asks until the status comes; fails when a request that was sent later than is promised gets another one, however long its answer took.
#[track_caller]
fn soon(status: u16, ask: impl Fn() -> Answer) {
    let begun = Instant::now();
    loop {
        let sent = begun.elapsed();
        let answer = ask();
        if answer.status == status {
            return;
        }
        assert!(sent < SEEN_WITHIN, "still {answer:?} and not {status}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A user's id and token; the user has no role yet.
fn user(world: &World, n: u32) -> (String, String) {
    let id = format!("00000000-0000-7000-8000-{n:012}");
    world.execute(&format!(
        "insert into users (id, provider, external_id, display_name) values ('{id}', 'orcid', 'o{n}', 'User {n}')"
    ));
    let token = user_token(&json!({"sub": id, "provider": "orcid", "external_id": format!("o{n}")}));
    (id, token)
}

// proves AUT-1, AUT-8
#[test]
fn roles_are_given_and_taken_and_every_server_sees_it_within_five_seconds() {
    let world = World::start();
    let (a, b) = (world.serve("a"), world.serve("b"));
    let admin = a.admin();
    let (id, token) = user(&world, 7);
    let at = |server: &blackbox::Server| server.with_token(Some(token.clone())).get("/ingestions");
    // Both servers have looked, and remember that there is nothing.
    at(&a).problem(403, "access_denied");
    at(&b).problem(403, "access_denied");

    let path = format!("/admin/users/{id}/roles");
    assert_eq!(admin.get(&path).expect(200), json!({"roles": []}));
    let given = admin.post(&path, &json!({"role": "ADMIN"})).expect(201);
    assert_eq!(
        (&given["role"], &given["user_id"], &given["assigned_by"]),
        (
            &json!("admin"),
            &json!(id),
            &json!("00000000-0000-7000-8000-0000000000a1")
        )
    );
    assert!(given["assigned_at"].as_str().unwrap().ends_with("+00:00"));
    assert_eq!(at(&a).status, 200, "the server that did it sees it at once");
    soon(200, || at(&b));
    assert_eq!(admin.get(&path).expect(200)["roles"][0], given);
    admin
        .post(&path, &json!({"role": "admin"}))
        .problem(409, "role_already_assigned");

    // An admin is no superadmin.
    let user_there = b.with_token(Some(token.clone()));
    user_there.get(&path).problem(403, "access_denied");
    user_there
        .post(&path, &json!({"role": "superadmin"}))
        .problem(403, "access_denied");

    assert_eq!(admin.delete(&format!("{path}/Admin")).status, 204);
    assert_eq!(at(&a).status, 403);
    soon(403, || at(&b));
    admin
        .delete(&format!("{path}/admin"))
        .problem(404, "role_not_found");

    let unknown = "00000000-0000-7000-8000-999999999999";
    for answer in [
        admin.get(&format!("/admin/users/{unknown}/roles")),
        admin.post(
            &format!("/admin/users/{unknown}/roles"),
            &json!({"role": "curator"}),
        ),
        admin.delete(&format!("/admin/users/{unknown}/roles/curator")),
    ] {
        answer.problem(404, "user_not_found");
    }
    for answer in [
        admin.get("/admin/users/x/roles"),
        admin.post("/admin/users/x/roles", &json!({"role": "curator"})),
        admin.post(&path, &json!({"role": "king"})),
        admin.post(&path, &json!({"role": 7})),
        admin.post(&path, &json!({})),
        admin.post(&path, &json!({"role": "curator", "user": "x"})),
        admin.delete(&format!("{path}/king")),
    ] {
        answer.problem(422, "VALIDATION_ERROR");
    }
    let users = admin.get("/admin/users?limit=1").expect(200);
    assert_eq!(
        (users["items"].as_array().unwrap().len(), &users["has_more"]),
        (1, &json!(true))
    );
    let rest = admin
        .get(&format!(
            "/admin/users?cursor={}",
            users["next_cursor"].as_str().unwrap()
        ))
        .expect(200);
    assert_eq!(rest["items"][0]["roles"], json!(["superadmin"]));
    assert_eq!(
        world.query(
            "select string_agg(kind || ' ' || (payload ->> 'role'), ', ' order by sequence) from activity_log"
        ),
        "RoleGranted admin, RoleRevoked admin"
    );
}

// proves AUT-1
#[test]
fn the_last_superadmin_stays_one_also_when_two_revoke_each_other_at_once() {
    let world = World::start();
    let (a, b) = (world.serve("a"), world.serve("b"));
    let local = "00000000-0000-7000-8000-0000000000a1";
    a.admin()
        .delete(&format!("/admin/users/{local}/roles/superadmin"))
        .problem(409, "last_superadmin");
    for round in 0..6 {
        let (id, token) = user(&world, 100 + round);
        a.admin()
            .post(
                &format!("/admin/users/{id}/roles"),
                &json!({"role": "superadmin"}),
            )
            .expect(201);
        soon(200, || b.with_token(Some(token.clone())).get("/admin/users"));
        let (one, other) = std::thread::scope(|scope| {
            let one = scope.spawn(|| {
                a.admin()
                    .delete(&format!("/admin/users/{id}/roles/superadmin"))
                    .status
            });
            let other = scope.spawn(|| {
                let second = b.with_token(Some(token.clone()));
                second
                    .delete(&format!("/admin/users/{local}/roles/superadmin"))
                    .status
            });
            (one.join().unwrap(), other.join().unwrap())
        });
        let left = world.query("select count(*)::text from role_assignments where role = 'superadmin'");
        assert_eq!(left, "1", "round {round}: {one} {other}");
        // The next round begins with the local administrator again.
        if one != 204 {
            world.execute(&format!("delete from role_assignments where user_id = '{id}'"));
            world.execute(&format!("insert into role_assignments (id, user_id, role) values (gen_random_uuid(), '{local}', 'superadmin')"));
            soon(200, || a.admin().get("/admin/users"));
        }
    }
}

// proves AUT-3, AUT-8
#[test]
fn a_service_account_is_listed_disabled_everywhere_within_five_seconds_and_enabled_again() {
    let world = World::start();
    let key = key(7);
    let public = public_pem(&key);
    let issuer = [
        ("HALLMARK_AUTH__ISSUERS__CI__ISSUER", ISSUER),
        ("HALLMARK_AUTH__ISSUERS__CI__PUBLIC_KEY", public.as_str()),
        (
            "HALLMARK_AUTH__ISSUERS__CI__ALLOWED_SCOPES",
            "ingestions:read hooks:write",
        ),
    ];
    let (a, b) = (world.serve_with("a", &issuer), world.serve_with("b", &issuer));
    let admin = a.admin();
    let token = machine_token(&key, &json!({"scope": "ingestions:read conventions:write"}));
    let ask = |server: &blackbox::Server| server.with_token(Some(token.clone())).get("/ingestions");
    assert_eq!((ask(&a).status, ask(&b).status), (200, 200));
    b.with_token(Some(token.clone()))
        .post("/conventions", &json!({}))
        .problem(403, "access_denied");

    let list = admin.get("/admin/service-accounts").expect(200);
    let account = &list["items"][0];
    assert_eq!(
        (&account["issuer"], &account["subject"], &account["disabled"]),
        (&json!(ISSUER), &json!("ci-bot"), &json!(false))
    );
    let path = format!("/admin/service-accounts/{}", account["id"].as_str().unwrap());
    assert_eq!(&admin.get(&path).expect(200), account);
    admin
        .post(&format!("{path}/disable"), &json!({}))
        .problem(422, "VALIDATION_ERROR");
    let disabled = admin
        .post(&format!("{path}/disable"), &json!({"reason": "its key leaked"}))
        .expect(200);
    assert_eq!(
        (
            &disabled["disabled"],
            &disabled["disabled_reason"],
            &disabled["disabled_by"]
        ),
        (
            &json!(true),
            &json!("its key leaked"),
            &json!("00000000-0000-7000-8000-0000000000a1")
        )
    );
    ask(&a).problem(401, "invalid_token");
    soon(401, || ask(&b));
    // Repeating it keeps who did it first, and is no second entry in the log.
    let again = admin
        .post(&format!("{path}/disable"), &json!({"reason": "x"}))
        .expect(200);
    assert_eq!(again, disabled);
    let enabled = admin.post(&format!("{path}/enable"), &json!({})).expect(200);
    assert!(enabled["disabled"] == false && enabled["disabled_at"].is_null());
    assert_eq!(ask(&a).status, 200);
    soon(200, || ask(&b));
    assert_eq!(
        world.query("select string_agg(kind, ', ' order by sequence) from activity_log"),
        "ServiceAccountDisabled, ServiceAccountEnabled"
    );

    let unknown = "/admin/service-accounts/00000000-0000-7000-8000-999999999999";
    admin.get(unknown).problem(404, "service_account_not_found");
    admin
        .post(&format!("{unknown}/disable"), &json!({"reason": "x"}))
        .problem(404, "service_account_not_found");
    admin
        .get("/admin/service-accounts/x")
        .problem(422, "VALIDATION_ERROR");
    admin
        .get("/admin/service-accounts?cursor=x")
        .problem(422, "VALIDATION_ERROR");
    // A machine is no superadmin, with any scopes.
    let greedy = machine_token(
        &key,
        &json!({"scope": "superadmin admin admin:write hooks:write"}),
    );
    a.with_token(Some(greedy))
        .get("/admin/service-accounts")
        .problem(403, "access_denied");
}

/// A JWKS document at a URL, which a test changes; counts how often it was asked for.
struct Jwks {
    url: String,
    body: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl Jwks {
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let body = Arc::new(Mutex::new((200, String::new())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (Arc::clone(&body), Arc::clone(&asked));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 2048];
                let _ = stream.read(&mut head);
                count.fetch_add(1, Ordering::SeqCst);
                let (status, text) = answer.lock().unwrap().clone();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
                    text.len()
                );
            }
        });
        Self { url, body, asked }
    }

    fn publish(&self, keys: &[(&str, &SigningKey)]) {
        let keys: Vec<Value> = keys
            .iter()
            .map(|(kid, key)| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": URL_SAFE_NO_PAD.encode(key.verifying_key().to_bytes())}))
            .collect();
        *self.body.lock().unwrap() = (200, json!({"keys": keys}).to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

// proves AUT-7
#[test]
fn keys_rotate_without_a_restart_and_the_issuer_is_asked_once_per_cool_down() {
    let world = World::start();
    let jwks = Jwks::serve();
    let (old, new) = (key(1), key(2));
    jwks.publish(&[("old", &old)]);
    let file = world.home.path().join("second.pem");
    std::fs::write(&file, public_pem(&key(3))).unwrap();
    let server = world.serve_with(
        "a",
        &[
            ("HALLMARK_AUTH__ISSUERS__CI__ISSUER", ISSUER),
            ("HALLMARK_AUTH__ISSUERS__CI__JWKS_URL", &jwks.url),
            ("HALLMARK_AUTH__ISSUERS__CI__REFRESH_COOL_DOWN_SECONDS", "2"),
            ("HALLMARK_AUTH__ISSUERS__OTHER__ISSUER", "https://other.example"),
            (
                "HALLMARK_AUTH__ISSUERS__OTHER__KEYS__0__FILE",
                file.to_str().unwrap(),
            ),
            ("HALLMARK_AUTH__ISSUERS__OTHER__REFRESH_COOL_DOWN_SECONDS", "1"),
            ("HALLMARK_AUTH__ISSUERS__OTHER__REFRESH_SECONDS", "1"),
        ],
    );
    let ask = |key: &SigningKey, kid: &str| {
        let claims = machine_claims(&json!({"scope": "ingestions:read"})).to_string();
        let token = signed(key, &json!({"alg": "EdDSA", "kid": kid}).to_string(), &claims);
        server.with_token(Some(token)).get("/ingestions").status
    };
    assert_eq!(jwks.asked(), 1, "at the start");
    assert_eq!(ask(&old, "old"), 200);
    assert_eq!(jwks.asked(), 1, "a known key causes no request");

    // The issuer changes its key: the first token with it is taken, once the cool-down is over.
    std::thread::sleep(Duration::from_millis(2100));
    jwks.publish(&[("new", &new)]);
    assert_eq!(ask(&new, "new"), 200);
    assert_eq!(ask(&old, "old"), 401, "a withdrawn key is invalid");
    assert_eq!(jwks.asked(), 2);
    // A flood of unknown keys asks once.
    std::thread::sleep(Duration::from_millis(2100));
    std::thread::scope(|scope| {
        for n in 0..20 {
            let ask = &ask;
            scope.spawn(move || assert_eq!(ask(&key(50), &format!("k{n}")), 401));
        }
    });
    assert_eq!(jwks.asked(), 3);

    // An issuer that is away, or talks nonsense, loses nothing.
    for answer in [(500, String::new()), (200, "nonsense".to_owned())] {
        *jwks.body.lock().unwrap() = answer;
        std::thread::sleep(Duration::from_millis(2100));
        assert_eq!(ask(&key(50), "unknown"), 401);
        assert_eq!(ask(&new, "new"), 200);
    }
    assert_eq!(jwks.asked(), 5);
    // Nor does one that publishes a list without keys: that is a mistake, too.
    std::thread::sleep(Duration::from_millis(2100));
    jwks.publish(&[]);
    assert_eq!(ask(&key(50), "unknown"), 401);
    assert_eq!(ask(&new, "new"), 200);

    // A PEM file is read again too.
    let other = |key: &SigningKey| {
        let claims = machine_claims(&json!({"iss": "https://other.example", "scope": "ingestions:read"}));
        let token = signed(key, "{\"alg\":\"Ed25519\"}", &claims.to_string());
        server.with_token(Some(token)).get("/ingestions")
    };
    assert_eq!((other(&key(3)).status, other(&key(4)).status), (200, 401));
    std::fs::write(&file, public_pem(&key(4))).unwrap();
    soon(200, || other(&key(4)));
    soon(401, || other(&key(3)));
}

// proves AUT-6
#[test]
fn without_extra_issuers_a_node_is_a_single_issuer_node() {
    let world = World::start();
    let server = world.serve("a");
    let ask = |token: String| server.with_token(Some(token)).get("/ingestions").status;
    assert_eq!(ask(user_token(&json!({}))), 200);
    assert_eq!(ask(user_token(&json!({"iss": "https://other.example"}))), 200);
    assert_eq!(
        ask(machine_token(&key(7), &json!({"scope": "ingestions:read"}))),
        401
    );
}
