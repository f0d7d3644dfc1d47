//! Forms on the wire that clients of the Open Science Archive read: events, schemas, manifests, and the members of errors.

use blackbox::fixtures::{PASS, small};
use blackbox::parties::until;
use blackbox::{Answer, Client, World};
use serde_json::{Value, json};

const UUID: &str = "018f4e2a-6b1c-4c3e-9d52-0a1b2c3d4e5f";

/// The place, type and field of the first fault of a refusal.
fn fault(answer: Answer) -> (Value, String, Value) {
    let told = answer.problem(422, "VALIDATION_ERROR");
    let fault = &told["errors"][0];
    let rule = fault["type"].as_str().unwrap().to_owned();
    (fault["loc"].clone(), rule, told["field"].clone())
}

/// The events of a type, when there are any.
fn events(client: &Client, kind: &str) -> Vec<Value> {
    let read = || {
        let page = client.get(&format!("/events?types={kind}&limit=500")).expect(200);
        page["events"].as_array().unwrap().clone()
    };
    until(&format!("an event {kind}"), || !read().is_empty());
    read()
}

// proves LED-8 (WC-1.7)
#[test]
fn a_follower_of_the_events_learns_which_records_an_ingest_published() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    let mut body = small("Followed", "followed", &[("pass", &pass)]);
    body["schema"]["fields"][1]["constraints"] = json!({"type": "number", "unit": "g"});
    admin.post("/conventions", &body).expect(201);
    let run = admin.open("followed", 2);
    let lines: String = ["a", "b", "c"]
        .iter()
        .map(|id| format!("{{\"source_id\":\"{id}\",\"metadata\":{{\"label\":\"{id}\"}}}}\n"))
        .collect();
    admin.push_lines(&run, &lines);
    admin.finish(&run);

    let completed = events(&admin, "IngestCompleted");
    assert_eq!(completed[0]["data"]["total_published"], 3, "{completed:?}");
    let batches = events(&admin, "IngestBatchPublished");
    assert_eq!(batches.len(), 2);
    let mut named = Vec::new();
    for batch in &batches {
        let data = &batch["data"];
        assert_eq!(data["expected_features"], json!(["pass"]), "{data}");
        let srns = data["published_srns"].as_array().unwrap();
        assert_eq!(data["published_count"], srns.len());
        for (source, srn) in data["upstream_to_record_srn"].as_object().unwrap() {
            assert!(srns.contains(srn), "{data}");
            named.push((source.clone(), srn.as_str().unwrap().to_owned()));
        }
        let at = batch["created_at"].as_str().unwrap();
        assert!(at.ends_with('Z') && at.len() == 27, "{at}");
    }
    named.sort();
    let mut rows: Vec<(String, String)> = server
        .anonymous()
        .rows("followed/records", 10)
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            (text("label"), text("srn"))
        })
        .collect();
    rows.sort();
    assert_eq!(named, rows);

    let registered = &events(&admin, "ConventionRegistered")[0]["data"];
    assert_eq!(registered["hooks"][0]["feature"]["kind"], "table");
    let mass = &registered["schema_fields"][1];
    assert_eq!(mass["constraints"]["integer_only"], false, "{mass}");
    for null in ["description", "examples"] {
        assert_eq!(mass.get(null), Some(&Value::Null), "{null} of {mass}");
    }
    assert_eq!(mass["constraints"].get("min_value"), Some(&Value::Null));
    // The same as the schema itself.
    let read = admin.get("/schemas/followed@1.0.0").expect(200);
    assert_eq!(read["fields"], registered["schema_fields"]);

    for limit in ["0", "-1", "501", "999999999999999999999999999999"] {
        let (loc, _, field) = fault(admin.get(&format!("/events?limit={limit}")));
        assert_eq!(
            (loc, field),
            (json!(["query", "limit"]), json!("limit")),
            "{limit}"
        );
    }
    admin.get("/events?limit=1").expect(200);
    admin.get("/events?limit=500").expect(200);
}

// proves AUT-8 (WC-2)
#[test]
fn a_fault_names_its_field_its_place_and_its_type() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    let body = small("Faults", "faults-of", &[("pass", &pass)]);
    admin.post("/conventions", &body).expect(201);

    let mut grown = body.clone();
    grown["schema"]["version"] = json!("1.1.0");
    grown["schema"]["fields"][1]["type"] = json!("text");
    let (loc, _, field) = fault(admin.post("/conventions", &grown));
    assert_eq!(field, "mass");
    assert_eq!(loc, json!(["body", "schema", "fields", 1, "type"]));
    grown["schema"]["fields"] = json!([body["schema"]["fields"][0]]);
    assert_eq!(fault(admin.post("/conventions", &grown)).2, "mass");

    let mut empty = body.clone();
    empty["schema"]["fields"] = json!([]);
    assert_eq!(fault(admin.post("/conventions", &empty)).1, "too_short");
    let mut empty = body;
    empty["description"] = json!("");
    let (_, rule, field) = fault(admin.post("/conventions", &empty));
    assert_eq!((rule.as_str(), field), ("string_too_short", json!("description")));

    let run = admin.open("faults", 10);
    for (path, loc, rule) in [
        (
            "/hooks/runs/x".to_owned(),
            json!(["path", "run_id"]),
            "uuid_parsing",
        ),
        (
            "/events?after=x".to_owned(),
            json!(["query", "after"]),
            "uuid_parsing",
        ),
        (
            "/data/faults-of/records?limit=x".to_owned(),
            json!(["query", "limit"]),
            "int_parsing",
        ),
        ("/depositions/x".to_owned(), json!(["path", "srn"]), "value_error"),
        (
            format!("/ingestions/{run}/records?outcome=x"),
            json!(["query", "outcome"]),
            "value_error",
        ),
        (
            format!("/ingestions/{run}/pulls/x"),
            json!(["path", "pull"]),
            "int_parsing",
        ),
    ] {
        let (at, found, _) = fault(admin.get(&path));
        assert_eq!((at, found.as_str()), (loc, rule), "{path}");
    }
    for path in [
        "/data/faults-of/records?cursor=x".to_owned(),
        format!("/ingestions/{run}/records?cursor=x"),
    ] {
        let told = admin.get(&path).problem(422, "invalid_cursor");
        assert_eq!(told["field"], "cursor", "{path}: {told}");
        assert_eq!(told["errors"][0]["loc"], json!(["query", "cursor"]));
    }
    let told = admin
        .post("/data/faults-of/records", &json!({"cursor": "x"}))
        .problem(422, "invalid_cursor");
    assert_eq!(told["errors"][0]["loc"], json!(["body", "cursor"]));
}

// proves DAT-1 (WC-1.11, WC-7.2)
#[test]
fn manifests_and_documents_are_as_the_contract_has_them() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, anonymous) = (server.admin(), server.anonymous());
    let pass = world.script("pass", PASS);
    let mut body = small("Ordered", "ordered", &[("zebra", &pass), ("ant", &pass)]);
    admin.post("/conventions", &body).expect(201);
    body["schema"]["version"] = json!("2.0.0");
    admin.post("/conventions", &body).expect(201);

    let manifest = anonymous.get("/data/ordered").expect(200);
    let tables = manifest["table_resources"].as_array().unwrap();
    let names: Vec<&str> = tables.iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["records", "zebra", "ant"]);
    for table in tables {
        let columns = table["columns"].as_array().unwrap();
        let created = columns.iter().find(|c| c["name"] == "created_at").unwrap();
        assert_eq!(created["type"], "date", "{created}");
    }
    for path in ["/data/ordered/nothing", "/data/ordered/nothing.csv"] {
        anonymous.get(path).problem(404, "table_not_found");
    }
    anonymous
        .get("/data/no-such-schema")
        .problem(404, "schema_not_found");
    anonymous
        .get("/schemas/ordered@9.0.0")
        .problem(404, "NotFoundError");
    anonymous
        .get("/hooks/runs/releases")
        .problem(404, "hook_not_found");

    let text = |path: &str| anonymous.fetch("GET", path, &[], "").unwrap().text();
    let described = text("/api/v1/data/ordered.md");
    assert!(
        described.starts_with("# Ordered (ordered@2.0.0)\n"),
        "{described}"
    );
    assert!(!described.contains("names only"), "{described}");
    let skill = text("/SKILL.md");
    for version in ["ordered@2.0.0", "ordered@1.0.0"] {
        assert!(skill.contains(&format!("`{version}`")), "{version} in {skill}");
    }
}

// proves AUT-1 (WC-0, WC-1.10)
#[test]
fn every_refusal_below_auth_has_the_error_object() {
    let world = World::start();
    let server = world.serve_with("a", &[("HALLMARK_HTTP__REQUESTS_PER_MINUTE", "8")]);
    let anonymous = server.anonymous();
    let send = |path: &str, content_type: &str, body: &str| {
        anonymous
            .send("POST", path, Some(content_type), body.as_bytes())
            .unwrap()
    };
    let form = format!("device_code={UUID}&grant_type=x");
    let large = format!("{{\"refresh_token\":\"{}\"}}", "x".repeat(20_000));
    for (path, content_type, body, status, code) in [
        (
            "/auth/device/token",
            "application/x-www-form-urlencoded",
            form.as_str(),
            415,
            "unsupported_media_type",
        ),
        (
            "/auth/refresh",
            "application/json",
            large.as_str(),
            413,
            "body_too_large",
        ),
        ("/auth/refresh", "application/json", "{}", 422, "VALIDATION_ERROR"),
        (
            "/auth/device/verify",
            "application/x-www-form-urlencoded",
            "a=b",
            422,
            "VALIDATION_ERROR",
        ),
    ] {
        let told = send(path, content_type, body).problem(status, code);
        assert_eq!(told["detail"]["code"], code, "{path}: {told}");
        assert_eq!(told["detail"]["message"], told["message"], "{path}: {told}");
    }
    let refused = (0..20)
        .map(|_| send("/auth/refresh", "application/json", "{}"))
        .find(|answer| answer.status == 429)
        .unwrap();
    let told = refused.problem(429, "rate_limited");
    assert_eq!(told["detail"]["code"], "rate_limited", "{told}");
}

// proves AUT-1 (WC-1.10)
#[test]
fn a_node_without_a_provider_has_an_empty_client_id() {
    let world = World::start();
    let server = world.serve("a");
    let config = server.admin().get("/auth/config").expect(200);
    assert_eq!(config["client_id"], "", "{config}");
}
