//! What the pipeline costs beside the hook: batches of 1000 records through hooks that do next to nothing, against the same program
//! started by hand over the same records, as a local process and in a container; with one worker, and with the two that a server has
//! by default against two at a time by hand.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::{Client, Server};
use crate::demo;
use crate::engine::Engine;
use crate::shell::target;

/// Batches that are run, and records of each.
const BATCHES: usize = 20;
pub(super) const RECORDS: usize = 1000;
/// Batches that are run when nothing else is done.
const ALONE: usize = 10;
/// Workers of the server, and programs at a time by hand.
const LANES: [usize; 2] = [1, 2];
/// The hook that does least: every record passes, with no row.
pub(super) const HOOK: &str = "#!/bin/sh\nsed 's/^{\"id\":\"\\([^\"]*\\)\".*/{\"id\":\"\\1\",\"features\":[]}/' \"$OSA_IN/records.jsonl\" > \"$OSA_OUT/features.jsonl\"\n";

/// The same as scientists write it.
pub(super) const PYTHON: &str = r#"#!/usr/bin/env python3
import json, os
with open(os.environ["OSA_IN"] + "/records.jsonl") as records, open(os.environ["OSA_OUT"] + "/features.jsonl", "w") as out:
    for line in records:
        print(json.dumps({"id": json.loads(line)["id"], "features": []}), file=out)
"#;

/// Starts the program over an input directory, into an output directory.
pub(super) type Start = Box<dyn Fn(&Path, &Path) -> Command + Sync>;

/// The hook's program, and how it is started by hand.
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) digest: String,
    pub(super) by_hand: Start,
}

/// Measures every kind; containers only where an engine answers or can be started.
pub(super) fn run() -> Result<()> {
    println!("\nthe pipeline, {BATCHES} batches of {RECORDS} records, medians:");
    let home = demo::home()?;
    let engine = Engine::find()
        .inspect_err(|why| println!("containers were left out: {why:#}"))
        .ok();
    let mut kinds = vec![
        process("process", HOOK, home.path())?,
        process("python", PYTHON, home.path())?,
    ];
    if let Some(engine) = &engine {
        kinds.push(container(engine, home.path())?);
    }
    for lanes in LANES {
        let workers = lanes.to_string();
        let mut environment = vec![
            ("HALLMARK_WORKER__CONCURRENCY", workers.as_str()),
            ("HALLMARK_RUNNER__SANDBOX", "none"),
        ];
        if let Some(engine) = &engine {
            environment.push(("DOCKER_HOST", engine.host()));
        }
        let server = Server::start_with(
            &target().join("release/hallmark"),
            &home.path().join(format!("data-{lanes}")),
            &home.path().join("hallmark.log"),
            &environment,
        )?;
        println!("with {lanes} at a time:");
        for kind in &kinds {
            measure(&server, home.path(), kind, lanes)?;
        }
        server.stop()?;
    }
    Ok(())
}

/// A program that is run as a local process.
pub(super) fn process(name: &str, text: &str, home: &Path) -> Result<Kind> {
    let program = home.join(format!("{name}-hook"));
    fs::write(&program, text)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let digest: String = Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(Kind {
        name: name.to_owned(),
        image: format!("file:{}", program.display()),
        digest: format!("sha256:{digest}"),
        by_hand: Box::new(move |input, output| {
            let mut command = Command::new(&program);
            // The environment that the server gives: a caller's `PATH` may name slow wrappers of an interpreter.
            command
                .env_clear()
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .env("LANG", "C.UTF-8");
            command.env("OSA_IN", input).env("OSA_OUT", output);
            command
        }),
    })
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
        name: "container".to_owned(),
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

fn measure(server: &Server, home: &Path, kind: &Kind, lanes: usize) -> Result<()> {
    let client = Client::new(&server.url)?;
    // What is pushed would be taken in by the cores that are measured, so the workers are held up until all of it is there.
    let go = home.join(format!("go-{}-{lanes}", kind.name));
    let waits = format!(
        "#!/bin/sh\nwhile [ ! -e {} ]; do sleep 0.05; done\nexec {}\n",
        go.display(),
        home.join("process-hook").display()
    );
    let waits = process(&format!("waits_{}", kind.name), &waits, home)?;
    let held = open(&client, &waits, lanes, 1, 0)?;
    let run = open(&client, kind, BATCHES, RECORDS, 0)?;
    fs::write(&go, "")?;
    await_all(&client, &held, lanes)?;
    await_all(&client, &run, BATCHES * RECORDS)?;
    let (_, starts) = times(&client, &run)?;
    // Lanes in step begin together: from the first of one to the first of another.
    let gaps = starts.len() - lanes;
    let pace = (starts[gaps] - starts[0]) / f64::from(u32::try_from(gaps)?);
    // The runs themselves, each when nothing else is done: by hand nothing is written meanwhile either.
    let mut alone = Vec::new();
    for n in 1..=ALONE {
        let run = open(&client, kind, 1, RECORDS, n)?;
        await_all(&client, &run, RECORDS)?;
        alone.extend(times(&client, &run)?.0);
    }
    let alone = median(alone);
    let one = median(by_hand(home, kind, 1)?);
    // As many at a time as workers.
    let hand_pace = median(by_hand(home, kind, lanes)?) / f64::from(u32::try_from(lanes)?);
    println!(
        "  {}: a run by hand {:.0} ms, in the server {:.0} ms = {:.2} times; a batch by hand every {:.0} ms, in the server, with what it publishes, every {:.0} ms = {:.2} times",
        kind.name,
        one * 1e3,
        alone * 1e3,
        alone / one,
        hand_pace * 1e3,
        pace * 1e3,
        pace / hand_pace
    );
    Ok(())
}

/// Waits until an ingest run has published so many records.
pub(super) fn await_all(client: &Client, run: &str, records: usize) -> Result<()> {
    let ended = client.await_run(run, Duration::from_mins(5), |_| ())?;
    ensure!(
        ended["published_count"] == records as u64,
        "not all passed: {ended}"
    );
    Ok(())
}

/// How long the hook ran over each batch, and when it began, in order.
pub(super) fn times(client: &Client, run: &str) -> Result<(Vec<f64>, Vec<f64>)> {
    let batches = client.get(&format!("/ingestions/{run}/batches?limit=100"))?;
    let batches = batches["items"].as_array().context("items")?;
    let at = |run: &Value, key: &str| -> Result<f64> { seconds(run[key].as_str().context("a time")?) };
    let (mut running, mut starts) = (Vec::new(), Vec::new());
    for run in batches.iter().map(|batch| &batch["hooks"][0]["run"]) {
        running.push(at(run, "finished_at")? - at(run, "started_at")?);
        starts.push(at(run, "started_at")?);
    }
    starts.sort_by(f64::total_cmp);
    Ok((running, starts))
}

/// Deploys the hook with a convention of its own, and pushes it so many batches, of which `n` makes other records than before; gives the
/// ingest run, closed.
pub(super) fn open(client: &Client, kind: &Kind, batches: usize, records: usize, n: usize) -> Result<String> {
    let slug = format!("bench-{}", kind.name.replace('_', "-"));
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
        &json!({"convention_id": slug, "mode": "push", "batch_size": records}),
    )?;
    let run = opened["id"].as_str().context("id")?;
    let lines: String = (0..batches * records)
        .map(|record| format!("{{\"source_id\":\"r{n}-{record}\",\"metadata\":{{\"n\":{record}}}}}\n"))
        .collect();
    client.push(
        &format!("/ingestions/{run}/records"),
        "application/x-ndjson",
        lines.as_bytes(),
    )?;
    client.post(&format!("/ingestions/{run}/close"), &json!({}))?;
    Ok(run.to_owned())
}

/// How long each start of the same program over the same records takes by hand, so many at a time.
pub(super) fn by_hand(home: &Path, kind: &Kind, lanes: usize) -> Result<Vec<f64>> {
    let input = home.join(format!("in-{}-{lanes}", kind.name));
    fs::create_dir_all(&input)?;
    let lines: String = (0..RECORDS)
        .map(|n| format!("{{\"id\":\"r{n}\",\"metadata\":{{\"n\":{n}}},\"size_hint_mb\":0.0}}\n"))
        .collect();
    fs::write(input.join("records.jsonl"), lines)?;
    let lane = |lane: usize| -> Result<Vec<f64>> {
        let mut took = Vec::new();
        for n in 0..BATCHES {
            let output = home.join(format!("out-{}-{lanes}-{lane}-{n}", kind.name));
            let _ = fs::remove_dir_all(&output);
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
    };
    let took: Vec<Vec<f64>> = thread::scope(|scope| {
        let lane = &lane;
        let started: Vec<_> = (0..lanes).map(|n| scope.spawn(move || lane(n))).collect();
        started
            .into_iter()
            .map(|one| one.join().map_err(|_| anyhow!("a lane panicked"))?)
            .collect::<Result<_>>()
    })?;
    Ok(took.into_iter().flatten().collect())
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

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
