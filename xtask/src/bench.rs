//! Numbers, in ratios against something that is run beside them: the same hook by hand over the same records, `psql \copy`, `pgbench`
//! with the same SQL, and `/health`.

mod exhaustion;
mod isolation;
mod load;
mod pipeline;
mod reading;
mod registry;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::client::{Client, Server, count};
use crate::demo;
use crate::migrations::Throwaway;
use crate::shell::{cargo, postgres_program, root, run as run_command, target};
use crate::tools;

/// How often the 344 penguins are pushed.
const TIMES: usize = 300;
/// Records per batch.
const BATCH: usize = 1000;

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Pushing and processing records.
    Ingest,
    /// What the pipeline costs beside the hook.
    Pipeline,
    /// Writing feature rows.
    Copy,
    /// Releases and reads of the registry.
    Registry,
    /// Exports, pages, recall and traces.
    Reading,
    /// Verifying tokens of machines.
    Tokens,
    /// Delegations.
    Ledger,
    /// What sandboxes cost, and the memory of a server that hooks and callers try to exhaust.
    Isolation,
}

/// Runs one part, or all.
pub(crate) fn run(part: Option<Part>) -> Result<()> {
    let wanted = |one| part.is_none_or(|part| part == one);
    let served = [
        Part::Ingest,
        Part::Pipeline,
        Part::Reading,
        Part::Registry,
        Part::Isolation,
    ];
    if served.into_iter().any(wanted) {
        run_command(&mut cargo(&[
            "build",
            "--release",
            "--locked",
            "--package",
            "server",
            "--package",
            "penguins-hooks",
        ]))?;
    }
    if wanted(Part::Ingest) {
        end_to_end()?;
    }
    if wanted(Part::Pipeline) {
        pipeline::run()?;
    }
    if wanted(Part::Registry) {
        registry::run()?;
    }
    if wanted(Part::Reading) {
        reading::run()?;
    }
    if wanted(Part::Isolation) {
        isolation::run()?;
        exhaustion::run()?;
    }
    if wanted(Part::Tokens) {
        println!();
        run_command(&mut cargo(&[
            "bench",
            "--locked",
            "--package",
            "auth",
            "--bench",
            "verify",
        ]))?;
    }
    if wanted(Part::Copy) {
        copy()?;
    }
    if wanted(Part::Ledger) {
        ledger()?;
    }
    Ok(())
}

/// On a durable PostgreSQL of its own, with graphile-worker beside it where there is Node.js.
fn ledger() -> Result<()> {
    println!("\nthe ledger, medians of 3 turns (cargo bench):");
    let postgres = Throwaway::durable()?;
    let package = root().join("crates/postgres-adapter/benches/ledger/graphile");
    let mut bench = cargo(&[
        "bench",
        "--locked",
        "--package",
        "postgres-adapter",
        "--features",
        "testing",
        "--bench",
        "ledger",
    ]);
    bench
        .env("HALLMARK_TEST_DATABASE_URL", postgres.database("postgres")?)
        .env("PGBENCH", postgres_program("pgbench")?);
    if let Some(place) = tools::node("graphile-worker", &package)? {
        bench.env("GRAPHILE_MODULES", place.join("node_modules"));
    }
    run_command(&mut bench)
}

fn copy() -> Result<()> {
    println!("\nCOPY of 1,000,000 feature rows, adapter against psql (cargo bench):");
    run_command(&mut cargo(&[
        "bench",
        "--locked",
        "--package",
        "postgres-adapter",
        "--features",
        "testing",
        "--bench",
        "copy",
    ]))
}

/// The penguins many times over, as CSV, and how many records they are.
fn many_penguins() -> Result<(String, usize)> {
    let csv = std::fs::read_to_string(root().join("examples/penguins/penguins-raw.csv"))?;
    let (header, rows) = csv.split_once('\n').context("a header")?;
    let mut many = format!("{header}\n");
    for time in 0..TIMES {
        for row in rows.lines() {
            let (study, rest) = row.split_once(',').context("a row")?;
            many.push_str(&format!("{study}-{time},{rest}\n"));
        }
    }
    Ok((many, TIMES * rows.lines().count()))
}

/// The convention of the penguins with one of its hooks.
fn one_hook(built: &Path) -> Result<Value> {
    let mut convention = demo::convention(built)?;
    convention["hooks"]
        .as_array_mut()
        .context("hooks")?
        .retain(|hook| hook["name"] == "penguin_shape");
    Ok(convention)
}

/// How long pushing took, and how long it took until everything was published.
struct Took {
    push: Duration,
    whole: Duration,
}

/// Deploys the convention, pushes the penguins, and waits until they are published.
fn ingest(client: &Client, convention: &Value, penguins: &str, records: usize) -> Result<Took> {
    client.post("/conventions", convention)?;
    let opened = client.post(
        "/ingestions",
        &json!({"convention_id": "palmer-penguins", "mode": "push", "batch_size": BATCH}),
    )?;
    let id = opened["id"].as_str().context("id")?;
    let begun = Instant::now();
    let path = format!("/ingestions/{id}/records?source_id=studyName,Species,Sample%20Number&null_values=NA");
    let pushed = client.push(&path, "text/csv", penguins.as_bytes())?;
    let push = begun.elapsed();
    client.post(&format!("/ingestions/{id}/close"), &json!({}))?;
    let ended = client.await_run(id, Duration::from_mins(20), |_| {})?;
    anyhow::ensure!(
        count(&ended, "published_count") == records as u64,
        "not everything was published: {ended:#} {pushed:#}"
    );
    Ok(Took {
        push,
        whole: begun.elapsed(),
    })
}

/// Pushing and processing the penguins many times over, through one hook.
fn end_to_end() -> Result<()> {
    let built = target().join("release");
    let home = demo::home()?;
    let (penguins, records) = many_penguins()?;
    let server = Server::start(
        &built.join("hallmark"),
        &home.path().join("data"),
        &home.path().join("hallmark.log"),
    )?;
    let client = Client::new(&server.url)?;
    let convention = one_hook(&built)?;
    let Took { push, whole } = ingest(&client, &convention, &penguins, records)?;
    let alone = hook_alone(
        &client,
        &built.join("penguin_shape"),
        &convention,
        home.path(),
        records,
    )?;
    server.stop()?;

    let amount = f64::from(u32::try_from(records)?);
    let rate = |time: Duration| amount / time.as_secs_f64();
    println!(
        "\n{records} records through one hook, {BATCH} a batch, release build, embedded PostgreSQL (durable):"
    );
    println!(
        "  pushed (parsed, checked, stored)   {:>8.1} s   {:>8.0} records/s",
        push.as_secs_f64(),
        rate(push)
    );
    println!(
        "  end to end, published with rows    {:>8.1} s   {:>8.0} records/s",
        whole.as_secs_f64(),
        rate(whole)
    );
    println!(
        "  the same hook by hand              {:>8.1} s   {:>8.0} records/s",
        alone.as_secs_f64(),
        rate(alone)
    );
    println!(
        "  end to end / by hand               {:>8.2}",
        whole.as_secs_f64() / alone.as_secs_f64()
    );
    Ok(())
}

/// The same program over the same number of records, batch by batch, started by hand.
fn hook_alone(
    client: &Client,
    hook: &Path,
    convention: &Value,
    home: &Path,
    records: usize,
) -> Result<Duration> {
    let page = client.get(&format!("/data/palmer-penguins/records?limit={BATCH}"))?;
    let fields: Vec<&str> = convention["schema"]["fields"]
        .as_array()
        .context("fields")?
        .iter()
        .filter_map(|f| f["name"].as_str())
        .collect();
    let mut lines = String::new();
    for row in page["rows"].as_array().context("rows")? {
        let metadata: serde_json::Map<String, Value> = fields
            .iter()
            .map(|name| ((*name).to_owned(), row[*name].clone()))
            .filter(|(_, v)| !v.is_null())
            .collect();
        lines.push_str(&format!(
            "{}\n",
            json!({"id": row["id"], "metadata": metadata, "size_hint_mb": 0.0})
        ));
    }
    let (input, out, files) = (home.join("in"), home.join("out"), home.join("files"));
    for directory in [&input, &out, &files] {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(input.join("records.jsonl"), lines)?;
    std::fs::write(
        input.join("config.json"),
        convention["hooks"][0]["config"].to_string(),
    )?;
    let begun = Instant::now();
    for _ in 0..records.div_ceil(BATCH) {
        let mut by_hand = Command::new(hook);
        run_command(
            by_hand
                .env("OSA_IN", &input)
                .env("OSA_OUT", &out)
                .env("OSA_FILES", &files)
                .env("OSA_HOOK_NAME", "penguin_shape"),
        )?;
    }
    Ok(begun.elapsed())
}
