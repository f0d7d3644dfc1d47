//! What a power cut leaves in the directory of the embedded PostgreSQL.

use std::time::{Duration, Instant};

use blackbox::Server;
use blackbox::world::open_directory;
use rustix::process::{Pid, Signal, kill_process};

/// The processes that work in this directory.
fn is_at_work(directory: &std::path::Path) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .map(|entry| entry.path().join("cwd"))
        .any(|cwd| std::fs::read_link(cwd).is_ok_and(|link| link == directory))
}

#[test]
fn a_pid_file_that_a_power_cut_garbled_keeps_no_server_from_starting() {
    let home = open_directory();
    let data = home.path().join("data");
    let dev = [("OSA_DEV_MODE", "true")];
    Server::start(&data, &dev).kill();
    let cluster = data.join("postgres/data");
    let file = cluster.join("postmaster.pid");
    for content in [&b""[..], b"\0\0\0\0\0\0\0\0", b"4\xff1", b"postgres\n1\n2\n"] {
        let begun = Instant::now();
        while is_at_work(&cluster) {
            assert!(
                begun.elapsed() < Duration::from_mins(2),
                "PostgreSQL does not end"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        std::fs::write(&file, content).unwrap();
        let server = Server::start(&data, &dev);
        assert_eq!(server.anonymous().get("/ready").expect(200)["status"], "ready");
        let log = server.log();
        assert!(log.contains("is empty or garbled, as after a power cut"), "{log}");
        server.kill();
    }
}

#[test]
fn an_embedded_database_that_is_killed_is_started_again_under_its_server() {
    let home = open_directory();
    let data = home.path().join("data");
    let server = Server::start(&data, &[("OSA_DEV_MODE", "true")]);
    for _ in 0..2 {
        let pid_file = || std::fs::read_to_string(data.join("postgres/data/postmaster.pid"));
        let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let killed = first_line(&pid_file().unwrap());
        let postmaster: i32 = killed.parse().unwrap();
        kill_process(Pid::from_raw(postmaster).unwrap(), Signal::KILL).unwrap();
        let begun = Instant::now();
        loop {
            // It either waits for the database, or finds that it is away.
            let status = server.anonymous().get("/ready").status;
            assert!(matches!(status, 200 | 503), "{status}");
            let is_another = pid_file().is_ok_and(|text| first_line(&text) != killed);
            if is_another && status == 200 {
                break;
            }
            assert!(begun.elapsed() < Duration::from_mins(2), "it does not come back");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    server.anonymous().get("/conventions").expect(200);
    assert!(server.terminate().success());
}
