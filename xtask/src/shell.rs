//! Running programs, and the places of the workspace.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The directory where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A cargo command in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(arguments);
    command
}

/// Runs a command to its end; an error names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let told = told(command);
    let status = command
        .status()
        .with_context(|| format!("{told} could not be started"))?;
    if status.success() {
        Ok(())
    } else {
        bail!("{told} ended with {status}")
    }
}

/// What a command prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let told = told(command);
    let output = command
        .output()
        .with_context(|| format!("{told} could not be started"))?;
    if !output.status.success() {
        bail!(
            "{told} ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{told} printed no text"))
}

fn told(command: &Command) -> String {
    let name = |text: &OsStr| text.to_string_lossy().into_owned();
    let program = Path::new(command.get_program())
        .file_name()
        .map_or_else(|| name(command.get_program()), name);
    std::iter::once(program)
        .chain(command.get_args().map(name))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A program of PostgreSQL: on the path, or the newest of Debian's.
pub(crate) fn postgres_program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join(name));
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|dir| dir.path().join("bin").join(name))
        .collect();
    debian.sort();
    // Debian's wrappers on the path ask for a configured cluster; the binaries do not.
    debian
        .into_iter()
        .rev()
        .chain(on_path)
        .find(|path| path.is_file())
        .with_context(|| format!("{name} was not found; install PostgreSQL (Debian: postgresql)"))
}
