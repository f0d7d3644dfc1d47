//! A supervisor of hooks as its own program, for servers that do not want to be their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner_process::supervise(std::env::args_os().skip(1))
}
