//! A full disk: the answer names it and what to do, `/ready` reports it, and work goes on once there is room.

use std::time::{Duration, Instant};

use blackbox::cluster::Cluster;
use blackbox::fixtures::{PASS, READ_FILES, small};
use blackbox::parties::until;
use blackbox::small_disk::SmallDisk;
use blackbox::{Server, World};
use serde_json::{Value, json};

use crate::depositions::{deploy, draft, upload};

/// How soon after there is room the work is complete: long before its leases expire, which they do after ten minutes.
const SOON: Duration = Duration::from_mins(2);

/// The state of a part, once it is this.
fn wait_for(server: &Server, part: &str, status: &str) -> Value {
    let begun = Instant::now();
    loop {
        let ready = server.anonymous().get("/ready");
        let body = ready.json();
        if body["components"][part]["status"] == status {
            assert_eq!(ready.status == 200, body["status"] == "ready", "{body}");
            return body["components"][part].clone();
        }
        assert!(
            begun.elapsed() < Duration::from_mins(2),
            "{part} is not {status}: {body}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

// proves WC-1.8
#[test]
fn a_full_disk_of_the_blob_store_is_named() {
    let Some(disk) = SmallDisk::or_left_out(4) else {
        return;
    };
    let world = World::start();
    let storage = disk.path().join("files");
    let server = world.serve_with("a", &[("HALLMARK_STORAGE", storage.to_str().unwrap())]);
    let admin = server.admin();
    let hook = world.script("reads", READ_FILES);
    deploy(&admin, "Fullness", &[("reads", &hook)], None);
    let srn = draft(&admin, "fullness", &json!({"label": "mine", "mass": 2}));
    let files = format!("/depositions/{srn}/files");
    wait_for(&server, "storage", "ok");
    disk.fill();
    let refused = upload(&admin, &files, "data.txt", b"first").problem(503, "disk_full");
    let told = refused["message"].as_str().unwrap();
    assert!(
        told.starts_with("the disk of the blob store is full: free space"),
        "{told}"
    );
    let part = wait_for(&server, "storage", "error");
    assert_eq!(part["detail"].as_str().unwrap(), told);
    disk.free();
    upload(&admin, &files, "data.txt", b"first").expect(200);
    wait_for(&server, "storage", "ok");
}

// proves WC-1.8
#[test]
fn a_full_disk_of_the_work_directories_is_named_and_costs_no_record() {
    let Some(disk) = SmallDisk::or_left_out(4) else {
        return;
    };
    let world = World::start();
    let data = disk.path().join("data");
    let files = world.home.path().join("files");
    let server = Server::start(
        &data,
        &[
            ("HALLMARK_STORAGE", files.to_str().unwrap()),
            ("HALLMARK_DEV_MODE", "true"),
            ("DATABASE_URL", world.url.as_str()),
        ],
    );
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    admin
        .post("/conventions", &small("Works", "works", &[("pass", &pass)]))
        .expect(201);
    let run = admin.open("works", 5);
    disk.fill();
    let part = wait_for(&server, "runner", "error");
    let told = part["detail"].as_str().unwrap();
    assert!(
        told.starts_with("the disk of the work directories is full"),
        "{told}"
    );
    let lines: String = (0..20)
        .map(|n| format!("{{\"id\":\"r{n}\",\"metadata\":{{\"label\":\"x\"}}}}\n"))
        .collect();
    admin.push_lines(&run, &lines);
    std::thread::sleep(Duration::from_secs(3));
    disk.free();
    let begun = Instant::now();
    assert_eq!(admin.finish(&run)["published_count"], 20);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    wait_for(&server, "runner", "ok");
}

// proves WC-1.8, LED-10
#[test]
fn a_full_disk_of_the_database_is_named_and_its_work_is_complete_soon_after() {
    let Some(disk) = SmallDisk::or_left_out(48) else {
        return;
    };
    let cluster = Cluster::start();
    let tables = cluster.own_directory(disk.path(), "tables");
    // Only tables, and not the log of PostgreSQL, without which it ends.
    let control = World::at(&cluster.url("postgres"));
    control.execute(&format!(
        "create tablespace small location '{}'",
        tables.display()
    ));
    control.execute("create database on_small tablespace small");
    let world = World::at(&cluster.url("on_small"));
    let server = world.serve("a");
    let admin = server.admin();
    let slow = world.script("slow", &format!("sleep 2; {PASS}"));
    admin
        .post("/conventions", &small("Narrow", "narrow", &[("slow", &slow)]))
        .expect(201);
    let line = |n: u32| {
        let text = format!("{n:06}-").repeat(280);
        format!("{{\"id\":\"r{n}\",\"metadata\":{{\"label\":\"{text}\"}}}}\n")
    };
    let run = admin.open("narrow", 100);
    admin.push_lines(&run, &(0..400).map(line).collect::<String>());
    // The hooks of the first batches run now, and find no room for what they computed.
    disk.fill();
    let mut n = 1000;
    let path = format!("/ingestions/{run}/records");
    let refused = loop {
        let lines: String = (n..n + 200).map(line).collect();
        let answer = admin.push(&path, "application/x-ndjson", &lines);
        if answer.status == 503 {
            break answer.problem(503, "disk_full");
        }
        assert!(n < 100_000, "{answer:?}");
        n += 200;
    };
    let told = refused["message"].as_str().unwrap();
    assert!(
        told.starts_with("the disk of the database is full: free space"),
        "{told}"
    );
    let part = wait_for(&server, "db", "error");
    assert_eq!(part["detail"].as_str().unwrap(), told);
    std::thread::sleep(Duration::from_secs(8));
    wait_for(&server, "db", "error");
    disk.free();
    let begun = Instant::now();
    wait_for(&server, "db", "ok");
    let ended = admin.finish(&run);
    println!(
        "{} records, complete {:?} after there was room",
        ended["published_count"],
        begun.elapsed()
    );
    assert_eq!(ended["published_count"], ended["received_count"], "{ended}");
    assert!(ended["published_count"].as_u64().unwrap() >= 400);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

// proves WC-1.8
#[test]
fn an_embedded_database_that_ends_for_lack_of_room_is_back_soon_after_there_is_some() {
    let Some(disk) = SmallDisk::or_left_out(160) else {
        return;
    };
    // The server's log is beside it.
    let data = disk.path();
    let server = Server::start(data, &[("OSA_DEV_MODE", "true")]);
    let password = std::fs::read_to_string(data.join("postgres/password")).unwrap();
    let socket = data.join("postgres/socket");
    let embedded = World::at(&format!(
        "postgres://hallmark:{}@localhost/hallmark?host={}",
        password.trim(),
        socket.to_str().unwrap().replace('/', "%2F")
    ));
    disk.fill();
    // Its write-ahead log alone, until there is no room for the next part of it: then it ends.
    while embedded
        .try_execute("select pg_logical_emit_message(false, 'full', repeat(md5(random()::text), 300000))")
    {
    }
    let begun = Instant::now();
    loop {
        let part = wait_for(&server, "db", "error");
        if part["detail"]
            .as_str()
            .unwrap()
            .starts_with("the disk of the database is full")
        {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(2), "{part}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let refused = server.admin().get("/ingestions").problem(503, "disk_full");
    assert!(
        refused["message"].as_str().unwrap().contains("the database"),
        "{refused}"
    );
    until("PostgreSQL has ended", || {
        server
            .log()
            .contains("the embedded PostgreSQL ended unexpectedly")
    });
    disk.free();
    let begun = Instant::now();
    wait_for(&server, "db", "ok");
    println!("ready {:?} after there was room", begun.elapsed());
    let pass = disk.path().join("pass");
    std::fs::write(&pass, format!("#!/bin/sh\n{PASS}\n")).unwrap();
    let convention = small("Back", "back", &[("pass", &pass)]);
    server.admin().post("/conventions", &convention).expect(201);
    assert!(server.terminate().success());
    std::fs::remove_file(data.with_extension("log")).unwrap();
}
