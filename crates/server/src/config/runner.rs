//! The settings of the runner of local processes.

use std::path::PathBuf;
use std::str::FromStr;

use runner_process::UidRange;

use crate::source::Source;

/// The lowest uid that hooks may have: those below belong to the system.
const MIN_UID: u32 = 1000;
/// Uids that mean something else: `nobody`, and the one that stands for none.
const NOT_UIDS: [u32; 2] = [65_534, 65_535];

/// Whether hooks run in a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// Where one works.
    Auto,
    /// Always; hooks are refused where none works.
    Required,
    /// Never.
    None,
}

impl FromStr for Sandbox {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "required" => Ok(Self::Required),
            // `never` is what it was called.
            "none" | "never" => Ok(Self::None),
            _ => Err(()),
        }
    }
}

/// The network of ingesters that run as local processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalNetwork {
    /// One of their own where that can be made, else the machine's.
    Auto,
    /// One of their own; ingesters are refused where that cannot be made.
    Isolated,
    /// The machine's.
    Host,
}

impl FromStr for LocalNetwork {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "isolated" => Ok(Self::Isolated),
            "host" => Ok(Self::Host),
            _ => Err(()),
        }
    }
}

/// How hooks and ingesters run as local processes.
#[derive(Debug)]
pub(crate) struct RunnerConfig {
    /// `None`: it depends on the mode.
    pub(crate) sandbox: Option<Sandbox>,
    pub(crate) local_ingester_network: LocalNetwork,
    /// The uids of hooks, if the server is root. `None`: the default range of the machine.
    pub(crate) uids: Option<UidRange>,
    /// The directories below which images may lie. `None`: it depends on the mode.
    pub(crate) image_dirs: Option<Vec<PathBuf>>,
}

impl RunnerConfig {
    pub(crate) fn read(s: &mut Source) -> Self {
        let image_dirs: Option<Vec<PathBuf>> = s
            .list("runner.image_dirs")
            .map(|dirs| dirs.into_iter().map(PathBuf::from).collect());
        if image_dirs.iter().flatten().any(|dir| !dir.is_absolute()) {
            s.fault("runner.image_dirs: must be absolute paths");
        }
        Self {
            sandbox: s.parsed("runner.sandbox", "must be auto, required or none"),
            local_ingester_network: s
                .parsed("runner.local_ingester_network", "must be auto, isolated or host")
                .unwrap_or(LocalNetwork::Auto),
            uids: uids(s),
            image_dirs,
        }
    }
}

fn uids(s: &mut Source) -> Option<UidRange> {
    const RULE: &str = "must be a number of uids from 1000 on, without 65534 and 65535";
    let base = s.parsed("runner.uid_base", "must be a uid");
    let count = s.parsed("runner.uid_count", "must be a number of uids");
    if base.is_none() && count.is_none() {
        return None;
    }
    let range = UidRange {
        base: base.unwrap_or(UidRange::DEFAULT.base),
        count: count.unwrap_or(UidRange::DEFAULT.count),
    };
    let is_whole = range.count > 0 && range.base.checked_add(range.count).is_some();
    if range.base < MIN_UID || !is_whole || NOT_UIDS.iter().any(|uid| range.contains(*uid)) {
        s.fault(format!("runner.uid_base, runner.uid_count: {RULE}"));
    }
    Some(range)
}
