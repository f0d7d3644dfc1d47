//! PgBouncer between a test's servers and its database.

use std::fs::{File, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use url::Url;

use crate::world::open_directory;

/// A running PgBouncer. Dropped, it is killed.
pub struct Pooler {
    child: Child,
    /// The URL of the same database, through it.
    pub url: String,
    _home: TempDir,
}

impl Pooler {
    /// PgBouncer in front of the database of this URL, with these settings besides; nothing where it is not installed.
    pub fn start(database: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let Some(program) = test_needs::program(&["pgbouncer"]) else {
            test_needs::left_out("PgBouncer (Debian: pgbouncer)");
            return None;
        };
        let url = Url::parse(database).unwrap();
        let parameter = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let host = parameter("host").unwrap_or_else(|| url.host_str().unwrap().to_owned());
        let port = parameter("port").unwrap_or_else(|| url.port().unwrap_or(5432).to_string());
        let own = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let home = open_directory();
        let file = home.path().join("pgbouncer.ini");
        let mut text = format!(
            "[databases]\n* = host={host} port={port} user={} password={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {own}\nunix_socket_dir =\nauth_type = any\n",
            url.username(),
            url.password().unwrap_or_default()
        );
        for (name, value) in settings {
            text.push_str(&format!("{name} = {value}\n"));
        }
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let log = home.path().join("log");
        let mut command = Command::new(program);
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).unwrap());
        if rustix::process::geteuid().is_root() {
            // It refuses to run as root, and must get to PostgreSQL's socket.
            let owner = std::fs::metadata(&host).map(|found| (found.uid(), found.gid()));
            let (user, group) = owner.unwrap_or((65534, 65534));
            command.uid(user).gid(group);
        }
        let child = command.spawn().unwrap();
        let mut through = url.clone();
        through.set_host(Some("127.0.0.1")).unwrap();
        through.set_port(Some(own)).unwrap();
        through.set_query(Some("sslmode=disable"));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", own)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "PgBouncer does not start: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self {
            child,
            url: through.into(),
            _home: home,
        })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
