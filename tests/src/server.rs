//! A running server.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::client::Client;
use crate::tokens::user_token;
use crate::world::binaries;

/// A running `hallmark serve`. Dropped, it is killed.
pub struct Server {
    child: Child,
    pub url: String,
    pub data: PathBuf,
}

impl Server {
    pub fn start(data: &Path, environment: &[(&str, &str)]) -> Self {
        match Self::try_start(data, environment) {
            Ok(server) => server,
            Err(output) => panic!("the server did not start:\n{output}"),
        }
    }

    /// A server, or what it said when it did not start.
    pub fn try_start(data: &Path, environment: &[(&str, &str)]) -> Result<Self, String> {
        Self::try_start_by(&mut command(data, environment, 0), data)
    }

    /// The same by a command that becomes [`command`]'s process.
    pub fn try_start_by(command: &mut Command, data: &Path) -> Result<Self, String> {
        let log = data.with_extension("log");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        match line.trim_end().strip_prefix("listening on ") {
            Some(url) => Ok(Self {
                url: url.to_owned(),
                data: data.to_owned(),
                child,
            }),
            None => {
                assert!(!child.wait().unwrap().success());
                Err(std::fs::read_to_string(log).unwrap())
            }
        }
    }

    /// A server that prints to these streams. Its address is known without its word, and it is waited for until it answers.
    pub fn start_printing(
        data: &Path,
        environment: &[(&str, &str)],
        out: impl Into<Stdio>,
        err: impl Into<Stdio>,
    ) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let mut child = command(data, environment, port)
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended with {status}");
            }
            assert!(begun.elapsed() < Duration::from_mins(2), "it does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            url: format!("http://127.0.0.1:{port}"),
            data: data.to_owned(),
            child,
        }
    }

    /// The value of a line of `/metrics`, by all that comes before it.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.anonymous().fetch("GET", "/metrics", &[], "").unwrap().text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {series} in {text}"))
            .parse()
            .unwrap()
    }

    /// The most memory that it ever held, in bytes (proc(5), `VmHWM`).
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes: u64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes * 1024
    }

    fn signal(&self, signal: Signal) {
        kill_process(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(),
            signal,
        )
        .unwrap();
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// SIGTERM, and what it ended with.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap()
    }

    /// A client with this token, or without any.
    pub fn with_token(&self, token: Option<String>) -> Client {
        Client::new(&self.url, token)
    }

    /// The local administrator.
    pub fn admin(&self) -> Client {
        self.with_token(Some(user_token(&json!({}))))
    }

    /// A client without a token.
    pub fn anonymous(&self) -> Client {
        self.with_token(None)
    }
}

/// `hallmark serve` in this directory, with this environment and no other.
pub fn command(data: &Path, environment: &[(&str, &str)], port: u16) -> Command {
    let mut command = Command::new(binaries().join("hallmark"));
    command
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(data)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
