//! `cargo xtask ci`: every check. What only waits runs beside what computes; the rest in the order in which it fails fastest.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::shell::{cargo, run as run_command, target};
use crate::tests::{self, Needs};
use crate::{clients, demo, dependencies, exports, fuzz, layers, migrations, openapi, sqlx, tidy};

type Step = (&'static str, fn() -> Result<()>);

/// One part of the checks; the GitHub workflow runs them as jobs beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Layers, texts, format, lints, dependencies, migrations, documentation.
    Lint,
    /// The tests, in containers and a browser too.
    Test,
    /// The OpenAPI document, generated clients, exports, fuzzing, the demo.
    Product,
}

const LINT: &[Step] = &[
    ("layers", layers::check),
    ("tidy", tidy::check),
    ("format", || run_command(&mut cargo(&["fmt", "--all", "--check"]))),
    ("dependencies", dependencies::check),
    ("clippy", || {
        run_command(&mut offline(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ]))
    }),
    ("migrations", || migrations::run(None, false)),
    ("sqlx prepare --check", || sqlx::prepare(false)),
    ("rustdoc", || {
        let mut command = offline(&[
            "doc",
            "--workspace",
            "--no-deps",
            "--locked",
            "--document-private-items",
        ]);
        command.env("RUSTDOCFLAGS", "--deny warnings");
        run_command(&mut command)
    }),
];

const PRODUCT: &[Step] = &[
    ("openapi", || openapi::run(true)),
    ("clients", clients::run),
    ("exports", exports::run),
    ("fuzz", || fuzz::run(true)),
    ("demo", || demo::run(false)),
];

/// What each step took, in seconds.
#[derive(Default)]
struct Times(Vec<(&'static str, f64)>);

impl Times {
    fn step(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n=== {name}");
        let begun = Instant::now();
        step().with_context(|| format!("{name} failed"))?;
        let took = begun.elapsed().as_secs_f64();
        println!("=== {name}: {took:.0} s");
        self.0.push((name, took));
        Ok(())
    }

    fn steps(&mut self, steps: &[Step]) -> Result<()> {
        steps.iter().try_for_each(|(name, step)| self.step(name, step))
    }

    fn tests(&mut self, beside: Option<&mut Beside>) -> Result<()> {
        self.step("build the tests", tests::build)?;
        let needs = Needs::start().context("what the tests need")?;
        if let Some(beside) = beside {
            beside.start()?;
        }
        self.step("tests", || needs.run(&[], None, None))?;
        self.step("tests of hooks without bubblewrap", || {
            needs.run_without_sandbox()
        })?;
        self.step("examples in the documentation", tests::documentation)
    }
}

/// The checks of the running product, as a process beside the tests; what it prints is shown when it has ended.
#[derive(Default)]
struct Beside(Option<Child>);

impl Beside {
    fn log() -> std::path::PathBuf {
        target().join("ci-product.log")
    }

    fn start(&mut self) -> Result<()> {
        let log = File::create(Self::log())?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["ci", "product"]).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        println!("beside the tests: clients, exports, fuzzing and the demo");
        self.0 = Some(command.spawn().context("cargo xtask ci product")?);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let Some(mut child) = self.0.take() else {
            return Ok(());
        };
        let status = child.wait()?;
        println!("{}", std::fs::read_to_string(Self::log())?);
        if !status.success() {
            bail!("cargo xtask ci product ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It ends what it started when it is asked to; a second later it is ended.
            let _ = child.kill();
            let _ = child.wait();
            println!(
                "cargo xtask ci product was ended; {} is what it printed",
                Self::log().display()
            );
        }
    }
}

/// Runs every check, or one part; the first that fails ends it.
pub(crate) fn run(part: Option<Part>) -> Result<()> {
    let begun = Instant::now();
    let mut times = Times::default();
    match part {
        Some(Part::Lint) => times.steps(LINT)?,
        Some(Part::Test) => times.tests(None)?,
        Some(Part::Product) => times.steps(PRODUCT)?,
        None => {
            let mut beside = Beside::default();
            times.steps(LINT)?;
            // The document is looked at before much is made of it.
            times.step("openapi", || openapi::run(true))?;
            times.tests(Some(&mut beside))?;
            times.step("the product, beside the tests until here", || beside.finish())?;
        }
    }
    for (name, seconds) in &times.0 {
        println!("{seconds:>6.0} s  {name}");
    }
    let left_out = tests::left_out();
    if !left_out.is_empty() {
        println!("\nleft out ({}):\n  {}", left_out.len(), left_out.join("\n  "));
    }
    println!(
        "\nall {} checks passed in {:.0} s",
        times.0.len(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
/// A cargo command that takes the SQL's types from `.sqlx`, whatever `DATABASE_URL` says.
fn offline(arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    command.env("SQLX_OFFLINE", "true").env_remove("DATABASE_URL");
    command
}
