//! A supervisor of hooks as a separate program, for servers that do not supervise hooks themselves.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner_process::supervise(std::env::args_os().skip(1))
}
