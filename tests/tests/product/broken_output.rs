//! Standard error and standard output that cannot be written: nothing else changes.

use std::fs::{File, OpenOptions};
use std::io::{PipeReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use blackbox::fixtures::{PASS, small};
use blackbox::parties::until;
use blackbox::small_disk::SmallDisk;
use blackbox::world::{binaries, open_directory};
use blackbox::{Server, World};

const DROPPED: &str = "hallmark_lines_dropped_total{stream=\"stderr\"}";
const DROPPED_OUT: &str = "hallmark_lines_dropped_total{stream=\"stdout\"}";

fn full_device() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// The writing end of a pipe whose reader has left.
fn left_pipe() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

fn lines(count: usize) -> String {
    (0..count)
        .map(|n| format!("{{\"id\":\"r{n}\",\"metadata\":{{\"label\":\"x\"}}}}\n"))
        .collect()
}

/// Deploys a convention with a hook that takes a while, and opens a run of eight batches; gives the run.
fn begin_ingest(world: &World, server: &Server) -> String {
    let slow = world.script("slow", &format!("sleep 0.2; {PASS}"));
    let admin = server.admin();
    admin
        .post("/conventions", &small("Printed", "printed", &[("slow", &slow)]))
        .expect(201);
    let run = admin.open("printed", 5);
    admin.push_lines(&run, &lines(40));
    run
}

/// The run ends whole, the server is ready, and SIGTERM ends it with 0.
fn ends_well(server: Server, run: &str) {
    assert_eq!(server.admin().finish(run)["published_count"], 40);
    assert_eq!(server.anonymous().get("/ready").expect(200)["status"], "ready");
    let status = server.terminate();
    assert!(status.success(), "SIGTERM ends with {status}");
}

#[test]
fn a_log_that_cannot_be_written_from_the_start_changes_nothing_else() {
    let disk = SmallDisk::or_left_out(1);
    let on_disk = disk.as_ref().map(|disk| {
        disk.fill();
        Stdio::from(File::create(disk.path().join("log")).unwrap())
    });
    let broken = [Some(Stdio::from(full_device())), Some(left_pipe()), on_disk];
    for err in broken.into_iter().flatten() {
        let world = World::start();
        let server = world.serve_printing("a", Stdio::null(), err);
        let run = begin_ingest(&world, &server);
        assert!(server.metric(DROPPED) > 5.0);
        ends_well(server, &run);
    }
}

#[test]
fn standard_output_that_cannot_be_written_changes_nothing_else() {
    for out in [Stdio::from(full_device()), left_pipe()] {
        let world = World::start();
        let server = world.serve_printing("a", out, Stdio::null());
        assert!((server.metric(DROPPED_OUT) - 1.0).abs() < f64::EPSILON);
        assert!(server.metric(DROPPED).abs() < f64::EPSILON);
        let run = begin_ingest(&world, &server);
        ends_well(server, &run);
    }
}

#[test]
fn the_reader_of_the_log_leaves_under_an_ingest() {
    let world = World::start();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let server = world.serve_printing("a", Stdio::null(), writer);
    let run = begin_ingest(&world, &server);
    reader.read_exact(&mut [0; 200]).unwrap();
    drop(reader);
    // Each look is a request, and so a line of the log.
    until("lines are dropped", || server.metric(DROPPED) > 0.0);
    ends_well(server, &run);
}

#[test]
fn the_disk_of_the_log_is_full_under_an_ingest_and_lines_come_again_when_there_is_room() {
    let Some(disk) = SmallDisk::or_left_out(1) else {
        return;
    };
    let world = World::start();
    let path = disk.path().join("log");
    let log = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let server = world.serve_printing("a", Stdio::null(), log);
    let run = begin_ingest(&world, &server);
    disk.fill();
    // What is left of the last page of the log is used up.
    until("lines are dropped", || {
        server.anonymous().get("/health");
        server.metric(DROPPED) > 0.0
    });
    std::thread::sleep(Duration::from_millis(500));
    disk.free();
    let before = std::fs::read_to_string(&path).unwrap();
    let dropped = server.metric(DROPPED);
    server.anonymous().get("/health").expect(200);
    let after = std::fs::read_to_string(&path).unwrap();
    let new = after.strip_prefix(&before).unwrap();
    assert!(new.contains("getHealth"), "lines come again: {new}");
    let last = new.lines().last().unwrap();
    assert!(last.starts_with("20"), "each on a line of its own: {last}");
    ends_well(server, &run);
    assert!(dropped > 0.0);
}

/// Reads what is in a pipe until it ends.
fn rest_of(mut reader: PipeReader) -> String {
    let mut text = Vec::new();
    reader.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_reader_of_the_log_that_stands_still_delays_nothing() {
    let world = World::start();
    let (reader, writer) = std::io::pipe().unwrap();
    let server = world.serve_printing("a", Stdio::null(), writer);
    let run = begin_ingest(&world, &server);
    let begun = Instant::now();
    // More lines than a pipe holds.
    for _ in 0..600 {
        server.anonymous().get("/health").expect(200);
    }
    assert!(begun.elapsed() < Duration::from_mins(2), "{:?}", begun.elapsed());
    assert!(server.metric(DROPPED) > 0.0);
    let read = std::thread::spawn(move || rest_of(reader));
    std::thread::sleep(Duration::from_millis(200));
    ends_well(server, &run);
    let read = read.join().unwrap();
    assert!(read.contains("stopped"), "lines come again: {read}");
}

fn hallmark(home: &Path, arguments: &[&str], out: Stdio, err: Stdio) -> std::process::Child {
    Command::new(binaries().join("hallmark"))
        .args(arguments)
        .current_dir(home)
        .env_clear()
        .env("OSA_DEV_MODE", "true")
        .env("HALLMARK_DATA_DIR", home.join("data"))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .unwrap()
}

#[test]
fn a_command_whose_reader_leaves_ends_quietly_and_one_that_cannot_print_says_so() {
    let home = open_directory();
    let home = home.path();
    let commands: [&[&str]; 3] = [
        &["openapi"],
        &["token", "mint"],
        &["keys", "generate", "--out", "keys"],
    ];
    for arguments in commands {
        let child = hallmark(home, arguments, left_pipe(), Stdio::piped());
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{arguments:?}: {output:?}"
        );
    }
    let keys = std::fs::read_dir(home.join("keys")).unwrap().count();
    assert_eq!(keys, 3, "a reader that leaves costs no file");
    for arguments in [&["openapi"][..], &["token", "mint"]] {
        let child = hallmark(home, arguments, full_device().into(), Stdio::piped());
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("cannot write to standard output"), "{told}");
    }
    // A fault that cannot be told is one of the same kind.
    for err in [Stdio::from(full_device()), left_pipe()] {
        let status = hallmark(home, &["serve", "--listen", "nowhere"], Stdio::null(), err).wait();
        assert_eq!(status.unwrap().code(), Some(1));
    }
}
