//! What is pushed is stored as meant, or refused where it is: over HTTP, in every form of a push.

use std::io::Write as _;

use blackbox::fixtures::{PASS, small};
use blackbox::{Client, Server, World};
use serde_json::{Value, json};

/// A server with a convention of a text `label` and a number `mass`.
fn open(world: &World, server: &Server) -> Client {
    let pass = world.script("pass", PASS);
    let admin = server.admin();
    admin
        .post("/conventions", &small("Exact", "exact", &[("pass", &pass)]))
        .expect(201);
    admin
}

/// Pushes a body into a new run and waits for its end; gives the report and the run.
fn push(client: &Client, query: &str, content_type: &str, body: &str) -> (Value, Value) {
    let run = client.open("exact", 100);
    let report = client
        .push(&format!("/ingestions/{run}/records{query}"), content_type, body)
        .expect(200);
    (report, client.finish(&run))
}

fn labels(client: &Client) -> Vec<String> {
    let mut labels: Vec<String> = client
        .rows("exact/records", 1000)
        .iter()
        .map(|row| row["label"].as_str().unwrap().to_owned())
        .collect();
    labels.sort();
    labels
}

// proves EDG-1
#[test]
fn quotes_and_delimiters_change_no_row() {
    let world = World::start();
    let server = world.serve("a");
    let admin = open(&world, &server);
    let csv = "id,mass,label\na,1,Deer Lake\nb,2,\"Hole N the Rock\nc,3,Adkins Pond\nd,4,\"Tubby\" creek\ne,5,Hole N\" the Rock\n";
    let (report, run) = push(&admin, "", "text/csv", csv);
    assert_eq!(
        (&report["accepted"], &report["refused"]),
        (&json!(3), &json!(2)),
        "{report}"
    );
    let lines: Vec<&Value> = report["refused_lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["line"])
        .collect();
    assert_eq!(lines, [3, 5]);
    assert_eq!(
        report["refused_lines"][0]["errors"][0]["loc"][0],
        "column 3 (label)"
    );
    assert_eq!(run["published_count"], 3);
    assert_eq!(labels(&admin), ["Adkins Pond", "Deer Lake", "Hole N\" the Rock"]);

    let tsv = "id\tmass\tlabel\r\nf\t6\t\"Old Ford\" Refuge, east\r\n";
    let (report, _) = push(&admin, "", "text/tab-separated-values", tsv);
    assert_eq!(report["accepted"], 1, "{report}");
    assert!(labels(&admin).contains(&"\"Old Ford\" Refuge, east".to_owned()));

    let semicolons = "id;mass;label\ng;7;\"seven; 7\"\n";
    for (query, content_type) in [
        ("?delimiter=semicolon", "text/csv"),
        ("", "text/csv; charset=utf-8; delimiter=\";\""),
    ] {
        let (report, _) = push(&admin, query, content_type, semicolons);
        assert_eq!(report["refused"], 0, "{report}");
    }
    assert!(labels(&admin).contains(&"seven; 7".to_owned()));
    let run = admin.open("exact", 100);
    let to = format!("/ingestions/{run}/records");
    let problem = admin.push(&to, "text/csv", tsv).problem(422, "VALIDATION_ERROR");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("2 tabs and no comma"),
        "{problem}"
    );
    let latin = admin
        .push(&to, "text/csv; charset=iso-8859-1", semicolons)
        .problem(422, "VALIDATION_ERROR");
    assert!(latin["detail"].as_str().unwrap().contains("UTF-8"), "{latin}");
    admin
        .push(&format!("{to}?delimiter=x"), "text/csv", semicolons)
        .problem(422, "VALIDATION_ERROR");
}

// proves EDG-1, EDG-2, PIP-2
#[test]
fn numbers_and_keys_are_kept_exactly_or_refused_and_count_by_their_value() {
    let world = World::start();
    let server = world.serve("a");
    let admin = open(&world, &server);
    let lines = [
        r#"{"source_id": "a", "metadata": {"label": "x", "mass": 3750}}"#,
        r#"{"source_id": "b", "metadata": {"label": "y", "mass": 123456789012345678901234567890}}"#,
        r#"{"source_id": "c", "metadata": {"label": "y", "mass": 1, "mass": 2}}"#,
        r#"{"source_id": "d", "metadata": {"label": "y", "mass": 9007199254740993}}"#,
        r#"{"source_id": "e", "metadata": {"label": "y", "mass": 1e-400}}"#,
    ];
    let ndjson = "application/x-ndjson";
    let (report, _) = push(&admin, "", ndjson, &lines.join("\n"));
    assert_eq!(
        (&report["accepted"], &report["refused"]),
        (&json!(1), &json!(4)),
        "{report}"
    );
    for (csv, accepted) in [
        ("id,mass,label\na,3750.0,x\n", 0),
        ("id,mass,label\na,+3.75e3,x\n", 0),
        ("id,mass,label\na,3750.5,x\n", 1),
    ] {
        let (report, _) = push(&admin, "", "text/csv", csv);
        let unchanged = 1 - accepted;
        assert_eq!(
            (&report["unchanged"], &report["refused"]),
            (&json!(unchanged), &json!(0)),
            "{csv}: {report}"
        );
    }
    let (report, _) = push(
        &admin,
        "",
        "text/csv",
        "id,mass,label\nf,123456789.123456789123,x\ng,1e400,x\n",
    );
    assert_eq!(report["refused"], 2, "{report}");

    // A config that differs only beyond what a number can hold must not count as the same release.
    let pass = world.script("pass", PASS);
    let release = |number: &str| {
        let digest = blackbox::world::digest(&pass);
        let body = format!(
            r#"{{"image": "file:{}", "digest": "{digest}", "source_ref": "git:2", "config": {{"deep": [{{"n": {number}}}]}}}}"#,
            pass.display()
        );
        admin.push("/hooks/pass/releases", "application/json", &body)
    };
    release("12345678901234567890").expect(201);
    for lost in ["123456789012345678901234567890", "1, \"n\": 2"] {
        let problem = release(lost).problem(422, "VALIDATION_ERROR");
        assert_eq!(
            problem["errors"][0]["loc"],
            json!(["body", "config", "deep", 0, "n"]),
            "{problem}"
        );
    }
    // A byte order mark before a JSON body is skipped.
    let open = "\u{feff}{\"convention_id\": \"exact\", \"mode\": \"push\"}";
    admin.push("/ingestions", "application/json", open).expect(201);
}

// proves EDG-5
#[test]
fn ids_that_people_have_reach_the_hook_and_its_files() {
    let world = World::start();
    let server = world.serve("a");
    let admin = open(&world, &server);
    let long = format!("https://example.org/{}", "x".repeat(1000));
    let ids = [
        "10.5061/dryad.8515",
        "ark:/65665/3854b337",
        "2012/01/01",
        "../../etc",
        "50 %",
        &long,
    ];
    let lines: Vec<String> = ids
        .iter()
        .map(|id| json!({"source_id": id, "metadata": {"label": id}}).to_string())
        .collect();
    let (report, run) = push(&admin, "", "application/x-ndjson", &lines.join("\n"));
    assert_eq!(report["accepted"], ids.len(), "{report}");
    assert_eq!(run["published_count"], ids.len(), "{run}");
    let csv: String = ids.iter().map(|id| format!("{id},{id}\n")).collect();
    let (report, _) = push(&admin, "", "text/csv", &format!("source_id,label\n{csv}"));
    assert_eq!(report["unchanged"], ids.len(), "{report}");
}

// proves EDG-1
#[test]
fn a_compressed_body_is_unpacked_and_another_encoding_refused() {
    let world = World::start();
    let server = world.serve("a");
    let admin = open(&world, &server);
    let csv = "id,mass,label\na,1,x\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(csv.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let run = admin.open("exact", 100);
    let to = format!("/ingestions/{run}/records");
    let send = |encoding: &str, body: &[u8]| {
        admin
            .send_with(
                "POST",
                &to,
                Some("text/csv"),
                Some(("content-encoding", encoding)),
                body,
            )
            .unwrap()
    };
    assert_eq!(send("gzip", &gzip).expect(200)["accepted"], 1);
    assert_eq!(
        send("br", &gzip).problem(415, "unsupported_content_encoding")["status"],
        415
    );
    let damaged = send("gzip", &gzip[..gzip.len() - 3]).problem(422, "VALIDATION_ERROR");
    assert!(
        damaged["detail"]
            .as_str()
            .unwrap()
            .contains("damaged or incomplete"),
        "{damaged}"
    );
    assert_eq!(admin.finish(&run)["published_count"], 1);
}

/// A convention with these text fields and hooks, made of that of `small`.
fn wide(title: &str, schema: &str, fields: usize, hooks: Value) -> Value {
    let mut body = small(title, schema, &[]);
    let field = |n: usize| json!({"name": format!("f_{n:03}"), "type": "text", "required": false, "cardinality": "exactly_one"});
    body["schema"]["fields"] = (0..fields).map(field).collect();
    body["hooks"] = hooks;
    body
}

// proves EDG-3
#[test]
fn required_values_that_no_row_can_hold_are_refused_when_they_are_deployed() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let of = |title: &str, schema: &str, required: usize| {
        let mut body = wide(title, schema, 500, json!([]));
        for field in body["schema"]["fields"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .take(required)
        {
            field["required"] = json!(true);
        }
        body
    };
    let refused = admin
        .post("/conventions", &of("Too wide", "too-wide", 334))
        .problem(422, "VALIDATION_ERROR");
    assert_eq!(refused["field"], "schema.fields", "{refused}");
    let why = refused["message"].as_str().unwrap();
    assert!(why.contains("at most 8160 can be stored"), "{why}");
    let column = |n: usize| json!({"name": format!("c_{n:03}"), "json_type": "string", "required": true});
    let mut body = of("Too wide", "too-wide", 1);
    body["hooks"] = json!([{
        "name": "too_wide", "config": {}, "limits": {"timeout_seconds": 20, "memory": "256m", "cpu": "1"},
        "feature": {"kind": "table", "cardinality": "many", "columns": (0..400).map(column).collect::<Vec<_>>()},
        "release": {"image": "file:/x", "digest": format!("sha256:{:064}", 1), "source_ref": "git:1"},
    }]);
    let refused = admin
        .post("/conventions?check=false", &body)
        .problem(422, "VALIDATION_ERROR");
    assert_eq!(refused["field"], "hooks[0].feature.columns", "{refused}");
    // What is just small enough is stored, with the values that take the most room.
    admin
        .post("/conventions", &of("As wide", "as-wide", 333))
        .expect(201);
    let header: Vec<String> = (0..333).map(|n| format!("f_{n:03}")).collect();
    let values = [
        "value-abcdefghij-123",
        "value-abcdefghij-1234567",
        "value-abcdefghij-12345678",
    ];
    let rows: String = values
        .iter()
        .enumerate()
        .map(|(n, value)| format!("a{n},{}\n", vec![*value; 333].join(",")))
        .collect();
    let run = admin.open("as-wide", 100);
    let csv = format!("id,{}\n{rows}", header.join(","));
    admin
        .push(&format!("/ingestions/{run}/records"), "text/csv", &csv)
        .expect(200);
    let ended = admin.finish(&run);
    assert_eq!(ended["published_count"], 3, "{ended}");
}

// proves EDG-3
#[test]
fn required_values_that_an_older_server_took_are_deployed_again() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let field = |n: usize| {
        json!({
            "name": format!("f_{n:03}"), "type": "text", "required": true, "cardinality": "exactly_one",
            "description": null, "constraints": null, "examples": [],
        })
    };
    let fields: Value = (0..400).map(field).collect();
    world.execute(&format!(
        "insert into metadata_tables (table_name, schema_id, major) values ('old_wide_v1', 'old-wide', 1);
         insert into schemas (id, version, major, title, fields) values ('old-wide', '1.0.0', 1, 'Old wide', '{fields}')"
    ));
    let mut body = small("Old wide", "old-wide", &[]);
    body["schema"]["fields"] = fields.clone();
    for _ in 0..2 {
        admin.post("/conventions", &body).expect(201);
    }
    // Its next version is a new one. The fault is where the request has the fields.
    let next = json!({"id": "old-wide", "title": "Old wide", "version": "1.0.1", "fields": fields});
    let refused = admin.post("/schemas", &next).problem(422, "VALIDATION_ERROR");
    assert_eq!(refused["field"], "fields", "{refused}");
}

// proves EDG-3
#[test]
fn one_record_that_no_table_row_can_hold_is_errored_alone() {
    const FIELDS: usize = 500;
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    // Too short to be moved out of the row, and too many for it.
    admin
        .post("/conventions", &wide("Wide", "wide", FIELDS, json!([])))
        .expect(201);
    let header: Vec<String> = (0..FIELDS).map(|n| format!("f_{n:03}")).collect();
    let mut csv = format!("id,{}\n", header.join(","));
    for n in 0..20 {
        csv += &format!("fine{n},{}\n", vec!["x"; FIELDS].join(","));
        if n % 9 == 4 {
            csv += &format!("wide{n},{}\n", vec!["value-abcdefghij-123"; FIELDS].join(","));
        }
    }
    let run = admin.open("wide", 100);
    let report = admin
        .push(&format!("/ingestions/{run}/records"), "text/csv", &csv)
        .expect(200);
    assert_eq!(report["accepted"], 22, "{report}");
    let ended = admin.finish(&run);
    assert_eq!(
        (
            &ended["status"],
            &ended["published_count"],
            &ended["errored_count"]
        ),
        (&json!("completed"), &json!(20), &json!(2)),
        "{ended}"
    );
    let reason = ended["reasons"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("larger than a table row can hold"), "{reason}");
    assert_eq!(ended["reasons"][0]["records"], 2);

    // The same for what a hook computes.
    let hook = world.script(
        "wide_hook",
        r#"sed -n 's/.*"id":"\([a-z0-9]*\)".*/\1/p' "$OSA_IN/records.jsonl" | while read -r id; do
            row='"c_000":"x"'
            [ "$id" = wide ] && row=$(seq -f '"c_%03g":"value-abcdefghij-123"' -s , 0 399)
            echo "{\"id\":\"$id\",\"features\":[{$row}]}"
        done > "$OSA_OUT/features.jsonl""#,
    );
    let column = |n: usize| json!({"name": format!("c_{n:03}"), "json_type": "string", "required": false});
    let hooks = json!([{
        "name": "wide_hook", "config": {}, "limits": {"timeout_seconds": 20, "memory": "256m", "cpu": "1"},
        "feature": {"kind": "table", "cardinality": "many", "columns": (0..400).map(column).collect::<Vec<_>>()},
        "release": {"image": format!("file:{}", hook.display()), "digest": blackbox::world::digest(&hook), "source_ref": "git:1"},
    }]);
    admin
        .post("/conventions", &wide("Wide rows", "wide-rows", 1, hooks))
        .expect(201);
    let run = admin.open("wide-rows", 100);
    let rows: String = (0..20).map(|n| format!("f{n},x\n")).collect();
    admin
        .push(
            &format!("/ingestions/{run}/records"),
            "text/csv",
            &format!("id,f_000\n{rows}wide,x\n"),
        )
        .expect(200);
    let ended = admin.finish(&run);
    assert_eq!(
        (&ended["published_count"], &ended["errored_count"]),
        (&json!(20), &json!(1)),
        "{ended}"
    );
    assert_eq!(ended["reasons"][0]["hook_name"], "wide_hook");
    assert_eq!(admin.rows("wide-rows/wide_hook", 100).len(), 20);
}
