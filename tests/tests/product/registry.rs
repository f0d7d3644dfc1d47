//! Pointers, their history, and withdrawn releases.

use blackbox::fixtures::{PASS, small};
use blackbox::tokens::{ISSUER, key, machine_token, public_pem};
use blackbox::{Client, World};
use serde_json::{Value, json};

fn release(n: u32) -> Value {
    json!({"image": "file:/x", "digest": format!("sha256:{n:064x}"), "config": {}, "source_ref": format!("git:{n}")})
}

fn versions(history: &Value) -> Vec<(Value, Value)> {
    let moves = history["moves"].as_array().unwrap();
    moves
        .iter()
        .map(|m| (m["from_version"].clone(), m["to_version"].clone()))
        .collect()
}

/// A convention with the hook `shape` at version 1, and three more releases.
fn deployed(world: &World, admin: &Client) {
    let pass = world.script("pass", PASS);
    admin
        .post(
            "/conventions",
            &small("Registry", "registry-of", &[("shape", &pass)]),
        )
        .expect(201);
    for n in 2..=4 {
        let made = admin
            .post("/hooks/shape/releases?check=false", &release(n))
            .expect(201);
        assert_eq!((&made["version"], &made["live"]), (&json!(n), &json!(true)));
    }
}

// proves REG-4, REG-6
#[test]
fn every_move_of_a_pointer_is_recorded_with_who_when_and_why() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, anonymous) = (server.admin(), server.anonymous());
    deployed(&world, &admin);
    let before = anonymous.get("/hooks/shape/live").expect(200);
    assert_eq!(before["live_version"], 4);

    let back = json!({"version": 2, "reason": "  3 and 4 forget the wings "});
    assert_eq!(
        admin.put("/hooks/shape/live", &back).expect(200)["live_version"],
        2
    );
    // Repeating it is no move.
    admin.put("/hooks/shape/live", &back).expect(200);
    // Content that exists leaves the pointer alone, in a release and in a deploy (REG-3, WC-D14).
    let again = admin
        .post("/hooks/shape/releases?check=false", &release(4))
        .expect(200);
    assert_eq!((&again["version"], &again["live"]), (&json!(4), &json!(false)));

    let history = anonymous.get("/hooks/shape/live/history").expect(200);
    let n = |n: u32| json!(n);
    assert_eq!(
        versions(&history),
        [
            (n(4), n(2)),
            (n(3), n(4)),
            (n(2), n(3)),
            (n(1), n(2)),
            (Value::Null, n(1))
        ]
    );
    let newest = &history["moves"][0];
    assert_eq!(newest["reason"], "3 and 4 forget the wings");
    assert_eq!(newest["moved_by"], "user:00000000-0000-7000-8000-0000000000a1");
    assert_eq!(newest["move"], 5);
    let page = anonymous.get("/hooks/shape/live/history?limit=2").expect(200);
    let rest = anonymous
        .get(&format!(
            "/hooks/shape/live/history?cursor={}",
            page["next_cursor"].as_str().unwrap()
        ))
        .expect(200);
    assert_eq!(
        [versions(&page), versions(&rest)].concat(),
        versions(&history),
        "two pages are the whole"
    );
    assert_eq!(rest["has_more"], false);

    // What was live then: at each move's own time it is what it moved to.
    for entry in history["moves"].as_array().unwrap() {
        let at = entry["moved_at"].as_str().unwrap();
        let then = anonymous.get(&format!("/hooks/shape/live?at={at}")).expect(200);
        assert_eq!(then["live_version"], entry["to_version"], "{then}");
        assert_eq!(then["since"], entry["moved_at"]);
    }
    let at = before["at"].as_str().unwrap();
    assert_eq!(
        anonymous.get(&format!("/hooks/shape/live?at={at}")).expect(200)["live_version"],
        4
    );
    let ancient = anonymous
        .get("/hooks/shape/live?at=2001-01-01T00:00:00%2B02:00")
        .expect(200);
    assert!(ancient["live_version"].is_null() && ancient["at"] == "2000-12-31T22:00:00.000000Z");
    for bad in [
        "yesterday",
        "2026-13-01T00:00:00Z",
        "",
        "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00%2B01:00",
    ] {
        let response = anonymous.get(&format!("/hooks/shape/live?at={bad}")).expect(422);
        assert_eq!(response["errors"][0]["loc"], json!(["query", "at"]));
    }
    anonymous.get("/hooks/none/live").problem(404, "hook_not_found");
    anonymous
        .get("/hooks/none/live/history")
        .problem(404, "hook_not_found");
    anonymous
        .get("/hooks/shape/live/history?cursor=x")
        .problem(422, "VALIDATION_ERROR");
    admin
        .put("/hooks/shape/live", &json!({"version": 1, "reason": " "}))
        .problem(422, "VALIDATION_ERROR");
    admin
        .put("/hooks/shape/live", &json!({"version": 0}))
        .problem(422, "VALIDATION_ERROR");
    admin
        .put("/hooks/shape/live", &json!({"version": 9}))
        .problem(404, "release_not_found");
}

// proves REG-4, REG-5, REG-6, PRV-6
#[test]
fn a_yanked_release_stays_readable_and_cannot_be_made_live() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, anonymous) = (server.admin(), server.anonymous());
    deployed(&world, &admin);
    // A row made by release 1, which is yanked later.
    admin.put("/hooks/shape/live", &json!({"version": 1})).expect(200);
    let run = admin.open("registry", 10);
    admin.push_lines(&run, "{\"id\":\"a\",\"metadata\":{\"label\":\"x\"}}\n");
    admin.finish(&run);
    let row = admin.rows("registry-of/shape", 10)[0]["id"].clone();

    let yank =
        |version: u32, body: Value| admin.post(&format!("/hooks/shape/releases/{version}/yank"), &body);
    yank(3, json!({})).problem(422, "VALIDATION_ERROR");
    yank(3, json!({"reason": ""})).problem(422, "VALIDATION_ERROR");
    yank(9, json!({"reason": "x"})).problem(404, "release_not_found");
    let yanked = yank(3, json!({"reason": "wrong unit"})).expect(200);
    assert_eq!(yanked["yanked"]["reason"], "wrong unit");
    assert_eq!(yanked["live_version"], 1);
    // The first reason stays.
    assert_eq!(
        yank(3, json!({"reason": "again"})).expect(200)["yanked"]["reason"],
        "wrong unit"
    );
    let response = admin
        .put("/hooks/shape/live", &json!({"version": 3}))
        .problem(409, "release_yanked");
    assert!(response["message"].as_str().unwrap().contains("wrong unit"));

    // The live one goes only with a fallback, which must not be yanked itself.
    yank(1, json!({"reason": "counts twice"})).problem(409, "release_is_live");
    yank(1, json!({"reason": "counts twice", "fallback_version": 1})).problem(422, "VALIDATION_ERROR");
    yank(1, json!({"reason": "counts twice", "fallback_version": 3})).problem(409, "release_yanked");
    yank(1, json!({"reason": "counts twice", "fallback_version": 9})).problem(404, "release_not_found");
    assert_eq!(anonymous.get("/hooks/shape/live").expect(200)["live_version"], 1);
    let done = yank(1, json!({"reason": "counts twice", "fallback_version": 2})).expect(200);
    assert_eq!(done["live_version"], 2);
    let newest = anonymous.get("/hooks/shape/live/history?limit=1").expect(200)["moves"][0].clone();
    assert_eq!(newest["to_version"], 2);
    assert_eq!(newest["reason"], "release 1 was yanked: counts twice");

    // It shows in every read and in the trace; the row stays.
    let detail = anonymous.get("/hooks/shape/releases/1").expect(200);
    assert_eq!(detail["yanked"]["reason"], "counts twice");
    let all = anonymous.get("/hooks/shape/releases").expect(200);
    let shown: Vec<bool> = all["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| !r["yanked"].is_null())
        .collect();
    assert_eq!(shown, [false, true, false, true], "newest first");
    let again = admin
        .post("/hooks/shape/releases?check=false", &release(3))
        .expect(200);
    assert_eq!(
        again["yanked"]["reason"], "wrong unit",
        "content that exists is reported as yanked"
    );
    let trace = anonymous
        .get(&format!("/data/registry-of/shape/rows/{row}/trace"))
        .expect(200);
    assert_eq!(trace["release"]["yanked"]["reason"], "counts twice");
    assert_eq!(trace["release"]["version"], 1);

    // Taken back, it can be live again; the pointer did not move by itself.
    let back = admin
        .post(
            "/hooks/shape/releases/1/unyank",
            &json!({"reason": "it was right"}),
        )
        .expect(200);
    assert!(back["yanked"].is_null() && back["live_version"] == 2);
    admin
        .send("POST", "/hooks/shape/releases/1/unyank", None, std::io::empty())
        .unwrap()
        .expect(200);
    admin.put("/hooks/shape/live", &json!({"version": 1})).expect(200);
    yank(1, json!({"reason": "no, it was not", "fallback_version": 4})).expect(200);
    let kinds = world.query(
        "select string_agg(kind || ' ' || (payload ->> 'version'), ', ' order by sequence) from activity_log where kind like '%anked'",
    );
    assert_eq!(
        kinds,
        "HookReleaseYanked 3, HookReleaseYanked 1, HookReleaseUnyanked 1, HookReleaseYanked 1"
    );
}

// proves AUT-2, AUT-8
#[test]
fn a_token_that_is_limited_to_hooks_changes_no_others() {
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
    let pass = world.script("pass", PASS);
    let both = small("Limited", "limited-of", &[("mine", &pass), ("other", &pass)]);
    server.admin().post("/conventions", &both).expect(201);
    let token = |hooks: Value| {
        machine_token(
            &key,
            &json!({"scope": "hooks:write conventions:write", "hooks": hooks}),
        )
    };
    let bot = server.with_token(Some(token(json!(["mine"]))));
    bot.post("/hooks/mine/releases?check=false", &release(1))
        .expect(201);
    for refused in [
        bot.post("/hooks/other/releases?check=false", &release(1)),
        bot.put("/hooks/other/live", &json!({"version": 1})),
        bot.post("/hooks/other/releases/1/yank", &json!({"reason": "x"})),
        bot.post("/hooks/other/releases/1/unyank", &json!({})),
        // Nor does it learn which hooks there are.
        bot.post("/hooks/none/releases?check=false", &release(1)),
        bot.post("/conventions", &both),
        // Nor does it take a hook out of a convention by leaving it out.
        bot.post(
            "/conventions",
            &small("Limited", "limited-of", &[("mine", &pass)]),
        ),
        server
            .with_token(Some(token(json!([]))))
            .post("/hooks/mine/releases?check=false", &release(1)),
    ] {
        refused.problem(403, "access_denied");
    }
    server
        .with_token(Some(token(json!("mine"))))
        .post("/hooks/mine/releases?check=false", &release(1))
        .problem(401, "invalid_token");
    bot.post("/conventions", &small("Own", "own-of", &[("mine", &pass)]))
        .expect(201);
    assert_eq!(
        server.anonymous().get("/hooks/other/releases").expect(200)["live_version"],
        1
    );
}

// WC-1.3, with WC-D15 and WC-D23 of its section 9.
#[test]
fn schemas_are_registered_read_and_have_a_table_at_once() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, anonymous) = (server.admin(), server.anonymous());
    let field = |name: &str, required: bool| json!({"name": name, "type": "number", "required": required, "cardinality": "exactly_one", "constraints": {"type": "number", "unit": "g"}});
    let schema = |version: &str, fields: Value| json!({"id": "weights", "title": "Weights", "version": version, "fields": fields});
    let made = admin
        .post("/schemas", &schema("1.0.0", json!([field("mass", true)])))
        .expect(201);
    assert_eq!(
        (&made["field_count"], &made["id"]["version"]),
        (&json!(1), &json!("1.0.0"))
    );
    // WC-D23: its records can be read, though nothing was ever pushed.
    assert_eq!(
        anonymous.get("/data/weights/records").expect(200)["rows"],
        json!([])
    );
    admin
        .post("/schemas", &schema("1.0.0", json!([field("mass", true)])))
        .problem(409, "schema_already_exists");
    admin
        .post(
            "/schemas",
            &schema("1.1.0", json!([field("mass", true), field("age", true)])),
        )
        .problem(422, "VALIDATION_ERROR");
    admin
        .post(
            "/schemas",
            &schema("1.1.0", json!([field("mass", true), field("age", false)])),
        )
        .expect(201);
    let read = anonymous.get("/schemas/weights@1.1.0").expect(200);
    assert_eq!(read["fields"][0]["constraints"]["unit"], "g");
    assert!(read["fields"][1]["description"].is_null());
    let all = anonymous.get("/schemas").expect(200);
    assert_eq!(all["items"][0]["id"]["version"], "1.1.0", "newest first");
    for bad in ["weights", "weights@1", "@", "weights@x", "W!@1.0.0"] {
        let response = anonymous.get(&format!("/schemas/{bad}")).expect(422);
        assert_eq!(response["field"], "schema", "{bad}: {response}");
    }
    anonymous
        .get("/schemas/weights@9.0.0")
        .problem(404, "NotFoundError");
    anonymous
        .get("/data/records/records")
        .problem(422, "VALIDATION_ERROR");
    anonymous.get("/data/runs").problem(404, "reserved_name");
    let mut taken = schema("1.0.0", json!([field("mass", true)]));
    taken["id"] = json!("records");
    admin.post("/schemas", &taken).problem(400, "reserved_name");
    // Two ids that differ in hyphens only would share a table.
    taken["id"] = json!("we-ights");
    admin.post("/schemas", &taken).expect(201);
    taken["id"] = json!("we--ights");
    admin.post("/schemas", &taken).problem(409, "schema_table_taken");
    anonymous
        .post("/schemas", &schema("2.0.0", json!([])))
        .problem(401, "missing_token");

    // A slash too many leads to the path without it, and never to another host.
    let slash = anonymous.get("/schemas/?x=1");
    assert_eq!(
        (slash.status, slash.location.as_deref()),
        (307, Some("/api/v1/schemas?x=1"))
    );

    let pass = world.script("pass", PASS);
    let mut birds = small("A Bird's List", "birds", &[("pass", &pass)]);
    birds["schema"]["fields"][0]["description"] = json!("long ".repeat(10_000));
    admin.post("/conventions", &birds).expect(201);
    let file = admin.send_raw("/conventions/a-bird-s-list/template");
    assert!(file.1.starts_with(b"PK"), "a workbook is a zip");
    assert_eq!(
        file.0.as_deref(),
        Some("attachment; filename=\"a_birds_list_template.xlsx\"")
    );
    anonymous
        .get("/conventions/a-bird-s-list/template")
        .problem(401, "missing_token");
}
