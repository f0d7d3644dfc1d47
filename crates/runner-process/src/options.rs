//! How the server configures the running of hooks.

use std::ffi::OsString;
use std::path::PathBuf;

use runner_workdir::OutputCaps;
use serde::{Deserialize, Serialize};

use crate::uids::UidRange;

/// Whether hooks run in a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseSandbox {
    /// If one works on this machine. Where none works, hooks run without one.
    Auto,
    /// Always. Where none works, hooks are refused.
    #[default]
    Required,
    /// Never.
    None,
}

/// A kind of sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxKind {
    /// bubblewrap, an installed program.
    Bubblewrap,
    /// Namespaces, Landlock and seccomp of the kernel. It needs a supervisor.
    Landlock,
}

/// Which network ingesters have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IngesterNetwork {
    /// One of their own where that can be made. Elsewhere they share the machine's.
    #[default]
    Auto,
    /// One of their own. Where that cannot be made, ingesters are refused.
    Isolated,
    /// The machine's, its loopback included.
    Host,
}

/// A program that connects a network of an ingester's own outwards.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum NetworkHelper {
    /// pasta, of the package passt.
    Pasta,
    /// slirp4netns. It has only IPv4 here.
    Slirp4netns,
}

impl NetworkHelper {
    /// Returns the name of its program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Pasta => "pasta",
            Self::Slirp4netns => "slirp4netns",
        }
    }
}

/// The program between the server and a hook that does not run directly below the server. It ends everything that the
/// hook started when the server dies, and makes the sandbox of [`SandboxKind::Landlock`]. Its `main` calls
/// [`supervise`](crate::supervise) with the arguments after `arguments`. The server's own executable with a hidden
/// argument is suitable.
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
    /// the server runs as root, every directory above it must be open (`o+x`) to the users that hooks run as.
    pub work_root: PathBuf,
    /// Files and directories of the server that a hook in a sandbox finds empty: its configuration, its keys, its data
    /// directory. They may lie anywhere.
    pub hidden: Vec<PathBuf>,
    /// The directories below which images may lie. `None`: anywhere. Links in the path of an image cannot lead out.
    pub image_dirs: Option<Vec<PathBuf>>,
    /// Whether hooks run in a sandbox.
    pub sandbox: UseSandbox,
    /// The kinds of sandbox that may be used, in order of preference.
    pub kinds: Vec<SandboxKind>,
    /// The bubblewrap to use. `None`: that of the `PATH`, if there is one.
    pub bwrap: Option<PathBuf>,
    /// Which network ingesters have. Without a sandbox or a supervisor they have none of their own.
    pub ingester_network: IngesterNetwork,
    /// The helpers that may connect a network of an ingester's own, in order of preference, each with its program.
    /// `None`: that of the `PATH`, if there is one.
    pub network_helpers: Vec<(NetworkHelper, Option<PathBuf>)>,
    /// The users that hooks run as when the server is root, one for each attempt. `None`:
    /// [`UidRange::DEFAULT`], or [`UidRange::SMALL`] in a container that has no uids above 65535.
    pub uids: Option<UidRange>,
    /// The supervisor of hooks. Without one, only bubblewrap can be the sandbox, ingesters share the machine's network,
    /// and without a sandbox only the hook's own process (not what it started) is sure to end with a server that is
    /// killed, by `setpriv --pdeathsig`.
    pub supervisor: Option<SupervisorProgram>,
    /// The maximum size of an image, in bytes.
    pub most_image_bytes: u64,
    /// The maximum number of bytes of all output files of a hook together.
    pub most_output_bytes: u64,
    /// The maximum number of bytes of each output file other than `features.jsonl`, `features.json` and an ingester's
    /// `records.jsonl`.
    pub most_other_bytes: u64,
    /// The maximum number of bytes of an ingester's `records.jsonl`.
    pub most_pulled_bytes: u64,
    /// The maximum disk use of a work directory, in bytes. No file can become larger by more than 1 MiB.
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
            most_main_bytes: self.most_output_bytes,
            most_other_bytes: self.most_other_bytes,
            most_pulled_bytes: self.most_pulled_bytes,
        }
    }

    /// Returns the default options, with this work root.
    pub fn new(work_root: impl Into<PathBuf>) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            work_root: work_root.into(),
            hidden: Vec::new(),
            image_dirs: None,
            sandbox: UseSandbox::Required,
            kinds: vec![SandboxKind::Bubblewrap, SandboxKind::Landlock],
            bwrap: None,
            ingester_network: IngesterNetwork::Auto,
            network_helpers: vec![(NetworkHelper::Pasta, None), (NetworkHelper::Slirp4netns, None)],
            uids: None,
            supervisor: None,
            most_image_bytes: 2048 * MIB,
            most_output_bytes: 256 * MIB,
            most_other_bytes: 64 * MIB,
            most_pulled_bytes: 64 * MIB,
            most_disk_bytes: 2048 * MIB,
            most_files: 50_000,
            most_processes: 256,
            most_log_bytes: 1024 * 1024,
        }
    }
}
