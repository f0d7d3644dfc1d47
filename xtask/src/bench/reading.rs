//! Reading: exports against `psql \copy` of the same query, pages of a small and of a large table, recall, and traces against `pgbench` with
//! the same SQL.

use std::cell::Cell;
use std::io::Read as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use super::load::{Load, latencies};
use super::registry::{median, table};
use crate::client::{Client, Server, dev_token};
use crate::demo;
use crate::migrations::Throwaway;
use crate::shell::{output, postgres_program, root, run as run_command, target};

const TURNS: usize = 3;
const LOAD: Load = Load {
    connections: 4,
    time: Duration::from_secs(4),
};
/// Rows for each record, and rows that a run makes.
const PER_RECORD: u32 = 10;
const PER_RUN: u32 = 1000;
/// Releases of the large table; each made the same part of it.
const RELEASES: u32 = 20;

/// How long each kind of request is sent beside streams.
const LOAD_BESIDE: Duration = Duration::from_secs(6);

struct Bench {
    token: String,
    database: String,
    address: String,
    client: Client,
    server: Server,
}

/// Runs it; the server is built.
pub(crate) fn run() -> Result<()> {
    let home = demo::home()?;
    let postgres = Throwaway::durable()?;
    let database = postgres.database("bench")?;
    let server = Server::start_with(
        &target().join("release/hallmark"),
        &home.path().join("data"),
        &home.path().join("hallmark.log"),
        &[("DATABASE_URL", &database)],
    )?;
    let bench = Bench {
        token: dev_token()?,
        address: server.url.trim_start_matches("http://").to_owned(),
        client: Client::new(&server.url)?,
        database,
        server,
    };
    println!("\nreading, release build, medians of {TURNS} turns:");
    let begun = Instant::now();
    bench.fill("small", 10_000, 1, false)?;
    bench.fill("fair", 100_000, 1, false)?;
    bench.fairness()?;
    bench.fill("export", 1_000_000, 1, false)?;
    bench.fill("nested", 2_100_000, 1, true)?;
    bench.export("export", 1_000_000)?;
    bench.export("nested", 2_100_000)?;
    bench.fill("large", 10_000_000, RELEASES, false)?;
    println!(
        "  filled the tables and read them until here in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    bench.pages()?;
    bench.recall()?;
    bench.trace()?;
    bench.memory()?;
    bench.server.stop()
}

impl Bench {
    fn psql(&self, statement: &str) -> Result<()> {
        run_command(
            Command::new(postgres_program("psql")?)
                .args([
                    "--quiet",
                    "--no-psqlrc",
                    "--set=ON_ERROR_STOP=1",
                    "--output=/dev/null",
                ])
                .arg(&self.database)
                .arg("--command")
                .arg(statement),
        )
    }

    /// A schema and a hook of this name, whose table has so many rows, in equal parts of so many releases; with a
    /// column of JSON if asked for.
    fn fill(&self, name: &str, rows: u32, releases: u32, nested: bool) -> Result<()> {
        let column = |name: &str, kind: &str| json!({"name": name, "json_type": kind, "required": false});
        let mut columns = vec![
            column("energy", "number"),
            column("count", "integer"),
            column("note", "string"),
            column("good", "boolean"),
        ];
        let (mut more, mut values) = ("", "");
        if nested {
            columns.push(column("detail", "object"));
            more = ", detail";
            values = ", jsonb_build_object('method', 'fit', 'peaks', jsonb_build_array(x, x / 3.0, x * 2), 'window', jsonb_build_object('from', x, 'to', x + 10))";
        }
        let release = |n: u32| json!({"image": "file:/x", "digest": format!("sha256:{n:064x}"), "source_ref": format!("git:{n:07}")});
        let body = json!({
            "title": format!("Bench {name}"), "description": "d", "file_requirements": {"accepted_types": [], "max_count": 0},
            "schema": {"id": name, "version": "1.0.0", "fields": [
                {"name": "label", "type": "text", "required": true, "cardinality": "exactly_one"},
                {"name": "mass", "type": "number", "required": false, "cardinality": "exactly_one"},
            ]},
            "hooks": [{
                "name": name, "config": {}, "limits": {"timeout_seconds": 20, "memory": "256m", "cpu": "1"},
                "feature": {"kind": "table", "cardinality": "many", "columns": columns},
                "release": release(1),
            }],
            "docs": {"purpose": "p", "example_questions": ["a?", "b?"], "examples": [{"question": "c?", "query": "q", "interpretation": "i"}]},
        });
        self.client.post("/conventions?check=false", &body)?;
        for n in 2..=releases {
            let mut body = release(n);
            body["config"] = json!({});
            self.client
                .post(&format!("/hooks/{name}/releases?check=false"), &body)?;
        }
        let (records, runs) = (rows / PER_RECORD, rows / PER_RUN);
        let per_release = runs / releases;
        self.psql(&format!(
            "set session_replication_role = replica;
             set synchronous_commit = off;
             create temporary table made as
               select n, gen_random_uuid() as id, r.id as release_id from generate_series(0, {runs} - 1) n
               join hook_releases r on r.hook_name = '{name}' and r.version = n / {per_release} + 1;
             insert into hook_runs (id, release_id, status, started_at, finished_at, duration_s, oom_retries, worker)
               select id, release_id, 'passed', now(), now(), 1, 0, 'bench' from made;
             create temporary table things as select n, gen_random_uuid() as id from generate_series(0, {records} - 1) n;
             insert into records (srn, id, version, convention_slug, schema_id, schema_version, metadata, content_hash, source_kind, source_id, created_at)
               select 'urn:osa:localhost:rec:' || id || '@1', id, 1, 'bench-{name}', '{name}', '1.0.0', '{{}}', '\\x', 'ingest', n::text,
                 now() - n * interval '1 millisecond' from things;
             insert into record_heads (record_id, srn, version) select id, 'urn:osa:localhost:rec:' || id || '@1', 1 from things;
             insert into metadata.{name}_v1 (record_srn, label, mass) select 'urn:osa:localhost:rec:' || id || '@1', 'label ' || n, n from things;
             insert into features.{name} (record_srn, run_id, created_at, energy, count, note, good{more})
               select 'urn:osa:localhost:rec:' || t.id || '@1', m.id, now(), sqrt(x), x, 'row ' || x, x % 2 = 0{values}
               from generate_series(0, {rows} - 1) x join things t on t.n = x / {PER_RECORD} join made m on m.n = x / {PER_RUN} order by x;"
        ))?;
        self.psql("vacuum analyze records")?;
        for table in [
            "record_heads".to_owned(),
            "hook_runs".to_owned(),
            format!("metadata.{name}_v1"),
            format!("features.{name}"),
        ] {
            self.psql(&format!("vacuum analyze {table}"))?;
        }
        Ok(())
    }

    /// Reads an answer to its end; gives its bytes.
    fn drain(&self, path: &str) -> Result<u64> {
        let url = format!("{}/api/v1{path}", self.server.url);
        let mut response = ureq::get(&url).call()?;
        let mut reader = response.body_mut().as_reader();
        let (mut buffer, mut all) = (vec![0; 1 << 20], 0);
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(all),
                n => all += n as u64,
            }
        }
    }

    fn export(&self, name: &str, rows: u32) -> Result<()> {
        let detail = if name == "nested" { ", t.detail" } else { "" };
        let query = format!(
            "select t.id, t.record_srn, t.run_id, t.created_at, t.energy, t.count, t.note, t.good{detail}
             from features.{name} t join records r on r.srn = t.record_srn join record_heads h on h.srn = r.srn
             where r.schema_id = '{name}' and r.schema_version = any(array['1.0.0']) and t.superseded_by is null order by t.id"
        );
        let copy = format!("\\copy ({}) to '/dev/null' csv header", query.replace('\n', " "));
        let json = if detail.is_empty() {
            ""
        } else {
            " with a column of JSON"
        };
        println!("  {rows} rows{json}");
        for (what, ending, aim) in [
            ("CSV", "csv", 0.7),
            ("gzipped CSV", "csv.gz", 0.0),
            ("Parquet", "parquet", 0.0),
        ] {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                let begun = Instant::now();
                let bytes = self.drain(&format!("/data/{name}/{name}.{ending}"))?;
                ensure!(bytes > 1_000_000, "only {bytes} bytes");
                ours.push(f64::from(rows) / begun.elapsed().as_secs_f64());
                let begun = Instant::now();
                self.psql(&copy)?;
                theirs.push(f64::from(rows) / begun.elapsed().as_secs_f64());
            }
            table(what, ("hallmark", ours), ("psql \\copy, same query", theirs), aim);
        }
        Ok(())
    }

    /// What others wait while whole tables are streamed, and what the streams lose by them.
    fn fairness(&self) -> Result<()> {
        let release = |n: usize| {
            let body = json!({"image": "file:/x", "digest": format!("sha256:{:064x}", 1_000_000 + n), "source_ref": "git:1", "config": {}});
            let body = body.to_string();
            format!(
                "POST /api/v1/hooks/small/releases?check=false HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                self.token,
                body.len()
            )
        };
        let get = |path: &str| format!("GET /api/v1{path} HTTP/1.1\r\nHost: bench\r\n\r\n");
        let released = Cell::new(0);
        println!(
            "  beside streams of 100,000 rows: p50 and p99 in ms (aims with 4: 10 for /health, 50 for the others)"
        );
        let mut alone = 0.0;
        for (ending, streams) in [("csv", 0), ("csv", 1), ("csv", 4), ("parquet", 4), ("csv.gz", 4)] {
            let over = AtomicBool::new(false);
            let bytes = AtomicU64::new(0);
            let begun = Instant::now();
            let mut told = String::new();
            std::thread::scope(|scope| -> Result<()> {
                let running: Vec<_> = (0..streams)
                    .map(|_| {
                        scope.spawn(|| -> Result<()> {
                            while !over.load(Ordering::Relaxed) {
                                let read = self.drain(&format!("/data/fair/fair.{ending}"))?;
                                bytes.fetch_add(read, Ordering::Relaxed);
                            }
                            Ok(())
                        })
                    })
                    .collect();
                let probes = [
                    ("/health", LOAD_BESIDE, 200, 0),
                    ("page of 50", LOAD_BESIDE, 200, 1),
                    ("release", LOAD_BESIDE, 201, 2),
                ];
                for (what, time, status, kind) in probes {
                    let measured = latencies(&self.address, time, status, |_| match kind {
                        0 => get("/health"),
                        1 => get("/data/small/small?limit=50"),
                        _ => {
                            released.set(released.get() + 1);
                            release(released.get())
                        }
                    });
                    let (p50, p99) = measured?;
                    told += &format!("; {what} {p50:.1} {p99:.1}");
                }
                over.store(true, Ordering::Relaxed);
                running.into_iter().try_for_each(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| anyhow::bail!("a stream panicked"))
                })
            })?;
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let rate = bytes.into_inner() as f64 / begun.elapsed().as_secs_f64() / 1e6;
            if (ending, streams) == ("csv", 1) {
                alone = rate;
            }
            println!(
                "    {streams} of {ending}: {rate:.0} MB/s ({:.2} of one CSV){told}",
                rate / alone
            );
        }
        Ok(())
    }

    /// The cursor of a page that ends with this row.
    fn cursor(&self, name: &str, row: i64) -> Result<String> {
        let page = self.client.get(&format!("/data/{name}/{name}?limit=1"))?;
        let cursor = page["next_cursor"].as_str().context("a cursor")?;
        let mut key: Value = serde_json::from_slice(&URL_SAFE.decode(cursor)?)?;
        let first = key["id"].as_i64().context("an id")?;
        key["s"] = json!(first + row);
        key["id"] = json!(first + row);
        Ok(URL_SAFE.encode(key.to_string()))
    }

    fn pages(&self) -> Result<()> {
        for (what, small, large) in [
            ("first pages of 50", 0, 0),
            ("deep pages of 50", 7_000, 7_000_000),
        ] {
            let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                for (name, row, rates) in [("small", small, &mut of_small), ("large", large, &mut of_large)] {
                    let after = if row == 0 {
                        String::new()
                    } else {
                        format!("&cursor={}", self.cursor(name, row)?)
                    };
                    let request = format!(
                        "GET /api/v1/data/{name}/{name}?limit=50{after} HTTP/1.1\r\nHost: bench\r\n\r\n"
                    );
                    rates.push(LOAD.run(&self.address, 200, |_, _| request.clone())?);
                }
            }
            table(
                what,
                ("of 10,000,000 rows", of_large),
                ("of 10,000 rows", of_small),
                1.0 / 1.5,
            );
        }
        Ok(())
    }

    fn recall(&self) -> Result<()> {
        for (what, path, aim) in [
            ("recall, counted", "recall", 0.5),
            ("recall, first page of rows", "rows?limit=50", 0.25),
            ("recall, first page of records", "records?limit=50", 0.25),
        ] {
            let mut took = Vec::new();
            for turn in 0..TURNS {
                let version = 7 + turn;
                let begun = Instant::now();
                let told = self
                    .client
                    .get(&format!("/hooks/large/releases/{version}/{path}"))?;
                took.push(begun.elapsed().as_secs_f64());
                ensure!(told["rows"] == 500_000 || told["has_more"] == true, "{told}");
            }
            println!("  {what}: {:.3} s (aim: {aim})", median(&mut took));
        }
        Ok(())
    }

    fn trace(&self) -> Result<()> {
        let page = self.client.get("/data/large/large?limit=1")?;
        let first = page["rows"][0]["id"].as_i64().context("an id")?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.push(LOAD.run(&self.address, 200, |connection, n| {
                let row = first
                    + i64::try_from((connection * 2_500_003 + n * 7919) % 10_000_000).unwrap_or_default();
                format!("GET /api/v1/data/large/large/rows/{row}/trace HTTP/1.1\r\nHost: bench\r\n\r\n")
            })?);
            let told = output(
                Command::new(postgres_program("pgbench")?)
                    .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
                    .arg(format!("--client={}", LOAD.connections))
                    .arg(format!("--time={}", LOAD.time.as_secs()))
                    .arg(format!("--define=first={first}"))
                    .arg("--file")
                    .arg(root().join("xtask/src/bench/trace.sql"))
                    .arg(&self.database),
            )?;
            let rate = told
                .lines()
                .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
            theirs.push(rate.context("pgbench told no rate")?.parse()?);
        }
        table("traces", ("hallmark", ours), ("pgbench, same SQL", theirs), 0.3);
        Ok(())
    }

    /// The most memory that the server ever had, after exports of 10,000,000 rows.
    fn memory(&self) -> Result<()> {
        for ending in ["csv", "parquet"] {
            let begun = Instant::now();
            let bytes = self.drain(&format!("/data/large/large.{ending}"))?;
            println!(
                "  {ending} of 10,000,000 rows: {} MB in {:.0} s; the server has held at most {} MiB (aim: 150)",
                bytes / 1_000_000,
                begun.elapsed().as_secs_f64(),
                self.server.most_memory()? / 1024
            );
        }
        Ok(())
    }
}
