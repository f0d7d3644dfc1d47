//! An engine that only talks: it says of a container that SIGKILL has ended it, and leaves open why, as real ones do now and then.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use domain::FailureKind;
use ports::Runner as _;
use runner_docker::{DockerRunner, DockerRunnerOptions};
use serde_json::{Value, json};

use super::{Image, job, pull_job, text};

const NEVER: usize = usize::MAX;
/// What engines say of a time that they do not know.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// What it says of every container.
pub(crate) struct Fake {
    status: i64,
    /// How often it is asked how the container ended before it says that memory ran out.
    silent: usize,
    /// What happened to the container; without it, a proxy before the engine keeps that to itself.
    events: Option<Vec<Value>>,
    asked: AtomicUsize,
    /// It says no time of the container's end, and takes long to give its log.
    vague: bool,
}

impl Fake {
    /// An engine whose container ended with this status, and whose events are not available.
    pub(crate) const fn ended(status: i64) -> Self {
        Self {
            status,
            silent: NEVER,
            events: None,
            asked: AtomicUsize::new(0),
            vague: false,
        }
    }

    /// It does not say when a container ended, and takes 3 s to give its log.
    pub(crate) fn vague(self) -> Self {
        Self { vague: true, ..self }
    }

    /// It says that memory ran out, but only when it is asked for the `n`-th time after the first.
    pub(crate) fn knows_late(self, n: usize) -> Self {
        Self { silent: n, ..self }
    }

    /// These are the events of the container: actions, and the signal of each `kill`.
    pub(crate) fn tells(self, events: &[(&str, &str)]) -> Self {
        let event = |(action, signal): &(&str, &str)| {
            json!({"Type": "container", "Action": action, "time": 1_764_000_000,
                "Actor": {"ID": "c", "Attributes": {"name": "hallmark-c", "signal": signal}}})
        };
        let events = Some(events.iter().map(event).collect());
        Self { events, ..self }
    }

    /// How long a hook ran on this engine, in the runner's view.
    pub(crate) async fn duration(self) -> Duration {
        let dir = tempfile::tempdir().unwrap();
        let (runner, image) = self.runner(dir.path()).await;
        runner.run(&job(&image)).await.unwrap().duration
    }

    async fn runner(self, dir: &Path) -> (DockerRunner, Image) {
        let (host, image) = self.listen(&dir.join("socket"));
        let options = DockerRunnerOptions {
            docker_host: Some(host),
            ..DockerRunnerOptions::new(dir.join("work"), "the-owner")
        };
        (DockerRunner::new(options).await.unwrap(), image)
    }

    /// How a hook and then an ingester ended on this engine, in the runner's view, and the hook's log.
    pub(crate) async fn run(self) -> (Option<FailureKind>, Option<FailureKind>, String) {
        let dir = tempfile::tempdir().unwrap();
        let (runner, image) = self.runner(dir.path()).await;
        let hook = runner.run(&job(&image)).await.unwrap();
        let ingester = runner.pull(&pull_job(&image)).await.unwrap();
        (hook.failure, ingester.failure, text(&hook.log))
    }

    /// Listens on a socket, for as long as the test's process lives. Gives its `DOCKER_HOST` and an image that it has.
    fn listen(self, socket: &Path) -> (String, Image) {
        let listener = UnixListener::bind(socket).unwrap();
        let this = Arc::new(self);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let this = Arc::clone(&this);
                thread::spawn(move || this.answer(&client));
            }
        });
        let image = Image {
            reference: "localhost:1/fake:1".to_owned(),
            digest: id().parse().unwrap(),
        };
        (format!("unix://{}", socket.display()), image)
    }

    fn answer(&self, mut client: &UnixStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
        reader.read_line(&mut first)?;
        while reader.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        io::copy(&mut reader.take(length), &mut io::sink())?;
        let (status, body) = self.say(&first);
        write!(
            client,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn say(&self, first: &str) -> (&'static str, String) {
        let asks = |method: &str, part: &str| first.starts_with(method) && first.contains(part);
        let json = |value: &Value| ("200 OK", value.to_string());
        if asks("GET", "/_ping") {
            ("200 OK", "OK".to_owned())
        } else if asks("GET", "/version") {
            json(&json!({"Version": "0", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}))
        } else if asks("GET", "/images/") {
            json(&json!({"Id": id()}))
        } else if asks("POST", "/containers/create") {
            ("201 Created", json!({"Id": "c", "Warnings": []}).to_string())
        } else if asks("POST", "/wait") {
            json(&json!({"StatusCode": self.status}))
        } else if asks("POST", "/start") || asks("DELETE", "/containers/") {
            ("204 No Content", String::new())
        } else if asks("GET", "/logs") {
            if self.vague {
                thread::sleep(Duration::from_secs(3));
            }
            ("200 OK", String::new())
        } else if asks("GET", "/containers/") {
            // The first question is whether it was made of the right image.
            let late = self.asked.fetch_add(1, Ordering::Relaxed) > self.silent;
            json(&json!({"Id": "c", "Image": id(), "State": {
                "Status": "exited", "Running": false, "OOMKilled": late, "ExitCode": self.status,
                "StartedAt": if self.vague { NO_TIME } else { "2026-11-25T12:09:59.034574568Z" },
                "FinishedAt": if self.vague { NO_TIME } else { "2026-11-25T12:10:00.144289533Z" }
            }}))
        } else if asks("GET", "/events") {
            match &self.events {
                Some(events) => (
                    "200 OK",
                    events.iter().map(|event| format!("{event}\n")).collect(),
                ),
                None => ("403 Forbidden", "<html><h1>403</h1></html>".to_owned()),
            }
        } else {
            ("404 Not Found", json!({"message": first}).to_string())
        }
    }
}

fn id() -> String {
    format!("sha256:{}", "a".repeat(64))
}
