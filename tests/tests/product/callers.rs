//! No caller shuts others out: connections, heads and bodies that do not come, and what one caller may ask for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use blackbox::fixtures::{PASS, small};
use blackbox::tokens::{key, machine_token};
use blackbox::{Server, World};
use serde_json::{Value, json};

use super::reading_streams::{long, with_notes};

/// A connection that has sent this much.
fn said(server: &Server, text: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.write_all(text.as_bytes()).unwrap();
    socket
}

/// What the server says until it closes the connection.
fn heard(mut socket: TcpStream) -> String {
    let mut all = Vec::new();
    // It may also be closed by a reset, once its response was read.
    if let Err(error) = socket.read_to_end(&mut all) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it stays open");
    }
    String::from_utf8_lossy(&all).into_owned()
}

// proves ISO-5
#[test]
fn a_request_that_two_could_read_differently_is_refused_and_the_last_one() {
    let world = World::start();
    let server = world.serve("a");
    let next = "GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        "POST /api/v1/auth/logout HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/v1/auth/logout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "GET /api/v1/health HTTP/1.1\r\n\r\n",
        "GET /api/v1/health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET /api/v1/health HTTP/1.1\r\nHost: x y\r\n\r\n",
    ] {
        // Alone, and after another request on the same connection.
        for before in ["", next] {
            let answer = heard(said(&server, &format!("{before}{head}{next}")));
            let answers: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).collect();
            let expected = if before.is_empty() { 1 } else { 2 };
            assert_eq!(answers.len(), expected, "{head}: {answer}");
            let last = answers.last().unwrap().to_lowercase();
            assert!(last.starts_with("400 bad request"), "{head}: {answer}");
            for part in ["connection: close", "nosniff", "application/problem+json"] {
                assert!(last.contains(part), "{part} is not in {answer}");
            }
        }
    }
    // A chunked body whose content looks like a head is only a body.
    let chunk = "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = format!("{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len());
    let request =
        format!("POST /api/v1/auth/logout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let last = "GET /api/v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = heard(said(&server, &format!("{request}{last}")));
    assert!(
        answer.contains("HTTP/1.1 422") && answer.contains("HTTP/1.1 200"),
        "{answer}"
    );
}

// proves ISO-5
#[test]
fn what_does_not_come_is_not_awaited() {
    let world = World::start();
    let server = world.serve_with(
        "a",
        &[
            ("HALLMARK_HTTP__HEAD_SECONDS", "1"),
            ("HALLMARK_HTTP__BODY_SECONDS", "1"),
            ("HALLMARK_HTTP__IDLE_SECONDS", "2"),
        ],
    );
    // Nothing, a part of a head, also of one that could become HTTP/2, and a part of a body.
    assert_eq!(heard(said(&server, "")), "");
    assert_eq!(heard(said(&server, "PRI * HTTP/2.0\r\n\r")), "");
    for head in ["GET /api/v1/health HT", "P"] {
        let answer = heard(said(&server, head));
        assert!(
            answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{head:?}: {answer}"
        );
        assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    }
    let post = "POST /api/v1/auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    for body in [
        "Content-Length: 100\r\n\r\n{",
        "Transfer-Encoding: chunked\r\n\r\n1\r\n{",
    ] {
        let answer = heard(said(&server, &format!("{post}{body}")));
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    }
    // Between two requests, and after the last one.
    let answer = heard(said(&server, "GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

// proves ISO-5
#[test]
fn connections_that_wait_for_their_clients_make_way() {
    let world = World::start();
    let server = world.serve_with(
        "a",
        &[
            ("HALLMARK_HTTP__CONNECTIONS", "60"),
            ("HALLMARK_HTTP__CONNECTIONS_PER_ADDRESS", "0"),
        ],
    );
    let stalled = [
        "",
        "GET /api/v1/health HTTP/1.1\r\nHo",
        "POST /api/v1/auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ];
    let mut held = Vec::new();
    for n in 0..120 {
        held.push(said(&server, stalled[n % stalled.len()]));
        if n % 10 == 9 {
            let answer = heard(said(
                &server,
                "GET /api/v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            ));
            assert!(answer.starts_with("HTTP/1.1 200"), "after {n}: {answer}");
        }
    }
    assert_eq!(server.anonymous().get("/ready").expect(200)["status"], "ready");
    drop(held);
}

// proves ISO-5
#[test]
fn a_client_that_does_not_read_leaves_places_to_others() {
    let (world, server) = with_notes(&[
        ("HALLMARK_HTTP__CLIENT_HEADER", "X-Forwarded-For"),
        ("HALLMARK_HTTP__STREAMS_PER_CLIENT", "2"),
    ]);
    long(&world);
    let table = "/api/v1/data/notes/note.csv";
    let begun = |client: &str| {
        let mut socket = said(
            &server,
            &format!("GET {table} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n\r\n"),
        );
        let mut head = [0; 2000];
        socket.read_exact(&mut head).unwrap();
        assert!(
            head.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        socket
    };
    let stalled = [begun("10.0.0.1"), begun("10.0.0.1")];
    let anonymous = server.anonymous();
    let read = |client: &str, path: &str| {
        let fetched = anonymous
            .fetch("GET", path, &[("x-forwarded-for", client)], "")
            .unwrap();
        fetched.status
    };
    std::thread::scope(|scope| {
        let third = scope.spawn(|| read("10.0.0.1", table));
        let other = begun("10.0.0.2");
        // Pages are no whole tables.
        assert_eq!(read("10.0.0.1", "/api/v1/data/notes/note?limit=2"), 200);
        assert!(!third.is_finished(), "a third one has no place yet");
        drop((stalled, other));
        assert_eq!(third.join().unwrap(), 200);
    });
}

// proves ISO-5
#[test]
fn one_client_does_not_use_up_the_codes_of_devices() {
    let world = World::start();
    let server = world.serve_with("a", &[("HALLMARK_HTTP__CLIENT_HEADER", "X-Forwarded-For")]);
    let anonymous = server.anonymous();
    let open = |client: &str| -> String {
        let opened = anonymous
            .send_with(
                "POST",
                "/auth/device",
                None,
                Some(("x-forwarded-for", client)),
                std::io::empty(),
            )
            .unwrap();
        opened.expect(200)["device_code"].as_str().unwrap().to_owned()
    };
    let state = |code: &str| {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let answer = anonymous.post(
            "/auth/device/token",
            &json!({"device_code": code, "grant_type": grant}),
        );
        answer.expect(400)["error"].as_str().unwrap().to_owned()
    };
    let honest = open("10.0.0.2");
    let crowd: Vec<String> = (0..52).map(|_| open("10.0.0.1")).collect();
    assert_eq!(state(&honest), "authorization_pending");
    let states: Vec<String> = crowd.iter().map(|code| state(code)).collect();
    assert!(
        states[..2].iter().all(|state| state == "device_not_found"),
        "{states:?}"
    );
    assert!(
        states[2..].iter().all(|state| state == "authorization_pending"),
        "{states:?}"
    );
    assert_eq!(
        world.query("select count(*)::text from device_authorizations where client_hash is null or octet_length(client_hash) <> 32"),
        "0"
    );
}

// proves ISO-5
#[test]
fn who_has_no_role_gets_little_of_the_ledger() {
    let world = World::start();
    let server = world.serve_machines("a", &[("HALLMARK_LIMITS__VISITOR_PER_DAY", "3")]);
    let (visitor, known) = (
        world.person(&server, 1, "public"),
        world.person(&server, 2, "depositor"),
    );
    let worker = server.machine("worker");
    for _ in 0..3 {
        visitor.task("x");
    }
    for _ in 0..4 {
        known.task("x");
    }
    let more = json!({"kind": "x", "name": "n"});
    let refused = visitor.client.post("/tasks", &more).problem(429, "rate_limited");
    assert!(
        refused["message"].as_str().unwrap().contains("3 tasks in a day"),
        "{refused}"
    );
    for n in 0..3 {
        visitor.delegate(&format!("v{n}"), &worker, &json!({}));
    }
    let delegation = |id: &str| json!({"delegation_id": id, "callee_id": worker.name, "task_preview": "p"});
    visitor
        .client
        .post("/delegations", &delegation("v3"))
        .problem(429, "rate_limited");
    // The same request again finds what it made.
    let mut again = delegation("v0");
    again["task_preview"] = json!("v0");
    again["input"] = json!({"id": "v0"});
    visitor.client.post("/delegations", &again).expect(200);

    // Ids that begin with a party are that party's, whether they are in use or not.
    let own = format!("{}:nightly", known.name);
    for _ in 0..2 {
        worker
            .client
            .post("/delegations", &delegation(&own))
            .problem(403, "access_denied");
        known.client.post("/delegations", &delegation(&own));
    }
    assert_eq!(known.delegation(&own)["caller_id"], json!(known.name));
}

// proves ISO-5
#[test]
fn a_minute_has_an_end_for_every_caller() {
    let world = World::start();
    let server = world.serve_machines("a", &[("HALLMARK_LIMITS__LEDGER_PER_MINUTE", "5")]);
    let (crowd, other) = (
        world.person(&server, 1, "admin"),
        world.person(&server, 2, "admin"),
    );
    let task = json!({"kind": "x", "name": "n"});
    for _ in 0..5 {
        crowd.client.post("/tasks", &task).expect(201);
    }
    crowd.client.post("/tasks", &task).problem(429, "rate_limited");
    other.client.post("/tasks", &task).expect(201);
}

// proves ISO-5
#[test]
fn drafts_and_runs_of_a_caller_are_bounded_and_a_run_is_its_openers() {
    let world = World::start();
    let server = world.serve_machines(
        "a",
        &[
            ("HALLMARK_LIMITS__DRAFTS_PER_USER", "2"),
            ("HALLMARK_LIMITS__INGEST_RUNS_PER_CALLER", "1"),
        ],
    );
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    for (title, schema) in [("One", "one-s"), ("Two", "two-s")] {
        admin
            .post("/conventions", &small(title, schema, &[("pass", &pass)]))
            .expect(201);
    }
    let (crowd, other) = (
        world.person(&server, 1, "depositor").client,
        world.person(&server, 2, "depositor").client,
    );
    let draft = json!({"convention_id": "one"});
    for _ in 0..2 {
        crowd.post("/depositions", &draft).expect(201);
    }
    crowd.post("/depositions", &draft).problem(409, "too_many_drafts");
    other.post("/depositions", &draft).expect(201);

    let machine = |subject: &str| {
        let claims = json!({"sub": subject, "scope": "ingestions:write ingestions:read"});
        server.with_token(Some(machine_token(&key(1), &claims)))
    };
    let (opener, stranger) = (machine("opener"), machine("stranger"));
    let run = opener.open("one", 10);
    let second = json!({"convention_id": "two", "mode": "push"});
    opener
        .post("/ingestions", &second)
        .problem(409, "too_many_ingest_runs");
    for what in ["close", "cancel"] {
        stranger
            .post(&format!("/ingestions/{run}/{what}"), &json!({}))
            .problem(403, "access_denied");
    }
    opener.finish(&run);
    let run = opener.open("two", 10);
    admin.finish(&run);
}

// proves ISO-4
#[test]
fn a_stranger_learns_nothing_of_the_machine_from_a_trace() {
    let (world, server) = with_notes(&[]);
    let row = world.query("select min(id)::text from features.note");
    let path = format!("/data/notes/note/rows/{row}/trace");
    let (shown, whole) = (
        server.anonymous().get(&path).expect(200),
        server.admin().get(&path).expect(200),
    );
    let home = world.home.path().display().to_string();
    assert!(
        whole["release"]["image"].as_str().unwrap().contains(&home),
        "{whole}"
    );
    assert_eq!(shown["release"]["image"], "file:note");
    assert_eq!(shown["release"]["digest"], whole["release"]["digest"]);
    let name = |trace: &Value| trace["run"]["worker"].as_str().unwrap().to_owned();
    let last = name(&whole).rsplit('-').next().unwrap().to_owned();
    assert_eq!(name(&shown), format!("worker-{last}"));
    for path in [
        format!("/data/notes/note/rows/{row}"),
        "/api/v1/data/notes/note/export?format=prov-json".to_owned(),
    ] {
        let fetched = server.anonymous().fetch("GET", &path, &[], "").unwrap();
        assert_eq!(fetched.status, 200, "{path}");
        let text = fetched.text();
        assert!(!text.contains(&home) && !text.contains(&name(&whole)), "{path}");
    }
    // Nor from what is released, also if it is signed in.
    let depositor = world.person(&server, 1, "depositor").client;
    for caller in [server.anonymous(), depositor] {
        for path in [
            "/hooks",
            "/hooks/note/releases",
            "/hooks/note/releases/1",
            "/hooks/note/live",
            "/conventions",
            "/conventions/notes",
            "/events?limit=200",
            path.as_str(),
        ] {
            let told = caller.get(path).expect(200);
            assert!(!told.to_string().contains(&home), "{path}: {told}");
        }
    }
    let told = server.admin().get("/hooks/note/releases/1").expect(200);
    assert_eq!(told["image"], whole["release"]["image"]);
}

// proves ISO-5
#[test]
fn every_answer_says_that_its_type_holds_and_the_docs_are_in_no_frame() {
    let world = World::start();
    let server = world.serve("a");
    let anonymous = server.anonymous();
    for path in [
        "/",
        "/docs",
        "/openapi.json",
        "/api/v1/health",
        "/api/v1/nothing",
        "/nothing",
    ] {
        let answer = anonymous.fetch("GET", path, &[], "").unwrap();
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    let docs = anonymous.fetch("GET", "/docs", &[], "").unwrap();
    assert!(docs.text().contains("SwaggerUIBundle"));
    assert_eq!(docs.header("x-frame-options"), "DENY");
    let policy = docs.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
}
