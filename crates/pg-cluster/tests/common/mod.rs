//! What the tests share.
#![expect(
    clippy::disallowed_methods,
    reason = "asks a server that has no migrated schema"
)]

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// A new directory that the user `postgres` can pass through, unlike the usual 0700.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("pgc-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir()
        .unwrap()
}

/// Connects as sqlx does for the server.
pub(crate) async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// Runs one statement.
pub(crate) async fn execute(connection: &mut PgConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(connection).await.unwrap();
}

/// How many rows the table `t` has.
pub(crate) async fn count(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM t")
        .fetch_one(connection)
        .await
        .unwrap()
}

/// The processes whose working directory is `data`: supervisor and server.
pub(crate) fn working_in(data: &Path) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process: &i32| {
            std::fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|link| link == data)
        })
        .collect()
}

/// Waits until nothing works in `data`, and says how long that took.
pub(crate) async fn wait_gone(data: &Path, most: Duration) -> Duration {
    let begin = Instant::now();
    while !working_in(data).is_empty() {
        assert!(
            begin.elapsed() < most,
            "still at work in {}: {:?}",
            data.display(),
            working_in(data)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begin.elapsed()
}
