//! The main job, end to end: deploy, push, run the hooks, read, trace.

use blackbox::World;
use blackbox::fixtures::{PASS, penguins, push_penguins, small};
use serde_json::{Value, json};

// proves PRV-6, PIP-2, AUD-1, REG-7
#[test]
fn the_penguins_come_in_and_every_row_can_be_traced() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let deployed = admin.post("/conventions", &penguins()).expect(201);
    assert_eq!(deployed["slug"], "palmer-penguins");
    assert_eq!(
        deployed["releases"][1],
        json!({"name": "penguin_shape", "version": 1, "created": true, "live_version": 1, "location_added": false})
    );

    let run = admin.open("palmer-penguins", 100);
    let pushed = push_penguins(&admin, &run).expect(200);
    assert_eq!(
        (&pushed["accepted"], &pushed["refused"]),
        (&json!(344), &json!(0))
    );
    let ended = admin.finish(&run);
    let counts = [
        "received_count",
        "published_count",
        "rejected_count",
        "errored_count",
        "batches_completed",
    ]
    .map(|key| ended[key].as_u64().unwrap());
    assert_eq!(counts, [344, 333, 11, 0, 4]);
    assert_eq!(
        ended["reasons"][0],
        json!({"outcome": "rejected", "hook_name": "check_penguin", "reason": "no sex recorded", "records": 9})
    );

    let anonymous = server.anonymous();
    let rows = anonymous.rows("palmer-penguins/penguin_shape", 50);
    assert_eq!(rows.len(), 333);
    let manifest = anonymous.get("/data/palmer-penguins").expect(200);
    assert_eq!(manifest["table_resources"][0]["row_count"], 333);
    for row in [&rows[0], &rows[332]] {
        trace_says_everything(&anonymous, row, &run);
    }

    // The same push again publishes nothing: nothing changed.
    let again = admin.open("palmer-penguins", 100);
    let pushed = push_penguins(&admin, &again).expect(200);
    assert_eq!(
        (&pushed["accepted"], &pushed["unchanged"]),
        (&json!(11), &json!(333))
    );
    assert_eq!(admin.finish(&again)["published_count"], 0);
    assert_eq!(anonymous.rows("palmer-penguins/records", 1000).len(), 333);
}

fn trace_says_everything(anonymous: &blackbox::Client, row: &Value, run: &str) {
    let trace = anonymous
        .get(&format!(
            "/data/palmer-penguins/penguin_shape/rows/{}/trace",
            row["id"]
        ))
        .expect(200);
    let release = &trace["release"];
    assert_eq!(
        (&release["version"], &release["source_ref"], &release["live"]),
        (&json!(1), &json!("git:0123abc"), &json!(true))
    );
    assert_eq!(
        release["digest"],
        blackbox::world::digest(&blackbox::world::binaries().join("penguin_shape"))
    );
    assert_eq!(release["built_by"]["name"], Value::Null);
    // Where files are on the server is not for strangers.
    let places = [
        &release["image"],
        &release["locations"][0]["image"],
        &trace["run"]["image"],
    ];
    assert!(places.iter().all(|image| image.is_string()), "{places:?}");
    let binaries = blackbox::world::binaries().to_string_lossy();
    assert!(!trace.to_string().contains(&*binaries), "{trace}");
    assert_eq!(trace["run"]["id"], row["run_id"]);
    assert_eq!(trace["run"]["status"], "passed");
    assert_eq!(trace["record"]["srn"], row["record_srn"]);
    assert_eq!(trace["source"]["ingest_run_id"], run);
    assert_eq!(
        trace["task"]["creator"]["id"],
        "user:00000000-0000-7000-8000-0000000000a1"
    );
    assert_eq!(trace["task"]["delegations"][0]["status"], "completed");
    assert!(trace["task"]["delegations"][0]["worker"].is_string());
    // The line is that of the very file.
    let csv =
        std::fs::read_to_string(blackbox::world::root().join("examples/penguins/penguins-raw.csv")).unwrap();
    let line = csv
        .lines()
        .nth(usize::try_from(trace["source"]["line"].as_u64().unwrap()).unwrap() - 1)
        .unwrap();
    let metadata = &trace["record"]["metadata"];
    assert!(
        line.contains(metadata["individual_id"].as_str().unwrap())
            && line.contains(metadata["species"].as_str().unwrap()),
        "{line} {metadata}"
    );
    assert!(
        trace["source"]["source_id"]
            .as_str()
            .unwrap()
            .starts_with(metadata["species"].as_str().unwrap())
    );
}

// proves DEP-1, DEP-2, DEP-4, REG-1, REG-3, REG-4, REG-6, REG-7
#[test]
fn a_deploy_is_declarative_and_a_refused_one_leaves_nothing() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let (pass, other) = (
        world.script("pass", PASS),
        world.script("other", &format!("{PASS} # two")),
    );
    let body = small("Small things", "small", &[("note_it", &pass)]);
    let first = admin.post("/conventions", &body).expect(201);
    let events = "select count(*)::text from activity_log";
    let before = world.query(events);
    assert_eq!(
        admin.post("/conventions", &body).expect(201)["created_at"],
        first["created_at"]
    );
    assert_eq!(world.query(events), before, "the same body again changes nothing");

    // New content is version 2 and live; back to 1; the content of 2 again is 200 and leaves the pointer.
    let release = json!({"image": format!("file:{}", other.display()), "digest": blackbox::world::digest(&other), "config": {}, "source_ref": "git:2"});
    assert_eq!(
        admin.post("/hooks/note_it/releases", &release).expect(201)["live"],
        true
    );
    assert_eq!(
        admin
            .put("/hooks/note_it/live", &json!({"version": 1}))
            .expect(200)["live_version"],
        1
    );
    let again = admin.post("/hooks/note_it/releases", &release).expect(200);
    assert_eq!((&again["version"], &again["live"]), (&json!(2), &json!(false)));
    let history = server.anonymous().get("/hooks/note_it/releases").expect(200);
    assert_eq!(
        (&history["live_version"], &history["releases"][0]["version"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        server.anonymous().get("/hooks/note_it/releases/1").expect(200)["built_by"],
        "user:00000000-0000-7000-8000-0000000000a1"
    );
    server
        .anonymous()
        .get("/hooks/note_it/releases/9")
        .problem(404, "release_not_found");
    server
        .anonymous()
        .get("/hooks/nothing/releases/1")
        .problem(404, "hook_not_found");

    // Refused deploys: each with its reason, and nothing of them stays.
    let tables = "select md5(string_agg(t, ',' order by t)) from (select schemaname || tablename as t from pg_tables
                  union all select id || version from schemas union all select name from hooks union all select slug from conventions) as x";
    let before = world.query(tables);
    let mut changed = body.clone();
    changed["schema"]["fields"][1]["type"] = json!("text");
    let response = admin
        .post("/conventions", &changed)
        .problem(409, "schema_already_exists");
    assert!(
        response["detail"].as_str().unwrap().contains("mass"),
        "{response}"
    );
    changed = small(
        "Other things",
        "others",
        &[("brand_new", &pass), ("note_it", &pass)],
    );
    changed["hooks"][1]["feature"]["columns"][0]["json_type"] = json!("number");
    let response = admin.post("/conventions", &changed).problem(409, "ConflictError");
    assert!(
        response["detail"].as_str().unwrap().contains("note"),
        "{response}"
    );
    admin
        .post("/conventions", &small("Reserved", "records", &[]))
        .problem(400, "reserved_name");
    let mut gaps = small("Gaps", "gaps-of", &[("1bad", &pass)]);
    gaps["docs"] = json!({"purpose": " ", "examples": []});
    gaps["schema"]["fields"][0]["name"] = json!("run_id");
    gaps["hooks"][0]["limits"]["memory"] = json!("lots");
    let response = admin.post("/conventions", &gaps).problem(422, "VALIDATION_ERROR");
    let locs: Vec<String> = response["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["loc"].to_string())
        .collect();
    for loc in [
        r#"["body","schema","fields",0,"name"]"#,
        r#"["body","hooks",0,"name"]"#,
        r#"["body","hooks",0,"limits","memory"]"#,
        r#"["body","docs","purpose"]"#,
        r#"["body","docs","examples"]"#,
        r#"["body","docs","example_questions"]"#,
    ] {
        assert!(locs.iter().any(|l| l == loc), "{loc} is not in {locs:?}");
    }
    assert_eq!(world.query(tables), before);

    // A newer minor version adds a column; the older rows stay readable from both.
    let run = admin.open("small-things", 10);
    admin.push_lines(
        &run,
        "{\"source_id\":\"a\",\"metadata\":{\"label\":\"x\",\"mass\":1}}\n",
    );
    admin.finish(&run);
    let mut grown = body;
    grown["schema"]["version"] = json!("1.1.0");
    grown["schema"]["fields"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "colour", "type": "text", "required": false, "cardinality": "exactly_one"}));
    admin.post("/conventions", &grown).expect(201);
    assert_eq!(
        server.anonymous().rows("small/records", 10)[0]["colour"],
        Value::Null
    );
    assert_eq!(server.anonymous().rows("small@1.0.0/note_it", 10).len(), 1);
}

// proves PIP-3, PIP-5
#[test]
fn hooks_that_fail_lose_no_record_and_changed_records_are_new_versions() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let crash = world.script("crash", r#"head -n 1 "$OSA_IN/records.jsonl" | sed -e 's/^{"id":"\([^"]*\)".*/{"id":"\1","features":[]}/' > "$OSA_OUT/features.jsonl"; echo boom >&2; exit 3"#);
    admin
        .post(
            "/conventions",
            &small("Crashing", "crashing", &[("crash", &crash)]),
        )
        .expect(201);
    let run = admin.open("crashing", 10);
    let lines: String = (0..3)
        .map(|n| format!("{{\"source_id\":\"r{n}\",\"metadata\":{{\"label\":\"x\",\"mass\":{n}}}}}\n"))
        .collect();
    admin.push_lines(&run, &lines);
    let ended = admin.finish(&run);
    assert_eq!(
        (&ended["published_count"], &ended["errored_count"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(ended["reasons"][0]["reason"], "the hook exited with status 3");
    let id = world.query("select id::text from hook_runs");
    let detail = admin.get(&format!("/hooks/runs/{id}")).expect(200);
    assert_eq!(
        (&detail["status"], &detail["has_logs"]),
        (&json!("failed"), &json!(true))
    );
    assert!(
        !server.log().contains("boom"),
        "a hook's log is never echoed into the server's own"
    );

    // The image changes behind the release's back: it does not run, and the mended release does.
    let pass = world.script("pass", PASS);
    admin
        .post("/conventions", &small("Passing", "passing", &[("pass", &pass)]))
        .expect(201);
    std::fs::write(&pass, format!("#!/bin/sh\n{PASS}\n# swapped\n")).unwrap();
    let run = admin.open("passing", 10);
    admin.push_lines(&run, &lines);
    let ended = admin.finish(&run);
    // No other batch would fare better, so the whole run ends (WC-6.4); its records say why.
    assert_eq!(
        (&ended["status"], &ended["failure_kind"], &ended["errored_count"]),
        (&json!("failed"), &json!("image_pull"), &json!(3))
    );
    for why in [&ended["failure_reason"], &ended["reasons"][0]["reason"]] {
        assert!(
            why.as_str()
                .unwrap()
                .contains("hook pass: its image cannot be run"),
            "{ended}"
        );
    }
    std::fs::write(&pass, format!("#!/bin/sh\n{PASS}\n")).unwrap();
    let run = admin.open("passing", 10);
    admin.push_lines(&run, &lines);
    assert_eq!(admin.finish(&run)["published_count"], 3);

    // One of three records changes: it becomes version 2, and tables show the newest only.
    let run = admin.open("passing", 10);
    let pushed = admin.push_lines(&run, &lines.replace("\"mass\":2", "\"mass\":2.25"));
    assert_eq!(
        (&pushed["accepted"], &pushed["unchanged"]),
        (&json!(1), &json!(2))
    );
    admin.finish(&run);
    let records = server.anonymous().rows("passing/records", 2);
    assert_eq!(records.len(), 3);
    let newer = records.iter().find(|r| r["version"] == 2).unwrap();
    assert_eq!(newer["mass"], 2.25);
    let id = newer["id"].as_str().unwrap();
    assert_eq!(
        server
            .anonymous()
            .get(&format!("/data/records/{id}@1"))
            .expect(200)["metadata"]["mass"],
        2
    );
    assert_eq!(
        server.anonymous().get(&format!("/data/records/{id}")).expect(200)["version"],
        2
    );
    assert_eq!(server.anonymous().rows("passing/pass", 2).len(), 3);
}

// proves PIP-2
#[test]
fn bad_lines_are_reported_with_their_numbers_and_csv_is_written_as_it_was_read() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    admin
        .post("/conventions", &small("Lines", "lines-of", &[("pass", &pass)]))
        .expect(201);
    let run = admin.open("lines", 2);
    let lines = "{\"id\":\"a\",\"metadata\":{\"label\":\"q\\\"uote, comma\"}}\nnot json\n\n{\"id\":\"b\",\"metadata\":{\"mass\":\"heavy\"}}\n{\"id\":\"..\",\"metadata\":{\"label\":\"x\"}}\n{\"id\":\"a\",\"metadata\":{\"label\":\"other\"}}\n{\"id\":\"c\",\"metadata\":{\"label\":\"two\\nlines\",\"mass\":1e3}}";
    let pushed = admin.push_lines(&run, lines);
    assert_eq!((&pushed["accepted"], &pushed["refused"]), (&json!(2), &json!(4)));
    let response: Vec<(u64, String)> = pushed["refused_lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (l["line"].as_u64().unwrap(), l["errors"].to_string()))
        .collect();
    let mut numbers: Vec<u64> = response.iter().map(|(line, _)| *line).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 4, 5, 6]);
    assert!(
        response
            .iter()
            .any(|(line, errors)| *line == 4 && errors.contains("label") && errors.contains("mass")),
        "{response:?}"
    );
    let ended = admin.finish(&run);
    assert_eq!(ended["published_count"], 2);
    admin
        .push(
            &format!("/ingestions/{run}/records"),
            "application/x-ndjson",
            "{}",
        )
        .problem(409, "ingest_closed");

    let csv = server.anonymous().get("/data/lines-of/records.csv");
    assert_eq!(
        (csv.status, csv.content_type.as_str()),
        (200, "text/csv; charset=utf-8")
    );
    assert!(
        csv.text
            .starts_with("id,srn,schema_id,version,created_at,label,mass\r\n"),
        "{}",
        csv.text
    );
    assert!(
        csv.text.contains("\"q\"\"uote, comma\",\r\n") && csv.text.contains("\"two\nlines\",1000.0\r\n"),
        "{}",
        csv.text
    );
    let csv = server.anonymous().get("/data/lines-of/pass.csv").text;
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.lines().nth(1).unwrap().ends_with(",a,1.5"), "{csv}");
}
