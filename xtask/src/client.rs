//! A running server, and the few calls that demo and bench make to it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// osa-py's development secret (WC-3).
const DEV_SECRET: &str = "osa-local-dev-jwt-secret-CHANGE-IN-PRODUCTION-not-suitable-for-real-use";

/// A `hallmark serve` that this process started; it is stopped when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// `http://127.0.0.1:port`.
    pub(crate) url: String,
}

impl Server {
    /// Starts a server in dev mode on its embedded PostgreSQL; its log goes to `log`.
    pub(crate) fn start(binary: &Path, data: &Path, log: &Path) -> Result<Self> {
        Self::start_with(binary, data, log, &[])
    }

    /// The same with these settings; with `DATABASE_URL`, on a PostgreSQL of the caller's.
    pub(crate) fn start_with(
        binary: &Path,
        data: &Path,
        log: &Path,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let errors = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        let mut command = Command::new(binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data);
        // Nothing of the caller's environment but what a program needs to run.
        command.env_clear().envs(
            std::env::vars_os()
                .filter(|(name, _)| matches!(name.to_str(), Some("PATH" | "HOME" | "TMPDIR" | "LANG"))),
        );
        command
            .env("OSA_DEV_MODE", "true")
            .env("HALLMARK_HTTP__TABLE_POSTS_PER_MINUTE", "0")
            .env("HALLMARK_LIMITS__LEDGER_PER_MINUTE", "0")
            .env("HALLMARK_LIMITS__INGEST_RUNS_PER_CALLER", "0")
            .env("HALLMARK_HTTP__QUERIES_PER_CLIENT", "0")
            .env("HALLMARK_HTTP__STREAMS_PER_CLIENT", "0")
            .env("HALLMARK_HTTP__CONNECTIONS_PER_ADDRESS", "0")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut child = command
            .spawn()
            .with_context(|| format!("{} could not be started", binary.display()))?;
        let mut line = String::new();
        let out = child.stdout.take().context("no standard output")?;
        BufReader::new(out)
            .read_line(&mut line)
            .context("the server's standard output cannot be read")?;
        match line.trim().strip_prefix("listening on ") {
            Some(url) => Ok(Self {
                url: url.to_owned(),
                child,
            }),
            None => {
                let _ = child.wait();
                let mut told = String::new();
                File::open(log)?.read_to_string(&mut told)?;
                bail!("the server did not start:\n{told}");
            }
        }
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.terminate()?;
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            bail!("the server ended with {status}")
        }
    }

    /// The most memory that it has held, in KiB (`VmHWM` of Linux).
    pub(crate) fn most_memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.context("no VmHWM")?.parse().context("VmHWM is no number")
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }

    fn terminate(&self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("a process id")?;
        kill_process(pid, Signal::TERM).context("the server could not be told to stop")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.terminate().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// A token of the local administrator, which a server in dev mode takes.
pub(crate) fn dev_token() -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({
        "sub": "00000000-0000-7000-8000-0000000000a1", "provider": "local", "external_id": "admin@osa.local",
        "aud": "authenticated", "iat": now, "exp": now + 86_400, "jti": format!("{now:032x}"),
    });
    let key = jsonwebtoken::EncodingKey::from_secret(DEV_SECRET.as_bytes());
    Ok(jsonwebtoken::encode(
        &jsonwebtoken::Header::default(),
        &claims,
        &key,
    )?)
}

/// Calls with a dev-mode token.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: String,
}

impl Client {
    /// A client of a server in dev mode, as its local administrator.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(10)))
            .build()
            .into();
        Ok(Self {
            agent,
            base: format!("{url}/api/v1"),
            token: dev_token()?,
        })
    }

    /// Its token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// `GET`.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let response = self
            .agent
            .get(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .call()?;
        Self::json(path, response)
    }

    /// `GET` of whatever is no JSON, or is to be kept as it came.
    pub(crate) fn text(&self, path: &str) -> Result<String> {
        let mut response = self
            .agent
            .get(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .call()?;
        let status = response.status();
        let text = response.body_mut().read_to_string()?;
        if status.is_success() {
            Ok(text)
        } else {
            bail!("{path} answered {status}: {text}")
        }
    }

    /// `POST` of JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let response = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .send_json(body)?;
        Self::json(path, response)
    }

    /// `POST` of a stream.
    pub(crate) fn push(&self, path: &str, content_type: &str, mut body: impl std::io::Read) -> Result<Value> {
        let request = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", content_type);
        Self::json(path, request.send(ureq::SendBody::from_reader(&mut body))?)
    }

    fn json(path: &str, mut response: ureq::http::Response<ureq::Body>) -> Result<Value> {
        let status = response.status();
        let value: Value = response
            .body_mut()
            .read_json()
            .with_context(|| format!("{path} answered {status} without JSON"))?;
        if status.is_success() {
            Ok(value)
        } else {
            bail!("{path} answered {status}: {}", value["detail"])
        }
    }

    /// Waits until an ingest run has ended; `seen` is told of every look.
    pub(crate) fn await_run(&self, id: &str, most: Duration, mut seen: impl FnMut(&Value)) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let run = self.get(&format!("/ingestions/{id}"))?;
            seen(&run);
            match run["status"].as_str() {
                Some("completed") => return Ok(run),
                Some("failed") => bail!("the ingest run failed: {}", run["failure_reason"]),
                _ if begun.elapsed() > most => bail!("the ingest run did not end within {most:?}: {run:#}"),
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

/// A count in an answer.
pub(crate) fn count(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}
