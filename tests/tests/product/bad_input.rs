//! Malformed requests: a problem that says what and where, never a 5xx, never a crash.

use blackbox::fixtures::{PASS, small};
use blackbox::{Answer, Client, World};
use serde_json::{Value, json};

#[track_caller]
fn is_problem(what: &str, answer: &Answer) {
    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    assert_eq!(
        answer.content_type, "application/problem+json",
        "{what}: {answer:?}"
    );
    let body = answer.json();
    for key in ["type", "title", "status", "detail", "code", "message"] {
        assert!(!body[key].is_null(), "{what}: {key} is missing in {body}");
    }
    assert_eq!(body["status"], answer.status);
}

// proves AUT-8
#[test]
fn nothing_that_a_client_sends_gives_a_5xx() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    let good = small("Inputs", "inputs", &[("pass", &pass)]);
    admin.post("/conventions", &good).expect(201);
    let run = admin.open("inputs", 10);
    admin.push_lines(&run, "{\"id\":\"a\",\"metadata\":{\"label\":\"x\"}}\n");
    admin.finish(&run);

    let ids = [
        "x",
        "..",
        "%2e%2e",
        "%00",
        "%ff",
        "a%2Fb",
        "'%3B%20drop%20table%20hooks",
        "%F0%9F%90%A7",
        "-1",
        "0",
        "99999999999999999999",
        "NaN",
        &"a".repeat(300),
        "urn:osa:x:rec:y@1",
        "a@b",
        "@",
        "records",
    ];
    for id in ids {
        for path in [
            format!("/conventions/{id}"),
            format!("/hooks/{id}/releases"),
            format!("/hooks/pass/releases/{id}"),
            format!("/hooks/runs/{id}"),
            format!("/ingestions/{id}"),
            format!("/data/{id}"),
            format!("/data/records/{id}"),
            format!("/data/{id}/records"),
            format!("/data/{id}/pass"),
            format!("/data/inputs/{id}"),
            format!("/data/{id}/records.csv"),
            format!("/data/inputs/pass/rows/{id}/trace"),
            format!("/data/inputs/{id}/rows/1/trace"),
            format!("/data/inputs/records?cursor={id}"),
            format!("/data/inputs/pass?cursor={id}"),
        ] {
            let answer = admin.get(&path);
            if answer.status != 200 {
                is_problem(&path, &answer);
            }
            assert!(
                answer.status == 200 && path.contains("/records") || answer.status >= 400,
                "{path}: {answer:?}"
            );
        }
        for path in [
            format!("/hooks/{id}/releases"),
            format!("/ingestions/{id}/close"),
            format!("/ingestions/{id}/records"),
        ] {
            is_problem(&path, &admin.post(&path, &json!({})));
        }
        is_problem(
            "live",
            &admin.put(&format!("/hooks/{id}/live"), &json!({"version": 1})),
        );
    }
    // A fault in the path is reported as one.
    for (path, field) in [
        ("/data/0", "schema"),
        ("/data/records/x", "id"),
        ("/data/X@1/records", "schema"),
    ] {
        let response = admin.get(path).expect(422);
        assert_eq!(response["errors"][0]["loc"], json!(["path", field]), "{response}");
    }
    for (path, field) in [
        ("limit=x", "limit"),
        ("limit=1.5", "limit"),
        ("sort=nonsense", "sort"),
    ] {
        let response = admin.get(&format!("/data/inputs/records?{path}")).expect(422);
        assert_eq!(
            response["errors"][0]["loc"],
            json!(["query", field]),
            "{response}"
        );
    }
    clamped_numbers(&admin);

    // A cursor of one table is refused by another.
    let many: String = (0..3)
        .map(|n| format!("{{\"id\":\"m{n}\",\"metadata\":{{\"label\":\"x\"}}}}\n"))
        .collect();
    let run = admin.open("inputs", 10);
    admin.push_lines(&run, &many);
    admin.finish(&run);
    let page = admin.get("/data/inputs/records?limit=1").expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    admin
        .get(&format!("/data/inputs/pass?cursor={cursor}"))
        .problem(422, "invalid_cursor");

    for value in [
        json!(null),
        json!([]),
        json!("x"),
        json!(7),
        json!({}),
        json!({"title": 7}),
        json!({"a": {"b": []}}),
    ] {
        for path in ["/conventions", "/hooks/pass/releases", "/ingestions"] {
            let response = admin.post(path, &value);
            is_problem(&format!("{path} {value}"), &response);
            assert_eq!(response.status, 422);
            assert_eq!(response.json()["errors"][0]["loc"][0], "body");
        }
        is_problem("live", &admin.put("/hooks/pass/live", &value));
    }
    every_part_of_a_deploy_replaced(&admin, &good);
    bodies(&admin);
    is_problem("no such path", &admin.get("/nothing/here"));
    is_problem("no such method", &admin.put("/conventions", &json!({})));
    assert_eq!(
        admin.get("/health").expect(200)["status"],
        "ok",
        "the server is alive"
    );
}

/// What is clamped may have any number of digits, in a query and in a body; the same digits elsewhere are refused.
fn clamped_numbers(admin: &Client) {
    let json = "application/json";
    let long = "9".repeat(400);
    for limit in ["0", "-7", "1000000", &long[..30], &long, &format!("-{long}")] {
        admin
            .get(&format!("/data/inputs/records?limit={limit}"))
            .expect(200);
        let page = admin
            .push("/data/inputs/records", json, &format!("{{\"limit\":{limit}}}"))
            .expect(200);
        assert!(page["rows"].is_array(), "{page}");
    }
    for (body, field, rule) in [
        (r#"{"limit": 1.5}"#.to_owned(), "limit", "int_parsing"),
        (r#"{"limit": "7"}"#.to_owned(), "limit", "int_parsing"),
        (
            format!(r#"{{"filter": {}}}"#, &long[..30]),
            "filter",
            "number_not_exact",
        ),
    ] {
        let refused = admin
            .push("/data/inputs/records", json, &body)
            .problem(422, "VALIDATION_ERROR");
        let error = &refused["errors"][0];
        assert_eq!(
            (&error["loc"], &error["type"]),
            (&json!(["body", field]), &json!(rule)),
            "{refused}"
        );
    }
    // Below zero, so that nothing waits.
    admin.get(&format!("/inbox?wait=-{long}")).expect(200);
    admin.get(&format!("/activity?wait=-{long}")).expect(200);
    let body = format!("{{\"worker_id\":\"w\",\"wait_seconds\":-{long}}}");
    admin.push("/claims", json, &body).expect(200);
}

/// Puts a wrong value in the place of every part of a deploy, one after the other.
fn every_part_of_a_deploy_replaced(admin: &Client, good: &Value) {
    fn places(value: &Value, at: &str, all: &mut Vec<String>) {
        let inner: Vec<(String, &Value)> = match value {
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| (format!("{at}/{key}"), value))
                .collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, value)| (format!("{at}/{index}"), value))
                .collect(),
            _ => vec![],
        };
        for (place, value) in inner {
            places(value, &place, all);
            all.push(place);
        }
    }
    let mut all = Vec::new();
    places(good, "", &mut all);
    for place in all {
        for wrong in [
            json!(null),
            json!(-1),
            json!("\u{0}"),
            json!("xmin"),
            json!([[]]),
            json!({"x": 1}),
            json!(1e308),
            json!("x".repeat(20_000)),
        ] {
            let mut body = good.clone();
            *body.pointer_mut(&place).unwrap() = wrong.clone();
            let answer = admin.post("/conventions", &body);
            assert!(answer.status < 500, "{place} {wrong}: {answer:?}");
            if answer.status != 201 {
                is_problem(&place, &answer);
            }
        }
    }
}

fn bodies(admin: &Client) {
    let send = |content_type: &str, body: &str| {
        admin
            .send("POST", "/conventions", Some(content_type), body.as_bytes())
            .unwrap()
    };
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let response = send("application/json", &deep);
    is_problem("nested a thousand deep", &response);
    assert!(
        response.json()["detail"].as_str().unwrap().contains("recursion"),
        "{response:?}"
    );
    assert_eq!(
        send("application/json", &format!("{{\"title\":{deep}}}")).status,
        422
    );
    assert_eq!(send("application/json", "{\"title\":").status, 422);
    assert_eq!(send("application/json", "").status, 422);
    assert_eq!(send("text/plain", "{}").status, 415);
    assert_eq!(send("application/xml", "<a/>").status, 415);
    let large = admin.send(
        "POST",
        "/conventions",
        Some("application/json"),
        format!("\"{}\"", "x".repeat(5 << 20)).as_bytes(),
    );
    // The server may answer and close before all was sent.
    if let Ok(answer) = large {
        answer.problem(413, "body_too_large");
    }
    let run = admin.open("inputs", 10);
    is_problem(
        "push of JSON",
        &admin.push(&format!("/ingestions/{run}/records"), "application/json", "{}"),
    );
    is_problem(
        "CSV without header",
        &admin.push(&format!("/ingestions/{run}/records"), "text/csv", ""),
    );
    let response = admin
        .push(
            &format!("/ingestions/{run}/records"),
            "text/csv",
            "id,colour\na,b\n",
        )
        .expect(422);
    assert!(
        response["detail"].as_str().unwrap().contains("colour")
            && response["detail"].as_str().unwrap().contains("label"),
        "{response}"
    );
    let other = admin.post("/ingestions", &json!({"convention_id": "inputs", "mode": "push"}));
    assert!(
        other.problem(409, "ingest_already_running")["detail"]
            .as_str()
            .unwrap()
            .contains(&run)
    );
    for (body, code) in [
        (json!({"convention_id": "nothing-there", "mode": "push"}), 404),
        (json!({"convention_id": "inputs"}), 404),
        (json!({"convention_id": "inputs", "mode": "throw"}), 422),
        (
            json!({"convention_id": "inputs", "mode": "push", "batch_size": 0}),
            422,
        ),
        (
            json!({"convention_id": "inputs", "mode": "push", "limit": 5}),
            422,
        ),
    ] {
        assert_eq!(admin.post("/ingestions", &body).status, code, "{body}");
    }
    admin.finish(&run);
}

// proves EDG-1
#[test]
fn a_parameter_that_has_two_readings_is_refused() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    admin
        .post("/conventions", &small("Inputs", "inputs", &[("pass", &pass)]))
        .expect(201);
    for (query, field, rule) in [
        ("limit=1&limit=2", "limit", "duplicate_key"),
        ("as_of=2020-01-01&as_of=", "as_of", "duplicate_key"),
        ("filter=%ff", "filter", "value_error"),
    ] {
        let refused = admin
            .get(&format!("/data/inputs/records?{query}"))
            .problem(422, "VALIDATION_ERROR");
        let error = &refused["errors"][0];
        assert_eq!(
            (&error["loc"], &error["type"]),
            (&json!(["query", field]), &json!(rule)),
            "{refused}"
        );
    }
    admin.get("/data/inputs/records?utm=1&utm=2&limit=1").expect(200);
    admin.get("/activity?kind=A&kind=B").expect(200);
    // Who may not ask learns nothing about parameters.
    server
        .anonymous()
        .get("/activity?limit=1&limit=2")
        .problem(401, "missing_token");

    let run = admin.open("inputs", 10);
    let to = format!("/ingestions/{run}/records");
    let line = "{\"source_id\":\"a\",\"metadata\":{\"label\":\"x\"}}\n";
    for (query, name) in [
        ("dry_runn=true", "dry_runn"),
        ("dry_run=true&dry_run=false", "dry_run"),
    ] {
        let refused = admin
            .push(&format!("{to}?{query}"), "application/x-ndjson", line)
            .problem(422, "VALIDATION_ERROR");
        assert_eq!(refused["errors"][0]["loc"], json!(["query", name]), "{refused}");
    }
    let refused = admin
        .push(
            &format!("{to}?delimiter=tab"),
            "text/csv; delimiter=\";\"",
            "id\tlabel\na\tx\n",
        )
        .problem(422, "VALIDATION_ERROR");
    assert_eq!(refused["field"], "delimiter", "{refused}");
    // Nothing was stored: otherwise the line would be `repeated`.
    assert_eq!(admin.push_lines(&run, line)["accepted"], 1);
}
