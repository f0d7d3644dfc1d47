//! `cargo xtask test`: the tests, with what they need started for them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};

use crate::engine::Engine;
use crate::migrations::Throwaway;
use crate::packages::{self, program_of};
use crate::shell::{cargo, run as run_command, target};
use crate::{demo, tools};

/// How many tests run at a time for each processor: most of them wait for a server, a lease or a container.
const TESTS_PER_PROCESSOR: usize = 2;
/// The tests that run hooks as local processes, which CI runs without bubblewrap too. `runner-process` runs its own under both.
const HOOK_TESTS: [&str; 4] = ["pulls::", "main_job::", "quakes::", "depositions::"];

/// What tests need besides their own programs. It ends with this value.
pub(crate) struct Needs {
    database: Throwaway,
    engine: Option<Engine>,
    left_out: PathBuf,
}

/// Tests and parts of tests that were left out, for the end of a run.
static LEFT_OUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes that something was left out; under `HALLMARK_CI_STRICT=1` it is an error.
pub(crate) fn note_left_out(what: String) -> Result<()> {
    if tools::strict() {
        bail!("{what}; HALLMARK_CI_STRICT=1 asks for every check");
    }
    println!("left out: {what}");
    if let Ok(mut all) = LEFT_OUT.lock() {
        all.push(what);
    }
    Ok(())
}

/// Everything that was left out so far.
pub(crate) fn left_out() -> Vec<String> {
    LEFT_OUT.lock().map(|all| all.clone()).unwrap_or_default()
}

impl Needs {
    /// Starts them, and builds the programs that are tested.
    pub(crate) fn start() -> Result<Self> {
        let database = Throwaway::start()?;
        let engine = match Engine::find() {
            Ok(engine) => Some(engine),
            Err(why) => {
                note_left_out(format!("tests in containers ({why:#})"))?;
                None
            }
        };
        if let Err(why) = packages::browser() {
            note_left_out(format!("the pages in a browser ({why:#})"))?;
        }
        if let Err(why) = packages::package("bwrap", "bubblewrap") {
            note_left_out(format!("hooks in bubblewrap ({why:#})"))?;
        }
        if program_of("slirp4netns").is_none()
            && let Err(why) = packages::package("pasta", "passt")
        {
            note_left_out(format!("ingesters with a network of their own ({why:#})"))?;
        }
        if let Err(why) = packages::package("pgbouncer", "pgbouncer") {
            note_left_out(format!("databases behind PgBouncer ({why:#})"))?;
        }
        demo::build()?;
        let left_out = target().join("tests-left-out.txt");
        let _ = std::fs::remove_file(&left_out);
        Ok(Self {
            database,
            engine,
            left_out,
        })
    }

    fn tell(&self, command: &mut Command) -> Result<()> {
        command
            .env("HALLMARK_TEST_DATABASE_URL", self.database.database("postgres")?)
            .env("HALLMARK_TEST_BINARIES", target().join("debug"))
            .env("HALLMARK_TEST_LEFT_OUT", &self.left_out)
            .env("SQLX_OFFLINE", "true")
            .env_remove("DATABASE_URL");
        if let Some(engine) = &self.engine {
            command.env("HALLMARK_TEST_DOCKER_HOST", engine.host());
        }
        Ok(())
    }

    /// Takes over what the test programs wrote down.
    fn collect(&self) -> Result<()> {
        let text = std::fs::read_to_string(&self.left_out).unwrap_or_default();
        let _ = std::fs::remove_file(&self.left_out);
        text.lines().try_for_each(|line| note_left_out(line.to_owned()))
    }

    /// Runs the tests whose names contain one of `filters`, or all of them.
    pub(crate) fn run(&self, filters: &[String], sandbox: Option<&str>, package: Option<&str>) -> Result<()> {
        let threads = std::thread::available_parallelism()?.get() * TESTS_PER_PROCESSOR;
        let mut command = if has_nextest() {
            let mut command = cargo(&["nextest", "run", "--locked", "--no-fail-fast", "--no-tests=fail"]);
            command.args(["--test-threads", &threads.to_string()]);
            if filters.is_empty() && package.is_none() {
                command.args(["--profile", "ci"]);
            }
            command
        } else {
            let mut command = cargo(&["test", "--locked", "--no-fail-fast", "--lib", "--bins", "--tests"]);
            // The harness takes one filter before `--` and more after it.
            command.env("RUST_TEST_THREADS", threads.to_string());
            command
        };
        match package {
            // One package alone would be built anew, with the features that only it asks for.
            Some(package) if has_nextest() => {
                command.args(["--workspace", "--filterset", &format!("package({package})")]);
            }
            Some(package) => {
                command.args(["--package", package]);
            }
            None => {
                command.arg("--workspace");
            }
        }
        if has_nextest() {
            command.args(filters);
        } else {
            command.arg("--").args(filters);
        }
        if let Some(sandbox) = sandbox {
            command.env("HALLMARK_TEST_SANDBOX", sandbox);
        }
        self.tell(&mut command)?;
        run_command(&mut command)?;
        self.collect()
    }

    /// The tests of hooks as local processes once more, without bubblewrap, if the first run had it.
    pub(crate) fn run_without_sandbox(&self) -> Result<()> {
        if program_of("bwrap").is_none() {
            println!("there is no bubblewrap: the run before was without it");
            return Ok(());
        }
        let filters = HOOK_TESTS.map(str::to_owned);
        self.run(&filters, Some("never"), Some("blackbox"))
    }
}

/// Runs the examples in the documentation, which nextest does not.
pub(crate) fn documentation() -> Result<()> {
    let mut command = cargo(&["test", "--workspace", "--doc", "--locked", "--quiet"]);
    command.env("SQLX_OFFLINE", "true").env_remove("DATABASE_URL");
    run_command(&mut command)
}

/// Builds every test program.
pub(crate) fn build() -> Result<()> {
    let mut command = if has_nextest() {
        cargo(&["nextest", "run", "--workspace", "--locked", "--no-run"])
    } else {
        cargo(&[
            "test",
            "--workspace",
            "--locked",
            "--no-run",
            "--lib",
            "--bins",
            "--tests",
        ])
    };
    command.env("SQLX_OFFLINE", "true").env_remove("DATABASE_URL");
    run_command(&mut command)
}

/// `cargo xtask test`: with filters, only what they need is started.
pub(crate) fn run(filters: &[String], sandbox: Option<&str>, package: Option<&str>) -> Result<()> {
    let needs = Needs::start().context("what the tests need")?;
    needs.run(filters, sandbox, package)?;
    let left_out = left_out();
    if !left_out.is_empty() {
        println!("left out:\n  {}", left_out.join("\n  "));
    }
    Ok(())
}

fn has_nextest() -> bool {
    let mut version = cargo(&["nextest", "--version"]);
    version.env("CARGO_TERM_QUIET", "true");
    version.output().is_ok_and(|output| output.status.success())
        && std::env::var_os("HALLMARK_CI_WITHOUT_NEXTEST") != Some(OsString::from("1"))
}
