//! What a release made, and who may know who people are.

use std::collections::BTreeSet;

use blackbox::fixtures::small;
use blackbox::{Client, World};
use serde_json::{Value, json};

/// A hook that gives each record two rows, whose note is `$1`.
fn twice(word: &str) -> String {
    format!(
        r#"sed 's/.*"id":"\([^"]*\)".*/{{"id":"\1","features":[{{"note":"{word}","size":1}},{{"note":"{word}","size":2}}]}}/' "$OSA_IN/records.jsonl" > "$OSA_OUT/features.jsonl""#
    )
}

fn listed(client: &Client, path: &str, query: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}?limit=3{query}{cursor}")).expect(200);
        rows.extend(page["rows"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

// proves PRV-7, PRV-6, REG-4
#[test]
fn a_release_is_recalled_with_everything_that_it_made() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, anonymous) = (server.admin(), server.anonymous());
    let (one, two) = (
        world.script("one", &twice("one")),
        world.script("two", &twice("two")),
    );
    admin
        .post("/conventions", &small("Twice", "twice", &[("twice", &one)]))
        .expect(201);
    let push = |range: std::ops::Range<u32>, mass: u32| {
        let run = admin.open("twice", 2);
        let lines: String = range
            .map(|n| {
                json!({"source_id": format!("r{n}"), "metadata": {"label": "x", "mass": mass}}).to_string()
                    + "\n"
            })
            .collect();
        admin.push_lines(&run, &lines);
        admin.finish(&run);
    };
    push(0..5, 1);
    let between = world.query("select to_json(clock_timestamp() at time zone 'utc') #>> '{}' || 'Z'");
    push(5..7, 1);
    admin
        .post(
            "/hooks/twice/releases",
            &json!({"image": format!("file:{}", two.display()), "digest": blackbox::world::digest(&two), "config": {}, "source_ref": "git:2"}),
        )
        .expect(201);
    // Records 0 and 1 come again, changed: their rows of the first release are of an older version now.
    push(0..2, 2);
    push(7..10, 1);

    let of = |version: u32, rest: &str| format!("/hooks/twice/releases/{version}/{rest}");
    let first = anonymous.get(&of(1, "recall")).expect(200);
    assert_eq!(
        [
            &first["rows"],
            &first["records"],
            &first["superseded_rows"],
            &first["runs"]
        ],
        [&json!(14), &json!(7), &json!(0), &json!(4)],
        "{first}"
    );
    assert_eq!(first["digest"], blackbox::world::digest(&one));
    let second = anonymous.get(&of(2, "recall")).expect(200);
    assert_eq!(
        [&second["rows"], &second["records"], &second["source_ref"]],
        [&json!(10), &json!(5), &json!("git:2")],
        "{second}"
    );

    // Every row says by its own note which program made it.
    let rows = listed(&anonymous, &of(1, "rows"), "");
    let ids: BTreeSet<i64> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!((rows.len(), ids.len()), (14, 14));
    assert!(rows.iter().all(|row| row["note"] == "one"));
    let current = listed(&anonymous, &of(1, "rows"), "&current=true");
    assert_eq!(current.len(), 10);
    let early = listed(&anonymous, &of(1, "rows"), &format!("&until={between}"));
    let late = listed(&anonymous, &of(1, "rows"), &format!("&since={between}"));
    assert_eq!((early.len(), late.len()), (10, 4));
    let run = rows[0]["run_id"].as_str().unwrap();
    let of_run = listed(&anonymous, &of(1, "rows"), &format!("&run={run}"));
    assert_eq!(
        of_run.len(),
        rows.iter().filter(|row| row["run_id"] == run).count()
    );
    assert_eq!(
        anonymous.get(&of(1, &format!("recall?run={run}"))).expect(200)["runs"],
        1
    );

    let records = listed(&anonymous, &of(1, "records"), "");
    let srns: BTreeSet<&str> = records
        .iter()
        .map(|r| r["record_srn"].as_str().unwrap())
        .collect();
    assert_eq!((records.len(), srns.len()), (7, 7));
    assert!(
        records
            .iter()
            .all(|r| r["rows"] == 2 && r["schema_id"] == "twice@1.0.0")
    );
    for (path, lines) in [("rows.csv", 14), ("records.csv", 7)] {
        let csv = anonymous.get(&of(1, path));
        assert_eq!((csv.status, csv.text.lines().count()), (200, lines + 1), "{path}");
    }

    for (path, status, code) in [
        (of(9, "recall"), 404, "release_not_found"),
        ("/hooks/nope/releases/1/rows".to_owned(), 404, "hook_not_found"),
        (of(1, "rows?run=x"), 422, "VALIDATION_ERROR"),
        (of(1, "rows?since=soon"), 422, "VALIDATION_ERROR"),
        (of(1, "rows?current=maybe"), 422, "VALIDATION_ERROR"),
        (of(1, "rows?cursor=abc"), 422, "invalid_cursor"),
    ] {
        anonymous.get(&path).problem(status, code);
    }
    let page = anonymous.get(&of(1, "rows?limit=3")).expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    for other in [of(2, "rows"), of(1, "records")] {
        anonymous
            .get(&format!("{other}?cursor={cursor}"))
            .problem(422, "invalid_cursor");
    }
}

// proves PRV-6, PRV-8, AUT-8
#[test]
fn a_reader_follows_a_public_row_and_learns_no_names() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, anonymous) = (server.admin(), server.anonymous());
    let one = world.script("one", &twice("one"));
    admin
        .post("/conventions", &small("Twice", "twice", &[("twice", &one)]))
        .expect(201);
    let run = admin.open("twice", 2);
    admin.push_lines(&run, "{\"source_id\": \"a\", \"metadata\": {\"label\": \"x\"}}\n");
    admin.finish(&run);
    let row = anonymous.get("/data/twice/twice").expect(200)["rows"][0].clone();
    let path = format!("/data/twice/twice/rows/{}/trace", row["id"]);
    let me = "user:00000000-0000-7000-8000-0000000000a1";
    for (client, name) in [(&anonymous, Value::Null), (&admin, json!("Local Admin"))] {
        let trace = client.get(&path).expect(200);
        for who in [
            &trace["release"]["built_by"],
            &trace["source"]["opened_by"],
            &trace["source"]["pushed_by"],
            &trace["task"]["creator"],
        ] {
            assert_eq!((&who["id"], &who["name"]), (&json!(me), &name), "{who}");
        }
    }
    let detail = anonymous
        .get(&format!("/hooks/runs/{}", row["run_id"].as_str().unwrap()))
        .expect(200);
    assert_eq!(
        (&detail["status"], &detail["failure"]),
        (&json!("passed"), &Value::Null)
    );
    // A stranger learns nothing of a run that made nothing public or does not exist; an invalid token is refused.
    anonymous
        .get("/hooks/runs/00000000-0000-7000-8000-0000000000a1")
        .problem(401, "missing_token");
    anonymous
        .get(&format!("/hooks/runs/{}/logs", row["run_id"].as_str().unwrap()))
        .problem(401, "missing_token");
    admin
        .get("/hooks/runs/00000000-0000-7000-8000-0000000000a1")
        .problem(404, "NotFoundError");
    let wrong = server.with_token(Some("x.y.z".to_owned()));
    wrong.get(&path).problem(401, "invalid_token");
}
