//! Outputs of hooks that would exhaust a server, and work that ends servers: each is refused with its reason, and the
//! server stays small and works on.

use blackbox::fixtures::{PASS, small};
use blackbox::parties::until;
use blackbox::{Server, World};
use serde_json::{Value, json};

/// A server that took more than this, in bytes, was exhausted.
const MOST_MEMORY: u64 = 512 << 20;

/// Deploys a convention of one hook with this script. Its limits are wide: those of the server are meant here.
fn deploy(world: &World, server: &Server, name: &str, script: &str) {
    let hook = world.script(name, script);
    let mut body = small(&format!("T{name}"), &format!("{name}-of"), &[(name, &hook)]);
    body["hooks"][0]["limits"] = json!({"timeout_seconds": 300, "memory": "512m", "cpu": "2"});
    server.admin().post("/conventions", &body).expect(201);
}

/// Opens a run over the records `a` and `b`, and closes it; gives its id.
fn pushed(server: &Server, name: &str) -> String {
    let admin = server.admin();
    let run = admin.open(&format!("t{name}"), 10);
    let line = |id: &str| format!("{{\"id\":\"{id}\",\"metadata\":{{\"label\":\"x\"}}}}\n");
    admin.push_lines(&run, &(line("a") + &line("b")));
    admin
        .post(&format!("/ingestions/{run}/close"), &json!({}))
        .expect(200);
    run
}

/// Runs a hook with this script over the records; gives the run when it is over.
fn ended(world: &World, server: &Server, name: &str, script: &str) -> Value {
    deploy(world, server, name, script);
    server.admin().wait(&pushed(server, name))
}

fn reason(ended: &Value) -> &str {
    ended["reasons"][0]["reason"].as_str().unwrap()
}

fn is_well(server: &Server) {
    assert_eq!(server.anonymous().get("/ready").expect(200)["status"], "ready");
    let peak = server.peak_memory();
    assert!(peak < MOST_MEMORY, "the server took {} MiB", peak >> 20);
}

// proves ISO-3
#[test]
fn outputs_without_end_are_refused_with_the_place_and_the_limit_and_the_server_works_on() {
    let world = World::start();
    let limits = [
        ("HALLMARK_RUNNER__MAX_OUTPUT_BYTES", "60000000"),
        ("HALLMARK_RUNNER__MAX_ROWS", "100000"),
    ];
    let server = world.serve_with("a", &limits);
    let features = |script: &str| format!("({script}) > \"$OSA_OUT/features.jsonl\"");
    // A line of the record `a` with what a script writes between the brackets.
    let row = |script: &str| {
        features(&format!(
            "printf '{{\"id\":\"a\",\"features\":['; {script}; echo ']}}'"
        ))
    };
    for (name, script, places) in [
        (
            "emptyrows",
            row("yes '{},' | head -n 12000000 | tr -d '\\n'; printf '{}'"),
            ["line 1 of features.jsonl", "more than 100000 rows"],
        ),
        (
            "many",
            features("for id in a b; do printf '{\"id\":\"%s\",\"features\":[' $id; yes '{\"size\":1},' | head -n 60000 | tr -d '\\n'; echo 'null]}'; done"),
            ["line 2 of features.jsonl", "more than 100000 rows"],
        ),
        (
            "lines",
            features("yes '{\"id\":\"a\",\"features\":[{},{},{}]}' | head -n 400000"),
            ["line 33334 of features.jsonl", "more than 100000 rows"],
        ),
        (
            "huge",
            features("head -c 100000000 /dev/zero"),
            ["features.jsonl has 100000000 bytes", "at most 60000000"],
        ),
        (
            "hugerow",
            row("printf '{\"note\":\"'; head -c 50000000 /dev/zero | tr '\\000' x; printf '\"}'"),
            ["line 1 of features.jsonl", "bytes in features[0]"],
        ),
        (
            "hugetext",
            "(printf '{\"id\":\"a\",\"error\":\"'; head -c 50000000 /dev/zero | tr '\\000' x; echo '\"}') > \"$OSA_OUT/errors.jsonl\"".to_owned(),
            ["line 1 of errors.jsonl", "has more than"],
        ),
        (
            "deep",
            row("head -c 20000000 /dev/zero | tr '\\000' '['"),
            ["line 1 of features.jsonl", "nested deeper"],
        ),
        (
            "wide",
            row("printf '['; yes '{},' | head -n 4000000 | tr -d '\\n'; printf '1]'"),
            ["line 1 of features.jsonl", "so many values in features[0]"],
        ),
    ] {
        let ended = ended(&world, &server, name, &script);
        assert_eq!(ended["errored_count"], 2, "{name}: {ended}");
        for place in places {
            assert!(reason(&ended).contains(place), "{name}: {ended}");
        }
        is_well(&server);
    }
    // The work of others goes on.
    assert_eq!(ended(&world, &server, "pass", PASS)["published_count"], 2);
}

// proves ISO-3
#[test]
fn more_rows_than_are_held_in_memory_are_stored_one_by_one() {
    let world = World::start();
    let server = world.serve("a");
    let script = "(printf '{\"id\":\"a\",\"features\":['; yes '{\"note\":\"0123456789012345678901234567890123456789\",\"size\":1.5},' | head -n 150000 | tr -d '\\n'; echo 'null]}'; echo '{\"id\":\"b\",\"features\":[]}') > \"$OSA_OUT/features.jsonl\"";
    let ended = ended(&world, &server, "rows", script);
    assert_eq!(ended["published_count"], 2, "{ended}");
    assert_eq!(world.query("select count(*)::text from features.rows"), "150000");
    assert_eq!(
        world.query("select distinct concat_ws(' ', note, size) from features.rows"),
        "0123456789012345678901234567890123456789 1.5"
    );
    is_well(&server);
    let left = std::fs::read_dir(server.data.join("work")).unwrap().count();
    assert_eq!(left, 0, "nothing is left of it on the disk");
}

/// Waits until a unit of work is worked on. It is the only one that is held.
fn until_worked_on(world: &World) {
    until("the hook runs, and nothing else", || {
        world.query(
            "select concat_ws(' ', count(*), count(*) filter (where not waits)) from delegation_leases",
        ) == "1 1"
    });
}

const CRASHES: &str = "select count(*)::text from task_crashes";
const SLEEP: &str = "sleep 250";

// proves ISO-3, LED-10
#[test]
fn work_at_which_three_servers_ended_was_done_alone_and_is_given_up_and_others_go_on() {
    let world = World::start();
    let three = [("HALLMARK_WORKER__MAX_CRASHES", "3")];
    let mut server = world.serve_with("a", &three);
    deploy(&world, &server, "sleeps", SLEEP);
    deploy(&world, &server, "passes", PASS);
    let bad = pushed(&server, "sleeps");
    for crashes in ["1", "2"] {
        until_worked_on(&world);
        server.kill();
        server = world.serve_with("a", &three);
        until("the crash is counted", || world.query(CRASHES) == crashes);
    }
    until_worked_on(&world);
    let good = pushed(&server, "passes");
    server.kill();
    assert_eq!(
        world.query("select concat_ws(' ', (select count(*) from delegation_leases), (select count(*) from delegation_ready))"),
        "1 1",
        "nothing was begun beside it"
    );
    let server = world.serve_with("a", &three);
    assert_eq!(server.admin().wait(&good)["published_count"], 2);
    let ended = server.admin().wait(&bad);
    assert_eq!(
        (&ended["batches_failed"], &ended["errored_count"]),
        (&json!(1), &json!(2)),
        "{ended}"
    );
    assert_eq!(reason(&ended), "the server that worked on it ended 3 times");
}

// proves ISO-3, LED-10
#[test]
fn work_that_a_stopping_server_leaves_behind_has_not_ended_it() {
    let world = World::start();
    let hasty = [
        ("HALLMARK_WORKER__MAX_CRASHES", "1"),
        ("HALLMARK_WORKER__DRAIN_SECONDS", "0.2"),
    ];
    let mut server = world.serve_with("a", &hasty);
    deploy(&world, &server, "sleeps", SLEEP);
    let run = pushed(&server, "sleeps");
    for stuck in ["1", "2"] {
        until_worked_on(&world);
        assert!(server.terminate().success());
        server = world.serve_with("a", &hasty);
        until("it is taken back", || {
            world.query("select count(*)::text from delegations where status = 'stuck'") == stuck
        });
    }
    until_worked_on(&world);
    assert_eq!(world.query(CRASHES), "0");
    assert_eq!(
        world
            .query("select distinct detail from delegation_attempts where event = 'stuck'")
            .rsplit(' ')
            .next(),
        Some("stopped")
    );
    let detail = server.admin().get(&format!("/ingestions/{run}")).expect(200);
    assert_eq!(detail["batches_failed"], 0, "{detail}");
}
