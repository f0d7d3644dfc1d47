//! The network of ingesters: what they reach of other machines and of this one, and what a server says that can give them
//! none of their own.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though not all of them functions with #[test]"
)]

mod common;

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{
    Image, Place, eventually, every_sandbox, job, options, processes_with, pull_job, run, supervisor, text,
    unusual_seconds,
};
use domain::FailureKind;
use ports::Runner as _;
use runner_process::{IngesterNetwork, NetworkHelper, ProcessRunner, ProcessRunnerOptions, UseSandbox};
use rustix::thread::{LinkNameSpaceType, clear_ambient_capability_set, move_into_link_name_space};

/// Set in the process that has a network which stands for that of a machine.
const MACHINE: &str = "HALLMARK_TEST_MACHINE";
/// This machine's addresses, and that of another one.
const OURS: &str = "198.18.5.1";
const OURS_TOO: &str = "198.18.6.1";
const THEIRS: &str = "198.18.5.2";

/// Returns the options of a server whose ingesters are to have this network, by these helpers.
fn with_network(
    place: &Place,
    network: IngesterNetwork,
    helpers: &[(NetworkHelper, Option<&Image>)],
) -> ProcessRunnerOptions {
    let helper = |(kind, program): &(NetworkHelper, Option<&Image>)| {
        (*kind, program.map(|program| program.path.clone()))
    };
    ProcessRunnerOptions {
        ingester_network: network,
        network_helpers: helpers.iter().map(helper).collect(),
        ..options(place)
    }
}

/// Pulls once, and returns how that failed and what was printed.
async fn pull(runner: &ProcessRunner, image: &Image) -> (Option<FailureKind>, String) {
    let attempt = runner.pull(&pull_job(image)).await.unwrap();
    (attempt.failure.clone(), text(&attempt.log))
}

/// Checks what a server says and does whose ingesters can have no network of their own, for this reason.
async fn is_told_and_refused(helpers: &[(NetworkHelper, Option<&Image>)], reason: &str) {
    let place = Place::new();
    let image = place.script("echo pulled");
    let shared = with_network(&place, IngesterNetwork::Auto, helpers);
    for (way, runner) in every_sandbox(&shared) {
        let told = runner.describe();
        assert!(
            told.contains("share the machine's network") && told.contains(reason),
            "{way}: {told}"
        );
        assert!(runner.summary().contains("share the machine's network"), "{way}");
        assert!(
            runner.ingester_name("file:/x").ends_with("+host-network"),
            "{way}"
        );
        assert!(!runner.name("file:/x").contains("network"), "{way}");
        assert_eq!(
            pull(&runner, &image).await,
            (None, "pulled\n".to_owned()),
            "{way}"
        );
    }
    let isolated = with_network(&place, IngesterNetwork::Isolated, helpers);
    for (way, runner) in every_sandbox(&isolated) {
        assert!(runner.describe().contains("ingesters are REFUSED"), "{way}");
        assert!(runner.summary().contains("refused"), "{way}");
        match pull(&runner, &image).await.0 {
            Some(FailureKind::Misconfigured(why)) => {
                assert!(why.contains(reason) && why.contains("passt"), "{way}: {why}");
            }
            other => panic!("{way}: {other:?}"),
        }
        // Hooks need no network.
        assert_eq!(run(&runner, &job(&image)).await.failure, None, "{way}");
    }
}

// proves ISO-1
#[tokio::test]
async fn without_a_helper_the_shared_network_is_told_or_ingesters_are_refused() {
    is_told_and_refused(&[], "neither pasta nor slirp4netns is installed").await;
}

// proves ISO-1
#[tokio::test]
async fn a_helper_that_does_not_work_is_told() {
    let place = Place::new();
    let broken = place.script("echo broken >&2; exit 3");
    fs::set_permissions(&broken.path, fs::Permissions::from_mode(0o755)).unwrap();
    for kind in [NetworkHelper::Pasta, NetworkHelper::Slirp4netns] {
        let reason = format!("{} is installed and does not work", kind.program());
        is_told_and_refused(&[(kind, Some(&broken))], &reason).await;
    }
}

// proves ISO-1
#[tokio::test]
async fn a_network_of_their_own_needs_a_sandbox() {
    let place = Place::new();
    let image = place.script("echo pulled");
    for (network, refuses) in [
        (IngesterNetwork::Auto, false),
        (IngesterNetwork::Isolated, true),
        (IngesterNetwork::Host, false),
    ] {
        let runner = ProcessRunner::new(ProcessRunnerOptions {
            sandbox: UseSandbox::None,
            supervisor: Some(supervisor()),
            ..with_network(&place, network, &[(NetworkHelper::Pasta, None)])
        })
        .unwrap();
        let name = if refuses {
            "process+refused"
        } else {
            "process+no-sandbox"
        };
        assert_eq!(runner.ingester_name("file:/x"), name);
        match pull(&runner, &image).await.0 {
            Some(FailureKind::Misconfigured(why)) if refuses => {
                assert!(why.contains("needs a sandbox"), "{why}");
            }
            None if !refuses => {}
            other => panic!("{network:?}: {other:?}"),
        }
    }
}

// proves ISO-1
#[tokio::test]
async fn an_ingester_reaches_other_machines_and_nothing_of_this_one() {
    // In a network of the test's own, so that the machine's own makes no difference.
    let is_root = rustix::process::geteuid().is_root();
    let spaces: &[&str] = if is_root {
        &["--net"]
    } else {
        &["--user", "--map-current-user", "--keep-caps", "--net"]
    };
    let possible = Command::new("unshare")
        .args(spaces)
        .args(["--", "ip", "link"])
        .output();
    if !possible.is_ok_and(|ran| ran.status.success()) {
        test_needs::left_out("a machine where unshare and ip make networks");
        return;
    }
    let inside = Command::new("unshare")
        .args(spaces)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_machine_with_a_network_for_tests", "--nocapture"])
        .env(MACHINE, "1")
        .output()
        .unwrap();
    let (out, err) = (text(&inside.stdout), text(&inside.stderr));
    assert!(inside.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "{out}\n{err}");
}

/// Another machine, as far as this one can tell: a network with one process.
struct Outside(Child);

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Outside {
    fn space(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// Makes the other machine, with a link to this one. `None` where the kernel has no such links.
    async fn new() -> Option<Self> {
        let sleep = Command::new("unshare")
            .args(["--net", "--", "sleep", &unusual_seconds()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let outside = Self(sleep);
        let here = fs::read_link("/proc/self/ns/net").unwrap();
        eventually(30, "there is another network", || {
            fs::read_link(outside.space()).is_ok_and(|there| there != here)
        })
        .await;
        let script = format!(
            "set -e
            there='nsenter --net={}'
            ip link add here type veth peer name there netns {}
            $there ip link set lo up
            $there ip addr add {THEIRS}/24 dev there
            $there ip link set there up
            ip link set lo up
            ip addr add {OURS_TOO}/32 dev lo
            ip addr add {OURS}/24 dev here
            ip link set here up
            ip route add default via {THEIRS}",
            outside.space(),
            outside.0.id()
        );
        let made = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        if made.status.success() {
            return Some(outside);
        }
        test_needs::left_out_by_kernel(&format!(
            "a kernel with links between networks ({})",
            text(&made.stderr)
        ));
        None
    }

    /// Listens there.
    fn listen(&self, port: u16) -> TcpListener {
        let space = File::open(self.space()).unwrap();
        let listen = move || {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            TcpListener::bind((THEIRS, port)).unwrap()
        };
        std::thread::spawn(listen).join().unwrap()
    }
}

/// Returns how many children of this process still run.
fn children() -> usize {
    let parent = std::process::id().to_string();
    let is_ours = |stat: &str| {
        let mut fields = stat.rsplit_once(") ").unwrap_or_default().1.split(' ');
        fields.next() != Some("Z") && fields.next() == Some(parent.as_str())
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| is_ours(stat))
        .count()
}

/// The test before starts this one in a network of its own.
#[tokio::test]
async fn a_machine_with_a_network_for_tests() {
    if std::env::var_os(MACHINE).is_none() {
        return;
    }
    // What is left behind comes to this process.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let Some(outside) = Outside::new().await else {
        return;
    };
    let ours = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = ours.local_addr().unwrap().port();
    let _theirs = outside.listen(port);
    let name = format!("hallmark-test-{}", uuid::Uuid::new_v4());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _socket = UnixListener::bind_addr(&address).unwrap();
    // bubblewrap does not start where another user than root has rights.
    clear_ambient_capability_set().unwrap();
    let place = Place::new();
    // The first thing that it does is to remove what keeps it from this machine.
    let image = place.script(&format!(
        r#"PATH=$PATH:/usr/sbin:/sbin; for priority in 100 0; do ip rule del priority $priority > /dev/null 2>&1 && echo removed; done
        /usr/bin/perl -MIO::Socket::INET -MIO::Socket::UNIX -e '
        for (@ARGV) {{ print "$_ ", IO::Socket::INET->new(PeerAddr => "$_:{port}", Timeout => 5) ? "open" : "closed", "\n" }}
        print "abstract ", IO::Socket::UNIX->new(Peer => "\0{name}") ? "open" : "closed", "\n";
        my $group = IO::Socket::INET->new(Proto => "udp", PeerAddr => "224.0.0.251:{port}");
        $group->send("heard") if $group' \
        127.0.0.1 {OURS} {OURS_TOO} {THEIRS}
        grep -m 1 nameserver /etc/resolv.conf"#
    ));
    let group = UdpSocket::bind(("0.0.0.0", port)).unwrap();
    group
        .join_multicast_v4(&Ipv4Addr::new(224, 0, 0, 251), &OURS.parse().unwrap())
        .unwrap();
    group
        .set_read_timeout(Some(std::time::Duration::from_millis(500)))
        .unwrap();
    let heard = || group.recv(&mut [0; 16]).is_ok();
    let seconds = unusual_seconds();
    let waits = place.script(&format!("(setsid sleep {seconds} &); sleep {seconds}"));
    let shared = with_network(&place, IngesterNetwork::Host, &[]);
    for (way, runner) in every_sandbox(&shared) {
        // The same ingester tells the difference.
        let log = pull(&runner, &image).await.1;
        let open = format!("127.0.0.1 open\n{OURS} open\n{OURS_TOO} open\n{THEIRS} open\n");
        assert!(log.starts_with(&open), "{way}: {log}");
        assert!(heard(), "{way}");
        // Landlock keeps these apart without a network.
        assert!(
            way == "landlock" || log.contains("abstract open\n"),
            "{way}: {log}"
        );
    }
    let mut tried = 0;
    for kind in [NetworkHelper::Pasta, NetworkHelper::Slirp4netns] {
        let isolated = with_network(&place, IngesterNetwork::Isolated, &[(kind, None)]);
        for (way, runner) in every_sandbox(&isolated) {
            if !runner.ingester_name("file:/x").ends_with("+own-network") {
                println!("{way}: {}", runner.describe());
                continue;
            }
            tried += 1;
            assert!(runner.summary().contains("a network of their own"), "{way}");
            let (failure, log) = pull(&runner, &image).await;
            assert_eq!(failure, None, "{kind:?}, {way}: {log}");
            let expected = format!(
                "127.0.0.1 closed\n{OURS} closed\n{OURS_TOO} closed\n{THEIRS} open\nabstract closed\n"
            );
            let server = log.strip_prefix(&expected);
            assert!(
                matches!(server, Some("nameserver 192.0.0.3\n" | "nameserver 100::3\n")),
                "{kind:?}, {way}: {log}"
            );
            assert!(!heard(), "{kind:?}, {way}: the machine hears its group");
            assert_eq!(children(), 1, "{kind:?}, {way}: a process is left");

            let (asking, job) = (runner.clone(), pull_job(&waits));
            let pulling = tokio::spawn(async move { asking.pull(&job).await.map(|_| ()) });
            eventually(30, "the ingester runs", || processes_with(&seconds) > 1).await;
            pulling.abort();
            eventually(30, "it is gone with its network", || {
                processes_with(&seconds) == 0 && children() == 1
            })
            .await;
        }
    }
    if tried == 0 && !Path::new("/dev/net/tun").exists() {
        test_needs::left_out_by_kernel("a kernel with /dev/net/tun");
    } else if tried == 0 {
        test_needs::left_out("a machine where pasta or slirp4netns works");
    }
}
