//! What the tests of this crate share: a work root, hooks written as scripts, and the ways to run them.
#![expect(dead_code, reason = "each test file uses its own part")]
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though not all of them functions with #[test]"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use domain::{Digest, Limits, ReleaseId, RunId, TaskId};
use ports::{Attempt, HookJob, HookRecord, PullJob, Runner as _};
use runner_process::{
    IngesterNetwork, ProcessRunner, ProcessRunnerOptions, SandboxKind, SupervisorProgram, UseSandbox,
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Names the supervisor, where its usual place is closed to the user of the tests.
const SUPERVISOR: &str = "HALLMARK_TEST_SUPERVISOR";
/// The user of the tests that run once more: no user of a usual machine, and none of hooks. Every container has it.
const ORDINARY_USER: u32 = 61_000;

/// A directory that hooks can reach, with the hooks' images beside the work root.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn work_root(&self) -> PathBuf {
        self.path().join("work")
    }

    /// A file that any hook may write, where there is no sandbox.
    pub(crate) fn writable(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        path
    }

    /// An image that is this shell script.
    pub(crate) fn script(&self, body: &str) -> Image {
        let path = self.path().join(format!("{}.sh", uuid::Uuid::new_v4()));
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        Image::of(&path)
    }

    /// An image that is this program in Perl, if the machine has that where hooks see it.
    pub(crate) fn perl(&self, body: &str) -> Option<Image> {
        let interpreter = "/usr/bin/perl";
        if !Path::new(interpreter).exists() {
            test_needs::left_out(interpreter);
            return None;
        }
        let path = self.path().join(format!("{}.pl", uuid::Uuid::new_v4()));
        fs::write(&path, format!("#!{interpreter}\n{body}\n")).unwrap();
        Some(Image::of(&path))
    }

    pub(crate) fn attempts_left(&self) -> usize {
        fs::read_dir(self.work_root()).unwrap().count()
    }
}

pub(crate) struct Image {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
}

impl Image {
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            digest: Digest::from_sha256(Sha256::digest(fs::read(path).unwrap()).into()),
        }
    }
}

pub(crate) fn options(place: &Place) -> ProcessRunnerOptions {
    ProcessRunnerOptions {
        sandbox: UseSandbox::Auto,
        // Trying out another one takes its time; the tests of that set it.
        ingester_network: IngesterNetwork::Host,
        ..ProcessRunnerOptions::new(place.work_root())
    }
}

pub(crate) fn supervisor() -> SupervisorProgram {
    SupervisorProgram {
        path: std::env::var_os(SUPERVISOR)
            .map_or_else(|| env!("CARGO_BIN_EXE_hook-supervisor").into(), PathBuf::from),
        arguments: vec![],
    }
}

/// The same options for every kind of sandbox that this machine has.
pub(crate) fn every_sandbox(options: &ProcessRunnerOptions) -> Vec<(&'static str, ProcessRunner)> {
    let kinds = [
        ("bwrap", SandboxKind::Bubblewrap, Some(supervisor())),
        ("landlock", SandboxKind::Landlock, Some(supervisor())),
    ];
    let runners = kinds.map(|(way, kind, supervisor)| {
        let options = ProcessRunnerOptions {
            sandbox: UseSandbox::Auto,
            kinds: vec![kind],
            supervisor,
            ..options.clone()
        };
        (way, ProcessRunner::new(options).unwrap())
    });
    let mut ways: Vec<_> = runners.into();
    ways.retain(|(way, runner)| {
        if !runner.is_sandboxed() {
            test_needs::left_out(&format!("a machine where the sandbox {way} works"));
        }
        runner.is_sandboxed()
    });
    ways
}

/// The same options for every way in which this machine can run hooks.
pub(crate) fn every_way(options: &ProcessRunnerOptions) -> Vec<(&'static str, ProcessRunner)> {
    let mut ways = every_sandbox(options);
    let none = ProcessRunnerOptions {
        sandbox: UseSandbox::None,
        ..options.clone()
    };
    ways.push((
        "supervised",
        ProcessRunner::new(ProcessRunnerOptions {
            supervisor: Some(supervisor()),
            ..none.clone()
        })
        .unwrap(),
    ));
    ways.push(("direct", ProcessRunner::new(none).unwrap()));
    ways
}

pub(crate) fn job(image: &Image) -> HookJob {
    HookJob {
        run: RunId::from_uuid(uuid::Uuid::new_v4()),
        hook: "the_hook".parse().unwrap(),
        release: ReleaseId::from_uuid(uuid::Uuid::new_v4()),
        image: format!("file:{}", image.path.display()),
        digest: image.digest.clone(),
        config: Map::new(),
        limits: Limits::parse(20, "512m", "2").unwrap(),
        files: None,
        records: vec![record("a:1@2", json!({"x": 1})), record("b", json!({"y": "ü"}))],
    }
}

/// A pull from this ingester.
pub(crate) fn pull_job(image: &Image) -> PullJob {
    PullJob {
        task: TaskId::from_uuid(uuid::Uuid::new_v4()),
        convention: "the-convention".parse().unwrap(),
        image: format!("file:{}", image.path.display()),
        digest: image.digest.clone(),
        config: Map::new(),
        limits: Limits::parse(60, "512m", "2").unwrap(),
        session: None,
        limit: 7,
        since: None,
        offset: 0,
    }
}

pub(crate) fn record(id: &str, metadata: Value) -> HookRecord {
    let Value::Object(metadata) = metadata else {
        panic!("an object")
    };
    HookRecord {
        id: id.parse().unwrap(),
        metadata,
        size_hint_mb: 0.5,
    }
}

pub(crate) fn limited(image: &Image, seconds: i64, memory: &str, cpu: &str) -> HookJob {
    HookJob {
        limits: Limits::parse(seconds, memory, cpu).unwrap(),
        ..job(image)
    }
}

pub(crate) async fn run(runner: &ProcessRunner, job: &HookJob) -> Attempt {
    runner.run(job).await.unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many processes have this word among their arguments.
pub(crate) fn processes_with(word: &str) -> usize {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_str().unwrap_or("").parse::<u32>().is_ok());
    pids.filter(|e| {
        fs::read(e.path().join("cmdline"))
            .unwrap_or_default()
            .split(|b| *b == 0)
            .any(|a| a == word.as_bytes())
    })
    .count()
}

/// A number of seconds that no other `sleep` on the machine has, so that this one can be found.
pub(crate) fn unusual_seconds() -> String {
    format!("100000.{:09}", uuid::Uuid::new_v4().as_u128() % 1_000_000_000)
}

/// Waits until the condition holds; panics after `seconds`.
pub(crate) async fn eventually(seconds: u64, what: &str, mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(seconds);
    while !condition() {
        assert!(Instant::now() < patience, "{what} within {seconds} s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs the tests of this program once more as an ordinary user, if they run as root: all but this one. As another user
/// than root they are that run already.
pub(crate) fn once_more_as_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    // Programs and files where that user reaches them.
    let copied = |path: &Path, name: &str| {
        let _lock = runner_workdir::writing();
        let copy = place.path().join(name);
        fs::copy(path, &copy).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
        copy
    };
    let tests = copied(&std::env::current_exe().unwrap(), "tests");
    let supervisor = copied(&supervisor().path, "supervisor");
    let temporary = place.writable("tmp");
    let left_out = temporary.join("left-out");
    let done = Command::new(tests)
        .args(["--skip", "as_an_ordinary_user", "--test-threads", "2"])
        .current_dir(&temporary)
        .env(SUPERVISOR, supervisor)
        .env("TMPDIR", &temporary)
        .env("HOME", &temporary)
        .env(test_needs::LEFT_OUT, &left_out)
        .env_remove("NEXTEST_TEST_NAME")
        // This also drops every supplementary group.
        .uid(ORDINARY_USER)
        .gid(ORDINARY_USER)
        .output()
        .unwrap();
    let (out, errors) = (text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "{}:\n{out}\n{errors}", done.status);
    assert!(
        out.contains("test result: ok. ") && !out.contains(" 0 passed"),
        "{out}"
    );
    for line in fs::read_to_string(&left_out).unwrap_or_default().lines() {
        test_needs::left_out(&format!("as an ordinary user, {line}"));
    }
}
