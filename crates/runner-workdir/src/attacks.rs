//! Attacks of hooks and ingesters on what is outside of their sandbox: one list for every runner and every kind of
//! sandbox. For tests only.
//!
//! Each attack is a program in Perl without modules, so that it makes system calls and needs no compiler, on the machine
//! and in an image of a few files. It prints [`REACHED`] and how, if it got anywhere, and [`END`] at its end.
//!
//! Panics are the verdict here, as in any test.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests; a panic is their verdict"
)]

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use uuid::Uuid;

use crate::spawning::starting;

/// What an attack prints, with what it reached.
pub const REACHED: &str = "REACHED";
/// The last line of every attack that ran to its end.
pub const END: &str = "end\n";
/// What the file contains that attacks try to read.
const SECRET: &str = "a secret of the server\n";
/// What the file contains that attacks try to change.
const KEPT: &str = "kept\n";

/// The part that all attacks have: `reached`, `around`, `content`, `processes`.
const PRELUDE: &str = include_str!("attacks/prelude.pl");

/// In which set-up an attack succeeds, if there is no sandbox: by that a test knows that it would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succeeds {
    /// As any user of the machine.
    AsAnyUser,
    /// If hooks run as the server's own user.
    AsTheServersUser,
    /// The kernel refuses it to any ordinary user, or that depends on the machine.
    Never,
}

/// Which programs must not get anywhere with an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// All of them.
    All,
    /// Those that do not share the network of the machine: hooks, and ingesters with a network of their own.
    WithoutTheNetwork,
    /// Hooks; an ingester may do it in its container.
    Hooks,
}

/// An attack.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What it tries.
    pub name: &'static str,
    /// The program, in Perl.
    pub program: String,
    /// Where it succeeds without a sandbox.
    pub succeeds: Succeeds,
    /// Which programs it is for.
    pub whom: For,
}

/// What attacks are aimed at: things of the machine that exist for as long as this value.
#[derive(Debug)]
pub struct Target {
    dir: PathBuf,
    port: u16,
    name: String,
    shared: PathBuf,
    seconds: String,
    outside: Child,
    _listeners: (TcpListener, UnixListener, UnixListener),
}

impl Target {
    /// Makes targets below `dir`, which may not exist yet and which other users must be able to reach.
    pub fn new(dir: &Path) -> Self {
        let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        fs::create_dir_all(dir).unwrap();
        open(dir, 0o777);
        for (name, text) in [("secret", SECRET), ("kept", KEPT)] {
            fs::write(dir.join(name), text).unwrap();
            open(&dir.join(name), 0o666);
        }
        let name = format!("hallmark-attacked-{}", Uuid::new_v4());
        let shared = Path::new("/dev/shm").join(&name);
        // Not every machine has this directory.
        if fs::write(&shared, SECRET).is_ok() {
            open(&shared, 0o666);
        }
        let loopback = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = UnixListener::bind(dir.join("socket")).unwrap();
        open(&dir.join("socket"), 0o777);
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        // No other process of the machine has this argument.
        let seconds = format!("100000.{:09}", Uuid::new_v4().as_u128() % 1_000_000_000);
        let outside = {
            let _lock = starting();
            Command::new("sleep")
                .arg(&seconds)
                .env("HALLMARK_ATTACKED", &name)
                .stdin(File::open(dir.join("secret")).unwrap())
                .spawn()
                .unwrap()
        };
        Self {
            dir: dir.to_owned(),
            port: loopback.local_addr().unwrap().port(),
            name,
            shared,
            seconds,
            outside,
            _listeners: (loopback, socket, UnixListener::bind_addr(&address).unwrap()),
        }
    }

    /// Returns the attacks on these targets that this kind of machine has.
    pub fn attacks(&self) -> Vec<Attack> {
        use For::{All, Hooks, WithoutTheNetwork};
        use Succeeds::{AsAnyUser, AsTheServersUser, Never};
        let attack = |name, succeeds, whom, body: &str| Attack {
            name,
            program: self.program(body),
            succeeds,
            whom,
        };
        let mut all = vec![
            attack(
                "reads files of the machine",
                AsAnyUser,
                All,
                include_str!("attacks/read.pl"),
            ),
            attack(
                "changes files of the machine",
                AsAnyUser,
                All,
                include_str!("attacks/change.pl"),
            ),
            attack(
                "writes beside its directories",
                Never,
                Hooks,
                include_str!("attacks/write.pl"),
            ),
            attack(
                "connects to loopback",
                AsAnyUser,
                WithoutTheNetwork,
                include_str!("attacks/loopback.pl"),
            ),
            attack(
                "connects to abstract sockets",
                AsAnyUser,
                WithoutTheNetwork,
                include_str!("attacks/abstract.pl"),
            ),
            attack(
                "connects to sockets in directories",
                AsAnyUser,
                All,
                include_str!("attacks/socket.pl"),
            ),
            attack(
                "finds processes outside",
                AsAnyUser,
                All,
                include_str!("attacks/find.pl"),
            ),
            attack(
                "reaches processes outside",
                AsTheServersUser,
                All,
                include_str!("attacks/reach.pl"),
            ),
            attack(
                "shares namespaces of the machine",
                AsAnyUser,
                WithoutTheNetwork,
                include_str!("attacks/spaces.pl"),
            ),
            attack(
                "opens devices and switches of the kernel",
                Never,
                All,
                include_str!("attacks/open.pl"),
            ),
            attack("gets more rights", Never, All, include_str!("attacks/rights.pl")),
        ];
        if let Some(calls) = Calls::here() {
            let program = calls.fill(include_str!("attacks/calls.pl"));
            all.push(attack(
                "makes system calls that change its sandbox",
                Never,
                All,
                &program,
            ));
        }
        all
    }

    /// Returns a program with the part that all attacks have, and with the names of the targets in place of `@DIR@`,
    /// `@PORT@`, `@NAME@`, `@SHARED@`, `@PID@`, `@SECONDS@` and `@SPACES@`.
    pub fn program(&self, body: &str) -> String {
        let spaces = ["ipc", "mnt", "net", "pid"]
            .map(|kind| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default())
            .map(|link| link.display().to_string());
        let body = body
            .replace("@DIR@", &self.dir.display().to_string())
            .replace("@PORT@", &self.port.to_string())
            .replace("@NAME@", &self.name)
            .replace("@SHARED@", &self.shared.display().to_string())
            .replace("@PID@", &self.outside.id().to_string())
            .replace("@SECONDS@", &self.seconds)
            .replace("@SPACES@", &spaces.join(" "));
        format!("{PRELUDE}{body}\nprint \"{}\\n\";\n", END.trim_end())
    }

    /// Fails if an attack changed one of the targets.
    pub fn assert_untouched(&mut self, way: &str) {
        let mut names: Vec<_> = fs::read_dir(&self.dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["kept", "secret", "socket"], "{way}");
        assert_eq!(fs::read_to_string(self.dir.join("kept")).unwrap(), KEPT, "{way}");
        assert!(
            self.outside.try_wait().unwrap().is_none(),
            "{way}: the process outside was ended"
        );
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.outside.kill();
        let _ = self.outside.wait();
        let _ = fs::remove_file(&self.shared);
    }
}

/// Numbers of system calls.
struct Calls([(&'static str, u32); 10]);

impl Calls {
    /// Returns those of this machine, if they are known.
    fn here() -> Option<Self> {
        let all = match std::env::consts::ARCH {
            "x86_64" => [165, 166, 155, 161, 272, 308, 259, 101, 304, 319],
            "aarch64" => [40, 39, 41, 51, 97, 268, 33, 117, 265, 279],
            _ => return None,
        };
        let [
            mount,
            umount,
            pivot,
            chroot,
            unshare,
            setns,
            mknodat,
            ptrace,
            handle,
            memfd,
        ] = all;
        Some(Self([
            ("@MOUNT@", mount),
            ("@UMOUNT@", umount),
            ("@PIVOT@", pivot),
            ("@CHROOT@", chroot),
            ("@UNSHARE@", unshare),
            ("@SETNS@", setns),
            ("@MKNODAT@", mknodat),
            ("@PTRACE@", ptrace),
            ("@HANDLE@", handle),
            ("@MEMFD@", memfd),
        ]))
    }

    fn fill(&self, program: &str) -> String {
        // Kernels of x86-64 may know each call by a second number.
        let abis = match std::env::consts::ARCH {
            "x86_64" => "0, 0x40000000",
            _ => "0",
        };
        self.0
            .iter()
            .fold(program.replace("@ABIS@", abis), |text, (name, number)| {
                text.replace(name, &number.to_string())
            })
    }
}

/// Returns a program that fills so many MiB of a file that is only in memory and that it does not map; `None` where the
/// number of the system call is not known.
pub fn fills_unmapped_memory(mib: u32) -> Option<String> {
    let program = Calls::here()?.fill(include_str!("attacks/unmapped.pl"));
    Some(program.replace("@MIB@", &mib.to_string()))
}

/// Returns a program that fills so many files of so many MiB each, which it removes from its output directory before.
pub fn fills_removed_files(files: u32, mib: u32) -> String {
    include_str!("attacks/removed.pl")
        .replace("@FILES@", &files.to_string())
        .replace("@MIB@", &mib.to_string())
}
