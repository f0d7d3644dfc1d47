//! `cargo xtask ci`: every check, in the order in which they fail fastest.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::engine::Engine;
use crate::migrations::Throwaway;
use crate::shell::{cargo, run as run_command, target};
use crate::{clients, demo, exports, fuzz, layers, migrations, openapi, packages};

/// The version of sqlx-cli, which must be that of sqlx.
const SQLX_CLI: &str = "0.9.0";

type Step = (&'static str, fn() -> Result<()>);

/// Runs every check; the first that fails ends it.
pub(crate) fn run() -> Result<()> {
    let steps: &[Step] = &[
        ("layers", layers::check),
        ("format", || run_command(&mut cargo(&["fmt", "--all", "--check"]))),
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
        ("sqlx prepare --check", || sqlx(false)),
        ("tests", tests),
        ("openapi", || openapi::run(true)),
        ("clients", clients::run),
        ("exports", exports::run),
        ("fuzz", || fuzz::run(true)),
        ("demo", || demo::run(false)),
    ];
    let begun = Instant::now();
    for (name, step) in steps {
        println!("\n=== {name}");
        let step_begun = Instant::now();
        step().with_context(|| format!("{name} failed"))?;
        println!("=== {name}: {:.0} s", step_begun.elapsed().as_secs_f64());
    }
    println!(
        "\nall {} checks passed in {:.0} s",
        steps.len(),
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

/// All tests, on one throwaway PostgreSQL and one container engine that they share; each makes its own database and containers.
fn tests() -> Result<()> {
    let server = Throwaway::start()?;
    let url = server.database("postgres")?;
    let engine = Engine::find();
    if let Err(why) = packages::browser() {
        println!("the pages are not looked at in a browser: {why:#}");
    }
    demo::build()?;
    let mut command = offline(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.env("HALLMARK_TEST_DATABASE_URL", url);
    if let Some(engine) = &engine {
        command.env("HALLMARK_TEST_DOCKER_HOST", engine.host());
    }
    run_command(&mut command)
}

/// `cargo sqlx prepare`, on a throwaway PostgreSQL.
pub(crate) fn sqlx(write: bool) -> Result<()> {
    let tools = sqlx_cli()?;
    let server = Throwaway::start()?;
    let url = server.database("prepare")?;
    let sqlx = tools.join("sqlx");
    let migrations = crate::shell::root().join("migrations");
    run_command(
        Command::new(&sqlx)
            .args(["migrate", "run", "--source"])
            .arg(&migrations)
            .env("DATABASE_URL", &url),
    )?;
    let path = std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    )))?;
    // The macros are in one crate; checking it alone leaves everything else built as it is.
    let mut prepare = cargo(&["sqlx", "prepare"]);
    prepare
        .current_dir(crate::shell::root().join("crates/postgres-adapter"))
        .env("PATH", path)
        .env("DATABASE_URL", &url)
        .env_remove("SQLX_OFFLINE");
    if !write {
        prepare.arg("--check");
    }
    prepare.args(["--", "--all-features"]);
    run_command(&mut prepare)
}

/// The directory of sqlx-cli of our version; it is installed below `target` if it is not there.
fn sqlx_cli() -> Result<PathBuf> {
    let own = target().join("tools/bin");
    let is_ours = |dir: &PathBuf| {
        let version = Command::new(dir.join("sqlx")).arg("--version").output().ok();
        dir.join("cargo-sqlx").is_file()
            && version.is_some_and(|v| String::from_utf8_lossy(&v.stdout).trim().ends_with(SQLX_CLI))
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path);
    if let Some(dir) = std::iter::once(own.clone()).chain(on_path).find(is_ours) {
        return Ok(dir);
    }
    println!("installing sqlx-cli {SQLX_CLI} into {}", own.display());
    let root = target().join("tools");
    let mut install = Command::new(env!("CARGO"));
    install
        .args([
            "install",
            "--debug",
            "--locked",
            "--version",
            SQLX_CLI,
            "--no-default-features",
            "--features",
            "postgres",
            "--root",
        ])
        .arg(&root)
        .arg("sqlx-cli");
    install.env("CARGO_TARGET_DIR", root.join("build"));
    run_command(&mut install)?;
    if is_ours(&own) {
        Ok(own)
    } else {
        bail!(
            "sqlx-cli {SQLX_CLI} was installed and is not in {}",
            own.display()
        )
    }
}
