//! The memory of a server that hooks and callers try to exhaust: the most that it ever held, against what it may have.

use std::io::{Cursor, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::pipeline::process;
use crate::client::{Client, Server, count};
use crate::demo;
use crate::shell::target;

/// What a server may hold, in MiB.
const MOST: u64 = 512;
/// The largest line of a push, in bytes.
const LINE: usize = 1024 * 1024;
/// How many pushes and workbooks come at once.
const PUSHES: usize = 8;
const WORKBOOKS: usize = 12;
/// How long a run may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// Outputs of hooks: a name, and a script that writes a line of the record `a` or more.
const OUTPUTS: [(&str, &str); 6] = [
    (
        "many",
        r#"printf '{"id":"a","features":['; yes '{"note":"0123456789012345678901234567890123456789","size":1.5},' | head -n 900000 | tr -d '\n'; echo '{}]}'"#,
    ),
    (
        "huge",
        r#"printf '{"id":"a","features":[{"note":"'; head -c 200000000 /dev/zero | tr '\000' x; echo '"}]}'"#,
    ),
    (
        "emptyrows",
        r#"printf '{"id":"a","features":['; yes '{},' | head -n 12000000 | tr -d '\n'; echo '{}]}'"#,
    ),
    (
        "emptylines",
        r#"yes '{"id":"a","features":[{},{},{}]}' | head -n 4000000"#,
    ),
    (
        "deep",
        r#"printf '{"id":"a","features":['; head -c 200000000 /dev/zero | tr '\000' '['; echo ']}'"#,
    ),
    (
        "wide",
        r#"printf '{"id":"a","features":[['; yes '{},' | head -n 40000000 | tr -d '\n'; echo '1]]}'"#,
    ),
];

/// A server of its own for each part: its most memory is that of the part.
struct Bench {
    server: Server,
    client: Client,
    home: tempfile::TempDir,
}

/// Runs it; the server is built.
pub(super) fn run() -> Result<()> {
    println!("\nthe most memory of a server, which may have {MOST} MiB (VmHWM):");
    outputs()?;
    lines(
        "pushes of one line of empty objects",
        &format!("[{}{{}}]", "{},".repeat(80_000)),
    )?;
    lines(
        "pushes of one line of empty objects that is too heavy",
        &format!("[{}{{}}]", "{},".repeat(LINE / 3 - 100)),
    )?;
    lines(
        "pushes of one line of text",
        &format!("\"{}\"", "x".repeat(LINE - 200)),
    )?;
    patterns()?;
    workbooks()
}

impl Bench {
    fn start() -> Result<Self> {
        let home = demo::home()?;
        let server = Server::start(
            &target().join("release/hallmark"),
            &home.path().join("data"),
            &home.path().join("hallmark.log"),
        )?;
        Ok(Self {
            client: Client::new(&server.url)?,
            server,
            home,
        })
    }

    /// Says what the part took, and stops the server.
    fn end(self, what: &str) -> Result<()> {
        let most = self.server.most_memory()? / 1024;
        println!(
            "  {what:<60} {most:>5} MiB = {:.2} (aim: at most 1)",
            f64::from(u32::try_from(most)?) / f64::from(u32::try_from(MOST)?)
        );
        self.server.stop()
    }

    /// Deploys a convention of these fields, whose hook is this script.
    fn deploy(&self, name: &str, fields: &Value, script: &str) -> Result<()> {
        self.client.post(
            "/conventions",
            &convention(self.home.path(), name, fields, script)?,
        )?;
        Ok(())
    }

    fn open(&self, name: &str) -> Result<String> {
        let body = json!({"convention_id": format!("x-{name}"), "mode": "push", "batch_size": 10});
        let opened = self.client.post("/ingestions", &body)?;
        Ok(opened["id"].as_str().context("id")?.to_owned())
    }

    /// Sends a body; gives the status of the answer, which is none of a fault of the server.
    fn send(&self, path: &str, content_type: &str, body: &[u8]) -> Result<u16> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let mut answer = agent
            .post(format!("{}/api/v1{path}", self.server.url))
            .header("authorization", format!("Bearer {}", self.client.token()))
            .header("content-type", content_type)
            .send(body)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string()?;
        ensure!(status < 500 || status == 503, "{path} answered {status}: {text}");
        Ok(status)
    }
}

fn convention(home: &Path, name: &str, fields: &Value, script: &str) -> Result<Value> {
    let hook = process(name, &format!("#!/bin/sh\n{script}\n"), home)?;
    let column = |name: &str, kind: &str| json!({"name": name, "json_type": kind, "required": false});
    Ok(json!({
        "title": format!("x {name}"), "description": "d", "file_requirements": {"accepted_types": [], "max_count": 0},
        "schema": {"id": format!("x-{name}"), "version": "1.0.0", "fields": fields},
        "hooks": [{"name": name, "config": {}, "limits": {"timeout_seconds": 300, "memory": "512m", "cpu": "2"},
            "feature": {"kind": "table", "cardinality": "many", "columns": [column("note", "string"), column("size", "number")]},
            "release": {"image": hook.image, "digest": hook.digest, "source_ref": "git:1"}}],
        "docs": {"purpose": "p", "example_questions": ["a?", "b?"], "examples": [{"question": "c?", "query": "q", "interpretation": "i"}]},
    }))
}

/// One field, a text.
fn label() -> Value {
    json!([{"name": "label", "type": "text", "required": false, "cardinality": "exactly_one"}])
}

/// Hooks that return too much, one after the other, and how many records they published.
fn outputs() -> Result<()> {
    let bench = Bench::start()?;
    for (name, script) in OUTPUTS {
        bench.deploy(
            name,
            &label(),
            &format!("({script}) > \"$OSA_OUT/features.jsonl\""),
        )?;
        let run = bench.open(name)?;
        let line = "{\"id\":\"a\",\"metadata\":{\"label\":\"x\"}}\n";
        bench.client.push(
            &format!("/ingestions/{run}/records"),
            "application/x-ndjson",
            line.as_bytes(),
        )?;
        bench
            .client
            .post(&format!("/ingestions/{run}/close"), &json!({}))?;
        let ended = bench.client.await_run(&run, PATIENCE, |_| ())?;
        ensure!(
            count(&ended, "published_count") + count(&ended, "errored_count") == 1,
            "{name}: {ended:#}"
        );
        if ended["published_count"] != u64::from(name == "many") {
            bail!("{name}: {ended:#}");
        }
    }
    bench.end("outputs of hooks: many rows, huge lines, empty rows, deep")
}

/// Pushes at once, each of one line whose text field is this value.
fn lines(what: &str, value: &str) -> Result<()> {
    let bench = Bench::start()?;
    let pass = "sed -e 's/^{\"id\":\"\\([^\"]*\\)\".*/{\"id\":\"\\1\",\"features\":[]}/' \"$OSA_IN/records.jsonl\" > \"$OSA_OUT/features.jsonl\"";
    bench.deploy("lines", &label(), pass)?;
    let line = format!("{{\"id\":\"a\",\"metadata\":{{\"label\":{value}}}}}\n");
    ensure!(line.len() <= LINE, "the line has {} bytes", line.len());
    push_at_once(&bench, "lines", &line)?;
    bench.end(&format!("{PUSHES} {what}"))
}

/// The same with a schema of as many fields with patterns as there may be.
fn patterns() -> Result<()> {
    let bench = Bench::start()?;
    // The largest patterns that a schema of so many may have.
    let mut width = 64;
    loop {
        let field = |n: usize| {
            json!({"name": format!("f{n}"), "type": "text", "required": false, "cardinality": "exactly_one",
                "constraints": {"type": "text", "pattern": format!("^{n}[a-z0-9]{{1,{width}}}$")}})
        };
        let fields: Vec<Value> = (0..500).map(field).collect();
        let deployed = bench.deploy(
            "patterns",
            &Value::from(fields),
            ": > \"$OSA_OUT/features.jsonl\"",
        );
        match deployed {
            Ok(()) => break,
            Err(error) if width == 1 => return Err(error),
            Err(_) => width /= 2,
        }
    }
    let metadata: Vec<String> = (0..500)
        .map(|n| format!("\"f{n}\":\"{n}{}\"", "a".repeat(width)))
        .collect();
    let line = format!("{{\"id\":\"a\",\"metadata\":{{{}}}}}\n", metadata.join(","));
    push_at_once(&bench, "patterns", &line)?;
    bench.end(&format!(
        "{PUSHES} pushes of one line, 500 fields with patterns of {width}"
    ))
}

/// Pushes a line to as many runs at once.
fn push_at_once(bench: &Bench, name: &str, line: &str) -> Result<()> {
    let runs: Vec<String> = (0..PUSHES).map(|_| bench.open(name)).collect::<Result<_>>()?;
    at_once(runs.iter().map(move |run| {
        move || {
            bench.send(
                &format!("/ingestions/{run}/records"),
                "application/x-ndjson",
                line.as_bytes(),
            )
        }
    }))
}

/// Workbooks at once whose shared texts are 60 MB large.
fn workbooks() -> Result<()> {
    let bench = Bench::start()?;
    bench.deploy("workbooks", &label(), "true")?;
    let workbook = workbook()?;
    let head = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.xlsx\"\r\n\r\n";
    let body = [head.as_bytes(), workbook.as_slice(), b"\r\n--XX--\r\n"].concat();
    let made = bench
        .client
        .post("/depositions", &json!({"convention_id": "x-workbooks"}))?;
    let path = format!(
        "/depositions/{}/spreadsheet",
        made["srn"].as_str().context("srn")?
    );
    let (to, path, body) = (&bench, path.as_str(), body.as_slice());
    at_once((0..WORKBOOKS).map(move |_| move || to.send(path, "multipart/form-data; boundary=XX", body)))?;
    bench.end(&format!(
        "{WORKBOOKS} workbooks of {} KB with 60 MB of shared texts",
        workbook.len() / 1000
    ))
}

/// A workbook of one sheet, whose cell is the last of very many shared texts.
fn workbook() -> Result<Vec<u8>> {
    const TEXTS: usize = 600_000;
    let text = format!("<si><t>{}</t></si>", "x".repeat(84));
    let parts = [
        (
            "xl/workbook.xml",
            "<workbook><sheets><sheet name=\"s\" r:id=\"a\"/></sheets></workbook>".to_owned(),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            "<Relationships><Relationship Id=\"a\" Type=\"x/worksheet\" Target=\"/xl/s.xml\"/><Relationship Id=\"b\" Type=\"x/sharedStrings\" Target=\"/xl/t.xml\"/></Relationships>".to_owned(),
        ),
        (
            "xl/s.xml",
            format!(
                "<worksheet><sheetData><row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c></row><row r=\"3\"><c r=\"A3\" t=\"s\"><v>{}</v></c></row></sheetData></worksheet>",
                TEXTS - 1
            ),
        ),
        ("xl/t.xml", format!("<sst>{}</sst>", text.repeat(TEXTS))),
    ];
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        archive.start_file(name, zip::write::SimpleFileOptions::default())?;
        archive.write_all(text.as_bytes())?;
    }
    Ok(archive.finish()?.into_inner())
}

/// Runs all of these at once. Each has an answer; some say that the server is busy.
fn at_once<F: FnOnce() -> Result<u16> + Send>(calls: impl Iterator<Item = F>) -> Result<()> {
    std::thread::scope(|scope| {
        let running: Vec<_> = calls.map(|call| scope.spawn(call)).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a call panicked"))?.map(|_| ()))
    })
}
