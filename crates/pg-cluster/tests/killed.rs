//! What happens when processes are killed.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::{connect, count, directory, execute, wait_gone, working_in};
use pg_cluster::{Cluster, Options};
use rustix::process::{Pid, Signal, kill_process};

fn spawn_owner(path: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pg-cluster"))
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the owner's URL.
fn url_of(owner: &mut Child) -> String {
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap()
}

fn kill(process: i32, signal: Signal) {
    kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
}

fn server(data: &Path) -> i32 {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    text.lines().next().unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_is_killed_and_nothing_stays() {
    let directory = directory();
    // So long that the socket is in /tmp: it must go as well.
    let path = directory.path().join("o".repeat(100));
    let data = path.join("data");
    let mut owner = spawn_owner(&path);
    let url = url_of(&mut owner);
    let mut connection = connect(&url).await;
    execute(
        &mut connection,
        "CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 500)",
    )
    .await;
    let socket = url
        .split("host=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap()
        .replace("%2F", "/");
    assert!(Path::new(&socket).exists(), "{socket}");
    // In a process group of its own, not in the owner's: Ctrl-C does not reach it.
    let group = rustix::process::getpgid(Pid::from_raw(server(&data))).unwrap();
    let owners = rustix::process::getpgid(Pid::from_raw(i32::try_from(owner.id()).unwrap())).unwrap();
    assert_ne!(group, owners);

    owner.kill().unwrap();
    owner.wait().unwrap();
    let took = wait_gone(&data, Duration::from_secs(10)).await;
    println!("gone {took:?} after SIGKILL of the owner");
    assert!(!Path::new(&socket).exists(), "{socket}");

    let cluster = Cluster::start(Options::new(&path)).await.unwrap();
    assert_eq!(count(&mut connect(&cluster.url("postgres")).await).await, 500);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_is_killed_and_the_next_one_starts_at_once() {
    let directory = directory();
    let path = directory.path().join("pg");
    let mut owner = spawn_owner(&path);
    let mut connection = connect(&url_of(&mut owner)).await;
    execute(
        &mut connection,
        "CREATE TABLE t (n int); INSERT INTO t VALUES (1)",
    )
    .await;
    owner.kill().unwrap();
    owner.wait().unwrap();
    let begin = Instant::now();
    let cluster = Cluster::start(Options::new(&path)).await.unwrap();
    println!("ready {:?} after SIGKILL of the owner", begin.elapsed());
    assert_eq!(count(&mut connect(&cluster.url("postgres")).await).await, 1);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_is_killed_at_any_time_of_its_first_start() {
    let directory = directory();
    let path = directory.path().join("pg");
    // During initdb, around its end, and while the server starts.
    for pause in [20, 100, 250, 400, 600, 800, 1000, 1300, 1600] {
        let mut owner = spawn_owner(&path);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        owner.kill().unwrap();
        owner.wait().unwrap();
    }
    let cluster = Cluster::start(Options::new(&path)).await.unwrap();
    execute(
        &mut connect(&cluster.url("postgres")).await,
        "CREATE TABLE t (n int)",
    )
    .await;
    let data = cluster.directory().join("data");
    assert!(!cluster.directory().join("data.init").exists());
    cluster.stop().await.unwrap();
    assert!(working_in(&data).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_supervisor_is_ended_by_the_next_owner() {
    let directory = directory();
    let path = directory.path().join("pg");
    let mut owner = spawn_owner(&path);
    let _connection = connect(&url_of(&mut owner)).await;
    let data = path.join("data");
    // Everything but the server and its workers dies: the shell and the shell that watches.
    let shells = working_in(&data).into_iter().filter(|process| {
        fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.trim() == "sh")
    });
    shells.for_each(|process| kill(process, Signal::KILL));
    owner.kill().unwrap();
    owner.wait().unwrap();
    let orphan = server(&data);
    let cluster = Cluster::start(Options::new(&path)).await.unwrap();
    assert_ne!(server(&data), orphan);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_crash_of_the_server_is_noticed_and_recovered_from() {
    let directory = directory();
    let path = directory.path().join("pg");
    let mut cluster = Cluster::start(Options::new(&path)).await.unwrap();
    execute(
        &mut connect(&cluster.url("postgres")).await,
        "CREATE TABLE t (n int); INSERT INTO t VALUES (7)",
    )
    .await;
    assert!(
        tokio::time::timeout(Duration::from_millis(200), cluster.wait())
            .await
            .is_err()
    );
    kill(server(&path.join("data")), Signal::KILL);
    let status = tokio::time::timeout(Duration::from_secs(5), cluster.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(!status.success(), "{status}");
    cluster.stop().await.unwrap();
    let cluster = Cluster::start(Options::new(&path)).await.unwrap();
    assert_eq!(count(&mut connect(&cluster.url("postgres")).await).await, 1);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_old_pid_file_that_names_a_strange_process_does_not_matter() {
    let directory = directory();
    let path = directory.path().join("pg");
    let cluster = Cluster::start(Options::throwaway(&path)).await.unwrap();
    let data = cluster.directory().join("data");
    let file = data.join("postmaster.pid");
    let text = fs::read_to_string(&file).unwrap();
    cluster.stop().await.unwrap();
    // A process of the same user as PostgreSQL, which is what PostgreSQL itself trips over.
    let owner = fs::metadata(&data).unwrap();
    let mut strange = Command::new("sleep");
    strange.arg("60").current_dir("/");
    if rustix::process::geteuid().is_root() {
        strange.uid(owner.uid()).gid(owner.gid());
    }
    let mut strange = strange.spawn().unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&file, format!("{}\n{rest}", strange.id())).unwrap();
    let cluster = Cluster::start(Options::throwaway(&path)).await.unwrap();
    assert!(
        strange.try_wait().unwrap().is_none(),
        "the strange process was ended"
    );
    cluster.stop().await.unwrap();
    strange.kill().unwrap();
    strange.wait().unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_is_killed() {
    let directory = directory();
    let path = directory.path().join("pg");
    let options = Options {
        stop_timeout: Duration::from_millis(500),
        ..Options::throwaway(&path)
    };
    let cluster = Cluster::start(options.clone()).await.unwrap();
    execute(
        &mut connect(&cluster.url("postgres")).await,
        "CREATE TABLE t (n int)",
    )
    .await;
    kill(server(&path.join("data")), Signal::STOP);
    cluster.stop().await.unwrap();
    assert!(working_in(&path.join("data")).is_empty());
    let cluster = Cluster::start(options).await.unwrap();
    assert_eq!(count(&mut connect(&cluster.url("postgres")).await).await, 0);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn sigterm_for_all_leaves_the_connections_until_the_owner_stops() {
    let directory = directory();
    let path = directory.path().join("pg");
    let cluster = Cluster::start(Options::throwaway(&path)).await.unwrap();
    let mut connection = connect(&cluster.url("postgres")).await;
    // As systemd does to a whole control group.
    let group = rustix::process::getpgid(Pid::from_raw(server(&path.join("data")))).unwrap();
    rustix::process::kill_process_group(group, Signal::TERM).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    execute(&mut connection, "CREATE TABLE t (n int)").await;
    // Dropped, not stopped: the supervisor has survived.
    drop(cluster);
    wait_gone(&path.join("data"), Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_garbled_pid_file_is_removed_where_no_server_lives() {
    let directory = directory();
    let path = directory.path().join("pg");
    Cluster::start(Options::throwaway(&path))
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    let file = path.join("data/postmaster.pid");
    // Empty, zeros, no text, words, a number that no process has, and a line that is cut off.
    for content in [
        &b""[..],
        b"\n",
        &[0; 64],
        b"\xff\xfe1\n",
        b"nonsense\n",
        b"0\n",
        b"12",
        b"999999999999\n",
    ] {
        fs::write(&file, content).unwrap();
        let cluster = Cluster::start(Options::throwaway(&path)).await;
        let cluster = cluster.unwrap_or_else(|error| panic!("{content:?}: {error}"));
        cluster.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_garbled_pid_file_of_a_server_that_lives_is_left_alone() {
    let directory = directory();
    let path = directory.path().join("pg");
    let mut owner = spawn_owner(&path);
    let _url = url_of(&mut owner);
    let data = path.join("data");
    let (postmaster, all) = (server(&data), working_in(&data));
    // Without its supervisor it goes on when its owner is gone.
    let parent = fs::read_to_string(format!("/proc/{postmaster}/stat")).unwrap();
    let parent: i32 = parent
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert!(all.contains(&parent), "{parent} of {all:?}");
    // Or it might notice the end of the supervisor, and end the server, before it is killed itself.
    kill(i32::try_from(owner.id()).unwrap(), Signal::STOP);
    for process in all {
        let program = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        if program.trim() == "sh" {
            kill(process, Signal::KILL);
        }
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    let file = data.join("postmaster.pid");
    let before = fs::read(&file).unwrap();
    fs::write(&file, b"").unwrap();
    let options = Options {
        lock_wait: Duration::from_secs(2),
        ..Options::new(&path)
    };
    let error = Cluster::start(options).await.unwrap_err();
    assert!(error.to_string().contains("still runs"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"", "it is not removed");
    fs::write(&file, before).unwrap();
    Cluster::start(Options::new(&path))
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
}
