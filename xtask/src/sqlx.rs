//! `cargo xtask sqlx`: the SQL of the code, checked against the migrations.

use std::process::Command;

use anyhow::Result;

use crate::cargo_tools::CargoTool;
use crate::migrations::Throwaway;
use crate::shell::{cargo, root, run};

/// Its version must be that of sqlx.
const SQLX_CLI: CargoTool = CargoTool {
    package: "sqlx-cli",
    version: "0.9.0",
    programs: &["sqlx", "cargo-sqlx"],
    arguments: &["--no-default-features", "--features", "postgres"],
};

/// `cargo sqlx prepare`, on a throwaway PostgreSQL; only checks, unless `write`.
pub(crate) fn prepare(write: bool) -> Result<()> {
    let tools = SQLX_CLI.directory()?;
    let server = Throwaway::start()?;
    let url = server.database("prepare")?;
    run(Command::new(tools.join("sqlx"))
        .args(["migrate", "run", "--source"])
        .arg(root().join("migrations"))
        .env("DATABASE_URL", &url))?;
    let path = std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    )))?;
    // The macros are in one crate; checking it alone leaves everything else built as it is.
    let mut prepare = cargo(&["sqlx", "prepare"]);
    prepare
        .current_dir(root().join("crates/postgres-adapter"))
        .env("PATH", path)
        .env("DATABASE_URL", &url)
        .env_remove("SQLX_OFFLINE");
    if !write {
        prepare.arg("--check");
    }
    prepare.args(["--", "--all-features"]);
    run(&mut prepare)
}
