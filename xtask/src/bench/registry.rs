//! The registry under load: new releases against pgbench doing the same SQL on the same PostgreSQL, and reads against `/health`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::load::Load;
use crate::client::{Client, Server};
use crate::demo;
use crate::migrations::Throwaway;
use crate::shell::{output, postgres_program, root, target};

/// Each figure is the median of so many, taken in turns, so that what the machine does besides meets all alike.
const TURNS: usize = 3;
const LOAD: Load = Load {
    connections: 16,
    time: Duration::from_secs(6),
};

struct Bench {
    database: String,
    address: String,
    client: Client,
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
        database,
        address: server.url.trim_start_matches("http://").to_owned(),
        client: Client::new(&server.url)?,
    };
    println!(
        "\nthe registry, release build, {} connections, medians of {TURNS} turns of {} s:",
        LOAD.connections,
        LOAD.time.as_secs()
    );
    bench.releases(50, "over 50 hooks", 0.6)?;
    bench.releases(1, "of one hook", 0.8)?;
    bench.reads()?;
    server.stop()
}

impl Bench {
    /// New hooks, `<prefix>0` and on: the work for a release must not depend on what was measured before.
    fn deploy(&self, prefix: &str, hooks: usize) -> Result<()> {
        let mut body: Value = serde_json::from_str(&std::fs::read_to_string(
            root().join("examples/penguins/convention.json"),
        )?)?;
        let mut hook = body["hooks"][0].clone();
        hook["release"] = json!({"image": "file:/x", "digest": format!("sha256:{}", "0".repeat(64)), "source_ref": "git:0"});
        let named = |n| {
            let mut hook = hook.clone();
            hook["name"] = json!(format!("{prefix}{n}"));
            hook
        };
        body["hooks"] = (0..hooks).map(named).collect();
        body["title"] = json!(format!("Bench {prefix}"));
        self.client.post("/conventions?check=false", &body).map(|_| ())
    }

    fn releases(&self, hooks: usize, what: &str, aim: f64) -> Result<()> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for turn in 0..TURNS {
            let prefix = |side: char| format!("b{hooks}_{turn}{side}_");
            for side in ['a', 'b'] {
                self.deploy(&prefix(side), hooks)?;
            }
            ours.push(self.server(&prefix('a'), hooks)?);
            theirs.push(self.pgbench(&prefix('b'), hooks)?);
        }
        table(
            &format!("new releases {what}"),
            ("hallmark", ours),
            ("pgbench, same SQL", theirs),
            aim,
        );
        Ok(())
    }

    fn server(&self, prefix: &str, hooks: usize) -> Result<f64> {
        LOAD.run(&self.address, 201, |connection, n| {
            // Walks over the hooks, each connection from a place of its own.
            let hook = (connection * 7 + n) % hooks;
            let body = format!(
                "{{\"image\":\"file:/x\",\"digest\":\"sha256:{:032x}{:032x}\",\"config\":{{}},\"source_ref\":\"git:1\"}}",
                connection + 1,
                n
            );
            format!(
                "POST /api/v1/hooks/{prefix}{hook}/releases?check=false HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                self.client.token(),
                body.len()
            )
        })
    }

    fn pgbench(&self, prefix: &str, hooks: usize) -> Result<f64> {
        let told = output(
            Command::new(postgres_program("pgbench")?)
                .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
                .arg(format!("--client={}", LOAD.connections))
                .arg(format!("--time={}", LOAD.time.as_secs()))
                .arg(format!("--define=prefix={prefix}"))
                .arg(format!("--define=hooks={hooks}"))
                .arg("--file")
                .arg(root().join("xtask/src/bench/release.sql"))
                .arg(&self.database),
        )?;
        let rate = told
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        Ok(rate.context("pgbench told no rate")?.parse()?)
    }

    fn reads(&self) -> Result<()> {
        let get = |path: &str| {
            let request = format!("GET /api/v1{path} HTTP/1.1\r\nHost: bench\r\n\r\n");
            LOAD.run(&self.address, 200, |_, _| request.clone())
        };
        let (mut ours, mut health) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.push(get("/hooks/b50_0a_7/releases/1")?);
            health.push(get("/health")?);
        }
        table(
            "reads",
            ("GET a release", ours.clone()),
            ("GET /health", health),
            0.5,
        );
        let list: Result<Vec<f64>> = (0..TURNS).map(|_| get("/hooks")).collect();
        table("lists", ("GET /hooks", list?), ("GET a release", ours), 0.3);
        Ok(())
    }
}

/// The middle one; sorts them.
pub(super) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Medians, and their ratio.
pub(super) fn table(title: &str, ours: (&str, Vec<f64>), theirs: (&str, Vec<f64>), aim: f64) {
    println!("  {title}");
    let medians = [ours, theirs].map(|(name, mut rates)| {
        let median = median(&mut rates);
        let (least, most) = (rates[0], rates[rates.len() - 1]);
        println!("    {name:<20} {median:>8.0} /s   ({least:.0} to {most:.0})");
        median
    });
    println!(
        "    ratio                {:>8.2}      (aim: {aim} at least)",
        medians[0] / medians[1]
    );
}
