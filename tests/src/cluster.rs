//! A PostgreSQL of a test's own, which it can restart.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::world::{open_directory, runtime};

/// PostgreSQL in a directory that lives as long as this.
pub struct Cluster {
    running: Option<pg_cluster::Cluster>,
    home: TempDir,
}

impl Cluster {
    pub fn start() -> Self {
        let home = open_directory();
        let running = Some(begin(&home));
        Self { running, home }
    }

    /// The URL of a database, which is made if it is not there.
    pub fn url(&self, database: &str) -> String {
        let cluster = self.running.as_ref().unwrap();
        runtime().block_on(cluster.ensure_database(database)).unwrap();
        cluster.url(database)
    }

    /// A new directory below `place` that PostgreSQL can write.
    pub fn own_directory(&self, place: &Path, name: &str) -> PathBuf {
        let directory = place.join(name);
        std::fs::create_dir(&directory).unwrap();
        let data = std::fs::metadata(self.home.path().join("postgres/data")).unwrap();
        std::os::unix::fs::chown(&directory, Some(data.uid()), Some(data.gid())).unwrap();
        directory
    }

    /// Stops it, waits, and starts it again: every connection breaks, and its address stays.
    pub fn restart(&mut self, pause: Duration) {
        let before = self.running.take().unwrap();
        let url = before.url("postgres");
        runtime().block_on(before.stop()).unwrap();
        std::thread::sleep(pause);
        let after = begin(&self.home);
        assert_eq!(after.url("postgres"), url);
        self.running = Some(after);
    }
}

fn begin(home: &TempDir) -> pg_cluster::Cluster {
    let options = pg_cluster::Options {
        max_connections: 200,
        ..pg_cluster::Options::throwaway(home.path().join("postgres"))
    };
    runtime().block_on(pg_cluster::Cluster::start(options)).unwrap()
}
