//! A server on a database of its own, and somebody who speaks to it.
#![allow(dead_code, reason = "each test program uses a part")]
#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

pub(crate) mod choices;
pub(crate) mod cluster;
pub(crate) mod engine;
pub(crate) mod parties;

use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::{Signer as _, SigningKey};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tempfile::TempDir;

pub(crate) const SECRET: &str = "osa-local-dev-jwt-secret-CHANGE-IN-PRODUCTION-not-suitable-for-real-use";

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The directory of the built binaries; they are built (or found up to date) once per test program.
pub(crate) fn binaries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .current_dir(root())
            .args([
                "build",
                "--quiet",
                "--locked",
                "--package",
                "server",
                "--package",
                "penguins-hooks",
            ])
            .env("SQLX_OFFLINE", "true")
            .status()
            .unwrap();
        assert!(built.success());
        // .../target/debug/deps/main_job-0123
        std::env::current_exe()
            .unwrap()
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .to_owned()
    })
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    })
}

/// A database, and a directory that other users can get through.
pub(crate) struct World {
    pub(crate) url: String,
    pool: PgPool,
    pub(crate) home: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let database = runtime()
            .block_on(postgres_adapter::testing::TestDatabase::new())
            .unwrap();
        Self {
            url: database.url,
            pool: database.pool,
            home: open_directory(),
        }
    }

    /// On a database that somebody else keeps; it is made if it is not there.
    pub(crate) fn at(url: &str) -> Self {
        let pool = runtime().block_on(async { PgPool::connect_lazy(url).unwrap() });
        Self {
            url: url.to_owned(),
            pool,
            home: open_directory(),
        }
    }

    /// A server in dev mode on this world's database; `name` is its data directory.
    pub(crate) fn serve(&self, name: &str) -> Server {
        self.serve_with(name, &[])
    }

    pub(crate) fn serve_with(&self, name: &str, more: &[(&str, &str)]) -> Server {
        let files = self.home.path().join("files");
        let mut all = vec![
            ("HALLMARK_STORAGE", files.to_str().unwrap()),
            ("HALLMARK_DEV_MODE", "true"),
            ("DATABASE_URL", self.url.as_str()),
            ("HALLMARK_WORKER__POLL_SECONDS", "0.2"),
            ("HALLMARK_HTTP__TABLE_POSTS_PER_MINUTE", "0"),
        ];
        all.extend(more);
        Server::start(&self.home.path().join(name), &all)
    }

    /// The one text that a query gives.
    #[expect(
        clippy::disallowed_methods,
        reason = "looks behind the API, to prove what is there or not"
    )]
    pub(crate) fn query(&self, statement: &'static str) -> String {
        runtime()
            .block_on(sqlx::query_scalar(statement).fetch_one(&self.pool))
            .unwrap()
    }

    /// Does something behind the API's back.
    pub(crate) fn execute(&self, statement: &str) {
        runtime()
            .block_on(sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&self.pool))
            .unwrap();
    }

    /// A transaction beside the servers', to be in their way.
    #[expect(clippy::disallowed_methods, reason = "no unit of work of ours; a test's own")]
    pub(crate) fn transaction(&self) -> Aside {
        Aside(runtime().block_on(self.pool.begin()).unwrap())
    }

    /// A hook that is a shell script; gives its path.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        path
    }
}

/// A transaction of a test's own.
pub(crate) struct Aside(sqlx::Transaction<'static, sqlx::Postgres>);

impl Aside {
    #[expect(clippy::disallowed_methods, reason = "a statement of a test's own")]
    pub(crate) fn execute(&mut self, statement: &'static str) {
        runtime()
            .block_on(sqlx::query(statement).execute(&mut *self.0))
            .unwrap();
    }

    pub(crate) fn commit(self) {
        runtime().block_on(self.0.commit()).unwrap();
    }
}

pub(crate) fn open_directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("hallmark-test-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir()
        .unwrap()
}

pub(crate) fn digest(file: &Path) -> String {
    let hex: String = Sha256::digest(std::fs::read(file).unwrap())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// A running `hallmark serve`. Dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) data: PathBuf,
}

impl Server {
    pub(crate) fn start(data: &Path, environment: &[(&str, &str)]) -> Self {
        match Self::try_start(data, environment) {
            Ok(server) => server,
            Err(told) => panic!("the server did not start:\n{told}"),
        }
    }

    /// A server, or what it said when it did not start.
    pub(crate) fn try_start(data: &Path, environment: &[(&str, &str)]) -> Result<Self, String> {
        let log = data.with_extension("log");
        let mut command = Command::new(binaries().join("hallmark"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap());
        command
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
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

    fn signal(&self, signal: Signal) {
        kill_process(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(),
            signal,
        )
        .unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// SIGTERM, and what it ended with.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap()
    }

    /// Somebody with this token, or nobody.
    pub(crate) fn with_token(&self, token: Option<String>) -> Client {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        Client {
            agent,
            base: self.url.clone(),
            token,
        }
    }

    /// The local administrator.
    pub(crate) fn admin(&self) -> Client {
        self.with_token(Some(user_token(&json!({}))))
    }

    pub(crate) fn nobody(&self) -> Client {
        self.with_token(None)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token of the local administrator, with some claims replaced.
pub(crate) fn user_token(claims: &Value) -> String {
    let mut all = json!({"sub": "00000000-0000-7000-8000-0000000000a1", "provider": "local", "external_id": "admin@osa.local", "aud": "authenticated", "iat": now(), "exp": now() + 3600});
    all.as_object_mut()
        .unwrap()
        .extend(claims.as_object().unwrap().clone());
    jsonwebtoken::encode(
        &jsonwebtoken::Header::default(),
        &all,
        &jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

/// An issuer of machine credentials in tests.
pub(crate) const ISSUER: &str = "https://ci.example.org";

/// The key pair that this seed gives.
pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Its public half in PEM.
pub(crate) fn public_pem(key: &SigningKey) -> String {
    key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
}

/// The claims of a machine's token, with some replaced.
pub(crate) fn machine_claims(claims: &Value) -> Value {
    let mut all =
        json!({"iss": ISSUER, "sub": "ci-bot", "aud": "https://localhost", "iat": now(), "exp": now() + 600});
    all.as_object_mut()
        .unwrap()
        .extend(claims.as_object().unwrap().clone());
    all
}

/// A token with any header and claims, signed with Ed25519.
pub(crate) fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// A machine's token of [`ISSUER`], with some claims replaced.
pub(crate) fn machine_token(key: &SigningKey, claims: &Value) -> String {
    signed(
        key,
        "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}",
        &machine_claims(claims).to_string(),
    )
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `Location` and `Set-Cookie`.
    pub(crate) location: Option<String>,
    pub(crate) set_cookie: Option<String>,
    pub(crate) content_type: String,
    pub(crate) www_authenticate: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The body, of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    #[track_caller]
    pub(crate) fn expect_empty(self, status: u16) {
        assert_eq!((self.status, self.text.as_str()), (status, ""));
    }

    /// The body of a problem with this status and code.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status, "{body}");
        body
    }
}

/// An answer with all of its headers.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    pub(crate) bytes: Vec<u8>,
}

impl Fetched {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }
}

pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: impl Read,
    ) -> Result<Answer, ureq::Error> {
        self.send_with(method, path, content_type, None, body)
    }

    pub(crate) fn send_with(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        cookie: Option<&str>,
        body: impl Read,
    ) -> Result<Answer, ureq::Error> {
        let path = if path.starts_with("/openapi") || path.starts_with("/docs") {
            path.to_owned()
        } else {
            format!("/api/v1{path}")
        };
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let mut body = body;
        let mut response = self
            .agent
            .run(request.body(ureq::SendBody::from_reader(&mut body)).unwrap())?;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned)
        };
        let (content_type, www_authenticate) = (
            header("content-type").unwrap_or_default(),
            header("www-authenticate"),
        );
        let (location, set_cookie) = (header("location"), header("set-cookie"));
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(200 << 20)
            .read_to_string()?;
        Ok(Answer {
            status,
            location,
            set_cookie,
            content_type,
            www_authenticate,
            text,
        })
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, std::io::empty()).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(
            "POST",
            path,
            Some("application/json"),
            body.to_string().as_bytes(),
        )
        .unwrap()
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, Some("application/json"), body.to_string().as_bytes())
            .unwrap()
    }

    /// `Content-Disposition` and the bytes of a file.
    pub(crate) fn send_raw(&self, path: &str) -> (Option<String>, Vec<u8>) {
        let request = ureq::http::Request::builder()
            .uri(format!("{}/api/v1{path}", self.base))
            .header(
                "authorization",
                format!("Bearer {}", self.token.as_deref().unwrap_or_default()),
            );
        let mut response = self.agent.run(request.body(()).unwrap()).unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let name = response.headers().get("content-disposition");
        let name = name.and_then(|v| v.to_str().ok()).map(str::to_owned);
        (name, response.body_mut().read_to_vec().unwrap())
    }

    /// Any request to any path of the server, with the headers of its answer and the bytes as they came; an answer that breaks off is an
    /// error.
    pub(crate) fn fetch(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Fetched, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = self.agent.run(request.body(body.to_owned()).unwrap())?;
        let headers = response.headers().iter().fold(
            std::collections::BTreeMap::<String, String>::new(),
            |mut all, (name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                // A header that comes twice is a list (RFC 9110 5.3).
                all.entry(name.to_string())
                    .and_modify(|there| {
                        there.push_str(", ");
                        there.push_str(&value);
                    })
                    .or_insert(value);
                all
            },
        );
        Ok(Fetched {
            status: response.status().as_u16(),
            headers,
            bytes: response.body_mut().with_config().limit(500 << 20).read_to_vec()?,
        })
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None, std::io::empty()).unwrap()
    }

    pub(crate) fn push(&self, path: &str, content_type: &str, body: &str) -> Answer {
        self.send("POST", path, Some(content_type), body.as_bytes())
            .unwrap()
    }

    /// Opens a run; gives its id.
    pub(crate) fn open(&self, convention: &str, batch_size: u32) -> String {
        let opened = self
            .post(
                "/ingestions",
                &json!({"convention_id": convention, "mode": "push", "batch_size": batch_size}),
            )
            .expect(201);
        opened["id"].as_str().unwrap().to_owned()
    }

    /// Pushes JSON Lines.
    pub(crate) fn push_lines(&self, run: &str, lines: &str) -> Value {
        self.push(
            &format!("/ingestions/{run}/records"),
            "application/x-ndjson",
            lines,
        )
        .expect(200)
    }

    /// Closes a run and waits until it is over.
    pub(crate) fn finish(&self, run: &str) -> Value {
        self.post(&format!("/ingestions/{run}/close"), &json!({}))
            .expect(200);
        self.wait(run)
    }

    pub(crate) fn wait(&self, run: &str) -> Value {
        let begun = Instant::now();
        loop {
            let detail = self.get(&format!("/ingestions/{run}")).expect(200);
            if detail["status"] == "completed" || detail["status"] == "failed" {
                return detail;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "the run does not end: {detail}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Every row of a table, page by page.
    pub(crate) fn rows(&self, table: &str, limit: u32) -> Vec<Value> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self
                .get(&format!("/data/{table}?limit={limit}{cursor}"))
                .expect(200);
            rows.extend(page["rows"].as_array().unwrap().clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }
}

/// The deploy body of the penguins, with the built hooks.
pub(crate) fn penguins() -> Value {
    let mut text = std::fs::read_to_string(root().join("examples/penguins/convention.json")).unwrap();
    for hook in ["check_penguin", "penguin_shape"] {
        text = text.replace(&format!("@DIGEST_{hook}@"), &digest(&binaries().join(hook)));
    }
    text = text
        .replace("@BIN@", binaries().to_str().unwrap())
        .replace("@SOURCE_REF@", "git:0123abc");
    serde_json::from_str(&text).unwrap()
}

/// Pushes the penguins to a run.
pub(crate) fn push_penguins(client: &Client, run: &str) -> Answer {
    let csv = std::fs::read_to_string(root().join("examples/penguins/penguins-raw.csv")).unwrap();
    client.push(
        &format!("/ingestions/{run}/records?source_id=Species,Sample%20Number&null_values=NA"),
        "text/csv",
        &csv,
    )
}

/// A small convention: a text and a number, and hooks given as (name, script).
pub(crate) fn small(title: &str, schema: &str, hooks: &[(&str, &Path)]) -> Value {
    let column =
        |name: &str, json_type: &str| json!({"name": name, "json_type": json_type, "required": false});
    let hook = |(name, file): &(&str, &Path)| {
        json!({
            "name": name, "config": {}, "limits": {"timeout_seconds": 20, "memory": "256m", "cpu": "1"},
            "feature": {"kind": "table", "cardinality": "many", "columns": [column("note", "string"), column("size", "number")]},
            "release": {"image": format!("file:{}", file.display()), "digest": digest(file), "source_ref": "git:1"},
        })
    };
    let field = |name: &str, kind: &str, required: bool| json!({"name": name, "type": kind, "required": required, "cardinality": "exactly_one"});
    json!({
        "title": title, "description": "d", "file_requirements": {"accepted_types": [], "max_count": 0},
        "schema": {"id": schema, "version": "1.0.0", "fields": [field("label", "text", true), field("mass", "number", false)]},
        "hooks": hooks.iter().map(hook).collect::<Vec<_>>(),
        "docs": {"purpose": "p", "example_questions": ["a?", "b?"], "examples": [{"question": "c?", "query": "q", "interpretation": "i"}]},
    })
}

/// The `ingester` of a deploy body: a script, with what else it has.
pub(crate) fn ingester(file: &Path, more: &Value) -> Value {
    let mut all = json!({
        "name": "ingester", "limits": {"timeout_seconds": 20, "memory": "256m", "cpu": "1"},
        "release": {"image": format!("file:{}", file.display()), "digest": digest(file), "source_ref": "git:9"},
    });
    all.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    all
}

/// A script that gives `config.total` records, each with a file, as many at a time as it may, and keeps its place in its session.
pub(crate) const COUNTING: &str = r#"
total=$(sed -e 's/.*"total":\([0-9]*\).*/\1/' "$OSA_IN/config.json")
at=0; [ -f "$OSA_IN/session.json" ] && at=$(sed -e 's/.*"at":\([0-9]*\).*/\1/' "$OSA_IN/session.json")
n=0
while [ $n -lt "$OSA_LIMIT" ] && [ $at -lt "$total" ]; do
  id="r:$at@x"
  mkdir "$OSA_FILES/$id"; echo "file of $at" > "$OSA_FILES/$id/data.txt"
  echo "{\"source_id\":\"$id\",\"metadata\":{\"label\":\"l$at\",\"mass\":$at},\"files\":[{\"name\":\"data.txt\",\"relative_path\":\"$id/data.txt\",\"size_mb\":0.1}]}"
  at=$((at+1)); n=$((n+1))
done > "$OSA_OUT/records.jsonl"
[ $at -lt "$total" ] && echo "{\"at\":$at}" > "$OSA_OUT/session.json"
exit 0"#;

/// A script that passes every record with one row, whose note is what the record's file says.
pub(crate) const READ_FILES: &str = r#"
sed -e 's/^{"id":"\([^"]*\)".*/\1/' "$OSA_IN/records.jsonl" | while read -r id; do
  echo "{\"id\":\"$id\",\"features\":[{\"note\":\"$(cat "$OSA_FILES/$id/data.txt")\",\"size\":1}]}"
done > "$OSA_OUT/features.jsonl""#;

/// A script that passes every record with one row.
pub(crate) const PASS: &str = r#"sed -e 's/^{"id":"\([^"]*\)".*/{"id":"\1","features":[{"note":"\1","size":1.5}]}/' "$OSA_IN/records.jsonl" > "$OSA_OUT/features.jsonl""#;
