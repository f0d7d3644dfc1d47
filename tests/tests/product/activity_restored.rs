//! The activity log after a move to another PostgreSQL by `pg_dump` and `pg_restore`.

use std::path::{Path, PathBuf};
use std::process::Command;

use blackbox::cluster::Cluster;
use blackbox::fixtures::small;
use blackbox::{Client, World};
use serde_json::Value;

/// The newest installed program of this name that belongs to PostgreSQL.
fn program(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|dir| dir.path().join("bin").join(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}

fn run(name: &str, arguments: &[&str], file: &Path) {
    let output = Command::new(program(name))
        .args(arguments)
        .arg(file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Every entry after a cursor, and the cursor after them.
fn follow(client: &Client, after: Option<String>) -> (Vec<Value>, Option<String>) {
    let (mut found, mut after) = (Vec::new(), after);
    loop {
        let cursor = after
            .as_deref()
            .map(|id| format!("&after={id}"))
            .unwrap_or_default();
        let page = client
            .get(&format!("/activity?order=asc&limit=100{cursor}"))
            .expect(200);
        found.extend(page["items"].as_array().unwrap().iter().cloned());
        after = page["next_cursor"].as_str().map(str::to_owned).or(after);
        if page["has_more"] != true {
            return (found, after);
        }
    }
}

fn ids(entries: &[Value]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect()
}

// proves EDG-7, LED-8
#[test]
fn a_follower_crosses_a_restore_into_another_cluster_without_missing_or_repeating_an_entry() {
    let old = Cluster::start();
    let before = World::at(&old.url("h"));
    // It has counted far more transactions than the new one will have.
    before
        .execute("do $$ begin for i in 1..5000 loop perform pg_current_xact_id(); commit; end loop; end $$");
    let server = before.serve("a");
    server
        .admin()
        .post("/conventions", &small("Before", "before", &[]))
        .expect(201);
    let (entries, cursor) = follow(&server.admin(), None);
    assert!(
        entries
            .iter()
            .any(|entry| entry["kind"] == "ConventionRegistered"),
        "{entries:?}"
    );
    drop(server);

    let new = Cluster::start();
    let after = World::at(&new.url("h"));
    let dump = before.home.path().join("dump");
    let file = dump.to_str().unwrap();
    run(
        "pg_dump",
        &["-Fc", "-d", &before.url, "-f", file],
        Path::new("-v"),
    );
    run("pg_restore", &["--no-owner", "-d", &after.url], &dump);
    let files = before.home.path().join("files");
    let storage = [("HALLMARK_STORAGE", files.to_str().unwrap())];
    // Two servers that start on it at once open one epoch.
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| after.serve_with("a", &storage));
        let two = scope.spawn(|| after.serve_with("b", &storage));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!(after.query("select count(*)::text from log_epochs"), "1");
    let (again, _) = follow(&one.admin(), None);
    assert_eq!(
        ids(&again)[..entries.len()],
        ids(&entries),
        "everything from before is there, in its order"
    );

    two.admin()
        .post("/conventions", &small("After", "after", &[]))
        .expect(201);
    let (crossed, _) = follow(&one.admin(), cursor);
    assert!(
        crossed
            .iter()
            .any(|entry| entry["data"]["convention_id"] == "after"),
        "{crossed:?}"
    );
    let mut all = ids(&entries);
    all.extend(ids(&crossed));
    assert_eq!(
        ids(&follow(&two.admin(), None).0),
        all,
        "no entry is missing, and none comes twice"
    );
    // A server that starts again has nothing to continue.
    drop((one, two));
    let _again = after.serve_with("a", &storage);
    assert_eq!(after.query("select count(*)::text from log_epochs"), "1");
}
