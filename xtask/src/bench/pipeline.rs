//! What the pipeline costs beside the hook: batches of 1000 records through a hook that does next to nothing, against the same program
//! started by hand over the same records, as a local process and in a container.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::{Client, Server};
use crate::demo;
use crate::engine::Engine;
use crate::shell::target;

/// Batches that are run, and records of each.
const BATCHES: usize = 12;
const RECORDS: usize = 1000;
/// The hook: every record passes, with no row.
const HOOK: &str = "#!/bin/sh\nsed 's/^{\"id\":\"\\([^\"]*\\)\".*/{\"id\":\"\\1\",\"features\":[]}/' \"$OSA_IN/records.jsonl\" > \"$OSA_OUT/features.jsonl\"\n";

/// Starts the program over an input directory, into an output directory.
type Start = Box<dyn Fn(&Path, &Path) -> Command>;

/// The hook's program, and how it is started by hand.
struct Kind {
    name: &'static str,
    image: String,
    digest: String,
    by_hand: Start,
}

/// Measures both kinds; containers only where an engine answers or can be started.
pub(super) fn run() -> Result<()> {
    println!("\nthe pipeline, {BATCHES} batches of {RECORDS} records, medians, one worker:");
    let home = demo::home()?;
    let hook = home.path().join("hook.sh");
    fs::write(&hook, HOOK)?;
    fs::set_permissions(&hook, Permissions::from_mode(0o755))?;
    let engine = Engine::find();
    let mut environment = vec![
        ("HALLMARK_WORKER__CONCURRENCY", "1"),
        ("HALLMARK_RUNNER__SANDBOX", "never"),
    ];
    if let Some(engine) = &engine {
        environment.push(("DOCKER_HOST", engine.host()));
    }
    let server = Server::start_with(
        &target().join("release/hallmark"),
        &home.path().join("data"),
        &home.path().join("hallmark.log"),
        &environment,
    )?;
    let program = hook.clone();
    let digest: String = Sha256::digest(HOOK)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let process = Kind {
        name: "process",
        image: format!("file:{}", hook.display()),
        digest: format!("sha256:{digest}"),
        by_hand: Box::new(move |input, output| {
            let mut command = Command::new(&program);
            command.env("OSA_IN", input).env("OSA_OUT", output);
            command
        }),
    };
    measure(&server, home.path(), &process)?;
    match &engine {
        Some(engine) => measure(&server, home.path(), &container(engine, home.path())?)?,
        None => println!("containers were left out"),
    }
    server.stop()
}

/// An image of a static busybox and the hook.
fn container(engine: &Engine, home: &Path) -> Result<Kind> {
    let system = home.join("system");
    fs::create_dir_all(system.join("bin"))?;
    fs::create_dir_all(system.join("tmp"))?;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    let busybox = busybox
        .iter()
        .find(|path| path.is_file())
        .context("busybox is missing")?;
    fs::copy(busybox, system.join("bin/busybox"))?;
    for name in ["sh", "sed"] {
        std::os::unix::fs::symlink("busybox", system.join("bin").join(name))?;
    }
    fs::write(system.join("hook"), HOOK)?;
    fs::set_permissions(system.join("hook"), Permissions::from_mode(0o755))?;
    let host = engine.host().to_owned();
    let mut tar = Command::new("tar")
        .arg("-C")
        .arg(&system)
        .args(["-c", "."])
        .stdout(Stdio::piped())
        .spawn()?;
    let tag = "hallmark-bench:latest".to_owned();
    let imported = Command::new("docker")
        .args([
            "--host",
            &host,
            "import",
            "--change",
            "ENTRYPOINT [\"/hook\"]",
            "-",
            &tag,
        ])
        .stdin(tar.stdout.take().context("tar")?)
        .output()?;
    ensure!(
        tar.wait()?.success() && imported.status.success(),
        "the image could not be imported"
    );
    let digest = String::from_utf8(imported.stdout)?.trim().to_owned();
    let image = digest.clone();
    Ok(Kind {
        name: "container",
        image: tag,
        digest,
        by_hand: Box::new(move |input, output| {
            let mut command = Command::new("docker");
            command.args([
                "--host",
                &host,
                "run",
                "--rm",
                "--network=none",
                "--read-only",
                "--user=65534:65534",
            ]);
            command.args([
                "--cap-drop=ALL",
                "--security-opt=no-new-privileges",
                "--pids-limit=256",
            ]);
            command.args([
                "--memory=256m",
                "--memory-swap=256m",
                "--cpus=1",
                "--tmpfs=/tmp:rw,noexec,nosuid,size=100m",
            ]);
            command.args(["--env=OSA_IN=/osa/in", "--env=OSA_OUT=/osa/out"]);
            command.arg(format!("--volume={}:/osa/in:ro", input.display()));
            command.arg(format!("--volume={}:/osa/out", output.display()));
            command.arg(&image);
            command
        }),
    })
}

fn measure(server: &Server, home: &Path, kind: &Kind) -> Result<()> {
    let client = Client::new(&server.url)?;
    let slug = format!("bench-{}", kind.name);
    let convention = json!({
        "title": slug, "description": "d", "file_requirements": {"accepted_types": [], "max_count": 0},
        "schema": {"id": slug, "version": "1.0.0", "fields": [{"name": "n", "type": "number", "required": true, "cardinality": "exactly_one"}]},
        "hooks": [{"name": format!("nothing_{}", kind.name), "config": {}, "limits": {"timeout_seconds": 60, "memory": "256m", "cpu": "1"},
            "feature": {"kind": "table", "cardinality": "many", "columns": [{"name": "x", "json_type": "number", "required": false}]},
            "release": {"image": kind.image, "digest": kind.digest, "source_ref": "git:1"}}],
        "docs": {"purpose": "p", "example_questions": ["a?", "b?"], "examples": [{"question": "c?", "query": "q", "interpretation": "i"}]},
    });
    client.post("/conventions", &convention)?;
    let opened = client.post(
        "/ingestions",
        &json!({"convention_id": slug, "mode": "push", "batch_size": RECORDS}),
    )?;
    let run = opened["id"].as_str().context("id")?;
    let lines: String = (0..BATCHES * RECORDS)
        .map(|n| format!("{{\"source_id\":\"r{n}\",\"metadata\":{{\"n\":{n}}}}}\n"))
        .collect();
    client.push(
        &format!("/ingestions/{run}/records"),
        "application/x-ndjson",
        lines.as_bytes(),
    )?;
    client.post(&format!("/ingestions/{run}/close"), &json!({}))?;
    let ended = client.await_run(run, Duration::from_mins(5), |_| ())?;
    ensure!(
        ended["published_count"] == (BATCHES * RECORDS) as u64,
        "not all passed: {ended}"
    );
    let batches = client.get(&format!("/ingestions/{run}/batches?limit=100"))?;
    let batches = batches["items"].as_array().context("items")?;
    let runs: Vec<&Value> = batches.iter().map(|batch| &batch["hooks"][0]["run"]).collect();
    let at = |run: &Value, key: &str| -> Result<f64> { seconds(run[key].as_str().context("a time")?) };
    let mut running = Vec::new();
    let mut starts = Vec::new();
    for run in &runs {
        running.push(at(run, "finished_at")? - at(run, "started_at")?);
        starts.push(at(run, "started_at")?);
    }
    starts.sort_by(f64::total_cmp);
    let whole: Vec<f64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let by_hand = by_hand(home, kind)?;
    let (running, whole, by_hand) = (median(running), median(whole), median(by_hand));
    println!(
        "  {}: by hand {:.0} ms; the hook's run in the server {:.0} ms = {:.2} times; from one batch to the next {:.0} ms = {:.2} times",
        kind.name,
        by_hand * 1e3,
        running * 1e3,
        running / by_hand,
        whole * 1e3,
        whole / by_hand
    );
    Ok(())
}

/// The same program over the same records, started by hand.
fn by_hand(home: &Path, kind: &Kind) -> Result<Vec<f64>> {
    let input = home.join(format!("in-{}", kind.name));
    fs::create_dir_all(&input)?;
    let lines: String = (0..RECORDS)
        .map(|n| format!("{{\"id\":\"r{n}\",\"metadata\":{{\"n\":{n}}},\"size_hint_mb\":0.0}}\n"))
        .collect();
    fs::write(input.join("records.jsonl"), lines)?;
    let mut took = Vec::new();
    for n in 0..BATCHES {
        let output = home.join(format!("out-{}-{n}", kind.name));
        fs::create_dir_all(&output)?;
        fs::set_permissions(&output, Permissions::from_mode(0o777))?;
        let begun = Instant::now();
        let done = (kind.by_hand)(&input, &output).output()?;
        took.push(begun.elapsed().as_secs_f64());
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let told = fs::read_to_string(output.join("features.jsonl"))?;
        ensure!(
            told.lines().count() == RECORDS,
            "the hook by hand did not do its work"
        );
    }
    Ok(took)
}

/// The seconds of a time of day in the API's form; batches of one run are minutes apart at most.
fn seconds(time: &str) -> Result<f64> {
    let (_, clock) = time.trim_end_matches('Z').split_once('T').context("a time")?;
    let mut total = 0.0;
    for part in clock.split(':') {
        total = total * 60.0 + part.parse::<f64>()?;
    }
    Ok(total)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
