//! The delegation ledger over HTTP: handing over, claiming, holding, the inbox, and who may do what.

use blackbox::World;
use blackbox::parties::{Party, events, ids, status};
use serde_json::{Value, json};

// proves LED-1, LED-2, LED-3, LED-4, LED-7
#[test]
fn a_delegation_goes_from_hand_to_hand_and_its_result_into_the_callers_inbox() {
    let world = World::start();
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
    // The same request with the same key is the same delegation under any id; with another body it is another request.
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
        let heartbeat = callee
            .client
            .post(&at("heartbeat"), &json!({"attempt": bad}))
            .expect(200);
        assert_eq!(
            (&heartbeat["held"], &heartbeat["lost"][0]["attempt"]),
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
    let heartbeat = callee
        .client
        .post("/claims/heartbeat", &json!({"claims": [{"delegation_id": "d/1 ü", "attempt": 1}, {"delegation_id": "none", "attempt": 1}]}))
        .expect(200);
    assert_eq!(heartbeat["held"][0]["delegation_id"], json!("d/1 ü"));
    assert_eq!(
        heartbeat["lost"],
        json!([{"delegation_id": "none", "attempt": 1}])
    );
    let seen = caller.client.get(&format!("/delegations/{id}")).expect(200);
    assert!(
        seen["last_heartbeat"].as_str().unwrap() > before.as_str(),
        "the exact heartbeat is shown in its place"
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
    assert_eq!(callee.inbox(), [] as [Value; 0], "it is in no other inbox");
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
    let world = World::start();
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
        server.anonymous().post(&path, body).problem(401, "missing_token");
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
        let heartbeat = who
            .client
            .post("/delegations/d/heartbeat", &json!({"attempt": 1}))
            .expect(200);
        assert_eq!(heartbeat["held"], json!([]), "a heartbeat is its callee's");
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
