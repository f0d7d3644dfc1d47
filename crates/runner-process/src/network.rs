//! The network of ingesters: one of their own, connected outwards by a helper, or that of the machine.
//!
//! Invariant: a program with a network of its own reaches no socket of this machine: no listener, whichever of the
//! machine's addresses it has, and no abstract socket. Who can break it: a helper that maps an address to the machine's
//! loopback (each of these mappings is switched off); the machine's other addresses, to which a helper connects as to
//! any other (`rules.rs` prohibits them in the network); a program that runs before these rules are there (its
//! supervisor starts it afterwards); a program with rights over its network (the network belongs to a user namespace
//! that it is neither in nor owns, so that it cannot change the rules). One thing of the machine stays within reach: the helper
//! passes name look-ups on to the machine's name server, which may be on loopback.

use std::net::IpAddr;
use std::path::PathBuf;

use runner_workdir::WorkDir;
use serde::{Deserialize, Serialize};

use crate::installed::find_program;
use crate::options::{NetworkHelper, ProcessRunnerOptions};
use crate::program::Program;

/// The address at which a helper takes name look-ups, in a block that no host has (RFC 6890).
pub(crate) const RESOLVER: &str = "192.0.0.3";
/// The block of that address. slirp4netns makes its network of it, with the resolver at number 3.
pub(crate) const BLOCK: &str = "192.0.0.0/24";
/// The same for IPv6, in the block that routers discard (RFC 6666).
pub(crate) const RESOLVER_V6: &str = "100::3";
/// What a helper may take of an attempt's control group besides the memory of the ingester, in bytes. The watchdog does
/// not count a helper at all.
const HELPER_MEMORY: u64 = 64 * 1024 * 1024;

/// An installed helper.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Helper {
    pub(crate) kind: NetworkHelper,
    pub(crate) program: PathBuf,
}

impl Helper {
    /// Returns the helpers that are there, the preferred one first.
    pub(crate) fn all(options: &ProcessRunnerOptions) -> Vec<Self> {
        let helpers = options.network_helpers.iter();
        helpers
            .filter_map(|(kind, program)| {
                let program = program.clone().or_else(|| find_program(kind.program()))?;
                Some(Self { kind: *kind, program })
            })
            .collect()
    }
}

/// What a supervisor needs to know to make a network.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct NetworkPlan {
    pub(crate) helper: Helper,
    /// The user that owns the network: the attempt's, if the server is root and the sandbox makes a user namespace of its
    /// own, or else the server's.
    pub(crate) user: Option<u32>,
    /// Where the helper may write its messages.
    pub(crate) log: PathBuf,
}

/// Which network ingesters have on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// One of their own, which this helper connects.
    Own(Helper),
    /// The machine's, for this reason.
    Host(String),
    /// None that they may have, so no ingester is started, for this reason.
    Refused(String),
}

impl Network {
    /// Returns the part of the description of a runner that is about ingesters.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Own(helper) => format!(
                "ingesters have a network of their own ({}), which does not lead to this machine",
                helper.program.display()
            ),
            Self::Host(why) => {
                format!("ingesters share the machine's network, its loopback included, because {why}")
            }
            Self::Refused(why) => format!("ingesters are REFUSED: {why}"),
        }
    }

    /// Returns the same in a few words, without details of the machine.
    pub(crate) const fn summary(&self) -> &'static str {
        match self {
            Self::Own(_) => "ingesters have a network of their own",
            Self::Host(_) => "ingesters share the machine's network",
            Self::Refused(_) => "ingesters are refused, because they can have no network of their own",
        }
    }

    /// Returns the helper of this program, if it is to have a network of its own that leads anywhere.
    fn helper(&self, program: &Program<'_>) -> Option<&Helper> {
        match self {
            Self::Own(helper) if program.ingester => Some(helper),
            Self::Own(_) | Self::Host(_) | Self::Refused(_) => None,
        }
    }

    /// Returns the network that the supervisor makes for this program, if that is to have one with a helper.
    pub(crate) fn plan(
        &self,
        work: &WorkDir,
        program: &Program<'_>,
        user: Option<u32>,
    ) -> Option<NetworkPlan> {
        self.helper(program).map(|helper| NetworkPlan {
            helper: helper.clone(),
            user,
            log: work.path().join("network.log"),
        })
    }

    /// Returns the names that this program can look up.
    pub(crate) fn names(&self, program: &Program<'_>) -> Names {
        match self.helper(program) {
            Some(helper) => Names::Through(helper.kind),
            None if program.ingester => Names::OfMachine,
            None => Names::Own,
        }
    }

    /// Returns what the control group of this program has for its helper, in bytes.
    pub(crate) fn helper_memory(&self, program: &Program<'_>) -> u64 {
        self.helper(program).map_or(0, |_| HELPER_MEMORY)
    }
}

/// The names that a program can look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Those of its own loopback.
    Own,
    /// Those that the machine knows.
    OfMachine,
    /// The same, asked through this helper.
    Through(NetworkHelper),
}

/// Returns the `resolv.conf` of a program whose look-ups this helper passes on, from that of the machine.
pub(crate) fn resolver(helper: NetworkHelper, machine: &str) -> String {
    let servers: Vec<IpAddr> = machine.lines().filter_map(name_server).collect();
    let first = |is_ipv4: bool| servers.iter().position(|server| server.is_ipv4() == is_ipv4);
    let has_ipv6 = helper == NetworkHelper::Pasta && first(false).is_some();
    let mut lines = Vec::new();
    // The helper asks the machine's first server of each version.
    if first(true).is_some() || !has_ipv6 {
        lines.push(format!("nameserver {RESOLVER}"));
    }
    if has_ipv6 {
        lines.push(format!("nameserver {RESOLVER_V6}"));
    }
    // Those that the network leads to stand in for it, as on the machine.
    for (at, server) in servers.iter().enumerate() {
        if first(server.is_ipv4()) != Some(at) && !server.is_loopback() {
            lines.push(format!("nameserver {server}"));
        }
    }
    let is_kept = |line: &&str| {
        let word = line.split_ascii_whitespace().next();
        matches!(word, Some("search" | "domain" | "options"))
    };
    lines.extend(machine.lines().filter(is_kept).map(str::to_owned));
    lines.push(String::new());
    lines.join("\n")
}

/// Returns the address of a `nameserver` line.
fn name_server(line: &str) -> Option<IpAddr> {
    let mut words = line.split_ascii_whitespace();
    let is_server = words.next() == Some("nameserver");
    let address = words.next().filter(|_| is_server)?;
    // An address of the link has an interface behind it.
    address.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-1
    #[test]
    fn look_ups_go_through_the_helper_and_never_to_a_loopback() {
        let pasta = |machine: &str| resolver(NetworkHelper::Pasta, machine);
        assert_eq!(
            pasta("# local\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n"),
            "nameserver 192.0.0.3\noptions edns0 trust-ad\nsearch example.org\n"
        );
        assert_eq!(
            pasta("nameserver 198.51.100.1\nnameserver 198.51.100.2\nnameserver 127.0.0.1\n"),
            "nameserver 192.0.0.3\nnameserver 198.51.100.2\n"
        );
        assert_eq!(pasta("nameserver fe80::1%eth0\n"), "nameserver 100::3\n");
        assert_eq!(
            pasta("nameserver 2001:db8::1\nnameserver 198.51.100.1"),
            "nameserver 192.0.0.3\nnameserver 100::3\n"
        );
        assert_eq!(pasta(""), "nameserver 192.0.0.3\n");
        assert_eq!(
            resolver(NetworkHelper::Slirp4netns, "nameserver 2001:db8::1\n"),
            "nameserver 192.0.0.3\n"
        );
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let plan = NetworkPlan {
            helper: Helper {
                kind: NetworkHelper::Pasta,
                program: "/usr/bin/pasta".into(),
            },
            user: Some(2_000_000_000),
            log: "/work/network.log".into(),
        };
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<NetworkPlan>(&text).unwrap(), plan);
    }
}
