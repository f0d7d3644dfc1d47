//! Starting a program whose file was written a moment ago.

use std::io;
use std::process::{Child, Command};
use std::time::Duration;

/// Starts a program. A thread of the server that forks while the image is written holds it open for a moment.
pub(crate) fn start(command: &mut Command) -> io::Result<Child> {
    for _ in 0..50 {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
    command.spawn()
}
