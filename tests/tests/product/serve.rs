//! Starting and stopping.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use blackbox::fixtures::{PASS, small};
use blackbox::parties::until;
use blackbox::world::open_directory;
use blackbox::{Server, World};
use serde_json::Value;

#[test]
fn without_a_database_the_server_brings_its_own_and_keeps_it() {
    // It does not matter which process listens on PostgreSQL's port.
    let _squatter = TcpListener::bind("127.0.0.1:5432");
    let home = open_directory();
    let data = home.path().join("data");
    let dev = [("OSA_DEV_MODE", "true")];
    let server = Server::start(&data, &dev);
    assert_eq!(server.anonymous().get("/ready").expect(200)["status"], "ready");
    let script = home.path().join("pass");
    std::fs::write(&script, format!("#!/bin/sh\n{PASS}\n")).unwrap();
    server
        .admin()
        .post("/conventions", &small("Kept", "kept-of", &[("pass", &script)]))
        .expect(201);
    let begun = Instant::now();
    assert!(server.terminate().success(), "SIGTERM ends with 0");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());

    let server = Server::start(&data, &dev);
    assert_eq!(
        server.anonymous().get("/conventions/kept").expect(200)["hooks"][0],
        "pass"
    );
    // Killed, it leaves no PostgreSQL behind that would keep the next one from starting.
    server.kill();
    let server = Server::start(&data, &dev);
    let Err(output) = Server::try_start(&data, &dev) else {
        panic!("two servers in one data directory")
    };
    assert!(output.contains("in use by another hallmark"), "{output}");
    assert!(server.terminate().success());
}

#[test]
fn every_fault_of_a_configuration_is_reported() {
    let home = open_directory();
    let Err(output) = Server::try_start(
        &home.path().join("data"),
        &[
            ("HALLMARK_WORKER__CONCURRENCY", "0"),
            ("HALLMARK_NONSENSE", "1"),
            ("HALLMARK_LOG__FORMAT", "loud"),
            ("DATABASE_URL", "postgres://127.0.0.1:1/x"),
        ],
    ) else {
        panic!("it started")
    };
    for part in [
        "worker.concurrency",
        "nonsense (from HALLMARK_NONSENSE)",
        "log.format",
    ] {
        assert!(output.contains(part), "{part} is not in {output}");
    }
    let Err(output) = Server::try_start(
        &home.path().join("data"),
        &[("DATABASE_URL", "postgres://user:secret-word@127.0.0.1:1/x")],
    ) else {
        panic!("it started")
    };
    assert!(
        output.contains("database.url") && !output.contains("secret-word"),
        "{output}"
    );
}

// proves LED-10
#[test]
fn sigterm_lets_what_is_in_flight_end_and_claims_nothing_new() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let slow = world.script("slow", &format!("sleep 2; {PASS}"));
    admin
        .post("/conventions", &small("Draining", "draining", &[("slow", &slow)]))
        .expect(201);
    let run = admin.open("draining", 1);
    let lines: String = (0..8)
        .map(|n| format!("{{\"id\":\"r{n}\",\"metadata\":{{\"label\":\"x\"}}}}\n"))
        .collect();
    admin.push_lines(&run, &lines);
    // Two claims at once, each 2 s.
    until("both are on their way", || {
        world.query("select count(*)::text from delegation_leases") == "2"
    });
    assert!(server.terminate().success());
    let published: u32 = world.query("select count(*)::text from records").parse().unwrap();
    assert!(
        (1..=2).contains(&published),
        "{published} batches ended; those in flight and no others"
    );
    assert_eq!(world.query("select count(*)::text from delegation_leases"), "0");
    let server = world.serve("a");
    assert_eq!(server.admin().finish(&run)["published_count"], 8);
}

#[test]
fn an_idle_server_ends_with_0_every_time() {
    // Its listener is over in the very moment of the stop, which is a race with the stop itself.
    let world = World::start();
    for n in 0..12 {
        let server = world.serve("a");
        assert!(server.terminate().success(), "stop {n}");
    }
}

// proves WC-1.8
#[test]
fn readiness_and_metrics_tell_what_does_not_work() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let ready = server.anonymous().get("/ready").expect(200);
    for part in ["db", "workers", "runner"] {
        assert_eq!(ready["components"][part]["status"], "ok", "{ready}");
    }
    // Nothing of the machine: no path, no address.
    let output = ready["components"]["runner"]["detail"].as_str().unwrap();
    assert!(
        output.starts_with("local processes") && !output.contains('/'),
        "{output}"
    );
    let broken = world.script("broken", "exit 3");
    admin
        .post(
            "/conventions",
            &small("Broken", "broken-of", &[("broken", &broken)]),
        )
        .expect(201);
    let run = admin.open("broken", 2);
    admin.push_lines(
        &run,
        "{\"id\":\"a\",\"metadata\":{\"label\":\"x\"}}\n{\"id\":\"b\",\"metadata\":{\"label\":\"x\"}}\n",
    );
    assert_eq!(admin.finish(&run)["errored_count"], 2);
    // The work ends a moment after what it wrote can be read.
    let patience = Instant::now() + Duration::from_mins(2);
    let metrics = loop {
        let text = server
            .anonymous()
            .fetch("GET", "/metrics", &[], "")
            .unwrap()
            .text();
        if text.contains("osa_deliveries_total{") {
            break text;
        }
        assert!(Instant::now() < patience, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    };
    for line in [
        "osa_hook_failures_total{hook=\"broken\",kind=\"hook_exit\",decision=\"give_up\"} 1",
        "osa_workflow_stages_total{workflow=\"ingest\",stage=\"ingest_batch\",outcome=\"done\"} 1",
        "osa_deliveries_total{consumer_group=\"hallmark:workers\",status=\"done\"} 1",
        "osa_dispatch_duration_seconds_count{consumer_group=\"hallmark:workers\"} 1",
        "osa_unhandled_errors_total 0",
        "osa_workers_total 2",
        "osa_db_pool_overflow 0",
    ] {
        assert!(
            metrics.lines().any(|output| output == line),
            "{line}\nin\n{metrics}"
        );
    }

    // Where hooks get their directories there is suddenly a file.
    let work = server.data.join("work");
    std::fs::rename(&work, server.data.join("elsewhere")).unwrap();
    std::fs::write(&work, "").unwrap();
    let degraded = loop {
        let answer = server.anonymous().get("/ready");
        if answer.status == 503 {
            break answer.json();
        }
        assert!(Instant::now() < patience, "it stays ready without a directory");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(degraded["status"], "degraded");
    assert_eq!(degraded["components"]["runner"]["status"], "error");
    assert_eq!(degraded["components"]["db"]["status"], "ok");
    let detail = degraded["components"]["runner"]["detail"].as_str().unwrap();
    assert!(
        !detail.contains('/'),
        "it tells the world of its directories: {detail}"
    );
    std::fs::remove_file(&work).unwrap();
    std::fs::rename(server.data.join("elsewhere"), &work).unwrap();
    while server.anonymous().get("/ready").status != 200 {
        assert!(Instant::now() < patience, "it does not become ready again");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_request_is_one_line_in_the_log_with_its_operation_and_its_use_of_the_database_and_no_secret() {
    let world = World::start();
    let server = world.serve_with("a", &[("HALLMARK_LOG__FORMAT", "json")]);
    let pass = world.script("pass", PASS);
    let deploy = small("Logged", "logged", &[("pass", &pass)]);
    server.admin().post("/conventions", &deploy).expect(201);
    server.anonymous().get("/hooks?token=a-secret").expect(200);

    let log = server.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["fields"]["message"] == "request")
        .collect();
    let of = |operation: &str| -> Vec<&Value> {
        let lines = lines.iter().filter(|line| line["span"]["operation"] == operation);
        lines.collect()
    };
    for (operation, status, method) in [("deployConvention", 201, "POST"), ("listHooks", 200, "GET")] {
        let [line] = of(operation)[..] else {
            panic!("not one line of {operation}: {log}")
        };
        assert_eq!(line["fields"]["status"], status);
        assert_eq!(line["span"]["method"], method);
        assert_eq!(line["span"]["otel.name"], format!("http.{operation}"));
        assert!(line["fields"]["db_calls"].as_u64().unwrap() >= 1, "{line}");
        assert!(
            line["fields"]["took_ms"].is_u64() && line["fields"]["db_ms"].is_u64(),
            "{line}"
        );
        assert!(line["span"]["id"].is_string(), "{line}");
    }
    // A deploy is many calls on one transaction.
    assert!(of("deployConvention")[0]["fields"]["db_calls"].as_u64().unwrap() > 5);
    assert!(!log.contains("a-secret") && !log.contains("Bearer"), "{log}");
}
