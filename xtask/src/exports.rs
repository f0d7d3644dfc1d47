//! `cargo xtask exports`: provenance of the demo's data in every form, held against other people's validators.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::client::{Client, Server};
use crate::shell::{output, root, run as run_command, target};
use crate::{demo, tools};

/// Forms of exports: the name in the query, and the file that the validators look for.
const FORMATS: [(&str, &str); 3] = [
    ("prov-json", "prov.json"),
    ("ro-crate", "ro-crate-metadata.json"),
    ("openlineage", "openlineage.ndjson"),
];

/// Exports what a server of its own holds, and validates it.
pub(crate) fn run() -> Result<()> {
    let known = output(Command::new("python3").args(["-c", "import venv, ensurepip"]));
    if known.is_err() {
        return tools::left_out("Python", "validating exports");
    }
    demo::build()?;
    let home = demo::home()?;
    let log = home.path().join("hallmark.log");
    let server = Server::start(&target().join("debug/hallmark"), &home.path().join("data"), &log)?;
    let place = target().join("exports");
    if place.exists() {
        std::fs::remove_dir_all(&place)?;
    }
    export(&server.url, &place).inspect_err(|_| demo::show_end(&log))?;
    server.stop()?;
    run_command(
        Command::new("sh")
            .arg(root().join("xtask/validators/validate.sh"))
            .arg(target().join("tools/validators"))
            .arg(&place)
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    )
}

fn export(url: &str, place: &Path) -> Result<()> {
    let client = Client::new(url)?;
    client.post("/conventions", &demo::convention(&target().join("debug"))?)?;
    let rows = std::fs::read_to_string(root().join("examples/penguins/penguins-raw.csv"))?;
    publish(&client, &rows)?;
    // One bird is weighed again: its record has a second version.
    let mut lines = rows.lines();
    let header = lines.next().context("the example has no header")?;
    let bird = lines.next().context("the example has no bird")?;
    publish(
        &client,
        &format!("{header}\n{}\n", bird.replace(",3750,", ",3751,")),
    )?;

    let page = client.get("/data/palmer-penguins/penguin_shape?limit=1&sort=created_at:desc")?;
    let row = &page["rows"][0];
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
    let (srn, run) = (text(&row["record_srn"])?, text(&row["run_id"])?);
    let record = srn.rsplit(':').next().context("an SRN")?;
    ensure!(record.ends_with("@2"), "{record} is no second version");
    let subjects = [
        ("record", format!("/data/records/{record}?")),
        ("record-with-names", format!("/data/records/{record}/provenance?")),
        ("run", format!("/hooks/runs/{run}?")),
        ("release", "/hooks/penguin_shape/releases/1?".to_owned()),
        (
            "table",
            "/data/palmer-penguins/penguin_shape?limit=100&sort=culmen_ratio:desc&".to_owned(),
        ),
    ];
    for (name, path) in subjects {
        for (format, file) in FORMATS {
            let text = client.text(&format!("{path}format={format}"))?;
            let named = if format == "ro-crate" {
                let directory = place.join(name);
                std::fs::create_dir_all(&directory)?;
                directory.join(file)
            } else {
                std::fs::create_dir_all(place)?;
                place.join(format!("{name}.{file}"))
            };
            std::fs::write(&named, text)?;
        }
    }
    Ok(())
}

fn publish(client: &Client, rows: &str) -> Result<()> {
    let run = client.post(
        "/ingestions",
        &json!({"convention_id": "palmer-penguins", "mode": "push", "batch_size": 100}),
    )?;
    let run = run["id"].as_str().context("id")?;
    client.push(
        &format!("/ingestions/{run}/records?source_id=Species,Sample%20Number&null_values=NA"),
        "text/csv",
        rows.as_bytes(),
    )?;
    client.post(&format!("/ingestions/{run}/close"), &json!({}))?;
    client.await_run(run, Duration::from_mins(2), |_| ())?;
    Ok(())
}
