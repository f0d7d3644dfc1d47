//! A callee says from whom it takes work, and ids of others tell nothing and keep no one out.

use blackbox::World;
use blackbox::parties::ids;
use serde_json::{Value, json};

// proves ISO-5
#[test]
fn a_callee_with_a_list_takes_work_from_nobody_else() {
    let world = World::start();
    let server = world.serve_machines("a", &[]);
    let (friend, stranger) = (
        world.person(&server, 1, "depositor"),
        world.person(&server, 2, "admin"),
    );
    let worker = server.machine("worker");
    let list = "/callees/me/callers";
    let delegation = |id: &str| json!({"delegation_id": id, "callee_id": worker.name, "task_preview": id, "input": {"id": id}});
    let open = worker.client.get(list).expect(200);
    assert_eq!(
        open,
        json!({"callee_id": worker.name, "callers": null, "set_at": null})
    );
    stranger.delegate("before", &worker, &json!({}));

    // One party has one name, and is once in a list.
    let twice = json!({"callers": [friend.name, friend.name.to_uppercase().replace("USER", "user")]});
    let set = worker.client.put(list, &twice).expect(200);
    assert_eq!(set["callers"], json!([friend.name]));
    assert_eq!(worker.client.get(list).expect(200), set);
    // The lists of others are as they were.
    assert_eq!(stranger.client.get(list).expect(200)["callers"], Value::Null);
    friend.delegate("friend", &worker, &json!({}));
    worker.delegate("own", &worker, &json!({}));
    let refused = stranger
        .client
        .post("/delegations", &delegation("after"))
        .problem(403, "caller_not_accepted");
    let message = refused["message"].as_str().unwrap();
    for part in [&*worker.name, &*stranger.name, list] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    stranger
        .client
        .get("/delegations/after")
        .problem(404, "delegation_not_found");
    // What was accepted before stays: the same request finds it, and it is claimed with the others.
    stranger
        .client
        .post("/delegations", &delegation("before"))
        .expect(200);
    let mut claimed = worker.claim(10);
    claimed.sort();
    let ids: Vec<&str> = claimed.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["before", "friend", "own"]);
    // It is not handed out anew.
    let (_, attempt) = claimed[0];
    worker
        .client
        .post(
            "/delegations/before/fail",
            &json!({"attempt": attempt, "worker_id": "w", "error_detail": "no"}),
        )
        .expect_empty(204);
    stranger
        .client
        .post("/delegations/before/redelegate", &json!({}))
        .problem(403, "caller_not_accepted");

    worker.client.put(list, &json!({"callers": []})).expect(200);
    friend
        .client
        .post("/delegations", &delegation("closed"))
        .problem(403, "caller_not_accepted");
    worker.client.delete(list).expect_empty(204);
    worker.client.delete(list).expect_empty(204);
    friend
        .client
        .post("/delegations", &delegation("closed"))
        .expect(201);
    let logged = "select count(*)::text from activity_log where kind = 'CalleeCallersSet'";
    assert_eq!(world.query(logged), "4");

    for (body, place) in [
        (
            json!({"callers": [friend.name, "hallmark:workers"]}),
            json!(["body", "callers", 1]),
        ),
        (
            json!({"callers": vec![friend.name.clone(); 1001]}),
            json!(["body", "callers"]),
        ),
        (json!({}), json!(["body", "callers"])),
        (json!({"callers": [], "x": 1}), json!(["body", "x"])),
    ] {
        let told = worker.client.put(list, &body).expect(422);
        assert_eq!(told["errors"][0]["loc"], place, "{told}");
    }
    server.anonymous().get(list).problem(401, "missing_token");
}

// proves ISO-5
#[test]
fn an_id_of_others_tells_nothing_of_what_it_is() {
    let world = World::start();
    let server = world.serve_machines("a", &[]);
    let (owner, stranger) = (
        world.person(&server, 1, "depositor"),
        world.person(&server, 2, "depositor"),
    );
    let worker = server.machine("worker");
    let task = owner.task("secret-kind");
    // One is done, one is held, one waits.
    for id in ["d-1", "d-2", "d-3"] {
        owner.delegate(id, &worker, &json!({"input": {"secret": "payload"}}));
    }
    let claimed = worker.claim(2);
    let (done, attempt) = &claimed[0];
    let end = json!({"attempt": attempt, "worker_id": "w", "result": {"secret": "result"}});
    worker
        .client
        .post(&format!("/delegations/{done}/complete"), &end)
        .expect_empty(204);
    // In each state of a delegation the answers differ in its id only.
    let mut answers: Vec<Vec<String>> = Vec::new();
    for id in ["d-1", "d-2", "d-3"] {
        let client = &stranger.client;
        let below = json!({"delegation_id": format!("below-{id}"), "callee_id": worker.name, "parent": {"delegation_id": id, "attempt": 1}});
        let attempt = json!({"attempt": 1});
        let error = json!({"attempt": 1, "worker_id": "w", "error_detail": "no"});
        let at = |what: &str| format!("/delegations/{id}{what}");
        let told = [
            client
                .post("/delegations", &below)
                .problem(409, "parent_not_held"),
            client.get(&at("")).problem(404, "delegation_not_found"),
            client.get(&at("/attempts")).problem(404, "delegation_not_found"),
            client
                .post(&at("/cancel"), &json!({}))
                .problem(404, "delegation_not_found"),
            client
                .post(&at("/redelegate"), &json!({}))
                .problem(404, "delegation_not_found"),
            client
                .post(&at("/progress"), &attempt)
                .problem(404, "delegation_not_found"),
            client
                .post(&at("/fail"), &error)
                .problem(404, "delegation_not_found"),
        ];
        let told = told.map(|answer| answer["message"].as_str().unwrap().replace(id, "ID"));
        answers.push(told.to_vec());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    // A task of others is like one that does not exist.
    let missing = "00000000-0000-7000-8000-00000000ffff";
    let of = |id: &str| {
        let body = json!({"delegation_id": "about", "callee_id": worker.name, "task_id": id});
        let told = [
            stranger
                .client
                .post("/delegations", &body)
                .problem(404, "task_not_found"),
            stranger
                .client
                .get(&format!("/tasks/{id}"))
                .problem(404, "task_not_found"),
        ];
        told.map(|answer| answer["message"].as_str().unwrap().replace(id, "ID"))
    };
    assert_eq!(of(&task), of(missing));
}

// proves ISO-5, LED-3
#[test]
fn an_id_that_another_used_is_still_the_callers_own() {
    let world = World::start();
    let server = world.serve_machines("a", &[]);
    let (worker, squatter) = (server.machine("worker"), server.machine("squatter"));
    let (lab, admin) = (
        world.person(&server, 1, "depositor"),
        world.person(&server, 2, "admin"),
    );
    squatter.delegate("nightly", &worker, &json!({}));
    // It is there, and the lab's own is another.
    let made = lab.delegate("nightly", &worker, &json!({"max_retries": 0}));
    let own = format!("{}:nightly", lab.name);
    assert_eq!(
        (&made["delegation_id"], &made["caller_id"]),
        (&json!(own), &json!(lab.name))
    );
    // Repeated, it is found; with another body it is another request; and the second name is no third one.
    let mut body = json!({"delegation_id": "nightly", "callee_id": worker.name, "task_preview": "nightly", "input": {"id": "nightly"}, "max_retries": 0});
    let again = lab.client.post("/delegations", &body).expect(200);
    assert_eq!(again["created_at"], made["created_at"]);
    body["delegation_id"] = json!(own);
    assert_eq!(
        lab.client.post("/delegations", &body).expect(200)["created_at"],
        made["created_at"]
    );
    body["delegation_id"] = json!("nightly");
    body["input"] = json!("another");
    lab.client
        .post("/delegations", &body)
        .problem(409, "idempotency_conflict");

    // Each reads and cancels its own under the id that it chose; the callee and admins tell them apart.
    assert_eq!(lab.delegation("nightly")["delegation_id"], json!(own));
    assert_eq!(squatter.delegation("nightly")["caller_id"], json!(squatter.name));
    assert_eq!(admin.delegation("nightly")["caller_id"], json!(squatter.name));
    assert_eq!(admin.delegation(&own)["caller_id"], json!(lab.name));
    let page = worker
        .client
        .get("/delegations?side=callee&state=in_flight")
        .expect(200);
    assert_eq!(ids(&page), [own.as_str(), "nightly"]);
    squatter
        .client
        .get(&format!("/delegations/{own}"))
        .problem(404, "delegation_not_found");
    let cancelled = lab
        .client
        .post("/delegations/nightly/cancel", &json!({"reason": "r"}))
        .expect(200);
    assert_eq!(
        (&cancelled["delegation_id"], &cancelled["status"]),
        (&json!(own), &json!("failed"))
    );
    assert_eq!(squatter.delegation("nightly")["status"], json!("queued"));
    let next = lab
        .client
        .post("/delegations/nightly/redelegate", &json!({}))
        .expect(201);
    assert_eq!(next["delegation_id"], json!(format!("{own}~1")));
    assert_eq!(lab.delegation("nightly~1")["retry_of"], json!(own));
    let attempts = lab.client.get("/delegations/nightly/attempts").expect(200);
    assert_eq!(attempts["items"].as_array().unwrap().len(), 1);

    // Also if the other hands it to the one who wants it.
    squatter.delegate("weekly", &lab, &json!({}));
    assert_eq!(lab.delegation("weekly")["caller_id"], json!(squatter.name));
    lab.delegate("weekly", &worker, &json!({}));
    assert_eq!(lab.delegation("weekly")["caller_id"], json!(lab.name));
    lab.client
        .post("/delegations/weekly/cancel", &json!({}))
        .expect(200);
    assert_eq!(squatter.delegation("weekly")["status"], json!("queued"));

    // Who has nothing under the id learns nothing of it.
    let stranger = world.person(&server, 3, "depositor");
    let unlike = |id: &str| -> Value {
        let mut answer = stranger
            .client
            .get(&format!("/delegations/{id}"))
            .problem(404, "delegation_not_found");
        let text = answer["message"].as_str().unwrap().replace(id, "ID");
        answer["message"] = json!(text);
        answer["detail"] = Value::Null;
        answer
    };
    assert_eq!(unlike("nightly"), unlike("nothing"));
}

// proves ISO-5, LED-3
#[test]
fn callers_who_want_one_id_at_once_all_have_it() {
    let world = World::start();
    let (one, other) = (world.serve_machines("a", &[]), world.serve_machines("b", &[]));
    let worker = one.machine("worker");
    let callers = [one.machine("one"), other.machine("two"), other.machine("three")];
    for round in 0..10 {
        let id = format!("nightly-{round}");
        // Each asks twice.
        let mut made: Vec<(String, String)> = std::thread::scope(|scope| {
            let (worker, id) = (&worker, &id);
            let asking: Vec<_> = callers
                .iter()
                .chain(&callers)
                .map(|caller| {
                    scope.spawn(move || {
                        let body = json!({"delegation_id": id, "callee_id": worker.name, "input": {}});
                        let answer = caller.client.post("/delegations", &body);
                        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
                        let made: Value = serde_json::from_str(&answer.text).unwrap();
                        let of = |key: &str| made[key].as_str().unwrap().to_owned();
                        (of("caller_id"), of("delegation_id"))
                    })
                })
                .collect();
            asking.into_iter().map(|one| one.join().unwrap()).collect()
        });
        made.sort();
        made.dedup();
        assert_eq!(made.len(), 3, "each has one: {made:?}");
        let plain = made.iter().filter(|(_, got)| *got == id).count();
        let own = made
            .iter()
            .filter(|(caller, got)| *got == format!("{caller}:{id}"))
            .count();
        assert_eq!((plain, own), (1, 2), "{made:?}");
    }
}
