//! Programs of the machine, and Debian packages that bring those that are missing.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::process::geteuid;

/// The browsers in which the pages are looked at, as their programs are called.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Installs a browser if there is none and this may be done.
pub(crate) fn browser() -> Result<()> {
    if BROWSERS.iter().any(|name| program_of(name).is_some()) {
        return Ok(());
    }
    package("chromium", "chromium")
}

/// Installs a Debian package if its program is missing.
pub(crate) fn package(program: &str, package: &str) -> Result<()> {
    if program_of(program).is_some() {
        return Ok(());
    }
    let missing = || format!("{program} is missing, and the package {package} could not be installed");
    if !geteuid().is_root() {
        bail!("{program} is missing, and only root can install it (Debian: apt-get install {package})");
    }
    println!("installing {package}, for {program} is missing");
    for arguments in [
        &["update", "-q"][..],
        &["install", "-q", "-y", "--no-install-recommends", package],
    ] {
        // A lock that another installation holds is waited for, but not for ever.
        let status = Command::new("timeout")
            .args(["300", "apt-get", "-o", "DPkg::Lock::Timeout=120"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .with_context(missing)?;
        // An update that reaches only some of its sources may be enough.
        if !status.success() && arguments[0] == "install" {
            bail!(missing());
        }
    }
    program_of(program).map(|_| ()).with_context(missing)
}

/// A program in `PATH`, or where daemons are.
pub(crate) fn program_of(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}
