//! Queries the server through `psql`: this crate has no client of its own.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::endpoint::{self, ROLE};

/// The connection data of psql.
pub(crate) struct Psql {
    pub(crate) program: PathBuf,
    pub(crate) socket_directory: String,
    pub(crate) password: String,
}

// Not derived: the password would end up in logs.
impl fmt::Debug for Psql {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Psql");
        shown
            .field("program", &self.program)
            .field("socket_directory", &self.socket_directory);
        shown.finish_non_exhaustive()
    }
}

impl Psql {
    /// Runs a script in the database `postgres`, with variables for `:'name'`. The error is psql's output.
    pub(crate) async fn run(&self, variables: &[(&str, &str)], script: &str) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        // The password is in the environment, which only the current user can read, and not among the arguments,
        // which all users can.
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "10")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-w",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                "postgres",
                "-U",
                ROLE,
            ])
            .args(["-h", &self.socket_directory, "-p", &endpoint::PORT.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for name in ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, value) in variables {
            command.arg("-v").arg(format!("{name}={value}"));
        }
        let mut child = command
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", self.program.display()))?;
        if let Some(mut input) = child.stdin.take() {
            // A psql that could not connect has closed its end; its output has the reason.
            let _ = input.write_all(script.as_bytes()).await;
        }
        let output = child
            .wait_with_output()
            .await
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
