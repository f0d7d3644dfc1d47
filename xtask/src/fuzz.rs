//! `cargo xtask fuzz`: schemathesis makes requests of the server's own OpenAPI document, and holds the answers against it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::client::{Client, Server, dev_token};
use crate::shell::{root, run as run_command, target};
use crate::{demo, tools};

/// What an answer is held to. `positive_data_acceptance` is left out: a document cannot say everything that the server demands.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,ignored_auth";

/// How much is tried.
struct Effort {
    /// Generated cases for one operation.
    cases: u32,
    /// Of a caller without a token, who is refused nearly everywhere.
    strangers_cases: u32,
    /// The same each time, or another one each time.
    seed: Option<u32>,
}

/// Fuzzes the API of a server of its own.
pub(crate) fn run(short: bool) -> Result<()> {
    let source = root().join("tests/fuzz");
    let Some(bin) = tools::python("schemathesis", &source.join("requirements.txt"))? else {
        return tools::left_out("Python", "fuzzing the API");
    };
    demo::build()?;
    let home = demo::home()?;
    let log = home.path().join("hallmark.log");
    let server = Server::start(&target().join("debug/hallmark"), &home.path().join("data"), &log)?;
    let effort = if short {
        Effort {
            cases: 12,
            strangers_cases: 8,
            seed: Some(1),
        }
    } else {
        Effort {
            cases: 150,
            strangers_cases: 50,
            seed: None,
        }
    };
    let work = target().join("fuzz");
    fuzz(&server.url, &bin.join("schemathesis"), &source, &work, &effort)
        .inspect_err(|_| demo::show_end(&log))?;
    // What is asked of it may fail; the server may not.
    Client::new(&server.url)?.get("/ready")?;
    server.stop()
}

fn fuzz(url: &str, program: &Path, source: &Path, work: &Path, effort: &Effort) -> Result<()> {
    std::fs::create_dir_all(work)?;
    let known = seeded(url).context("the server could not be given data")?;
    let file = work.join("known.json");
    std::fs::write(&file, serde_json::to_string_pretty(&known)?)?;
    let config = std::fs::read_to_string(source.join("schemathesis.toml"))?;
    let schemathesis = |who: &str, header: &str, cases: u32, phases: &str| {
        println!("fuzz: as {who}");
        // The token goes into a file, not onto the command line, which is shown when it fails.
        let config_file = work.join("schemathesis.toml");
        std::fs::write(&config_file, format!("{config}{header}\n"))?;
        let mut command = Command::new(program);
        command
            .current_dir(work)
            .env("HALLMARK_FUZZ_KNOWN", &file)
            .env("PYTHONPATH", source)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NO_PROXY", "127.0.0.1")
            .arg("--config-file")
            .arg(config_file)
            .arg("run")
            .arg(format!("{url}/openapi.json"))
            .args(["--checks", CHECKS, "--phases", phases])
            .args(["--max-examples", &cases.to_string()]);
        if let Some(seed) = effort.seed {
            command.args(["--seed", &seed.to_string()]);
        }
        run_command(&mut command)
    };
    let header = format!("headers.Authorization = \"Bearer {}\"", dev_token()?);
    schemathesis(
        "the local administrator",
        &header,
        effort.cases,
        "coverage,fuzzing,stateful",
    )?;
    schemathesis("nobody", "", effort.strangers_cases, "fuzzing")
}

/// Deploys the example, publishes its records and leaves a run open; returns what `tests/fuzz/hooks.py` puts into requests.
fn seeded(url: &str) -> Result<Value> {
    let client = Client::new(url)?;
    let convention = demo::convention(&target().join("debug"))?;
    client.post("/conventions", &convention)?;
    let open = || {
        client.post(
            "/ingestions",
            &json!({"convention_id": "palmer-penguins", "mode": "push", "batch_size": 50}),
        )
    };
    let done = open()?;
    let done = done["id"].as_str().context("id")?;
    let rows = std::fs::read_to_string(root().join("examples/penguins/penguins-raw.csv"))?;
    client.push(
        &format!("/ingestions/{done}/records?source_id=Species,Sample%20Number&null_values=NA"),
        "text/csv",
        rows.as_bytes(),
    )?;
    client.post(&format!("/ingestions/{done}/close"), &json!({}))?;
    client.await_run(done, Duration::from_mins(2), |_| ())?;
    let opened = open()?;
    // A second one, of which a run can be opened.
    let mut other = convention.clone();
    other["title"] = json!("Fuzzed penguins");
    client.post("/conventions", &other)?;

    // Somebody who hands work to themselves.
    let me = client.get("/auth/me")?;
    let me = format!("user:{}", me["id"].as_str().context("id")?);
    let task_body =
        json!({"kind": "fuzz", "name": "fuzzed", "params": {"n": 1}, "idempotency_key": "fuzzed"});
    let task = client.post("/tasks", &task_body)?;
    let delegation =
        |id: &str| json!({"delegation_id": id, "callee_id": me, "input": {"n": 1}, "max_retries": 1});
    client.post("/delegations", &delegation("held"))?;
    client.post("/claims", &json!({"worker_id": "fuzz", "limit": 1}))?;
    client.post("/delegations", &delegation("waiting"))?;

    let records = client.get("/data/palmer-penguins/records?limit=2")?;
    let features = client.get("/data/palmer-penguins/penguin_shape?limit=1")?;
    let (record, feature) = (&records["rows"][0], &features["rows"][0]);
    let hook = &convention["hooks"][0];
    let deposition = client.post("/depositions", &json!({"convention_id": "palmer-penguins"}))?;
    let values = json!({
        "slug": ["palmer-penguins"],
        "convention_id": ["palmer-penguins", "fuzzed-penguins"],
        "schema": ["palmer-penguins", "palmer-penguins@1.0.0"],
        "feature": ["penguin_shape", "check_penguin", "penguin_shape.csv"],
        "name": ["penguin_shape", "check_penguin"],
        "version": ["1", "1.0.0", 1],
        "records/id": [record["id"]],
        // Another one, so that the first can be read.
        "records/id/withdraw": [records["rows"][1]["id"]],
        "records/id/restore": [records["rows"][1]["id"]],
        "ingestions/id": [done, opened["id"]],
        "ingestions/id/close": [done],
        "ingestions/id/cancel": [opened["id"]],
        "outcome": ["published", "rejected", "errored", "unchanged"],
        "srn": [deposition["srn"]],
        "filename": ["data.txt"],
        "ingestions/id/records": [opened["id"]],
        "ingestions/id/withdraw": [opened["id"]],
        "ingestions/id/restore": [done],
        "run_id": [feature["run_id"]],
        "row_id": [feature["id"].to_string(), feature["id"]],
        "cursor": [records["next_cursor"], features["next_cursor"]],
        "source_id": ["Species,Sample Number"],
        "null_values": ["NA"],
        "task_id": [task["id"]],
        "delegation_id": ["held", "waiting"],
        "attempt": [1],
        "callee_id": [me],
        "grantee": [me],
        "party": [me],
    });
    let release = &hook["release"];
    let bodies = json!([
        convention,
        {"image": release["image"], "digest": release["digest"], "config": {}, "source_ref": "git:1"},
        {"convention_id": "fuzzed-penguins", "mode": "push", "batch_size": 10},
        {"version": 1},
        {"reason": "fuzzed"},
        task_body,
        delegation("fuzzed"),
        {"worker_id": "fuzz", "limit": 2, "begin": false},
        {"attempt": 1, "result": {"n": 1}, "result_preview": "n"},
        {"claims": [{"delegation_id": "held", "attempt": 1}]},
        {"ends": [{"delegation_id": "held", "attempt": 1, "result": 1}]},
    ]);
    let line = json!({"source_id": "fuzzed", "metadata": {"species": "Gentoo", "sample_number": 1}});
    let csv: Vec<&str> = rows.lines().take(4).collect();
    let texts =
        json!({"application/x-ndjson": format!("{line}\n{line}\n"), "text/csv": csv.join("\n") + "\n"});
    Ok(json!({"values": values, "bodies": bodies, "texts": texts}))
}
