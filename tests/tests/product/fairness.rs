//! No reader starves another: reads end with their callers, and whole tables wait for their turn.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use blackbox::World;
use blackbox::parties::until;

use super::reading_streams::{LONG, long, with_notes};

/// Sends a request whose answer is not read.
fn asked(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream
}

// proves EDG-6
#[test]
fn a_read_that_nobody_waits_for_any_more_is_cancelled() {
    let (world, server) = with_notes(&[]);
    let address = server.url.strip_prefix("http://").unwrap();
    for path in [
        "/api/v1/data/notes/note?limit=5",
        "/api/v1/data/notes/note?sort=size",
        "/api/v1/data/notes/note?limit=5&format=prov-json",
        "/api/v1/data/notes/note.csv",
        "/api/v1/data/notes/note.parquet",
        "/api/v1/data/notes/records?sort=label",
        "/api/v1/data/notes/records.csv.gz",
        "/api/v1/hooks/note/releases/1/recall",
        "/api/v1/hooks/note/releases/1/rows",
        "/api/v1/hooks/note/releases/1/records",
        "/api/v1/hooks/note/releases/1/rows.csv",
        "/api/v1/stats",
        "/metrics",
    ] {
        // The read waits here, as long as another would compute.
        let mut aside = world.transaction();
        aside.execute(
            "lock table features.note, metadata.notes_v1, records, record_heads, hook_runs in access exclusive mode",
        );
        let waiting = || {
            world.query(
                "select count(*)::text from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            )
        };
        let asked = asked(address, path);
        until(&format!("{path} is read"), || waiting() != "0");
        let left = Instant::now();
        drop(asked);
        until(&format!("{path} is cancelled"), || waiting() == "0");
        // After 20 s it would have ended by itself.
        assert!(left.elapsed() < Duration::from_secs(15), "{path}");
        aside.commit();
    }
    // The server has all its connections again.
    for _ in 0..3 {
        server.anonymous().get("/data/notes/note?sort=size").expect(200);
    }
}

/// The statements that read the table of `note` now.
fn running(world: &World) -> String {
    world.query(
        "select count(*)::text from pg_stat_activity where datname = current_database() and state = 'active' and backend_type = 'client backend'
         and query like '%from features.\"note\"%' and pid <> pg_backend_pid()",
    )
}

/// Of the processes in this list: their priority (`nice`), and that of their session, if the kernel groups by it.
fn priorities(processes: &str) -> Vec<(String, String)> {
    let of = |process: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let own = stat
            .rsplit_once(") ")
            .unwrap()
            .1
            .split(' ')
            .nth(16)
            .unwrap()
            .to_owned();
        let session = std::fs::read_to_string(format!("/proc/{process}/autogroup"));
        let session = session.map_or_else(
            |_| own.clone(),
            |text| text.trim().rsplit(' ').next().unwrap().to_owned(),
        );
        (own, session)
    };
    processes.split(',').map(of).collect()
}

// proves EDG-6
#[test]
fn the_backends_of_whole_tables_are_theirs_alone_and_make_way() {
    let (world, server) = with_notes(&[("HALLMARK_DATABASE__MAX_CONNECTIONS", "8")]);
    long(&world);
    let address = server.url.strip_prefix("http://").unwrap();
    let streams = "select coalesce(string_agg(pid::text, ',' order by pid), '') from pg_stat_activity where datname = current_database() and state = 'active'
         and query like '%from features.\"note\"%' and pid <> pg_backend_pid()";
    // In the first round, before a connection of streams is idle.
    let others = "select coalesce(string_agg(pid::text, ','), '') from pg_stat_activity where datname = current_database() and application_name = 'hallmark'
         and state <> 'active'";
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut held = TcpStream::connect(address).unwrap();
        let request = "GET /api/v1/data/notes/note.csv HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        held.write_all(request.as_bytes()).unwrap();
        held.read_exact(&mut [0; 2000]).unwrap();
        for _ in 0..20 {
            server.anonymous().get("/data/notes/note?limit=1").expect(200);
        }
        let stream = world.query(streams);
        // As root, the server may change it. It reaches this PostgreSQL by a socket.
        if rustix::process::geteuid().is_root() && world.url.contains("host=") {
            for (own, session) in priorities(&stream) {
                assert_eq!((own.as_str(), session.as_str()), ("10", "10"));
            }
        }
        if seen.is_empty() {
            for (own, session) in priorities(&world.query(others)) {
                assert_eq!((own.as_str(), session.as_str()), ("0", "0"), "of a request");
            }
        }
        seen.push(stream);
        // To its end: one that is left has its connection closed.
        std::io::copy(&mut held, &mut std::io::sink()).unwrap();
        until("the connection is free", || world.query(streams).is_empty());
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(seen[0], seen[1], "the connection was used again");
}

// proves EDG-6
#[test]
fn whole_tables_beyond_the_limit_wait_for_their_turn() {
    let (world, server) = with_notes(&[("HALLMARK_DATABASE__MAX_CONNECTIONS", "8")]);
    long(&world);
    let address = server.url.strip_prefix("http://").unwrap();
    // A quarter of the connections. Their readers take the beginning only, and more is on the way than buffers hold.
    let mut held: Vec<TcpStream> = (0..2)
        .map(|_| asked(address, "/api/v1/data/notes/note.csv"))
        .collect();
    for stream in &mut held {
        stream.read_exact(&mut [0; 2000]).unwrap();
    }
    assert_eq!(running(&world), "2");
    let anonymous = server.anonymous();
    std::thread::scope(|scope| {
        let third = scope.spawn(|| anonymous.fetch("GET", "/api/v1/data/notes/note.csv", &[], ""));
        // Reads of another kind go on meanwhile, and later than the third.
        for _ in 0..20 {
            server.anonymous().get("/data/notes/note?limit=1").expect(200);
        }
        assert!(!third.is_finished(), "it waits");
        drop(held.pop());
        let whole = third.join().unwrap().unwrap();
        assert_eq!((whole.status, whole.text().lines().count()), (200, LONG + 3));
    });
}
