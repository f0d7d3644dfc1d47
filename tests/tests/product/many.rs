//! Many clients, two servers, one database.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use blackbox::World;
use blackbox::fixtures::{PASS, small};
use serde_json::{Value, json};

// proves REG-2, REG-3, DEP-3
#[test]
fn versions_have_no_gaps_and_each_content_is_created_once_on_two_servers() {
    let world = World::start();
    let servers = [world.serve("a"), world.serve("b")];
    let (one, two) = (
        world.script("one", PASS),
        world.script("two", &format!("{PASS} # 2")),
    );
    // Conventions that share their hooks in opposite order, deployed at the same time by both servers.
    let bodies = [
        small("First", "first-of", &[("left", &one), ("right", &two)]),
        small("Second", "second-of", &[("right", &two), ("left", &one)]),
    ];
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (server, body) = (&servers[n % 2], &bodies[(n / 2) % 2]);
            scope.spawn(move || server.admin().post("/conventions", body).expect(201));
        }
    });
    assert_eq!(world.query("select count(*)::text from hook_releases"), "2");

    // 16 clients submit 6 contents each; every content is submitted by four of them.
    let answers: Vec<(String, u16, Value)> = std::thread::scope(|scope| {
        let client = |n: usize| {
            let server = &servers[n % 2];
            move || -> Vec<(String, u16, Value)> {
                let admin = server.admin();
                (0..6)
                    .map(|k| {
                        let content = format!("{:02}", (n / 4) * 6 + (k + n) % 6);
                        let release = json!({"image": "file:/x", "digest": format!("sha256:{}", content.repeat(32)), "config": {}, "source_ref": format!("git:{n}")});
                        let answer = admin.post("/hooks/left/releases?check=false", &release);
                        if n.is_multiple_of(5) {
                            admin.put("/hooks/left/live", &json!({"version": 1})).expect(200);
                        }
                        (content, answer.status, answer.json())
                    })
                    .collect()
            }
        };
        let running: Vec<_> = (0..16).map(|n| scope.spawn(client(n))).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let mut created: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (content, status, body) in &answers {
        assert!(matches!(status, 200 | 201), "{body}");
        if *status == 201 {
            created
                .entry(content)
                .or_default()
                .push(body["version"].as_u64().unwrap());
        }
    }
    assert_eq!(created.len(), 24);
    assert!(
        created.values().all(|versions| versions.len() == 1),
        "{created:?}"
    );
    let mut versions: Vec<u64> = created.into_values().flatten().collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=25).collect::<Vec<_>>());
    for (content, _, body) in &answers {
        let same = answers.iter().filter(|(other, ..)| other == content);
        assert!(
            same.map(|(.., other)| &other["version"])
                .all(|v| *v == body["version"]),
            "one content is one version"
        );
    }
}

// proves DEP-3, LED-10
#[test]
fn a_deploy_that_makes_a_table_and_a_batch_that_ends_take_their_locks_in_one_order() {
    let world = World::start();
    let server = world.serve("a");
    let pass = world.script("pass", PASS);
    let body = small("Tables", "tables", &[("pass", &pass)]);
    let admin = server.admin();
    let waits = "select count(*)::text from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())";
    std::thread::scope(|scope| {
        // A batch writes its runs, a deploy comes, the batch goes on with its records.
        let mut batch = world.transaction();
        batch.execute("lock table hook_runs in row exclusive mode");
        let deploy = scope.spawn(|| admin.post("/conventions", &body).expect(201));
        while world.query(waits) == "0" {
            assert!(!deploy.is_finished(), "the deploy waits for the batch");
            std::thread::sleep(Duration::from_millis(5));
        }
        batch.execute("lock table records in row exclusive mode");
        batch.commit();
    });
    drop(server);
    assert_eq!(
        world.query("select deadlocks::text from pg_stat_database where datname = current_database()"),
        "0"
    );
}

// proves LED-10
#[test]
fn batches_of_one_run_are_written_side_by_side_without_a_deadlock() {
    let world = World::start();
    let server = world.serve_with("a", &[("HALLMARK_WORKER__CONCURRENCY", "8")]);
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    admin
        .post("/conventions", &small("Side", "side-by-side", &[("pass", &pass)]))
        .expect(201);
    let run = admin.open("side", 10);
    for part in 0..10 {
        let lines: String = (0..50)
            .map(|n| format!("{{\"id\":\"r{part}-{n}\",\"metadata\":{{\"label\":\"x\"}}}}\n"))
            .collect();
        admin.push_lines(&run, &lines);
    }
    let ended = admin.finish(&run);
    assert_eq!(
        (&ended["published_count"], &ended["batches_completed"]),
        (&json!(500), &json!(50))
    );
    assert_eq!(
        world.query("select deadlocks::text from pg_stat_database where datname = current_database()"),
        "0"
    );
    assert_eq!(
        world.query("select count(*)::text from delegations where retry_count > 0"),
        "0"
    );
}

// proves PIP-6
#[test]
fn hooks_of_the_next_batch_run_while_one_is_written_and_no_more_than_that_is_held() {
    let world = World::start();
    let server = world.serve_with("a", &[("HALLMARK_WORKER__CONCURRENCY", "1")]);
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    admin
        .post("/conventions", &small("Ahead", "ahead", &[("pass", &pass)]))
        .expect(201);
    let run = admin.open("ahead", 1);
    // Publishing reads the heads with a lock on them; running hooks does not.
    let mut aside = world.transaction();
    aside.execute("lock table record_heads in exclusive mode");
    let lines: String = (0..5)
        .map(|n| format!("{{\"id\":\"r{n}\",\"metadata\":{{\"label\":\"x\"}}}}\n"))
        .collect();
    admin.push_lines(&run, &lines);
    let hooks_ran = || server.log().matches("hook run").count();
    let patience = Instant::now() + Duration::from_secs(60);
    while hooks_ran() < 2 {
        assert!(
            Instant::now() < patience,
            "the second batch waits for the first to be written"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    // Two are held: nothing more is claimed, however long the database takes.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(hooks_ran(), 2);
    assert_eq!(world.query("select count(*)::text from delegation_leases"), "2");
    aside.commit();
    assert_eq!(admin.finish(&run)["published_count"], 5);
    assert_eq!(hooks_ran(), 5);
}
