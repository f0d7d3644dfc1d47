//! How the server configures the running of hooks.

use std::ffi::OsString;
use std::path::PathBuf;

use runner_workdir::OutputCaps;

/// Whether bubblewrap is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseBwrap {
    /// If it is installed and a trial run of it succeeds.
    #[default]
    Auto,
    /// Never.
    Never,
}

/// The program between the server and a hook that runs without bubblewrap. It ends everything that the hook started
/// when the server dies. Its `main` calls [`supervise`](crate::supervise) with the arguments after `arguments`. The
/// server's own executable with a hidden argument is suitable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupervisorProgram {
    /// The executable, absolute. `/proc/self/exe` is the server itself, even after an upgrade replaced its file.
    pub path: PathBuf,
    /// The arguments before the supervisor's own.
    pub arguments: Vec<OsString>,
}

/// How hooks are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRunnerOptions {
    /// The directory for the attempts' work directories; no other server may use it. Created if it is missing. When
    /// the server runs as root, every directory above it must be open (`o+x`) to uid 65534, as which hooks run.
    pub work_root: PathBuf,
    /// Directories of the server that a hook in bubblewrap finds empty, such as its data directory. Only those
    /// below the system directories that a hook sees at all (`/usr`, `/etc`, `/opt` and the like) matter.
    pub hidden: Vec<PathBuf>,
    /// Whether bubblewrap is used.
    pub use_bwrap: UseBwrap,
    /// The supervisor of hooks that run without bubblewrap. Without one, only the hook's own process (not what it
    /// started) is sure to end with a server that is killed, by `setpriv --pdeathsig`.
    pub supervisor: Option<SupervisorProgram>,
    /// The maximum size of an image, in bytes.
    pub most_image_bytes: u64,
    /// The maximum number of bytes read of `features.jsonl` (or `features.json`).
    pub most_features_bytes: u64,
    /// The maximum number of bytes read of each other output file.
    pub most_other_bytes: u64,
    /// The maximum disk use of a work directory, in bytes.
    pub most_disk_bytes: u64,
    /// The maximum number of files and directories in a work directory.
    pub most_files: usize,
    /// The maximum number of processes that a hook may have at once; the container contract allows 256 (WC-5.1).
    pub most_processes: usize,
    /// How many bytes of a hook's printed output are kept: the last ones.
    pub most_log_bytes: usize,
}

impl ProcessRunnerOptions {
    /// Returns how much of each output file is read.
    pub(crate) const fn caps(&self) -> OutputCaps {
        OutputCaps {
            most_main_bytes: self.most_features_bytes,
            most_other_bytes: self.most_other_bytes,
        }
    }

    /// Returns the default options, with this work root.
    pub fn new(work_root: impl Into<PathBuf>) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            work_root: work_root.into(),
            hidden: Vec::new(),
            use_bwrap: UseBwrap::Auto,
            supervisor: None,
            most_image_bytes: 2048 * MIB,
            most_features_bytes: 256 * MIB,
            most_other_bytes: 64 * MIB,
            most_disk_bytes: 2048 * MIB,
            most_files: 50_000,
            most_processes: 256,
            most_log_bytes: 1024 * 1024,
        }
    }
}
