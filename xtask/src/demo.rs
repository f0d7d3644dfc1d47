//! `cargo xtask demo`: the main job, from nothing to the trace of a row.

use std::fs::File;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::client::{Client, Server, count};
use crate::shell::{self, cargo, output, root, target};
use crate::tree;

/// The two hooks of the example.
const HOOKS: [&str; 2] = ["check_penguin", "penguin_shape"];

/// Builds what the demo runs.
pub(crate) fn build() -> Result<()> {
    shell::run(&mut cargo(&[
        "build",
        "--locked",
        "--package",
        "server",
        "--package",
        "penguins-hooks",
    ]))
}

/// Runs the demo.
pub(crate) fn run(keep: bool) -> Result<()> {
    println!("1. building hallmark and the two penguin hooks");
    build()?;
    let home = home()?;
    let log = home.path().join("hallmark.log");
    println!(
        "2. starting hallmark on its own PostgreSQL in {}",
        home.path().display()
    );
    let server = Server::start(&target().join("debug/hallmark"), &home.path().join("data"), &log)?;
    match job(&server.url) {
        Ok(()) if keep => {
            println!("\nThe server is up until you press Ctrl-C:");
            println!("  API               {}/api/v1", server.url);
            println!("  interactive docs  {}/docs", server.url);
            println!("  OpenAPI document  {}/openapi.json", server.url);
            println!("  log               {}", log.display());
            server.wait()
        }
        Ok(()) => {
            println!("\nstopping what was started");
            server.stop()
        }
        Err(error) => {
            show_end(&log);
            Err(error)
        }
    }
}

/// Shows the end of a server's log.
pub(crate) fn show_end(log: &Path) {
    let told = std::fs::read_to_string(log).unwrap_or_default();
    let tail: Vec<&str> = told.lines().rev().take(30).collect();
    eprintln!(
        "the end of the server's log:\n{}",
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    );
}

/// A directory that the users of hooks and PostgreSQL can get through; gone when it is dropped.
pub(crate) fn home() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    Ok(builder
        .prefix("hallmark-demo-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir()?)
}

fn job(url: &str) -> Result<()> {
    let client = Client::new(url)?;
    println!("3. deploying the convention of examples/penguins");
    let deployed = client.post("/conventions", &convention(&target().join("debug"))?)?;
    for hook in deployed["releases"].as_array().context("releases")? {
        println!(
            "   hook {} version {}, live",
            hook["name"].as_str().unwrap_or("?"),
            hook["version"]
        );
    }
    let slug = deployed["slug"].as_str().context("slug")?;

    println!("4. pushing the 344 rows of penguins-raw.csv");
    let opened = client.post(
        "/ingestions",
        &json!({"convention_id": slug, "mode": "push", "batch_size": 50}),
    )?;
    let id = opened["id"].as_str().context("id")?;
    let csv = File::open(root().join("examples/penguins/penguins-raw.csv"))?;
    let pushed = client.push(
        &format!("/ingestions/{id}/records?source_id=Species,Sample%20Number&null_values=NA"),
        "text/csv",
        csv,
    )?;
    println!(
        "   {} accepted, {} refused",
        pushed["accepted"], pushed["refused"]
    );
    client.post(&format!("/ingestions/{id}/close"), &json!({}))?;

    println!("5. running the hooks");
    let bar = ProgressBar::new(count(&pushed, "accepted"))
        .with_style(ProgressStyle::with_template("   {bar:40} {pos}/{len} records")?);
    let ended = client.await_run(id, Duration::from_mins(5), |run| {
        bar.set_position(
            ["published_count", "rejected_count", "errored_count"]
                .iter()
                .map(|key| count(run, key))
                .sum(),
        );
    })?;
    bar.finish();
    println!("   published {:>5}", count(&ended, "published_count"));
    println!("   rejected  {:>5}", count(&ended, "rejected_count"));
    println!("   errored   {:>5}", count(&ended, "errored_count"));
    for reason in ended["reasons"].as_array().context("reasons")? {
        println!(
            "     {:>5}  {} by {}: {}",
            count(reason, "records"),
            reason["outcome"].as_str().unwrap_or("?"),
            reason["hook_name"].as_str().unwrap_or("?"),
            reason["reason"].as_str().unwrap_or("?")
        );
    }
    let manifest = client.get("/data/palmer-penguins")?;
    for table in manifest["table_resources"]
        .as_array()
        .context("table_resources")?
    {
        println!(
            "   table {:<16} {:>5} rows",
            table["name"].as_str().unwrap_or("?"),
            count(table, "row_count")
        );
    }
    ensure!(count(&ended, "published_count") > 0, "nothing was published");

    println!("6. where does this row come from?\n");
    let page = client.get("/data/palmer-penguins/penguin_shape?limit=1")?;
    let row = page["rows"][0]["id"].as_i64().context("a row")?;
    let trace = client.get(&format!("/data/palmer-penguins/penguin_shape/rows/{row}/trace"))?;
    print!("{}", tree::render(&trace));
    Ok(())
}

/// The deploy body of the example, with this build's binaries, their digests and the commit.
pub(crate) fn convention(built: &Path) -> Result<Value> {
    let mut text = std::fs::read_to_string(root().join("examples/penguins/convention.json"))?;
    for hook in HOOKS {
        text = text.replace(&format!("@DIGEST_{hook}@"), &digest(&built.join(hook))?);
    }
    let commit = output(std::process::Command::new("git").arg("-C").arg(root()).args([
        "rev-parse",
        "--short=12",
        "HEAD",
    ]))
    .unwrap_or_else(|_| "unknown".to_owned());
    text = text
        .replace("@BIN@", &built.to_string_lossy())
        .replace("@SOURCE_REF@", &format!("git:{}", commit.trim()));
    serde_json::from_str(&text).context("examples/penguins/convention.json")
}

fn digest(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(format!(
        "sha256:{}",
        Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    ))
}
