//! A container engine for tests: one that answers already, or a private `dockerd`.

use std::fs::File;
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::packages::{package, program_of};

/// How long an engine may take to answer a ping.
const PING_PATIENCE: Duration = Duration::from_secs(5);
/// How long a private engine may take to start, and to end.
const START_PATIENCE: Duration = Duration::from_secs(60);
const END_PATIENCE: Duration = Duration::from_secs(30);

/// A container engine that answers.
pub(crate) struct Engine {
    host: String,
    /// Ended when this is dropped.
    _private: Option<Private>,
}

impl Engine {
    /// The engine that the environment names, the machine's own, or a private one; an error says why there is none.
    pub(crate) fn find() -> Result<Self> {
        let named = ["HALLMARK_TEST_DOCKER_HOST", "DOCKER_HOST"].map(|name| std::env::var(name).ok());
        let machines = Some("unix:///var/run/docker.sock".to_owned());
        let hosts = named.into_iter().chain([machines]).flatten();
        if let Some(host) = hosts.into_iter().find(|host| answers(host)) {
            package("busybox", "busybox-static").context("images for tests are made of busybox")?;
            println!("container engine: {host}");
            return Ok(Self { host, _private: None });
        }
        packages()?;
        let private = Private::start()?;
        let host = private.host();
        println!("container engine: a private dockerd at {host}");
        Ok(Self {
            host,
            _private: Some(private),
        })
    }

    /// Where it is, as `DOCKER_HOST` says it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// Whether an engine answers a ping there.
fn answers(host: &str) -> bool {
    fn ping(mut stream: impl std::io::Read + std::io::Write) -> std::io::Result<bool> {
        stream.write_all(b"GET /_ping HTTP/1.0\r\nhost: engine\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    }
    let patience = Some(PING_PATIENCE);
    let answer = match host.split_once("://") {
        Some(("unix", path)) => UnixStream::connect(path)
            .and_then(|stream| stream.set_read_timeout(patience).and_then(|()| ping(stream))),
        Some(("tcp", address)) => TcpStream::connect(address)
            .and_then(|stream| stream.set_read_timeout(patience).and_then(|()| ping(stream))),
        _ => Ok(false),
    };
    answer.unwrap_or(false)
}

/// A `dockerd` with a directory of its own.
struct Private {
    daemon: Child,
    dir: TempDir,
}

impl Private {
    fn start() -> Result<Self> {
        let dockerd = program_of("dockerd").context("dockerd is not installed")?;
        // Where the default storage cannot be used, as on some file systems, plain copies can.
        Self::with(&dockerd, &[]).or_else(|_| Self::with(&dockerd, &["--storage-driver=vfs"]))
    }

    fn with(dockerd: &Path, more: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        let log = File::create(at("log"))?;
        // It ends with this process, also when that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(dockerd);
        for (option, name) in [
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(option).arg(at(name));
        }
        command.arg("--host").arg(host_of(dir.path())).args(more);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let daemon = command.spawn().context("setpriv could not be started")?;
        let mut this = Self { daemon, dir };
        this.wait_for_start()?;
        Ok(this)
    }

    fn wait_for_start(&mut self) -> Result<()> {
        let begun = Instant::now();
        while !answers(&self.host()) {
            if let Some(status) = self.daemon.try_wait()? {
                bail!("dockerd ended with {status}: {}", self.last_words());
            }
            if begun.elapsed() > START_PATIENCE {
                bail!("dockerd did not answer: {}", self.last_words());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn host(&self) -> String {
        host_of(self.dir.path())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.lines().last().unwrap_or_default().to_owned()
    }

    fn end(&mut self) -> Result<()> {
        let begun = Instant::now();
        let pid = Pid::from_child(&self.daemon);
        while self.daemon.try_wait()?.is_none() {
            if begun.elapsed() > END_PATIENCE {
                self.daemon.kill()?;
                self.daemon.wait()?;
            } else if begun.elapsed() < Duration::from_millis(50) {
                kill_process(pid, Signal::TERM)?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Err(why) = self.end() {
            println!("the private dockerd did not end: {why:#}");
        }
        // Its own mounts outlive it, and what is mounted cannot be removed; the directory itself is removed after this.
        for mount in mounts_below(self.dir.path()) {
            let _ = Command::new("umount").arg("--lazy").arg(mount).status();
        }
    }
}

/// What the container tests need of the machine, installed if it is missing and this may be done.
fn packages() -> Result<()> {
    if !geteuid().is_root() {
        bail!("none answers, and only root can start a private one");
    }
    package("dockerd", "docker.io")?;
    package("busybox", "busybox-static")
}

fn host_of(dir: &Path) -> String {
    format!("unix://{}", dir.join("docker.sock").display())
}

/// What is mounted below a directory, the last first.
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let mut table = String::new();
    let read = File::open("/proc/self/mounts").and_then(|mut file| file.read_to_string(&mut table));
    if read.is_err() {
        return Vec::new();
    }
    let points = table.lines().filter_map(|line| line.split(' ').nth(1));
    let mut found: Vec<PathBuf> = points
        .map(PathBuf::from)
        .filter(|point| point.starts_with(dir))
        .collect();
    found.reverse();
    found
}
