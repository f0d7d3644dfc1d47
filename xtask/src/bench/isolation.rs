//! What isolation costs: a hook in each sandbox against the same program in bubblewrap by hand, and ingestion with the
//! default isolation against none.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::process::geteuid;

use super::load::Load;
use super::pipeline::{HOOK, Kind, PYTHON, RECORDS, await_all, by_hand, median, open, process, times};
use super::registry::table;
use super::{Took, ingest, many_penguins, one_hook};
use crate::client::{Client, Server};
use crate::demo;
use crate::shell::target;

/// Runs of a hook in each sandbox.
const RUNS: usize = 20;
/// Ingestions with and without isolation, in turns.
const TURNS: usize = 3;
/// A run in a sandbox takes at most so many times as long as by hand in bubblewrap.
const MOST: f64 = 1.15;
/// Ingestion with isolation has at least this part of its rate without.
const LEAST: f64 = 0.95;
/// The uid of the program by hand, if this is root.
const NOBODY: u32 = 65_534;
/// What a hook in bubblewrap saw of the machine.
const SYSTEM: [&str; 11] = [
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "gnu",
];
/// A reader of pages, to be beside an ingestion.
const READER: Load = Load {
    connections: 2,
    time: Duration::from_secs(1),
};

/// A way in which a server runs hooks: its name, what the server says of it, and the settings for it.
struct Way {
    name: &'static str,
    says: &'static str,
    settings: Vec<(&'static str, String)>,
}

/// Runs it; the server is built.
pub(super) fn run() -> Result<()> {
    sandboxes()?;
    println!("\ningestion with the default isolation against none, medians of {TURNS} turns:");
    for beside in [false, true] {
        ingestion(beside)?;
    }
    Ok(())
}

fn sandboxes() -> Result<()> {
    println!(
        "\na hook in each sandbox against bubblewrap by hand, batches of {RECORDS} records, medians of {RUNS} runs:"
    );
    let home = demo::home()?;
    let mut kinds = Vec::new();
    for (name, text) in [("process", HOOK), ("python", PYTHON)] {
        match in_bubblewrap(process(name, text, home.path())?)? {
            Some(kind) => kinds.push(kind),
            None => {
                println!("  left out: bubblewrap is not installed, or does not work");
                return Ok(());
            }
        }
    }
    let mut hand: Vec<Vec<f64>> = kinds
        .iter()
        .map(|kind| by_hand(home.path(), kind, 1))
        .collect::<Result<_>>()?;
    let mut rows = Vec::new();
    for way in ways(home.path())? {
        if let Some(medians) = in_server(home.path(), &way, &kinds)? {
            rows.push((way.name, medians));
        }
    }
    // Before and after, so that what the machine does besides meets both.
    for (kind, took) in kinds.iter().zip(&mut hand) {
        took.extend(by_hand(home.path(), kind, 1)?);
    }
    let hand: Vec<f64> = hand.into_iter().map(median).collect();
    for (way, medians) in rows {
        for ((kind, by_hand), in_server) in kinds.iter().zip(&hand).zip(medians) {
            println!(
                "  {:<8} by hand in bubblewrap {:>4.0} ms, in the server {way:<20} {:>4.0} ms = {:.2} times (aim: {MOST} at most)",
                kind.name,
                by_hand * 1e3,
                in_server * 1e3,
                in_server / by_hand
            );
        }
    }
    Ok(())
}

fn ways(home: &Path) -> Result<Vec<Way>> {
    let sandbox = |word: &str| ("HALLMARK_RUNNER__SANDBOX", word.to_owned());
    Ok(vec![
        Way {
            name: "in bubblewrap",
            says: "bubblewrap",
            settings: vec![sandbox("required")],
        },
        Way {
            name: "with Landlock",
            says: "Landlock",
            settings: vec![sandbox("required"), ("PATH", without_bubblewrap(home)?)],
        },
        Way {
            name: "without a sandbox",
            says: "WITHOUT A SANDBOX",
            settings: vec![sandbox("none")],
        },
    ])
}

/// A directory of links to every program but bubblewrap.
fn without_bubblewrap(home: &Path) -> Result<String> {
    let dir = home.join("programs");
    fs::create_dir_all(&dir)?;
    let path = std::env::var_os("PATH").context("PATH")?;
    for entry in std::env::split_paths(&path)
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
    {
        let program = entry?.path();
        let name = program.file_name().context("a name")?;
        // The first of a name is the one that is found.
        if name != "bwrap" && fs::symlink_metadata(dir.join(name)).is_err() {
            std::os::unix::fs::symlink(&program, dir.join(name))?;
        }
    }
    Ok(dir.display().to_string())
}

/// Has a program started by hand in bubblewrap, by the command line that servers had before they had other sandboxes;
/// none if bubblewrap does not work.
fn in_bubblewrap(kind: Kind) -> Result<Option<Kind>> {
    let works = |extra: &[&str]| {
        let mut trial = Command::new("bwrap");
        trial.args(extra).args(["--ro-bind", "/", "/", "true"]);
        trial
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        as_nobody(&mut trial);
        trial.status().is_ok_and(|status| status.success())
    };
    let extra: &[&str] = if works(&["--unshare-user", "--disable-userns"]) {
        &["--unshare-user", "--disable-userns"]
    } else if works(&[]) {
        &[]
    } else {
        return Ok(None);
    };
    let program = PathBuf::from(kind.image.strip_prefix("file:").context("a file")?);
    let by_hand = move |input: &Path, output: &Path| {
        let mut command = Command::new("bwrap");
        command.env_clear();
        for (name, value) in [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LANG", "C.UTF-8"),
            ("HOME", "/tmp"),
            ("TMPDIR", "/tmp"),
            ("OSA_IN", "/osa/in"),
            ("OSA_OUT", "/osa/out"),
            ("OSA_FILES", "/osa/files"),
        ] {
            command.env(name, value);
        }
        command.args(extra).args([
            "--die-with-parent",
            "--new-session",
            "--unshare-net",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup-try",
            "--cap-drop",
            "ALL",
            "--hostname",
            "hook",
        ]);
        for path in SYSTEM.map(|name| Path::new("/").join(name)) {
            if let Ok(target) = fs::read_link(&path) {
                command.arg("--symlink").arg(target).arg(path);
            } else if path.is_dir() {
                command.arg("--ro-bind").arg(&path).arg(&path);
            }
        }
        command.args(["--proc", "/proc", "--dev", "/dev"]);
        command.arg("--ro-bind").arg(input).arg("/osa/files");
        command.arg("--ro-bind").arg(input).arg("/osa/in");
        command.arg("--ro-bind").arg(&program).arg("/osa/image/hook");
        command.arg("--bind").arg(output).arg("/osa/out");
        command.args(["--tmpfs", "/tmp", "--tmpfs", "/dev/shm"]);
        command.args([
            "--remount-ro",
            "/dev",
            "--remount-ro",
            "/",
            "--chdir",
            "/tmp",
            "--",
        ]);
        command.arg("/osa/image/hook").stdin(Stdio::null());
        as_nobody(&mut command);
        command
    };
    Ok(Some(Kind {
        by_hand: Box::new(by_hand),
        ..kind
    }))
}

/// As servers did that were root.
fn as_nobody(command: &mut Command) {
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}

/// How long runs of each kind take in a server that runs hooks in this way; none if this machine does not have it.
fn in_server(home: &Path, way: &Way, kinds: &[Kind]) -> Result<Option<Vec<f64>>> {
    let settings: Vec<(&str, &str)> = way
        .settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .chain([("HALLMARK_WORKER__CONCURRENCY", "1")])
        .collect();
    let server = Server::start_with(
        &target().join("release/hallmark"),
        &home.join(format!("data-{}", way.name.replace(' ', "-"))),
        &home.join("hallmark.log"),
        &settings,
    )?;
    let client = Client::new(&server.url)?;
    let ready = client.get("/ready")?;
    let detail = ready["components"]["runner"]["detail"]
        .as_str()
        .unwrap_or_default();
    if !detail.contains(way.says) {
        println!("  {} was left out: here are {detail}", way.name);
        server.stop()?;
        return Ok(None);
    }
    let mut medians = Vec::new();
    for kind in kinds {
        let mut took = Vec::new();
        // Nothing else is done meanwhile, as by hand.
        for n in 0..RUNS {
            let run = open(&client, kind, 1, RECORDS, n)?;
            await_all(&client, &run, RECORDS)?;
            took.extend(times(&client, &run)?.0);
        }
        medians.push(median(took));
    }
    server.stop()?;
    Ok(Some(medians))
}

/// Ingests the penguins many times over, also beside a reader of pages.
fn ingestion(beside: bool) -> Result<()> {
    let (penguins, records) = many_penguins()?;
    let amount = f64::from(u32::try_from(records)?);
    let isolated: &[(&str, &str)] = &[];
    let bare: &[(&str, &str)] = &[("HALLMARK_RUNNER__SANDBOX", "none")];
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        for (settings, rates) in [(isolated, &mut with), (bare, &mut without)] {
            let took = ingest_once(settings, &penguins, records, beside)?;
            rates.push(amount / took.whole.as_secs_f64());
        }
    }
    let what = if beside {
        "records, beside a reader of pages"
    } else {
        "records, and nothing else"
    };
    table(what, ("default isolation", with), ("no sandbox", without), LEAST);
    Ok(())
}

fn ingest_once(settings: &[(&str, &str)], penguins: &str, records: usize, beside: bool) -> Result<Took> {
    let built = target().join("release");
    let home = demo::home()?;
    let server = Server::start_with(
        &built.join("hallmark"),
        &home.path().join("data"),
        &home.path().join("hallmark.log"),
        settings,
    )?;
    let client = Client::new(&server.url)?;
    let convention = one_hook(&built)?;
    // The tables are there before they are read.
    client.post("/conventions", &convention)?;
    let address = server.url.trim_start_matches("http://");
    let page = "GET /api/v1/data/palmer-penguins/penguin_shape?limit=50 HTTP/1.1\r\nHost: bench\r\n\r\n";
    let over = AtomicBool::new(!beside);
    let took = thread::scope(|scope| -> Result<Took> {
        let reader = scope.spawn(|| -> Result<()> {
            while !over.load(Ordering::Relaxed) {
                READER.run(address, 200, |_, _| page.to_owned())?;
            }
            Ok(())
        });
        let took = ingest(&client, &convention, penguins, records);
        over.store(true, Ordering::Relaxed);
        reader.join().map_err(|_| anyhow!("the reader panicked"))??;
        took
    })?;
    server.stop()?;
    Ok(took)
}
