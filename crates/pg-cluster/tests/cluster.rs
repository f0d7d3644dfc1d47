//! Starting, using and stopping a real PostgreSQL.
#![expect(
    clippy::disallowed_methods,
    reason = "asks a server that has no migrated schema"
)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{
    fs,
    os::unix::{fs::MetadataExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use common::{connect, count, directory, execute, wait_gone, working_in};
use pg_cluster::{BinarySearch, Cluster, Durability, Error, Options};
use sqlx::{ConnectOptions, Connection, PgConnection};

#[tokio::test]
async fn starts_serves_and_keeps_its_data() {
    let directory = directory();
    let path = directory.path().join("made/pg");
    let cluster = Cluster::start(Options::new(&path)).await.unwrap();
    cluster.ensure_database("hall \"mark\"?").await.unwrap();
    cluster.ensure_database("hall \"mark\"?").await.unwrap();
    let mut connection = connect(&cluster.url("hall \"mark\"?")).await;
    execute(
        &mut connection,
        "CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)",
    )
    .await;
    let (encoding, collation, durable): (String, String, String) = sqlx::query_as(
        "SELECT pg_encoding_to_char(encoding)::text, datcollate::text, current_setting('fsync')
         FROM pg_database WHERE datname = current_database()",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!((&*encoding, &*collation, &*durable), ("UTF8", "C.UTF-8", "on"));
    // A client that stays does not keep it from stopping.
    let data = cluster.directory().join("data");
    cluster.stop().await.unwrap();
    assert!(working_in(&data).is_empty());
    assert!(!data.join("postmaster.pid").exists());

    let cluster = Cluster::start(Options::new(&path)).await.unwrap();
    let mut connection = connect(&cluster.url("hall \"mark\"?")).await;
    assert_eq!(count(&mut connection).await, 1000);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn only_its_user_gets_in_and_only_with_the_password() {
    let directory = directory();
    let cluster = Cluster::start(Options::throwaway(directory.path().join("pg")))
        .await
        .unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(cluster.socket_directory()), 0o700);
    assert_eq!(mode(&cluster.directory().join("data")), 0o700);
    assert_eq!(mode(&cluster.directory().join("password")), 0o600);
    assert_eq!(mode(&cluster.log()), 0o600);
    assert!(!cluster.directory().join("password.initdb").exists());
    let data = fs::metadata(cluster.directory().join("data")).unwrap();
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        assert_ne!(data.uid(), 0);
    }

    let password = fs::read_to_string(cluster.directory().join("password")).unwrap();
    let url = cluster.url("postgres");
    assert!(url.contains(password.trim()));
    assert!(!format!("{cluster:?}").contains(password.trim()));
    let wrong = url.replace(password.trim(), "wrong");
    let refused = PgConnection::connect(&wrong).await.unwrap_err().to_string();
    assert!(refused.contains("password authentication failed"), "{refused}");

    let mut connection = connect(&url).await;
    let listens: String = sqlx::query_scalar("SHOW listen_addresses")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(listens, "");
    // No user but root and its own: the socket's directory cannot be entered.
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let script = "! ls \"$1\" 2>/dev/null";
        let status = Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .arg(cluster.socket_directory())
            .status()
            .unwrap();
        assert!(status.success());
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn psql_takes_the_url() {
    let directory = directory();
    // Quotes and blanks: the socket's setting is a quoted list, and the URL is encoded.
    let path = directory.path().join("ä \"b' % &?");
    let cluster = Cluster::start(Options::throwaway(path)).await.unwrap();
    assert!(cluster.socket_directory().starts_with(cluster.directory()));
    cluster.ensure_database("d").await.unwrap();
    let bin = installed();
    let output = Command::new(bin.join("psql"))
        .args(["-XAtc", "SELECT 6 * 7", &cluster.url("d")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n", "{output:?}");
    let output = Command::new(bin.join("pgbench"))
        .args(["-i", "-q", "-s", "1", &cluster.url("d")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn another_server_on_port_5432_does_not_matter() {
    // Another process has the port: this one, or another test run.
    let _squatter = std::net::TcpListener::bind("127.0.0.1:5432");
    let directory = directory();
    let cluster = Cluster::start(Options::throwaway(directory.path().join("pg")))
        .await
        .unwrap();
    assert!(connect(&cluster.url("postgres")).await.ping().await.is_ok());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_path_gets_its_socket_elsewhere() {
    let directory = directory();
    let cluster = Cluster::start(Options::throwaway(directory.path().join("d".repeat(150))))
        .await
        .unwrap();
    let socket = cluster.socket_directory().to_path_buf();
    assert!(!socket.starts_with(cluster.directory()));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(connect(&cluster.url("postgres")).await.ping().await.is_ok());
    cluster.stop().await.unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_second_owner_waits_and_then_fails() {
    let directory = directory();
    let path = directory.path().join("pg");
    let first = Cluster::start(Options::throwaway(&path)).await.unwrap();
    let impatient = Options {
        lock_wait: Duration::from_millis(300),
        ..Options::throwaway(&path)
    };
    let error = Cluster::start(impatient).await.unwrap_err();
    assert!(
        matches!(&error, Error::Locked { directory, .. } if *directory == path),
        "{error:?}"
    );
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    // A patient one gets it when the first lets go.
    let second = tokio::spawn(Cluster::start(Options::throwaway(&path)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished());
    first.stop().await.unwrap();
    second.await.unwrap().unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn dropped_it_stops_by_itself_and_the_next_one_waits() {
    let directory = directory();
    let path = directory.path().join("pg");
    let cluster = Cluster::start(Options::throwaway(&path)).await.unwrap();
    let mut connection = connect(&cluster.url("postgres")).await;
    execute(&mut connection, "CREATE TABLE t (n int)").await;
    drop(cluster);
    // At once, while the old one is on its way out.
    let cluster = Cluster::start(Options::throwaway(&path)).await.unwrap();
    assert_eq!(count(&mut connect(&cluster.url("postgres")).await).await, 0);
    let data = cluster.directory().join("data");
    drop(cluster);
    let took = wait_gone(&data, Duration::from_secs(10)).await;
    println!("gone {took:?} after the drop");
}

#[tokio::test]
async fn a_temporary_cluster_leaves_nothing() {
    let options = Options::temporary().unwrap();
    let path = options.directory.clone();
    let cluster = Cluster::start(options).await.unwrap();
    cluster.ensure_database("d").await.unwrap();
    drop(cluster);
    for _ in 0..500 {
        if !path.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} is still there", path.display());
}

#[tokio::test]
async fn missing_binaries_are_reported() {
    let directory = directory();
    let binaries = BinarySearch::Only(vec!["/nowhere/bin".into()]);
    let options = Options {
        binaries,
        ..Options::throwaway(directory.path().join("pg"))
    };
    let error = Cluster::start(options).await.unwrap_err();
    assert!(matches!(error, Error::BinariesMissing { .. }), "{error:?}");
    assert!(
        error.to_string().contains("/nowhere/bin") && error.to_string().contains("DATABASE_URL"),
        "{error}"
    );
}

#[tokio::test]
async fn data_of_another_major_version_is_reported() {
    let directory = directory();
    let path = directory.path().join("pg");
    fs::create_dir_all(path.join("data")).unwrap();
    fs::write(path.join("data/PG_VERSION"), "9\n").unwrap();
    let binaries = BinarySearch::Only(vec![installed()]);
    let options = Options {
        binaries,
        ..Options::throwaway(path)
    };
    let error = Cluster::start(options).await.unwrap_err();
    assert!(
        matches!(error, Error::VersionMissing { needed: 9, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_directory_that_postgres_cannot_reach_is_reported() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let closed = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()
        .unwrap();
    let error = Cluster::start(Options::throwaway(closed.path().join("a/pg")))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::NotReachable { ancestor, .. } if ancestor == closed.path()),
        "{error:?}"
    );
    assert!(!closed.path().join("a").exists());
}

#[tokio::test]
async fn a_bad_setting_shows_the_log() {
    let directory = directory();
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let options = Options {
        settings,
        ..Options::throwaway(directory.path().join("pg"))
    };
    let error = Cluster::start(options).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotReady { tail, .. } if tail.contains("no_such_setting")),
        "{error}"
    );
    assert!(working_in(&directory.path().join("pg/data")).is_empty());
}

#[tokio::test]
async fn settings_and_durability_arrive() {
    let directory = directory();
    let settings = vec![("work_mem".to_owned(), "9MB".to_owned())];
    let options = Options {
        settings,
        max_connections: 33,
        shared_buffers: "16MB".to_owned(),
        durability: Durability::Throwaway,
        ..Options::new(directory.path().join("pg"))
    };
    let cluster = Cluster::start(options).await.unwrap();
    let mut connection = connect(&cluster.url("postgres")).await;
    for (name, expected) in [
        ("work_mem", "9MB"),
        ("max_connections", "33"),
        ("shared_buffers", "16MB"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
    ] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(value, expected, "{name}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn sqlx_parses_the_url() {
    let directory = directory();
    let cluster = Cluster::start(Options::throwaway(directory.path().join("pg")))
        .await
        .unwrap();
    let options: sqlx::postgres::PgConnectOptions = cluster.url("d").parse().unwrap();
    assert_eq!(options.get_username(), "hallmark");
    assert_eq!(options.get_database(), Some("d"));
    assert_eq!(
        options.get_socket().map(PathBuf::as_path),
        Some(cluster.socket_directory())
    );
    // Many ask for one database at once.
    let asked = tokio::join!(
        cluster.ensure_database("d"),
        cluster.ensure_database("d"),
        cluster.ensure_database("d"),
        cluster.ensure_database("e"),
    );
    assert!(
        asked.0.is_ok() && asked.1.is_ok() && asked.2.is_ok() && asked.3.is_ok(),
        "{asked:?}"
    );
    assert!(matches!(
        cluster.ensure_database(&"x".repeat(64)).await,
        Err(Error::DatabaseName { .. })
    ));
    options.connect().await.unwrap();
    cluster.stop().await.unwrap();
}

/// The programs that the tests use themselves.
fn installed() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let linked = std::env::split_paths(&path).find_map(|entry| entry.join("postgres").canonicalize().ok());
    linked.map_or_else(
        || "/usr/lib/postgresql/15/bin".into(),
        |found| found.parent().unwrap().to_path_buf(),
    )
}

/// A test may keep a cluster in a `static`, and each `#[tokio::test]` has a runtime of its own.
#[test]
fn a_cluster_outlives_the_runtime_that_started_it() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let directory = directory();
    let options = Options::throwaway(directory.path().join("pg"));
    let cluster = runtime().block_on(Cluster::start(options)).unwrap();
    let data = cluster.directory().join("data");
    runtime().block_on(cluster.ensure_database("d")).unwrap();
    runtime().block_on(async {
        assert!(connect(&cluster.url("d")).await.ping().await.is_ok());
        cluster.stop().await.unwrap();
    });
    assert!(working_in(&data).is_empty());
}
