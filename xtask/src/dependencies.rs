//! `cargo xtask dependencies`: licences, sources and bans of what we depend on (cargo-deny), and dependencies that nothing uses
//! (cargo-machete). Advisories need a database from GitHub: the workflow there looks at them, and so does `--advisories`.

use anyhow::Result;

use crate::cargo_tools::CargoTool;
use crate::shell::run;

const DENY: CargoTool = CargoTool {
    package: "cargo-deny",
    version: "0.20.2",
    programs: &["cargo-deny"],
    arguments: &[],
};
const MACHETE: CargoTool = CargoTool {
    package: "cargo-machete",
    version: "0.9.2",
    programs: &["cargo-machete"],
    arguments: &[],
};

/// Checks all but the advisories.
pub(crate) fn check() -> Result<()> {
    println!("advisories are left to .github/workflows/ci.yml: their database is on GitHub");
    let mut deny = DENY.command()?;
    run(deny.args(["--log-level", "error", "check", "licenses", "bans", "sources"]))?;
    let mut machete = MACHETE.command()?;
    run(machete.args(["crates", "tests", "xtask", "examples"]))
}

/// Checks the advisories, with the database from GitHub.
pub(crate) fn advisories() -> Result<()> {
    let mut deny = DENY.command()?;
    run(deny.args(["check", "advisories"]))
}
