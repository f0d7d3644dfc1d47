//! A machine without a user `postgres`, whose server is root: the embedded PostgreSQL has a user of its own, or the server
//! does not start. Such a machine is this one with another `/etc`.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use blackbox::Server;
use blackbox::fixtures::small;
use blackbox::server::command;
use blackbox::world::open_directory;
use serde_json::Value;

/// The users that PostgreSQL may have; none of them exists there.
const USERS: [&str; 2] = ["postgres", "hallmark-postgres"];
/// The user that programs without a user of their own share.
const NOBODY: u32 = 65_534;

/// Passes every record with the uid of the hook as its row.
const TELL: &str = r#"uid=$(id -u); sed -e 's/^{"id":"\([^"]*\)".*/{"id":"\1","features":[{"note":"'$uid'"}]}/' "$OSA_IN/records.jsonl" > "$OSA_OUT/features.jsonl""#;

/// A copy of `/etc` without these users, if the tests may mount it. Only root's PostgreSQL needs another user.
fn other_etc(home: &Path) -> Option<PathBuf> {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let may = Command::new("unshare").args(["--mount", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        test_needs::left_out("the right to make mounts");
        return None;
    }
    let etc = home.join("etc");
    let copied = Command::new("cp")
        .args(["-a", "/etc"])
        .arg(&etc)
        .status()
        .unwrap();
    assert!(copied.success());
    for name in ["passwd", "group", "shadow", "gshadow"] {
        let file = etc.join(name);
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        let is_other = |line: &&str| !line.split(':').next().is_some_and(|user| USERS.contains(&user));
        let left: Vec<&str> = text.lines().filter(is_other).collect();
        std::fs::write(&file, left.join("\n") + "\n").unwrap();
    }
    Some(etc)
}

/// `hallmark serve` where this is `/etc`, with these options of a second mount.
fn serve(data: &Path, etc: &Path, mount: &str) -> Result<Server, String> {
    const SCRIPT: &str =
        r#"mount --bind "$1" /etc && if [ -n "$2" ]; then mount -o "$2" /etc; fi && shift 2 && exec "$@""#;
    let plain = command(data, &[("HALLMARK_DEV_MODE", "true")], 0);
    let mut all = Command::new("unshare");
    all.args(["--mount", "sh", "-c", SCRIPT, "sh"])
        .arg(etc)
        .arg(mount)
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null());
    Server::try_start_by(&mut all, data)
}

// proves ISO-1
#[test]
fn the_embedded_database_gets_a_user_that_no_hook_has() {
    let home = open_directory();
    let Some(etc) = other_etc(home.path()) else { return };
    let data = home.path().join("a");
    let server = serve(&data, &etc, "").unwrap_or_else(|log| panic!("{log}"));
    let owner = std::fs::metadata(data.join("postgres/data")).unwrap().uid();
    assert!(owner != 0 && owner != NOBODY, "{owner}");
    let users = std::fs::read_to_string(etc.join("passwd")).unwrap();
    let line = users.lines().find(|line| line.starts_with("hallmark-postgres:"));
    assert_eq!(line.unwrap().split(':').nth(2), Some(owner.to_string().as_str()));

    let script = home.path().join("tell");
    std::fs::write(&script, format!("#!/bin/sh\n{TELL}\n")).unwrap();
    let admin = server.admin();
    admin
        .post("/conventions", &small("Tells", "tells-of", &[("tell", &script)]))
        .expect(201);
    let run = admin.open("tells", 1);
    let line = |id: &str| format!("{{\"id\":\"{id}\",\"metadata\":{{\"label\":\"x\"}}}}\n");
    admin.push_lines(&run, &(line("a") + &line("b") + &line("c")));
    assert_eq!(admin.finish(&run)["published_count"], 3);
    let rows = server.anonymous().get("/data/tells-of/tell").expect(200)["rows"].clone();
    let uid = |row: &Value| row["note"].as_str().unwrap().parse().unwrap();
    let uids: BTreeSet<u32> = rows.as_array().unwrap().iter().map(uid).collect();
    assert!(!uids.is_empty() && !uids.contains(&owner), "{uids:?} {owner}");
    assert!(!uids.contains(&0) && !uids.contains(&NOBODY), "{uids:?}");
    assert!(server.terminate().success());
}

// proves ISO-1
#[test]
fn where_no_user_can_be_made_the_server_does_not_start_and_says_what_to_do() {
    let home = open_directory();
    let Some(etc) = other_etc(home.path()) else { return };
    let log = serve(&home.path().join("a"), &etc, "remount,bind,ro")
        .err()
        .unwrap();
    assert!(log.contains("useradd --system postgres"), "{log}");
}
