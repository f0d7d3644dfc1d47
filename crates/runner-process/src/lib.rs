//! Runs hooks and ingesters as local processes (PIP-4, PIP-5): the container contract (WC-5) without a container
//! engine.
//!
//! - An image is `file:/absolute/path`, one executable file. What is run is a private copy whose bytes were hashed
//!   while they were copied.
//! - A hook gets the files and the environment of the contract and nothing of the server's environment. When the
//!   server is root, the hook is uid and gid 65534.
//! - A watchdog enforces the limits over everything that the hook starts: wall clock, processor time, resident
//!   memory, number of processes, disk. Memory that is in no process (files in `/dev/shm`, unmapped memfds) is covered
//!   by the disk limit only, and only in bubblewrap. There is no limit on address space: run-times reserve many times
//!   what they use, and a hook that fails to allocate would end with an exit status of its own instead of being run
//!   again with more memory. Instead the watchdog checks five times as often once half of the memory is used, and tells
//!   the kernel to choose the hook first when memory runs out.
//! - Nothing of a hook outlives the future or the server. With bubblewrap the kernel ensures the latter; without it,
//!   a supervisor does; without either, `setpriv --pdeathsig` does for the hook's first process.
//!
//! Where bubblewrap works, a hook has no network and no view of other processes, and of the file system it sees only
//! programs and its own directories. An ingester has the network. Without bubblewrap a hook is an ordinary local
//! process: [`ProcessRunner::describe`] returns which applies.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use runner_process::{ProcessRunner, ProcessRunnerOptions, SupervisorProgram, supervise};
//!
//! fn main() -> ExitCode {
//!     // Before anything else: the server's program is its hooks' supervisor too.
//!     if std::env::args_os().nth(1).is_some_and(|word| word == "supervise-hook") {
//!         return supervise(std::env::args_os().skip(2));
//!     }
//!     let supervisor = SupervisorProgram { path: "/proc/self/exe".into(), arguments: vec!["supervise-hook".into()] };
//!     let defaults = ProcessRunnerOptions::new("/var/lib/hallmark/work");
//!     let options = ProcessRunnerOptions { supervisor: Some(supervisor), ..defaults };
//!     match ProcessRunner::new(options) {
//!         Ok(runner) => println!("{}", runner.describe()),
//!         Err(error) => eprintln!("{error}"),
//!     }
//!     ExitCode::SUCCESS
//! }
//! ```

mod image;
mod launch;
mod options;
mod runner;
mod startable;
mod supervisor;
mod tree;
mod watch;

pub use options::{ProcessRunnerOptions, SupervisorProgram, UseBwrap};
pub use runner::ProcessRunner;
pub use startable::look_at;
pub use supervisor::supervise;
