//! How the server configures the running of containers.

use std::path::PathBuf;
use std::time::Duration;

use runner_workdir::OutputCaps;

/// How containers are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerRunnerOptions {
    /// The directory for the attempts' work directories; no other server may use it. Created if it is missing.
    pub work_root: PathBuf,
    /// The same directory as the engine sees it, if that is another path: a server in a container has its data
    /// directory at `/data`, which for the engine is `OSA_HOST_DATA_DIR`.
    pub host_work_root: Option<PathBuf>,
    /// Names this server's data directory among all that use the engine. Only containers with this name are removed at
    /// start.
    pub owner: String,
    /// Where the engine is: `unix:///path` or `tcp://host:port`. Default: `DOCKER_HOST`, or else
    /// `unix:///var/run/docker.sock`.
    pub docker_host: Option<String>,
    /// The network of ingesters, as the engine names it; hooks have none.
    pub ingester_network: String,
    /// How long a pull of an image may take. It also counts towards the attempt's time.
    pub pull_timeout: Duration,
    /// The maximum number of bytes of all output files of a hook together.
    pub most_output_bytes: u64,
    /// The maximum number of bytes of each output file other than `features.jsonl`, `features.json` and an ingester's
    /// `records.jsonl`.
    pub most_other_bytes: u64,
    /// The maximum number of bytes of an ingester's `records.jsonl`.
    pub most_pulled_bytes: u64,
    /// The maximum disk use of a work directory, in bytes, together with what an ingester changes in its container.
    /// What it writes to volumes that its image declares is not measured.
    pub most_disk_bytes: u64,
    /// The maximum number of files and directories in a work directory.
    pub most_files: usize,
    /// How many bytes of a container's printed output are kept: the last ones. The engine stores up to 16 times as much
    /// on its disk while the container exists; its format makes short lines long, so many of them may leave less.
    /// Standard output and standard error are each in order, but not with each other: the engine reads them side by
    /// side.
    pub most_log_bytes: usize,
}

impl DockerRunnerOptions {
    /// Returns the default options, with this work root and owner.
    pub fn new(work_root: impl Into<PathBuf>, owner: impl Into<String>) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            work_root: work_root.into(),
            host_work_root: None,
            owner: owner.into(),
            docker_host: None,
            ingester_network: "bridge".to_owned(),
            pull_timeout: Duration::from_secs(600),
            most_output_bytes: 256 * MIB,
            most_other_bytes: 64 * MIB,
            most_pulled_bytes: 64 * MIB,
            most_disk_bytes: 2048 * MIB,
            most_files: 50_000,
            most_log_bytes: 1024 * 1024,
        }
    }

    /// Returns how much of each output file is read.
    pub(crate) const fn caps(&self) -> OutputCaps {
        OutputCaps {
            most_main_bytes: self.most_output_bytes,
            most_other_bytes: self.most_other_bytes,
            most_pulled_bytes: self.most_pulled_bytes,
        }
    }
}
