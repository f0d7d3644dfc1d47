//! The refused lines of a run are kept and listed, and a push can be tried without effect.

use blackbox::fixtures::{PASS, small};
use blackbox::{Client, Server, World};
use serde_json::{Value, json};

/// Rows of which the lines 3 to 6 are refused: no label, no number, a quote that nothing closes, a cell too many.
const ROWS: &str = "id,label,mass\na,x,1\nb,,2\nc,y,heavy\nd,\"open,3\ne,z,5,6\nf,w,7\n";

/// A server's administrator, with a convention of a text `label` and a number `mass`.
fn open(world: &World, server: &Server) -> Client {
    let pass = world.script("pass", PASS);
    let admin = server.admin();
    admin
        .post("/conventions", &small("Kept", "kept", &[("pass", &pass)]))
        .expect(201);
    admin
}

/// Every refused line of a run, page by page.
fn listed(client: &Client, run: &str, limit: u32) -> Vec<Value> {
    let (mut lines, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client
            .get(&format!("/ingestions/{run}/refusals?limit={limit}{cursor}"))
            .expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit as usize, "{page}");
        lines.extend(items.clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return lines,
        }
    }
}

/// What the report of a push says of a refused line, and what the list says of it.
fn as_reported(listed: &Value) -> Value {
    json!({"line": listed["line"], "source_id": listed["source_id"], "errors": listed["errors"]})
}

fn refused_count(client: &Client, run: &str) -> Value {
    let detail = client.get(&format!("/ingestions/{run}")).expect(200);
    detail["refused_count"].clone()
}

// proves EDG-3
#[test]
fn the_refused_lines_of_a_run_are_kept_once_and_every_server_lists_them() {
    let world = World::start();
    let (a, b) = (world.serve("a"), world.serve("b"));
    let admin = open(&world, &a);
    let run = admin.open("kept", 100);
    let to = format!("/ingestions/{run}/records");
    let push = |body: &str| admin.push(&to, "text/csv", body).expect(200);

    let report = push(ROWS);
    assert_eq!(
        (&report["accepted"], &report["refused"], &report["dry_run"]),
        (&json!(2), &json!(4), &json!(false)),
        "{report}"
    );
    assert_eq!(refused_count(&admin, &run), 4);
    let lines = listed(&admin, &run, 50);
    let reported = report["refused_lines"].as_array().unwrap();
    assert_eq!(&lines.iter().map(as_reported).collect::<Vec<_>>(), reported);
    let named: Vec<_> = lines.iter().map(|l| (&l["line"], &l["source_id"])).collect();
    assert_eq!(
        named,
        [
            (&json!(3), &json!("b")),
            (&json!(4), &json!("c")),
            (&json!(5), &Value::Null),
            (&json!(6), &Value::Null),
        ]
    );
    assert_eq!(lines[1]["errors"][0]["loc"], json!(["metadata", "mass"]));
    assert_eq!(lines[2]["errors"][0]["loc"], json!(["column 2 (label)"]));
    for line in &lines {
        assert_eq!((&line["upload"], &line["pull"]), (&json!(1), &Value::Null));
        assert!(line["refused_at"].is_string(), "{line}");
    }

    // The same file again, and the file with one line mended: nothing is there twice.
    let report = push(ROWS);
    assert_eq!(
        (&report["repeated"], &report["refused"]),
        (&json!(2), &json!(4)),
        "{report}"
    );
    let report = push(&ROWS.replace("heavy", "8"));
    assert_eq!(
        (&report["accepted"], &report["refused"]),
        (&json!(1), &json!(3)),
        "{report}"
    );
    assert_eq!(listed(&admin, &run, 50), lines);
    assert_eq!(refused_count(&admin, &run), 4);

    // A line that contradicts one of before is refused, too.
    let report = admin.push_lines(&run, "{\"id\":\"a\",\"metadata\":{\"label\":\"other\"}}\n");
    assert_eq!(report["refused"], 1, "{report}");
    let ended = admin.finish(&run);
    assert_eq!(
        (&ended["refused_count"], &ended["published_count"]),
        (&json!(5), &json!(3)),
        "{ended}"
    );
    let runs = admin.get("/ingestions").expect(200);
    assert_eq!(runs["items"][0]["refused_count"], 5);
    let lines = listed(&admin, &run, 50);
    assert_eq!(
        (lines.len(), &lines[4]["upload"], &lines[4]["source_id"]),
        (5, &json!(4), &json!("a"))
    );
    let there = b.admin();
    for limit in [1, 2, 5] {
        assert_eq!(listed(&there, &run, limit), lines, "{limit}");
    }
    let page = there
        .get(&format!("/ingestions/{run}/refusals?limit=2"))
        .expect(200);
    assert_eq!(
        (&page["refused_count"], &page["stored_count"], &page["truncated"]),
        (&json!(5), &json!(5), &json!(false))
    );
}

// proves EDG-3, AUT-5
#[test]
fn refused_lines_are_for_those_who_may_read_the_run() {
    let world = World::start();
    let server = world.serve("a");
    let admin = open(&world, &server);
    let run = admin.open("kept", 100);
    admin.push_lines(&run, "[]\n");
    let path = format!("/ingestions/{run}/refusals");
    server.anonymous().get(&path).problem(401, "missing_token");
    let curator = world.person(&server, 1, "curator").client;
    curator.get(&path).problem(403, "access_denied");
    curator
        .push(
            &format!("/ingestions/{run}/records?dry_run=true"),
            "application/x-ndjson",
            "[]\n",
        )
        .problem(403, "access_denied");
    admin
        .get("/ingestions/018f4e2a-6b1c-4c3e-9d52-0a1b2c3d4e5f/refusals")
        .problem(404, "NotFoundError");
    admin
        .get("/ingestions/x/refusals")
        .problem(422, "VALIDATION_ERROR");
    let told = admin
        .get(&format!("{path}?cursor=x"))
        .problem(422, "invalid_cursor");
    assert_eq!(told["errors"][0]["loc"], json!(["query", "cursor"]));
    assert_eq!(listed(&admin, &run, 50).len(), 1);
}

// proves EDG-3
#[test]
fn a_push_of_nothing_but_faults_fills_a_bounded_list() {
    const LINES: usize = 10_101;
    let world = World::start();
    let server = world.serve("a");
    let admin = open(&world, &server);
    let run = admin.open("kept", 100);
    let mut body = "{\"id\":\"a\",\"metadata\":{\"label\":\"x\"},\"k\\u0000k\":1}\n".to_owned();
    body.push_str(&"[]\n".repeat(LINES - 1));
    let report = admin.push_lines(&run, &body);
    assert_eq!(report["refused"], json!(LINES));
    assert_eq!(report["refused_lines"].as_array().unwrap().len(), 1000);
    let page = admin
        .get(&format!("/ingestions/{run}/refusals?limit=1"))
        .expect(200);
    assert_eq!(
        (&page["refused_count"], &page["stored_count"], &page["truncated"]),
        (&json!(LINES), &json!(10_000), &json!(true))
    );
    // The database cannot hold a NUL.
    assert_eq!(page["items"][0]["errors"][0]["loc"], json!(["k\u{fffd}k"]));
    let numbers: Vec<u64> = listed(&admin, &run, 1000)
        .iter()
        .map(|line| line["line"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=10_000).collect::<Vec<_>>());
    assert_eq!(admin.finish(&run)["refused_count"], json!(LINES));
}

/// More lines than one transaction takes; the last of them repeat and contradict the first, or are no records.
fn many_lines() -> String {
    let line = |n: u32, label: &str| {
        format!("{{\"source_id\":\"r{n}\",\"metadata\":{{\"label\":\"{label}\",\"mass\":{n}}}}}\n")
    };
    let mut lines: String = (0..1200).map(|n| line(n, "x")).collect();
    lines.push_str(&line(0, "x"));
    lines.push_str(&line(1, "other"));
    lines.push_str("not json\n{\"id\":\"z\",\"metadata\":{}}\n");
    lines
}

/// The report without what only a real push has.
fn judged(mut report: Value) -> Value {
    let all = report.as_object_mut().unwrap();
    all.remove("upload");
    all.remove("dry_run");
    report
}

// proves EDG-4
#[test]
fn a_dry_run_reports_what_the_push_then_does_and_leaves_nothing() {
    let world = World::start();
    let server = world.serve("a");
    let admin = open(&world, &server);
    let run = admin.open("kept", 100);
    let push = |run: &str, query: &str, content_type: &str, body: &str| {
        admin.push(&format!("/ingestions/{run}/records{query}"), content_type, body)
    };
    let ndjson = "application/x-ndjson";
    let lines = many_lines();
    let everything = "select concat_ws(' ', (select count(*) from ingest_records), (select count(*) from ingest_uploads),
                        (select count(*) from ingest_push_refusals), (select count(*) from ingest_batches), (select count(*) from tasks))";
    let before = world.query(everything);
    let detail = admin.get(&format!("/ingestions/{run}")).expect(200);
    assert_eq!(detail["status"], "pending");

    let tried = push(&run, "?dry_run=true", ndjson, &lines).expect(200);
    assert_eq!((&tried["dry_run"], &tried["upload"]), (&json!(true), &json!(0)));
    let counts = ["accepted", "unchanged", "repeated", "refused"].map(|key| tried[key].as_u64().unwrap());
    assert_eq!(counts, [1200, 0, 1, 3], "{tried}");
    let tried_rows = push(&run, "?dry_run=true", "text/csv", ROWS).expect(200);
    assert_eq!(
        (&tried_rows["accepted"], &tried_rows["refused"]),
        (&json!(2), &json!(4))
    );
    assert_eq!(world.query(everything), before);
    assert_eq!(admin.get(&format!("/ingestions/{run}")).expect(200), detail);
    assert!(listed(&admin, &run, 50).is_empty());

    // The push itself agrees, and is the first upload.
    let pushed = push(&run, "?dry_run=false", ndjson, &lines).expect(200);
    assert_eq!(
        (&pushed["dry_run"], &pushed["upload"]),
        (&json!(false), &json!(1))
    );
    assert_eq!(judged(pushed), judged(tried));
    assert_eq!(
        judged(push(&run, "", "text/csv", ROWS).expect(200)),
        judged(tried_rows)
    );

    // What is stored counts in a dry run, too.
    let before = world.query(everything);
    let again = push(&run, "?dry_run=true", ndjson, &lines).expect(200);
    assert_eq!(
        (&again["accepted"], &again["repeated"], &again["refused"]),
        (&json!(0), &json!(1201), &json!(3)),
        "{again}"
    );
    assert_eq!(refused_count(&admin, &run), 7);
    assert_eq!(world.query(everything), before);

    // A dry run is refused where the push would be.
    let faults = |query: &str| {
        let told = push(&run, query, "text/csv", "id,colour\na,b\n").problem(422, "VALIDATION_ERROR");
        told["errors"].clone()
    };
    assert_eq!(faults("?dry_run=true"), faults(""));
    push(&run, "?dry_run=perhaps", ndjson, "[]\n").problem(422, "VALIDATION_ERROR");
    assert_eq!(admin.finish(&run)["published_count"], 1202);
    push(&run, "?dry_run=true", ndjson, "[]\n").problem(409, "ingest_closed");
    let next = admin.open("kept", 100);
    let tried = push(&next, "?dry_run=true", ndjson, &lines).expect(200);
    assert_eq!(
        (&tried["unchanged"], &tried["accepted"]),
        (&json!(1200), &json!(0)),
        "{tried}"
    );
}
