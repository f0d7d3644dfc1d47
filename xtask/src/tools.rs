//! Tools of other languages: installed below `target/tools` from pinned lists, and used again while the list is the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell::{output, run, target};

/// The least versions that the tools take.
const PYTHON: &str = "3.11";
const NODE: &str = "20";

/// A virtual environment with the packages of a requirements file; nothing where there is no Python for it.
pub(crate) fn python(name: &str, requirements: &Path) -> Result<Option<PathBuf>> {
    let asked = "import sys, venv, ensurepip; print('.'.join(map(str, sys.version_info[:3])))";
    let Some(version) = version("python3", &["-c", asked], PYTHON) else {
        return Ok(None);
    };
    let place = target().join("tools").join(name);
    install(&place, requirements, &version, || {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&place))?;
        run(Command::new(place.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--no-deps",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(requirements))
    })?;
    Ok(Some(place.join("bin")))
}

/// A directory with the `node_modules` of a lock file; nothing where there is no Node.js for it.
pub(crate) fn node(name: &str, package: &Path) -> Result<Option<PathBuf>> {
    let Some(version) =
        version("node", &["--version"], NODE).filter(|_| version("npm", &["--version"], "1").is_some())
    else {
        return Ok(None);
    };
    let place = target().join("tools").join(name);
    install(&place, &package.join("package-lock.json"), &version, || {
        std::fs::create_dir_all(&place)?;
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(package.join(file), place.join(file))?;
        }
        run(Command::new("npm").current_dir(&place).args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]))
    })?;
    Ok(Some(place))
}

/// Says which checks are left out for want of a tool. With `HALLMARK_CI_STRICT=1`, that is a failure.
pub(crate) fn left_out(tool: &str, checks: &str) -> Result<()> {
    let needs = match tool {
        "Python" => PYTHON,
        _ => NODE,
    };
    crate::tests::note_left_out(format!("{checks}, because {tool} {needs} or later was not found"))
}

/// Whether what a machine lacks fails a check instead of leaving it out.
pub(crate) fn strict() -> bool {
    std::env::var_os("HALLMARK_CI_STRICT").is_some_and(|strict| strict == "1")
}

/// The version that a program tells, if it is there and not older than `least`.
fn version(program: &str, arguments: &[&str], least: &str) -> Option<String> {
    let told = output(Command::new(program).args(arguments)).ok()?;
    let numbers = |text: &str| -> Vec<u32> { text.split('.').map_while(|part| part.parse().ok()).collect() };
    let told = told.trim().trim_start_matches('v');
    (numbers(told) >= numbers(least)).then(|| told.to_owned())
}

/// Runs `make`, unless it ran for this list and this version before; a mark that is written last tells.
fn install(place: &Path, list: &Path, version: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let list = std::fs::read_to_string(list).with_context(|| format!("{} cannot be read", list.display()))?;
    let wanted = format!("{version} {}\n{list}", place.display());
    let mark = place.join("installed");
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("installing {}", place.display());
    if place.exists() {
        std::fs::remove_dir_all(place)?;
    }
    make()?;
    std::fs::write(mark, wanted)?;
    Ok(())
}
