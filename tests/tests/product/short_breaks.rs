//! A short break of the database costs seconds: no work waits for its own lease to expire.

use std::time::{Duration, Instant};

use blackbox::cluster::Cluster;
use blackbox::fixtures::{PASS, small};
use blackbox::{Client, Server, World};
use serde_json::{Value, json};

const RECORDS: usize = 300;
/// How soon after the end of a break the work is complete: long before its leases expire, which they do after ten minutes.
const SOON: Duration = Duration::from_mins(2);

fn lines() -> String {
    (0..RECORDS)
        .map(|n| format!("{{\"id\":\"r{n:03}\",\"metadata\":{{\"label\":\"bird {n}\",\"mass\":{n}}}}}\n"))
        .collect()
}

/// Deploys, pushes everything, and closes the run, which then has a minute of work for two workers.
fn begin(world: &World, server: &Server) -> String {
    let slow = world.script("slow", &format!("sleep 0.5; {PASS}"));
    let admin = server.admin();
    admin
        .post("/conventions", &small("Breaks", "breaks", &[("slow", &slow)]))
        .expect(201);
    let run = admin.open("breaks", 10);
    admin.push_lines(&run, &lines());
    admin
        .post(&format!("/ingestions/{run}/close"), &json!({}))
        .expect(200);
    run
}

/// Waits until the run has ended, through answers that the break costs.
fn ended(client: &Client, run: &str, most: Duration) -> (Value, Duration) {
    let begun = Instant::now();
    loop {
        if let Ok(answer) = client.send("GET", &format!("/ingestions/{run}"), None, std::io::empty())
            && answer.status == 200
            && ["completed", "failed"].contains(&answer.json()["status"].as_str().unwrap())
        {
            return (answer.json(), begun.elapsed());
        }
        assert!(begun.elapsed() < most, "the run has not ended after {most:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Everything is there, once.
fn is_whole(world: &World, run: &Value) {
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(
        (&run["published_count"], &run["batches_failed"]),
        (&json!(RECORDS), &json!(0)),
        "{run}"
    );
    assert_eq!(
        world.query("select count(*)::text from records"),
        RECORDS.to_string()
    );
    assert_eq!(
        world.query("select count(*)::text from features.slow"),
        RECORDS.to_string()
    );
    assert_eq!(world.query("select count(*)::text from delegation_leases"), "0");
}

// proves LED-5, LED-6, LED-10
#[test]
fn killed_backends_cost_seconds_and_change_nothing() {
    let world = World::start();
    // Its leases expire after ten minutes, which nothing here can wait for.
    let server = world.serve("a");
    let run = begin(&world, &server);
    let mut killed = 0;
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(800));
        let of_this = world.query(
            "select count(pg_terminate_backend(pid))::text from pg_stat_activity
             where datname = current_database() and application_name = 'hallmark'",
        );
        killed += of_this.parse::<u32>().unwrap();
    }
    let left: u64 = world
        .query("select (30 - count(*))::text from delegations where status = 'completed'")
        .parse()
        .unwrap();
    // Two workers, half a second for each batch, and as much again for the rest.
    let work = Duration::from_millis(500) * u32::try_from(left).unwrap();
    let (ended, took) = ended(&server.admin(), &run, SOON + work);
    println!("{killed} backends killed; {left} batches were left, and ended after {took:?}");
    assert!(killed >= 10);
    is_whole(&world, &ended);
    let ready = server.anonymous().get("/ready").expect(200);
    assert_eq!(ready["status"], "ready", "{ready}");
}

// proves LED-5, LED-6, LED-10
#[test]
fn a_database_that_is_away_for_a_while_costs_seconds_and_changes_nothing() {
    let mut cluster = Cluster::start();
    let world = World::at(&cluster.url("breaks"));
    let server = world.serve("a");
    let run = begin(&world, &server);
    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(2));
        cluster.restart(Duration::from_secs(3));
    }
    let (ended, took) = ended(&server.admin(), &run, SOON);
    println!("ended {took:?} after the last return");
    is_whole(&world, &ended);
}
