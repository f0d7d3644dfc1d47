//! Runs hooks and ingesters as local processes (PIP-4, PIP-5): the container contract (WC-5) without a container
//! engine.
//!
//! - An image is `file:/absolute/path`, one executable file. What is run is a private copy whose bytes were hashed
//!   while they were copied.
//! - A hook gets the files and the environment of the contract and nothing of the server's environment. When the
//!   server is root, each attempt has a uid and gid of its own.
//! - Hooks run in a sandbox, and are refused where none works, unless the server allows them to run without one
//!   ([`UseSandbox`]). The sandbox is bubblewrap; where it is not installed, it is made of namespaces, Landlock and
//!   seccomp.
//! - A watchdog enforces the limits over everything that the hook starts: wall clock, processor time, memory, number
//!   of processes, disk. Memory is what is resident and what is in files without a name (memfds); disk is what is in
//!   the work directory and what is in removed files that are still open or mapped. Where the server may make control
//!   groups, the kernel holds memory and processes too. There is no limit on address space: run-times reserve many
//!   times what they use, and a hook that fails to allocate would end with an exit status of its own instead of being
//!   run again with more memory. Instead the watchdog checks five times as often once half of the memory is used, and
//!   tells the kernel to choose the hook first when memory runs out.
//! - Without a control group, some memory is not seen: files that are only in a message between two sockets, and, in
//!   bubblewrap, shared memory of System V that no process has attached.
//! - Nothing of a hook outlives the future or the server. In a sandbox the kernel ensures the latter; without one,
//!   a supervisor does; without either, `setpriv --pdeathsig` does for the hook's first process.
//!
//! In a sandbox, a hook has no network and no view of other processes, and of the file system it sees only programs, a
//! minimal `/etc` and its own directories; the server's files are hidden wherever they are. An ingester in a sandbox has
//! a network of its own, which leads to other machines only, if a [`NetworkHelper`] is installed and works; else it
//! shares the machine's network, its loopback included, or is refused ([`IngesterNetwork`]). Without a sandbox a hook is
//! an ordinary local process: [`ProcessRunner::describe`] returns which applies.
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

mod attempt;
mod cgroup;
mod choose;
mod confine;
mod connect;
mod filter;
mod image;
mod installed;
mod launch;
mod mounts;
mod network;
mod options;
mod program;
mod rules;
mod runner;
mod spawn;
mod startable;
mod supervisor;
mod tree;
mod uids;
mod view;
mod watch;

pub use options::{
    IngesterNetwork, NetworkHelper, ProcessRunnerOptions, SandboxKind, SupervisorProgram, UseSandbox,
};
pub use runner::ProcessRunner;
pub use startable::look_at;
pub use supervisor::supervise;
pub use uids::UidRange;
