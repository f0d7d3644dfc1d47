//! Delegations whose holder is silent, that wait in vain, or that ended long ago.

use std::time::{Duration, Instant};

use blackbox::World;
use blackbox::cluster::Cluster;
use blackbox::fixtures::{penguins, push_penguins};
use blackbox::parties::{events, ids, status, until};
use serde_json::{Value, json};

/// After so long without a heartbeat a claim is taken away in these tests.
const SILENCE: (&str, &str) = ("HALLMARK_WORKER__SILENCE_SECONDS", "1.2");

// proves LED-5, LED-6, LED-7, LED-9
#[test]
fn a_silent_holder_loses_it_and_a_late_result_is_logged_and_never_applied() {
    let world = World::start();
    let server = world.serve_machines("a", &[SILENCE]);
    // A second server sweeps as well: each row is taken once.
    let second = world.serve_machines("b", &[SILENCE]);
    let (caller, callee) = (world.person(&server, 1, "depositor"), server.machine("bot"));
    let task = caller.task("measure");
    caller.delegate("d", &callee, &json!({"task_id": task, "max_retries": 1}));
    assert_eq!(callee.claim(1), [("d".to_owned(), 1)]);
    until("it is swept", || status(&caller, "d") == "stuck");
    let stuck = caller.delegation("d");
    assert_eq!(stuck["redelegated_as"], json!("d~1"));
    assert!(
        stuck["error_detail"].as_str().unwrap().contains("fell silent"),
        "{stuck}"
    );
    assert_eq!(
        caller.client.get(&format!("/tasks/{task}")).expect(200)["status"],
        json!("queued")
    );

    // The zombie comes back before and after the next one took it over.
    let late = json!({"attempt": 1, "result": "from the dead", "worker_id": "zombie"});
    callee
        .client
        .post("/delegations/d/complete", &late)
        .problem(409, "delegation_not_held");
    let answer = callee
        .client
        .post("/claims", &json!({"worker_id": "w2", "wait_seconds": 20}))
        .expect(200);
    assert_eq!(
        (
            &answer["items"][0]["delegation_id"],
            &answer["items"][0]["retry_count"]
        ),
        (&json!("d~1"), &json!(1))
    );
    callee
        .client
        .post("/delegations/d/complete", &late)
        .problem(409, "delegation_not_held");
    callee
        .client
        .post(
            "/delegations/d~1/complete",
            &json!({"attempt": 1, "result": "alive"}),
        )
        .expect_empty(204);
    callee
        .client
        .post("/delegations/d/complete", &late)
        .problem(409, "delegation_not_held");
    assert_eq!(
        events(&caller, "d"),
        [
            "1 claimed",
            "1 stuck",
            "1 refused-late",
            "1 refused-late",
            "1 refused-late"
        ]
    );
    let inbox = caller.inbox();
    let ends: Vec<_> = inbox
        .iter()
        .map(|m| {
            (
                &m["delegation_id"],
                &m["status"],
                &m["result"],
                &m["redelegated_as"],
            )
        })
        .collect();
    assert_eq!(
        ends,
        [
            (&json!("d"), &json!("stuck"), &Value::Null, &json!("d~1")),
            (&json!("d~1"), &json!("completed"), &json!("alive"), &Value::Null),
        ]
    );

    // Retries end; then its task is given up, and only its caller hands it out again.
    let task = caller.task("measure");
    caller.delegate("f", &callee, &json!({"task_id": task, "max_retries": 0}));
    assert_eq!(callee.claim(1).len(), 1);
    until("it is swept", || status(&caller, "f") == "stuck");
    assert_eq!(caller.delegation("f")["redelegated_as"], Value::Null);
    assert_eq!(
        caller.client.get(&format!("/tasks/{task}")).expect(200)["status"],
        json!("failed")
    );
    assert_eq!(
        ids(&caller
            .client
            .get("/delegations?side=caller&state=stuck")
            .expect(200)),
        ["f", "d"]
    );
    assert_eq!(
        ids(&server.admin().get("/delegations?state=stuck").expect(200)),
        ["f", "d"]
    );
    callee
        .client
        .post("/delegations/f/redelegate", &json!({}))
        .problem(403, "access_denied");
    let again = caller
        .client
        .post("/delegations/f/redelegate", &json!({}))
        .expect(201);
    assert_eq!(
        (&again["delegation_id"], &again["retry_count"], &again["retry_of"]),
        (&json!("f~1"), &json!(1), &json!("f"))
    );
    caller
        .client
        .post("/delegations/f/redelegate", &json!({}))
        .problem(409, "delegation_handed_out_again");
    caller
        .client
        .post("/delegations/f~1/redelegate", &json!({}))
        .problem(409, "delegation_not_over");
    assert_eq!(
        caller.client.get(&format!("/tasks/{task}")).expect(200)["status"],
        json!("queued")
    );

    // Cancelled: its holder learns of it, and a late result is refused.
    assert_eq!(callee.claim(1), [("f~1".to_owned(), 1)]);
    let off = caller
        .client
        .post("/delegations/f~1/cancel", &json!({"reason": "no need"}))
        .expect(200);
    assert_eq!(off["status"], json!("failed"));
    assert_eq!(
        caller
            .client
            .post("/delegations/f~1/cancel", &json!({}))
            .expect(200),
        off
    );
    let heartbeat = callee
        .client
        .post("/delegations/f~1/heartbeat", &json!({"attempt": 1}))
        .expect(200);
    assert_eq!(heartbeat["held"], json!([]));
    callee
        .client
        .post("/delegations/f~1/complete", &json!({"attempt": 1}))
        .problem(409, "delegation_not_held");

    // It is not claimed in time.
    caller.delegate("g", &callee, &json!({"deadline_seconds": 1, "max_retries": 3}));
    until("it expired", || status(&caller, "g") == "stuck");
    assert_eq!(caller.delegation("g")["redelegated_as"], Value::Null);
    assert_eq!(callee.claim(1), [] as [(String, i64); 0]);
    drop(second);
    // Every end is in an inbox once, whichever server swept.
    assert_eq!(
        world.query("select count(*) || ' ' || count(distinct delegation_id) from delegation_inbox"),
        "5 5"
    );
    assert_eq!(
        world.query("select count(*)::text from delegations d where status in ('completed', 'failed', 'stuck') and not exists (select from delegation_inbox m where m.delegation_id = d.delegation_id)"),
        "0"
    );
    assert_eq!(world.query("select (select count(*) from delegation_leases) || ' ' || (select count(*) from delegation_ready)"), "0 0");
}

// proves LED-1, LED-3
#[test]
fn what_ended_long_ago_is_in_the_archive_and_keeps_its_id_and_its_key() {
    let world = World::start();
    // A tenth of a second of retention.
    let server = world.serve_machines("a", &[("HALLMARK_WORKER__RETENTION_DAYS", "0.000012")]);
    let (caller, callee) = (world.person(&server, 1, "depositor"), server.machine("bot"));
    let task = caller.task("measure");
    let body = json!({"delegation_id": "d", "callee_id": callee.name, "task_id": task, "idempotency_key": "k", "input": 7});
    caller.client.post("/delegations", &body).expect(201);
    caller.delegate("open", &callee, &json!({}));
    assert_eq!(callee.claim(1), [("d".to_owned(), 1)]);
    callee
        .client
        .post(
            "/delegations/d/complete",
            &json!({"attempt": 1, "result": {"a": 1}}),
        )
        .expect_empty(204);
    let hot = "select count(*)::text from delegations where delegation_id = 'd'";
    until("it is moved", || world.query(hot) == "0");
    let seen = caller.delegation("d");
    assert_eq!(
        (&seen["status"], &seen["input"], &seen["result"]),
        (&json!("completed"), &json!(7), &json!({"a": 1}))
    );
    assert_eq!(events(&caller, "d"), ["1 claimed", "1 completed"]);
    assert_eq!(
        ids(&caller
            .client
            .get("/delegations?side=caller&state=archived")
            .expect(200)),
        ["d"]
    );
    assert_eq!(
        ids(&callee
            .client
            .get("/delegations?side=callee&state=archived")
            .expect(200)),
        ["d"]
    );
    assert_eq!(
        ids(&caller
            .client
            .get("/delegations?side=caller&state=all")
            .expect(200)),
        ["open"]
    );
    // The same request finds it, and neither its id nor its key is free.
    assert_eq!(
        caller.client.post("/delegations", &body).expect(200)["status"],
        json!("completed")
    );
    let mut other = body.clone();
    other["input"] = json!(8);
    caller
        .client
        .post("/delegations", &other)
        .problem(409, "idempotency_conflict");
    other["delegation_id"] = json!("d2");
    other["task_id"] = Value::Null;
    caller
        .client
        .post("/delegations", &other)
        .problem(409, "idempotency_conflict");
    callee
        .client
        .post("/delegations/d/complete", &json!({"attempt": 1}))
        .problem(409, "delegation_not_held");
    caller
        .client
        .post("/delegations/d/redelegate", &json!({}))
        .problem(409, "delegation_not_over");
    // Its message is not acknowledged, so it stays; then it goes, and the result is still there.
    let inbox = caller.inbox();
    assert_eq!(inbox.len(), 1);
    caller
        .client
        .post(
            "/inbox/acknowledge",
            &json!({"message_ids": [inbox[0]["message_id"]]}),
        )
        .expect(200);
    until("the message is gone", || {
        world.query("select count(*)::text from delegation_inbox") == "0"
    });
    assert_eq!(caller.delegation("d")["result"], json!({"a": 1}));
    assert_eq!(status(&caller, "open"), "queued");
}

// proves LED-10
#[test]
fn a_row_tells_who_worked_for_it_also_when_that_is_in_the_archive() {
    let world = World::start();
    let server = world.serve_with("a", &[("HALLMARK_WORKER__RETENTION_DAYS", "0.000012")]);
    let admin = server.admin();
    admin.post("/conventions", &penguins()).expect(201);
    let run = admin.open("palmer-penguins", 400);
    push_penguins(&admin, &run);
    admin.finish(&run);
    admin.wait(&run);
    until("all is moved", || {
        world.query("select count(*)::text from delegations") == "0"
    });
    assert_eq!(world.query("select count(*)::text from delegations_archive"), "1");
    let row = &admin.rows("palmer-penguins/penguin_shape", 1)[0];
    let trace = admin
        .get(&format!(
            "/data/palmer-penguins/penguin_shape/rows/{}/trace",
            row["id"]
        ))
        .expect(200);
    let delegation = &trace["task"]["delegations"][0];
    assert_eq!(delegation["status"], json!("completed"), "{trace}");
    assert_eq!(delegation["callee"], json!("hallmark:workers"), "{trace}");
    assert!(delegation["worker"].is_string(), "{trace}");
}

// proves LED-5
#[test]
fn a_database_that_was_away_for_longer_than_silence_makes_no_delegation_stuck() {
    let mut cluster = Cluster::start();
    let world = World::at(&cluster.url("away"));
    let server = world.serve_machines("a", &[("HALLMARK_WORKER__SILENCE_SECONDS", "4")]);
    let (caller, callee) = (world.person(&server, 1, "depositor"), server.machine("bot"));
    for n in 0..30 {
        caller.delegate(&format!("d{n}"), &callee, &json!({}));
    }
    let mut held = callee.claim(30);
    assert_eq!(held.len(), 30);
    // One worker is dead, and its lease gets no heartbeat. Meanwhile no worker can send one.
    held.retain(|(id, _)| id != "d7");
    cluster.restart(Duration::from_secs(6));
    let claims: Vec<Value> = held
        .iter()
        .map(|(id, attempt)| json!({"delegation_id": id, "attempt": attempt}))
        .collect();
    let heartbeat = || {
        let body = json!({"claims": claims}).to_string();
        let answer = callee.client.send(
            "POST",
            "/claims/heartbeat",
            Some("application/json"),
            body.as_bytes(),
        );
        answer.is_ok_and(|answer| answer.status == 200)
    };
    until("it answers again", heartbeat);
    let begun = Instant::now();
    until("the dead one is taken", || {
        assert!(heartbeat());
        std::thread::sleep(Duration::from_millis(200));
        status(&caller, "d7") == "stuck"
    });
    assert!(
        begun.elapsed() > Duration::from_secs(1),
        "after its start the database leaves everybody time"
    );
    let stuck = caller
        .client
        .get("/delegations?side=caller&state=stuck")
        .expect(200);
    assert_eq!(ids(&stuck), ["d7"]);
}
