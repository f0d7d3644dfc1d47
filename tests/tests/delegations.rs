//! The delegation ledger over HTTP: handing over, claiming, fencing, the inbox, the sweep, and the archive.
#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

mod world;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use world::cluster::Cluster;
use world::parties::Party;
use world::{World, penguins, push_penguins};

/// After so long without a heartbeat a claim is taken away in these tests.
const SILENCE: (&str, &str) = ("HALLMARK_WORKER__SILENCE_SECONDS", "1.2");

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < Duration::from_secs(90),
            "never came true: {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn status(party: &Party, id: &str) -> String {
    party.delegation(id)["status"].as_str().unwrap().to_owned()
}

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["delegation_id"].as_str().unwrap())
        .collect()
}

fn events(party: &Party, id: &str) -> Vec<String> {
    let log = party
        .client
        .get(&format!("/delegations/{id}/attempts"))
        .expect(200);
    let items = log["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| format!("{} {}", item["attempt"], item["event"].as_str().unwrap()))
        .collect()
}

// proves LED-1, LED-2, LED-3, LED-4, LED-7
#[test]
fn a_delegation_goes_from_hand_to_hand_and_its_result_into_the_callers_inbox() {
    let world = World::new();
    let server = world.serve_machines("a", &[]);
    let (caller, callee) = (world.person(&server, 1, "depositor"), server.machine("bot"));
    let task = caller.task("measure");

    let body = json!({
        "delegation_id": "d/1 ü", "callee_id": callee.name, "task_id": task, "task_preview": "p".repeat(700),
        "input": {"x": [1, null]}, "idempotency_key": "k",
    });
    let made = caller.client.post("/delegations", &body).expect(201);
    assert_eq!(made["status"], json!("queued"));
    assert_eq!(made["caller_id"], json!(caller.name));
    assert_eq!(made["task_preview"].as_str().unwrap().len(), 500);
    assert_eq!(
        caller.client.post("/delegations", &body).expect(200)["created_at"],
        made["created_at"]
    );
    for (field, value) in [
        ("input", json!({})),
        ("callee_id", json!(caller.name)),
        ("deadline_seconds", json!(60)),
    ] {
        let mut other = body.clone();
        other[field] = value;
        caller
            .client
            .post("/delegations", &other)
            .problem(409, "idempotency_conflict");
    }
    // The same request with the same key is the same delegation, whatever id it comes with; with another body it is another request.
    let mut same = body.clone();
    same["delegation_id"] = json!("d2");
    let existing = caller.client.post("/delegations", &same).expect(200);
    assert_eq!(existing["delegation_id"], json!("d/1 ü"));
    let mut other = body.clone();
    other["delegation_id"] = json!("d2");
    other["task_id"] = Value::Null;
    caller
        .client
        .post("/delegations", &other)
        .problem(409, "idempotency_conflict");
    // The key of another caller is another key, and a task is in one pair of hands.
    let mut theirs = body.clone();
    theirs["delegation_id"] = json!("theirs");
    theirs["task_id"] = Value::Null;
    callee.client.post("/delegations", &theirs).expect(201);
    let second = json!({"delegation_id": "second", "callee_id": callee.name, "task_id": task});
    caller
        .client
        .post("/delegations", &second)
        .problem(409, "task_delegated");

    // Dispatched, in progress, held.
    let id = "d%2F1%20%C3%BC";
    assert_eq!(
        callee.client.get(&format!("/delegations/{id}")).expect(200)["input"],
        json!({"x": [1, null]})
    );
    let claim = callee
        .client
        .post("/claims", &json!({"worker_id": "w1", "limit": 1, "begin": false}))
        .expect(200);
    let claimed = &claim["items"][0];
    assert_eq!(
        (&claimed["delegation_id"], &claimed["attempt"]),
        (&json!("d/1 ü"), &json!(1))
    );
    assert_eq!(
        (&claimed["task_id"], &claimed["task_kind"]),
        (&json!(task), &json!("measure"))
    );
    assert_eq!(claimed["task_params"], json!({"n": 1}));
    assert_eq!(status(&caller, id), "dispatched");
    assert_eq!(
        caller.client.get(&format!("/tasks/{task}")).expect(200)["status"],
        json!("running")
    );
    let at = |rest: &str| format!("/delegations/{id}/{rest}");
    for bad in [0, 2, -1, i64::MAX] {
        callee
            .client
            .post(&at("progress"), &json!({"attempt": bad}))
            .problem(409, "delegation_not_held");
        callee
            .client
            .post(&at("complete"), &json!({"attempt": bad}))
            .problem(409, "delegation_not_held");
        let beat = callee
            .client
            .post(&at("heartbeat"), &json!({"attempt": bad}))
            .expect(200);
        assert_eq!(
            (&beat["held"], &beat["lost"][0]["attempt"]),
            (&json!([]), &json!(bad))
        );
    }
    assert_eq!(
        callee
            .client
            .post(&at("progress"), &json!({"attempt": 1, "note": "half"}))
            .status,
        204
    );
    let seen = caller.client.get(&format!("/delegations/{id}")).expect(200);
    assert_eq!(
        (&seen["status"], &seen["progress"]),
        (&json!("in_progress"), &json!("half"))
    );
    assert_eq!(seen["worker_id"], json!("w1"));
    let before = seen["last_heartbeat"].as_str().unwrap().to_owned();
    let beat = callee
        .client
        .post("/claims/heartbeat", &json!({"claims": [{"delegation_id": "d/1 ü", "attempt": 1}, {"delegation_id": "none", "attempt": 1}]}))
        .expect(200);
    assert_eq!(beat["held"][0]["delegation_id"], json!("d/1 ü"));
    assert_eq!(beat["lost"], json!([{"delegation_id": "none", "attempt": 1}]));
    let seen = caller.client.get(&format!("/delegations/{id}")).expect(200);
    assert!(
        seen["last_heartbeat"].as_str().unwrap() > before.as_str(),
        "the exact beat is shown in its place"
    );

    // Its end is in the inbox, again and again until it is acknowledged, and then never again.
    assert_eq!(caller.inbox(), [] as [Value; 0]);
    let end = json!({"attempt": 1, "result": {"answer": 42}});
    assert_eq!(callee.client.post(&at("complete"), &end).status, 204);
    assert_eq!(
        callee.client.post(&at("complete"), &end).status,
        204,
        "the same end again is no change"
    );
    callee
        .client
        .post(&at("complete"), &json!({"attempt": 1, "result": 43}))
        .problem(409, "delegation_not_held");
    callee
        .client
        .post(&at("fail"), &json!({"attempt": 1, "error_detail": "x"}))
        .problem(409, "delegation_not_held");
    callee
        .client
        .post(&at("progress"), &json!({"attempt": 1}))
        .problem(409, "delegation_not_held");
    let inbox = caller.inbox();
    assert_eq!(inbox.len(), 1);
    assert_eq!(
        (&inbox[0]["delegation_id"], &inbox[0]["status"]),
        (&json!("d/1 ü"), &json!("completed"))
    );
    assert_eq!(inbox[0]["result"], json!({"answer": 42}));
    assert_eq!(caller.inbox(), inbox);
    assert_eq!(callee.inbox(), [] as [Value; 0], "it is nobody else's");
    let acknowledge = json!({"message_ids": [inbox[0]["message_id"], 999_999]});
    assert_eq!(
        callee.client.post("/inbox/acknowledge", &acknowledge).expect(200)["message_ids"],
        json!([])
    );
    assert_eq!(caller.inbox(), inbox, "only its caller acknowledges it");
    let done = caller.client.post("/inbox/acknowledge", &acknowledge).expect(200);
    assert_eq!(done["message_ids"], json!([inbox[0]["message_id"]]));
    assert_eq!(caller.inbox(), [] as [Value; 0]);
    assert_eq!(
        caller.client.post("/inbox/acknowledge", &acknowledge).expect(200)["message_ids"],
        json!([])
    );
    assert_eq!(
        caller.client.get(&format!("/tasks/{task}")).expect(200)["status"],
        json!("completed")
    );
    assert_eq!(
        caller.client.get(&format!("/delegations/{id}")).expect(200)["result"],
        json!({"answer": 42})
    );
    assert_eq!(
        events(&caller, id),
        ["1 claimed", "1 completed", "1 refused-late", "1 refused-late"]
    );
    // Of two results that begin alike, only the one that was taken is taken again.
    let long = |end: &str| json!({"attempt": 1, "result": format!("{}{end}", "x".repeat(600))});
    callee.delegate("long", &callee, &json!({}));
    assert!(callee.claim(5).contains(&("long".to_owned(), 1)));
    callee
        .client
        .post("/delegations/long/complete", &long("a"))
        .expect_empty(204);
    callee
        .client
        .post("/delegations/long/complete", &long("a"))
        .expect_empty(204);
    callee
        .client
        .post("/delegations/long/complete", &long("b"))
        .problem(409, "delegation_not_held");
    // A request that comes again finds what it made, although its task has ended.
    assert_eq!(
        caller.client.post("/delegations", &body).expect(200)["status"],
        json!("completed")
    );
    let after = json!({"delegation_id": "after", "callee_id": callee.name, "task_id": task});
    caller
        .client
        .post("/delegations", &after)
        .problem(409, "task_over");

    for (field, bad) in [
        ("delegation_id", json!("a~1")),
        ("delegation_id", json!("0190f3c2-6b1c-7c3e-9d52-0a1b2c3d4e5f.0")),
        ("input", json!(vec![1e308; 1000])),
        ("delegation_id", json!("")),
        ("callee_id", json!("hallmark:workers")),
        ("callee_id", json!("user:x")),
        ("task_id", json!("x")),
        ("deadline_seconds", json!(0)),
        ("deadline_seconds", json!(i64::MAX)),
        ("delay_seconds", json!(-1)),
        ("max_retries", json!(21)),
        ("input", json!("x".repeat(300_000))),
        ("parent", json!({"delegation_id": "p"})),
        ("more", json!(1)),
    ] {
        let mut wrong = json!({"delegation_id": "w", "callee_id": callee.name});
        wrong[field] = bad;
        caller
            .client
            .post("/delegations", &wrong)
            .problem(422, "VALIDATION_ERROR");
    }
    for bad in [
        json!({"worker_id": ""}),
        json!({"worker_id": "w", "limit": 51}),
        json!({"worker_id": "w", "limit": 0}),
        json!({}),
    ] {
        callee
            .client
            .post("/claims", &bad)
            .problem(422, "VALIDATION_ERROR");
    }
}

// proves LED-6, LED-7
#[test]
fn only_the_callee_writes_and_only_the_parties_see() {
    let world = World::new();
    let server = world.serve_machines("a", &[]);
    let (caller, callee) = (world.person(&server, 1, "depositor"), server.machine("bot"));
    let stranger = world.person(&server, 2, "curator");
    caller.delegate("d", &callee, &json!({}));
    caller.delegate("e", &callee, &json!({}));
    assert_eq!(
        caller.claim(5),
        [] as [(String, i64); 0],
        "what is handed to another cannot be claimed"
    );
    assert_eq!(callee.claim(1), [("d".to_owned(), 1)]);

    let writes = [
        ("progress", json!({"attempt": 1})),
        ("complete", json!({"attempt": 1, "result": "forged"})),
        ("fail", json!({"attempt": 1, "error_detail": "forged"})),
    ];
    for (what, body) in &writes {
        let path = format!("/delegations/d/{what}");
        stranger
            .client
            .post(&path, body)
            .problem(404, "delegation_not_found");
        caller.client.post(&path, body).problem(403, "access_denied");
        server.nobody().post(&path, body).problem(401, "missing_token");
    }
    for path in ["/delegations/d", "/delegations/d/attempts"] {
        stranger.client.get(path).problem(404, "delegation_not_found");
        caller.client.get(path).expect(200);
        callee.client.get(path).expect(200);
        server.admin().get(path).expect(200);
    }
    stranger
        .client
        .post("/delegations/d/cancel", &json!({}))
        .problem(404, "delegation_not_found");
    callee
        .client
        .post("/delegations/d/cancel", &json!({}))
        .problem(403, "access_denied");
    for who in [&stranger, &caller] {
        let beat = who
            .client
            .post("/delegations/d/heartbeat", &json!({"attempt": 1}))
            .expect(200);
        assert_eq!(beat["held"], json!([]), "a heartbeat is its callee's");
    }
    let finish = json!({"ends": [
        {"delegation_id": "d", "attempt": 1, "result": 1}, {"delegation_id": "e", "attempt": 1, "error_detail": "x"}, {"delegation_id": "none", "attempt": 1},
    ]});
    let answer = stranger.client.post("/claims/finish", &finish).expect(200);
    assert!(
        answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["code"] == json!("delegation_not_found"))
    );
    // Each for itself: what is refused does not keep the others.
    let answer = callee.client.post("/claims/finish", &finish).expect(200);
    let codes: Vec<_> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| (&i["status"], &i["code"]))
        .collect();
    assert_eq!(
        codes,
        [
            (&json!("completed"), &Value::Null),
            (&Value::Null, &json!("delegation_not_held")),
            (&Value::Null, &json!("delegation_not_found"))
        ]
    );
    assert_eq!(caller.inbox().len(), 1);
    assert_eq!(caller.inbox()[0]["result"], json!(1));
    let twice = json!({"ends": [{"delegation_id": "e", "attempt": 1}, {"delegation_id": "e", "attempt": 1, "error_detail": "x"}]});
    callee
        .client
        .post("/claims/finish", &twice)
        .problem(422, "VALIDATION_ERROR");

    // LED-9 over HTTP: each for its own side, others' for admins.
    let list = |party: &Party, query: &str| party.client.get(&format!("/delegations?{query}")).expect(200);
    assert_eq!(ids(&list(&caller, "side=caller")), ["e"]);
    assert_eq!(ids(&list(&callee, "side=callee")), ["e"]);
    assert_eq!(ids(&list(&callee, "side=caller")), [""; 0]);
    assert_eq!(ids(&list(&caller, "side=caller&state=all")), ["e", "d"]);
    let page = list(&caller, "side=caller&state=all&limit=1");
    let next = page["next_cursor"].as_str().unwrap();
    assert_eq!(
        ids(&list(
            &caller,
            &format!("side=caller&state=all&limit=1&cursor={next}")
        )),
        ["d"]
    );
    stranger
        .client
        .get(&format!("/delegations?side=caller&party={}", caller.name))
        .problem(422, "VALIDATION_ERROR");
    stranger
        .client
        .get("/delegations?state=stuck")
        .problem(422, "VALIDATION_ERROR");
    let admin = server.admin();
    let theirs = admin
        .get(&format!("/delegations?side=caller&party={}", caller.name))
        .expect(200);
    assert_eq!(ids(&theirs), ["e"]);
    assert_eq!(ids(&admin.get("/delegations?state=stuck").expect(200)), [""; 0]);
}

// proves LED-5, LED-6, LED-7, LED-9
#[test]
fn who_falls_silent_loses_it_and_what_comes_late_is_kept_and_never_applied() {
    let world = World::new();
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
    let told: Vec<_> = inbox
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
        told,
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

    // Called off: whoever holds it learns of it, and what they bring is refused.
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
    let beat = callee
        .client
        .post("/delegations/f~1/heartbeat", &json!({"attempt": 1}))
        .expect(200);
    assert_eq!(beat["held"], json!([]));
    callee
        .client
        .post("/delegations/f~1/complete", &json!({"attempt": 1}))
        .problem(409, "delegation_not_held");

    // Nobody claims it in time.
    caller.delegate("g", &callee, &json!({"deadline_seconds": 1, "max_retries": 3}));
    until("it expired", || status(&caller, "g") == "stuck");
    assert_eq!(caller.delegation("g")["redelegated_as"], Value::Null);
    assert_eq!(callee.claim(1), [] as [(String, i64); 0]);
    drop(second);
    // Every end was told once, whichever server swept.
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

// proves LED-6
#[test]
fn below_a_delegation_only_its_holder_delegates_and_never_for_longer() {
    let world = World::new();
    let server = world.serve_machines("a", &[]);
    let (top, middle) = (world.person(&server, 1, "depositor"), server.machine("middle"));
    let leaf = server.machine("leaf");
    top.delegate("d0", &middle, &json!({"deadline_seconds": 600}));
    let child = |parent: &str, attempt: i64| json!({"parent": {"delegation_id": parent, "attempt": attempt}, "delegation_id": "x", "callee_id": leaf.name});
    for who in [&top, &middle, &leaf] {
        who.client
            .post("/delegations", &child("d0", 1))
            .problem(409, "parent_not_held");
    }
    assert_eq!(middle.claim(1).len(), 1);
    top.client
        .post("/delegations", &child("d0", 1))
        .problem(409, "parent_not_held");
    middle
        .client
        .post("/delegations", &child("d0", 2))
        .problem(409, "parent_not_held");
    let first = middle.delegate(
        "d1",
        &leaf,
        &json!({"parent": {"delegation_id": "d0", "attempt": 1}}),
    );
    let parent = middle.delegation("d0");
    assert_eq!(
        (&first["parent_id"], &first["root_id"], &first["depth"]),
        (&json!("d0"), &json!("d0"), &json!(1))
    );
    assert_eq!(
        first["deadline"], parent["deadline"],
        "six hours are more than the parent has"
    );
    let shorter = middle.delegate(
        "d1b",
        &leaf,
        &json!({"parent": {"delegation_id": "d0", "attempt": 1}, "deadline_seconds": 5}),
    );
    assert!(shorter["deadline"].as_str() < parent["deadline"].as_str());

    // Down to the last one that is allowed, each handed to oneself.
    assert_eq!(leaf.claim(1), [("d1".to_owned(), 1)]);
    let mut above = "d1".to_owned();
    for depth in 2..=16 {
        let id = format!("d{depth}");
        let made = leaf.delegate(
            &id,
            &leaf,
            &json!({"parent": {"delegation_id": above, "attempt": 1}}),
        );
        assert_eq!((&made["depth"], &made["root_id"]), (&json!(depth), &json!("d0")));
        until("it can be claimed", || {
            leaf.claim(5).iter().any(|(claimed, _)| *claimed == id)
        });
        above = id;
    }
    leaf.client
        .post("/delegations", &json!({"delegation_id": "d17", "callee_id": leaf.name, "parent": {"delegation_id": above, "attempt": 1}}))
        .problem(409, "delegation_too_deep");
    // What failed below it is handed out again while it is held, and for no longer than that.
    leaf.client
        .post(
            "/delegations/d1/fail",
            &json!({"attempt": 1, "error_detail": "x"}),
        )
        .expect_empty(204);
    let again = middle
        .client
        .post("/delegations/d1/redelegate", &json!({}))
        .expect(201);
    assert_eq!(again["deadline"], parent["deadline"]);
    assert_eq!((&again["parent_id"], &again["depth"]), (&json!("d0"), &json!(1)));
    assert!(leaf.claim(5).contains(&("d1~1".to_owned(), 1)));
    leaf.client
        .post(
            "/delegations/d1~1/fail",
            &json!({"attempt": 1, "error_detail": "x"}),
        )
        .expect_empty(204);
    // After its parent ended nothing is made below it.
    middle
        .client
        .post("/delegations/d0/complete", &json!({"attempt": 1}))
        .expect_empty(204);
    middle
        .client
        .post("/delegations", &child("d0", 1))
        .problem(409, "parent_not_held");
    middle
        .client
        .post("/delegations/d1~1/redelegate", &json!({}))
        .problem(409, "parent_not_held");
}

// proves LED-7
#[test]
fn who_waits_is_woken_on_every_server() {
    let world = World::new();
    let (first, second) = (world.serve_machines("a", &[]), world.serve_machines("b", &[]));
    let (caller, callee) = (world.person(&first, 1, "depositor"), second.machine("bot"));
    let elsewhere = Party {
        client: second.with_token(None),
        name: callee.name.clone(),
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let answer = callee
                .client
                .post("/claims", &json!({"worker_id": "w", "wait_seconds": 25}))
                .expect(200);
            (Instant::now(), answer)
        });
        std::thread::sleep(Duration::from_millis(700));
        let handed = Instant::now();
        caller.delegate("d", &elsewhere, &json!({}));
        let (woken, answer) = waiting.join().unwrap();
        assert_eq!(ids(&answer), ["d"]);
        assert!(
            woken.duration_since(handed) < Duration::from_millis(1500),
            "{:?}",
            woken.duration_since(handed)
        );
        let waiting = scope.spawn(|| {
            let answer = caller.client.get("/inbox?wait=25").expect(200);
            (Instant::now(), answer)
        });
        std::thread::sleep(Duration::from_millis(700));
        let ended = Instant::now();
        callee
            .client
            .post("/delegations/d/complete", &json!({"attempt": 1}))
            .expect_empty(204);
        let (woken, answer) = waiting.join().unwrap();
        assert_eq!(answer["items"][0]["delegation_id"], json!("d"));
        assert!(
            woken.duration_since(ended) < Duration::from_millis(1500),
            "{:?}",
            woken.duration_since(ended)
        );
    });
    // Nothing comes: the wait ends when it was said to.
    let begun = Instant::now();
    let nothing = callee
        .client
        .post("/claims", &json!({"worker_id": "w", "wait_seconds": 1}))
        .expect(200);
    assert_eq!(ids(&nothing), [""; 0]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

// proves LED-1, LED-3
#[test]
fn what_ended_long_ago_is_in_the_archive_and_keeps_its_id_and_its_key() {
    let world = World::new();
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
    // Nobody acknowledged its message, so that one stays; then it goes, and the result is still there.
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
    let world = World::new();
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
fn a_database_that_was_away_for_longer_than_silence_makes_nobody_stuck() {
    let mut cluster = Cluster::start();
    let world = World::at(&cluster.url("away"));
    let server = world.serve_machines("a", &[("HALLMARK_WORKER__SILENCE_SECONDS", "4")]);
    let (caller, callee) = (world.person(&server, 1, "depositor"), server.machine("bot"));
    for n in 0..30 {
        caller.delegate(&format!("d{n}"), &callee, &json!({}));
    }
    let mut held = callee.claim(30);
    assert_eq!(held.len(), 30);
    // One is dead, and nobody beats for it. Meanwhile nobody can.
    held.retain(|(id, _)| id != "d7");
    cluster.restart(Duration::from_secs(6));
    let claims: Vec<Value> = held
        .iter()
        .map(|(id, attempt)| json!({"delegation_id": id, "attempt": attempt}))
        .collect();
    let beat = || {
        let body = json!({"claims": claims}).to_string();
        let answer = callee.client.send(
            "POST",
            "/claims/heartbeat",
            Some("application/json"),
            body.as_bytes(),
        );
        answer.is_ok_and(|answer| answer.status == 200)
    };
    until("it answers again", beat);
    let begun = Instant::now();
    until("the dead one is taken", || {
        assert!(beat());
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
