//! Ingest by pull: ingesters, sessions, limits, files, schedules, cancelling, and who may see what.

use std::path::Path;
use std::time::Duration;

use blackbox::fixtures::{COUNTING, PASS, READ_FILES, ingester, small};
use blackbox::tokens::now;
use blackbox::{Client, World};
use serde_json::{Value, json};

fn deploy(admin: &Client, title: &str, hooks: &[(&str, &Path)], ingester: Value) -> Value {
    let mut body = small(title, &format!("{title}-schema").to_lowercase(), hooks);
    body["ingester"] = ingester;
    admin.post("/conventions", &body).expect(201)
}

fn open(admin: &Client, more: &Value) -> String {
    let opened = admin.post("/ingestions", more).expect(201);
    assert_eq!(
        (&opened["mode"], &opened["status"]),
        (&json!("pull"), &json!("pending"))
    );
    opened["id"].as_str().unwrap().to_owned()
}

fn counts(run: &Value) -> [u64; 6] {
    [
        "pulls",
        "pulled_count",
        "received_count",
        "unchanged_count",
        "published_count",
        "errored_count",
    ]
    .map(|key| run[key].as_u64().unwrap())
}

// proves PIP-2, PRV-2
#[test]
fn an_ingester_is_pulled_from_until_it_has_no_more_and_its_files_reach_the_hooks() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let (pull, hook) = (world.script("pull", COUNTING), world.script("hook", READ_FILES));
    deploy(
        &admin,
        "Counting",
        &[("reads", &hook)],
        ingester(&pull, &json!({"config": {"total": 25}})),
    );
    // As osa-py asks: no mode, and the limit as null.
    let run = open(
        &admin,
        &json!({"convention_id": "counting", "batch_size": 10, "limit": null}),
    );
    let ended = admin.wait(&run);
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(counts(&ended), [3, 25, 25, 0, 25, 0]);
    assert_eq!(
        (&ended["batches_ingested"], &ended["batches_completed"]),
        (&json!(3), &json!(3))
    );

    let rows = server.anonymous().rows("counting-schema/reads", 100);
    let mut notes: Vec<&str> = rows.iter().map(|row| row["note"].as_str().unwrap()).collect();
    notes.sort_unstable();
    assert_eq!(notes.len(), 25);
    assert!(
        notes.contains(&"file of 0") && notes.contains(&"file of 24"),
        "{notes:?}"
    );

    let batches = admin
        .get(&format!("/ingestions/{run}/batches?limit=2"))
        .expect(200);
    let first = &batches["items"][0];
    assert_eq!(
        (&first["records"], &first["published_count"]),
        (&json!(10), &json!(10))
    );
    let hook = &first["hooks"][0];
    assert_eq!(
        (&hook["hook_name"], &hook["version"]),
        (&json!("reads"), &json!(1))
    );
    assert_eq!(
        (&hook["run"]["passed"], &hook["run"]["oom_retries"]),
        (&json!(10), &json!(0))
    );
    let next = batches["next_cursor"].as_str().unwrap();
    let rest = admin
        .get(&format!("/ingestions/{run}/batches?limit=2&cursor={next}"))
        .expect(200);
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), &rest["next_cursor"]),
        (1, &Value::Null)
    );
    let pulls = admin.get(&format!("/ingestions/{run}/pulls")).expect(200);
    assert_eq!(pulls["items"][2]["records"], 5);
    assert_eq!(pulls["items"][0]["source_ref"], "git:9");

    // Nothing changed: the same source again publishes nothing. Then one file changes, and that record is the next version.
    let again = open(&admin, &json!({"convention_id": "counting", "batch_size": 10}));
    assert_eq!(counts(&admin.wait(&again)), [3, 25, 25, 25, 0, 0]);
    let changed = world.script(
        "pull2",
        &COUNTING.replace("file of $at", "file of $((at*(at!=7)))"),
    );
    deploy(
        &admin,
        "Counting",
        &[("reads", &world.home.path().join("hook"))],
        ingester(&changed, &json!({"config": {"total": 25}})),
    );
    let third = open(&admin, &json!({"convention_id": "counting", "batch_size": 10}));
    assert_eq!(counts(&admin.wait(&third)), [3, 25, 25, 24, 1, 0]);
    let records = server.anonymous().rows("counting-schema/records", 100);
    let newer: Vec<_> = records.iter().filter(|r| r["version"] == 2).collect();
    assert_eq!((newer.len(), &newer[0]["label"]), (1, &json!("l7")));
}

// proves PIP-2
#[test]
fn a_limit_holds_and_what_is_no_record_is_reported_with_its_line() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let pull = world.script("pull", COUNTING);
    let pass = world.script("pass", PASS);
    deploy(
        &admin,
        "Limited",
        &[("pass", &pass)],
        ingester(&pull, &json!({"config": {"total": 100}})),
    );
    let run = open(
        &admin,
        &json!({"convention_id": "limited", "batch_size": 10, "limit": 15}),
    );
    assert_eq!(counts(&admin.wait(&run)), [2, 15, 15, 0, 15, 0]);

    let odd = world.script(
        "odd",
        r#"cat > "$OSA_OUT/records.jsonl" <<'END'
{"source_id":"good","metadata":{"label":"a"}}
{"source_id":"heavy","metadata":{"label":"a","mass":"much"}}
not json
{"source_id":"good","metadata":{"label":"b"}}
{"source_id":"nofile","metadata":{"label":"a"},"files":[{"name":"missing.txt"}]}
{"source_id":"..","metadata":{"label":"a"}}
{"source_id":"link","metadata":{"label":"a"},"files":[{"name":"passwd"}]}
{"source_id":"null","metadata":{"label":"a","mass":null},"files":[],"fetched_at":"2026-01-01T00:00:00Z","more":{}}
END
mkdir "$OSA_FILES/link"; ln -s /etc/passwd "$OSA_FILES/link/passwd""#,
    );
    deploy(&admin, "Odd", &[("pass", &pass)], ingester(&odd, &json!({})));
    let run = open(&admin, &json!({"convention_id": "odd"}));
    let ended = admin.wait(&run);
    assert_eq!(counts(&ended), [1, 2, 2, 0, 2, 0]);
    assert_eq!(ended["refused_count"], 6);
    let pull = admin.get(&format!("/ingestions/{run}/pulls/0")).expect(200);
    let reported: Vec<(u64, &str, String)> = pull["refused_lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| {
            (
                l["line"].as_u64().unwrap(),
                l["source_id"].as_str().unwrap_or("-"),
                l["reason"].to_string(),
            )
        })
        .collect();
    let expected = [
        (2, "heavy", "mass"),
        (3, "-", "JSON"),
        (4, "good", "before"),
        (5, "nofile", "missing.txt"),
        (6, "..", "neither"),
        (7, "link", "regular file"),
    ];
    assert_eq!(reported.len(), expected.len(), "{reported:?}");
    for ((line, id, why), reported) in expected.iter().zip(&reported) {
        assert!(
            reported.0 == *line && reported.1 == *id && reported.2.contains(why),
            "{reported:?}"
        );
    }
    // The run lists them, too, in pages.
    let list = format!("/ingestions/{run}/refusals?limit=4");
    let first = admin.get(&list).expect(200);
    assert_eq!(
        (
            &first["refused_count"],
            &first["stored_count"],
            &first["truncated"]
        ),
        (&json!(6), &json!(6), &json!(false))
    );
    let next = first["next_cursor"].as_str().unwrap();
    let second = admin.get(&format!("{list}&cursor={next}")).expect(200);
    let lines: Vec<(&Value, &str, &Value)> = [&first, &second]
        .iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .map(|l| (&l["line"], l["source_id"].as_str().unwrap_or("-"), &l["pull"]))
        .collect();
    let pull = json!(0);
    let same: Vec<_> = expected.iter().map(|(line, id, _)| (json!(line), *id)).collect();
    let same: Vec<_> = same.iter().map(|(line, id)| (line, *id, &pull)).collect();
    assert_eq!(lines, same);
    assert_eq!(second["next_cursor"], Value::Null);
    admin
        .get(&format!("/ingestions/{run}/pulls/1"))
        .problem(404, "NotFoundError");
    admin
        .get(&format!("/ingestions/{run}/pulls/x"))
        .problem(422, "VALIDATION_ERROR");
    admin
        .get(&format!("/ingestions/{run}/records?outcome=lost"))
        .problem(422, "VALIDATION_ERROR");
    let records = admin
        .get(&format!("/ingestions/{run}/records?outcome=published"))
        .expect(200);
    assert_eq!(records["items"].as_array().unwrap().len(), 2);
}

// proves PIP-2, PIP-3, PRV-8
#[test]
fn an_ingester_that_fails_is_asked_again_with_its_old_session_and_its_log_is_for_few() {
    let world = World::start();
    let server = world.serve_machines("a", &[]);
    let admin = server.admin();
    // It fails, after it has moved on, until a moment that both kinds of sandbox see: what a failed pull left counts for nothing.
    let works_from = now() + 6;
    let flaky = world.script(
        "flaky",
        &format!(
            "{}\nif [ $(date +%s) -lt {works_from} ]; then echo secret-words; exit 7; fi; exit 0",
            COUNTING.trim_end().trim_end_matches("exit 0"),
        ),
    );
    let pass = world.script("pass", PASS);
    deploy(
        &admin,
        "Flaky",
        &[("pass", &pass)],
        ingester(&flaky, &json!({"config": {"total": 12}})),
    );
    let run = open(&admin, &json!({"convention_id": "flaky", "batch_size": 5}));
    let ended = admin.wait(&run);
    assert_eq!(
        (&ended["status"], &ended["failure_kind"]),
        (&json!("completed"), &Value::Null)
    );
    assert_eq!(counts(&ended), [3, 12, 12, 0, 12, 0]);
    let failed = "select count(*)::text from delegations where status = 'failed'";
    assert_ne!(world.query(failed), "0", "the ingester never failed");

    // One that exceeds its memory is given up at once: there is no lever. Its log is for its opener and admins.
    let hog = world.script("hog", "echo secret-words; tail /dev/zero");
    let mut body = ingester(&hog, &json!({}));
    body["limits"] = json!({"timeout_seconds": 20, "memory": "32m", "cpu": "1"});
    deploy(&admin, "Hog", &[("pass", &pass)], body);
    let run = open(&admin, &json!({"convention_id": "hog"}));
    let ended = admin.wait(&run);
    assert_eq!(
        (
            &ended["status"],
            &ended["failure_kind"],
            &ended["batches_failed"],
            &ended["ingestion_finished"]
        ),
        (&json!("completed"), &json!("oom"), &json!(1), &json!(true))
    );
    let logs = format!("/ingestions/{run}/pulls/0/logs");
    let log = admin.get(&logs);
    assert_eq!(
        (log.status, log.content_type.as_str()),
        (200, "text/plain; charset=utf-8")
    );
    assert!(log.text.contains("secret-words"));
    let stranger = world.person(&server, 1, "curator");
    stranger.client.get(&logs).problem(404, "NotFoundError");
    server.anonymous().get(&logs).problem(401, "missing_token");
    assert!(!server.log().contains("secret-words"));

    // An image that is not what its digest says ends the run, and nothing of it runs.
    std::fs::write(&hog, "#!/bin/sh\necho other").unwrap();
    let run = open(&admin, &json!({"convention_id": "hog"}));
    let ended = admin.wait(&run);
    assert_eq!(
        (&ended["status"], &ended["failure_kind"]),
        (&json!("failed"), &json!("image_pull"))
    );
}

// proves PIP-2
#[test]
fn runs_are_cancelled_and_one_convention_has_one_active_run() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let pull = world.script("pull", COUNTING);
    let slow = world.script("slow", "sleep 30");
    deploy(
        &admin,
        "Slow",
        &[("slow", &slow)],
        ingester(&pull, &json!({"config": {"total": 1000}})),
    );
    let run = open(&admin, &json!({"convention_id": "slow", "batch_size": 1}));
    let again = admin
        .post("/ingestions", &json!({"convention_id": "slow"}))
        .problem(409, "ingest_already_running");
    assert!(again["detail"].as_str().unwrap().contains(&run));
    // Pulling runs ahead of the hooks, but not far.
    blackbox::parties::until("batches wait", || {
        admin.get(&format!("/ingestions/{run}")).expect(200)["batches_ingested"]
            .as_u64()
            .unwrap()
            >= 4
    });
    std::thread::sleep(Duration::from_millis(700));
    let ahead = admin.get(&format!("/ingestions/{run}")).expect(200);
    assert_eq!(
        (&ahead["batches_ingested"], &ahead["pulls"]),
        (&json!(4), &json!(4))
    );
    admin
        .push(
            &format!("/ingestions/{run}/records"),
            "application/x-ndjson",
            "{}",
        )
        .problem(409, "ingest_not_pushed");
    admin
        .post(&format!("/ingestions/{run}/close"), &json!({}))
        .problem(409, "ingest_not_pushed");

    let cancelled = admin
        .post(
            &format!("/ingestions/{run}/cancel"),
            &json!({"reason": "too slow"}),
        )
        .expect(200);
    assert_eq!(
        (&cancelled["status"], &cancelled["failure_kind"]),
        (&json!("failed"), &json!("cancelled"))
    );
    assert!(cancelled["failure_reason"].as_str().unwrap().contains("too slow"));
    assert_eq!(
        (&cancelled["errored_count"], &cancelled["batches_failed"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(
        admin
            .post(&format!("/ingestions/{run}/cancel"), &json!({}))
            .expect(200),
        cancelled
    );
    admin
        .post(
            "/ingestions/00000000-0000-7000-8000-0000000000a1/cancel",
            &json!({"reason": "there is none"}),
        )
        .problem(404, "NotFoundError");
    // What ran is ended: nothing computes for a run that is over.
    blackbox::parties::until("the hooks are gone", || {
        std::fs::read_dir(server.data.join("work")).unwrap().count() == 0
    });
    assert_eq!(
        world.query(
            "select count(*)::text from delegations where status in ('queued', 'dispatched', 'in_progress')"
        ),
        "0"
    );
    assert_eq!(world.query("select count(*)::text from records"), "0");

    let pass = world.script("pass", PASS);
    deploy(
        &admin,
        "Quick",
        &[("pass", &pass)],
        ingester(&pull, &json!({"config": {"total": 2}})),
    );
    let run = open(&admin, &json!({"convention_id": "quick"}));
    admin.wait(&run);
    admin
        .post(&format!("/ingestions/{run}/cancel"), &json!({}))
        .problem(409, "ingest_over");
}

// proves PIP-2, AUD-3
#[test]
fn schedules_and_initial_runs_open_runs_by_themselves_once_on_two_servers() {
    let world = World::start();
    let (a, b) = (world.serve("a"), world.serve("b"));
    let admin = a.admin();
    let since = world.script(
        "since",
        r#"printf '{"source_id":"since","metadata":{"label":"%s %s"}}\n' "$OSA_SINCE" "$OSA_OFFSET" > "$OSA_OUT/records.jsonl""#,
    );
    let pass = world.script("pass", PASS);
    let bad = ingester(
        &since,
        &json!({"schedule": {"cron": "now and then"}, "initial_run": {"limit": 0}}),
    );
    let mut body = small("Bad", "bad-schema", &[("pass", &pass)]);
    body["ingester"] = bad;
    let refused = admin.post("/conventions", &body).problem(422, "VALIDATION_ERROR");
    let faults = refused["errors"].to_string();
    assert!(
        faults.contains("cron") && faults.contains("initial_run"),
        "{faults}"
    );

    let more = json!({"schedule": {"cron": "* * * * *"}, "initial_run": {"limit": 5}});
    let deployed = deploy(&admin, "Timed", &[("pass", &pass)], ingester(&since, &more));
    let initial = deployed["initial_run"].as_str().unwrap().to_owned();
    let ended = admin.wait(&initial);
    assert_eq!(
        (&ended["published_count"], &ended["limit"]),
        (&json!(1), &json!(5))
    );
    assert_eq!(
        deploy(&admin, "Timed", &[("pass", &pass)], ingester(&since, &more))["initial_run"],
        Value::Null
    );

    // A minute passes: then a time of the schedule has come since the deploy, and both servers look for it every 5 s.
    world.execute("update conventions set updated_at = updated_at - interval '1 minute'");
    let runs = || {
        b.admin().get("/ingestions").expect(200)["items"]
            .as_array()
            .unwrap()
            .clone()
    };
    blackbox::parties::until("a run is opened", || runs().len() >= 2);
    // The newest is first, and another one may follow in the next minute.
    let opened = runs();
    let scheduled = opened[opened.len() - 2]["id"].as_str().unwrap().to_owned();
    let ended = admin.wait(&scheduled);
    // Only what changed since the last run that brought everything; the initial one was ended by its limit or by itself.
    let started = admin.get(&format!("/ingestions/{initial}")).expect(200)["started_at"].clone();
    assert_eq!(
        (&ended["since"], &ended["scheduled_for"].is_string()),
        (&started, &true)
    );
    let label = server_label(&admin);
    assert!(label.starts_with(&started.as_str().unwrap()[..19]), "{label}");
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(world.query("select count(*)::text from (select scheduled_for from ingest_runs where scheduled_for is not null group by 1 having count(*) > 1) x"), "0");
    assert_eq!(
        world
            .query("select count(*)::text from tasks where kind = 'ingest_pull' and creator_user_id is null"),
        world.query("select count(*)::text from ingest_runs where scheduled_for is not null")
    );
}

fn server_label(client: &Client) -> String {
    let rows = client.rows("timed-schema/records", 10);
    rows[0]["label"].as_str().unwrap().to_owned()
}
