//! Tools that cargo installs: found on the machine in the very version, or installed below `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::shell::{run, target};

/// A program of a crate of crates.io.
pub(crate) struct CargoTool {
    /// The crate.
    pub(crate) package: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// Its programs, of which the first tells its version.
    pub(crate) programs: &'static [&'static str],
    /// Further arguments of `cargo install`.
    pub(crate) arguments: &'static [&'static str],
}

impl CargoTool {
    /// The directory of its programs; installs it if it is nowhere.
    pub(crate) fn directory(&self) -> Result<PathBuf> {
        let root = target().join("tools");
        let own = root.join("bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path);
        if let Some(found) = std::iter::once(own.clone())
            .chain(on_path)
            .find(|dir| self.is_in(dir))
        {
            return Ok(found);
        }
        println!(
            "installing {} {} into {}",
            self.package,
            self.version,
            own.display()
        );
        let mut install = Command::new(env!("CARGO"));
        install.args([
            "install",
            "--quiet",
            "--debug",
            "--locked",
            "--version",
            self.version,
            "--root",
        ]);
        install.arg(&root).args(self.arguments).arg(self.package);
        install.env("CARGO_TARGET_DIR", root.join("build"));
        run(&mut install)?;
        ensure!(
            self.is_in(&own),
            "{} {} was installed and is not in {}",
            self.package,
            self.version,
            own.display()
        );
        Ok(own)
    }

    /// A command of its first program.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.directory()?.join(self.programs[0]));
        command.current_dir(crate::shell::root());
        Ok(command)
    }

    fn is_in(&self, directory: &Path) -> bool {
        let version = Command::new(directory.join(self.programs[0]))
            .arg("--version")
            .output()
            .ok();
        self.programs
            .iter()
            .all(|program| directory.join(program).is_file())
            && version.is_some_and(|output| {
                let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                text.split_whitespace().next_back() == Some(self.version)
            })
    }
}
