//! Delegations below delegations, and waiting on every server.

use std::time::{Duration, Instant};

use blackbox::World;
use blackbox::parties::{Party, ids, until};
use serde_json::json;

// proves LED-6
#[test]
fn below_a_delegation_only_its_holder_delegates_and_never_for_longer() {
    let world = World::start();
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
    // What failed below it is redelegated while it is held, and no longer.
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

/// A hint wakes at once; without one, a waiting call looks every 2 s, and would find here what came 1.3 s after it did.
const AT_ONCE: Duration = Duration::from_millis(700);
/// How often it is tried: a busy machine may be slow each time but one, and a wait without hints is too long every time.
const TRIES: usize = 20;

/// How long it takes until a waiting request is answered after what it waits for has happened.
fn woken(wait: impl FnOnce() + Send, happen: impl FnOnce()) -> Duration {
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            wait();
            Instant::now()
        });
        std::thread::sleep(Duration::from_millis(700));
        let happened = Instant::now();
        happen();
        waiting.join().unwrap().duration_since(happened)
    })
}

// proves LED-7
#[test]
fn who_waits_is_woken_on_every_server() {
    let world = World::start();
    let (first, second) = (world.serve_machines("a", &[]), world.serve_machines("b", &[]));
    let (caller, callee) = (world.person(&first, 1, "depositor"), second.machine("bot"));
    let elsewhere = Party {
        client: second.with_token(None),
        name: callee.name.clone(),
    };
    let (mut claimed, mut told) = (Vec::new(), Vec::new());
    for n in 0..TRIES {
        let id = format!("d{n}");
        claimed.push(woken(
            || {
                let body = json!({"worker_id": "w", "wait_seconds": 25});
                let answer = callee.client.post("/claims", &body).expect(200);
                assert_eq!(ids(&answer), [id.as_str()]);
            },
            || drop(caller.delegate(&id, &elsewhere, &json!({}))),
        ));
        told.push(woken(
            || {
                let answer = caller.client.get("/inbox?wait=25").expect(200);
                assert_eq!(answer["items"][0]["delegation_id"], json!(id));
                let read = json!({"message_ids": [answer["items"][0]["message_id"]]});
                caller.client.post("/inbox/acknowledge", &read).expect(200);
            },
            || {
                callee
                    .client
                    .post(&format!("/delegations/{id}/complete"), &json!({"attempt": 1}))
                    .expect_empty(204);
            },
        ));
        if [&claimed, &told]
            .iter()
            .all(|all| all.iter().any(|took| *took < AT_ONCE))
        {
            break;
        }
    }
    for all in [claimed, told] {
        assert!(all.iter().any(|took| *took < AT_ONCE), "{all:?}");
    }
    // Nothing comes: the wait ends when it was said to.
    let begun = Instant::now();
    let nothing = callee
        .client
        .post("/claims", &json!({"worker_id": "w", "wait_seconds": 1}))
        .expect(200);
    assert_eq!(ids(&nothing), [""; 0]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}
