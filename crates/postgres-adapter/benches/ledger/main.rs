//! The ledger against raw SQL, against the ledger as one table, and against graphile-worker, in one run on one server
//! (LEDGER-8). `cargo xtask bench ledger` starts a durable PostgreSQL for it and installs graphile-worker.
#![expect(
    clippy::disallowed_methods,
    reason = "sets the scene behind the adapter's back"
)]
#![expect(clippy::cast_precision_loss, reason = "counts of a bench are small")]

mod fence;

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::{DelegationId, Party};
use ports::ledger::ClaimRequest;
use ports::ledger::{Completion, DelegationEnd};
use ports::{Ledger as _, UnitOfWork, WorkerIdentity};
use postgres_adapter::testing::TestDatabase;
use postgres_adapter::{PgLedger, PgStore};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

const CALLER: &str = "user:00000000-0000-7000-8000-00000000000a";
const CALLEE: &str = "user:00000000-0000-7000-8000-00000000000b";
const CLIENTS: usize = 8;
const TIME: Duration = Duration::from_secs(4);
/// Each value is the median of so many, taken in turns.
const TURNS: usize = 3;
/// Jobs that graphile-worker drains.
const JOBS: u64 = 100_000;

/// A database with 200,000 ended delegations of 200 callees, and what to drive it with.
struct Scene {
    pool: PgPool,
    url: String,
    store: PgStore,
    ledger: PgLedger,
}

impl Scene {
    async fn new() -> Result<Self, Failure> {
        let database = TestDatabase::new().await?;
        let scene = Self {
            store: database.store(),
            ledger: PgLedger::new(database.pool.clone()),
            url: database.url,
            pool: database.pool,
        };
        scene
            .execute(
                "insert into delegations (delegation_id, caller_id, callee_id, status, attempt)
                   select 'h' || n, 'user:' || n % 200, 'user:' || n % 200, 'completed', 1 from generate_series(1, 200000) n;
                 analyze",
            )
            .await?;
        Ok(scene)
    }

    async fn execute(&self, statement: &str) -> Result<(), Failure> {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn number(&self, statement: &'static str) -> Result<f64, Failure> {
        Ok(sqlx::query_scalar(statement).fetch_one(&self.pool).await?)
    }

    /// Makes so many wait for the callee.
    async fn backlog(&self, prefix: &str, rows: u32) -> Result<(), Failure> {
        self.execute(&format!(
            "with made as (insert into delegations (delegation_id, caller_id, callee_id, task_preview, input)
               select '{prefix}' || n, '{CALLER}', '{CALLEE}', repeat('p', 120), '{{\"n\": 1}}' from generate_series(1, {rows}) n returning delegation_id, deadline)
             insert into delegation_ready (callee_id, delegation_id, deadline) select '{CALLEE}', delegation_id, deadline from made;
             analyze delegations; analyze delegation_ready"
        ))
        .await
    }

    async fn claim(&self, most: u32) -> Result<Vec<(DelegationId, i64)>, Failure> {
        let request = ClaimRequest {
            callee: CALLEE.into(),
            worker: WorkerIdentity {
                name: "bench".into(),
                boot: Uuid::nil(),
            },
            most,
            begin: true,
        };
        let claimed = self.ledger.claim(&request).await?;
        Ok(claimed.into_iter().map(|one| (one.id, one.attempt)).collect())
    }

    /// Claims so many and ends them; gives how many.
    async fn work_off(&self, most: u32) -> Result<u64, Failure> {
        let held = self.claim(most).await?;
        if held.is_empty() {
            return Ok(0);
        }
        self.finish(held).await
    }

    async fn finish(&self, held: Vec<(DelegationId, i64)>) -> Result<u64, Failure> {
        let completions: Vec<Completion> = held
            .into_iter()
            .map(|(id, attempt)| Completion {
                id,
                attempt,
                end: DelegationEnd::Completed {
                    result: Some(json!({"n": 1})),
                    preview: "r".repeat(120),
                },
            })
            .collect();
        let mut uow = UnitOfWork::begin(&self.store).await?;
        let ended = uow.delegations().finish_all(Some(CALLEE), &completions).await?;
        uow.commit(()).await?.into_inner();
        Ok(ended.len() as u64)
    }
}

/// How many of something are done per second by clients that do it over and over, until the time is over or there is nothing left to do.
async fn rate(
    clients: usize,
    time: Duration,
    work: impl AsyncFn() -> Result<u64, Failure>,
) -> Result<f64, Failure> {
    let begun = Instant::now();
    let done = futures::future::try_join_all((0..clients).map(|_| async {
        let mut done = 0;
        while begun.elapsed() < time {
            match work().await? {
                0 => break,
                some => done += some,
            }
        }
        Ok::<u64, Failure>(done)
    }))
    .await?;
    Ok(done.iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
}

fn here(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/ledger")).join(file)
}

/// Transactions per second of a script of pgbench.
async fn pgbench(url: &str, script: PathBuf) -> Result<f64, Failure> {
    let program = std::env::var("PGBENCH").unwrap_or_else(|_| "pgbench".to_owned());
    let url = url.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["--no-vacuum", "--protocol=simple", "--jobs=2"])
            .arg(format!("--client={CLIENTS}"))
            .arg(format!("--time={}", TIME.as_secs()))
            .arg("--file")
            .arg(script)
            .arg(url)
            .output()
    })
    .await??;
    let printed = String::from_utf8_lossy(&output.stdout);
    let rate = printed
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    let error = || format!("pgbench: {printed} {}", String::from_utf8_lossy(&output.stderr));
    Ok(rate.ok_or_else(error)?.parse()?)
}

/// The adapter's own statements for pgbench, taken from its source: the claim and the end of 500, whole.
fn same_sql() -> Result<PathBuf, Failure> {
    let between = |text: &str, from: &str| -> Option<String> {
        let begin = text.find(from)?;
        let statement = text.get(begin..)?;
        Some(statement.get(..statement.find("\"#")?)?.to_owned())
    };
    let claim = between(
        include_str!("../../src/ledger/claims.rs"),
        "with acting as materialized",
    )
    .ok_or("no claim")?;
    let claim = claim
        .rsplit_once("select h.hints")
        .ok_or("no end of the claim")?
        .0
        .replace("$1", &format!("'{CALLEE}'"))
        .replace("$2", "500")
        .replace("$3", "'bench'")
        .replace("$4", "'00000000-0000-0000-0000-000000000000'::uuid")
        .replace("$5", "true");
    let end = between(
        include_str!("../../src/ledger/delegations.rs"),
        "with knowing as materialized",
    )
    .ok_or("no end")?;
    let filled = |value: &str| format!("array_fill({value}, array[cardinality(:ids::text[])])");
    let end = end
        .replace("$1::text[]", ":ids::text[]")
        .replace("$2::bigint[]", &filled("1::bigint"))
        .replace("$3::text[]", &filled("'completed'::text"))
        .replace("$4::jsonb[]", &filled("'{\"n\": 1}'::jsonb"))
        .replace("$5::text[]", &filled("repeat('r', 120)"))
        .replace("$6::text[]", &filled("null::text"))
        .replace("$7::boolean[]", &filled("false"))
        .replace("$8", &format!("'{CALLEE}'"));
    let file = std::env::temp_dir().join(format!("ledger-{}.sql", std::process::id()));
    let script = format!(
        "{claim} select quote_literal(coalesce(array_agg(delegation_id), '{{}}')::text) as ids from taken \\gset\n{end};\n"
    );
    std::fs::write(&file, script)?;
    Ok(file)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn tell(row: &str, what: &str, (ours, theirs): (f64, f64), aim: &str) {
    println!(
        "{row:>4}  {what:<78} {ours:>10.0} {theirs:>10.0}   ratio {:>5.2}   aim {aim}",
        ours / theirs
    );
}

/// Rows 2 and 3: claiming and ending by 500, history stored, fenced, logged, with messages.
async fn work_off() -> Result<(), Failure> {
    let script = same_sql()?;
    let (mut ours, mut raw, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let scene = Scene::new().await?;
        scene.backlog(&format!("a{turn}-"), 150_000).await?;
        ours.push(rate(CLIENTS, TIME, async || scene.work_off(500).await).await?);
        let scene = Scene::new().await?;
        scene.backlog(&format!("b{turn}-"), 150_000).await?;
        let begun = Instant::now();
        pgbench(&scene.url, script.clone()).await?;
        let took = begun.elapsed().as_secs_f64();
        // A script may get fewer than 500, so what was done counts, as with ours, and not how often.
        let done = scene.number("select count(*)::float8 from delegations where status = 'completed' and delegation_id like 'b%'").await?;
        assert!(done < 150_000.0, "the backlog was too short");
        raw.push(done / took);
        // Without the log of LED-8, to see what it costs.
        let scene = Scene::new().await?;
        scene
            .execute("alter table delegations disable trigger tr_delegations_log_moved")
            .await?;
        scene.backlog(&format!("c{turn}-"), 150_000).await?;
        bare.push(rate(CLIENTS, TIME, async || scene.work_off(500).await).await?);
    }
    let (ours, raw, bare) = (median(ours), median(raw), median(bare));
    tell(
        "3",
        "claim + end by 500, from Rust / the same SQL by pgbench",
        (ours, raw),
        "0.85",
    );
    tell("", "the same / without the activity log", (ours, bare), "-");
    match graphile().await? {
        Some(theirs) => {
            tell(
                "2",
                "claim + end by 500 / graphile-worker, local queue of 500",
                (ours, theirs),
                "1.0",
            );
            tell(
                "",
                "the same without the activity log / graphile-worker",
                (bare, theirs),
                "-",
            );
        }
        None => println!("   2  left out: GRAPHILE_MODULES names no installation of graphile-worker"),
    }
    Ok(())
}

/// Jobs per second that graphile-worker drains, in a database of its own on the same server.
async fn graphile() -> Result<Option<f64>, Failure> {
    let Ok(modules) = std::env::var("GRAPHILE_MODULES") else {
        return Ok(None);
    };
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let scene = Scene::new().await?;
        let (modules, url) = (modules.clone(), scene.url.clone());
        let output = tokio::task::spawn_blocking(move || {
            Command::new("node")
                .arg(here("graphile/drain.mjs"))
                .args([modules, url, JOBS.to_string()])
                .output()
        })
        .await??;
        let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let error = || {
            format!(
                "graphile-worker: {printed} {}",
                String::from_utf8_lossy(&output.stderr)
            )
        };
        rates.push(printed.parse::<f64>().map_err(|_| error())?);
    }
    Ok(Some(median(rates)))
}

/// Row 4: a whole life with message and log by 50, against one table.
async fn life() -> Result<(), Failure> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let scene = Scene::new().await?;
        let numbers = AtomicU64::new(0);
        let once = async || -> Result<u64, Failure> {
            let first = numbers.fetch_add(50, Ordering::Relaxed);
            let mut uow = UnitOfWork::begin(&scene.store).await?;
            for n in first..first + 50 {
                uow.delegations()
                    .create(&fence::delegation(&format!("l{n}"))?)
                    .await?;
            }
            uow.commit(()).await?.into_inner();
            let held = scene.claim(50).await?;
            let callee: Party = CALLEE.parse()?;
            scene.ledger.heartbeat(Some(&callee), &held).await?;
            scene.finish(held).await?;
            Ok(50)
        };
        ours.push(rate(CLIENTS, TIME, once).await?);
        scene
            .execute(&std::fs::read_to_string(here("brief.sql"))?)
            .await?;
        theirs.push(50.0 * pgbench(&scene.url, here("brief_life.sql")).await?);
    }
    tell(
        "4",
        "whole lives, made one by one, else by 50, logged / one table, all by 50, no log",
        (median(ours), median(theirs)),
        "1.7",
    );
    Ok(())
}

/// Row 5: heartbeats by 50 of 10,000 that are held, against a table whose heartbeats are indexed; and what both write.
async fn heartbeats() -> Result<(), Failure> {
    let (mut ours, mut theirs, mut our_wal, mut their_wal) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let wal = "select (pg_current_wal_lsn() - '0/0')::float8";
    for _ in 0..TURNS {
        let scene = Scene::new().await?;
        scene.backlog("f", 10_000).await?;
        while !scene.claim(500).await?.is_empty() {}
        scene.execute("checkpoint").await?;
        let callee: Party = CALLEE.parse()?;
        let turn = AtomicU64::new(0);
        let before = scene.number(wal).await?;
        let extended = AtomicU64::new(0);
        let once = async || -> Result<u64, Failure> {
            let from = turn.fetch_add(1, Ordering::Relaxed) * 7919 % 9950;
            let claims = (from + 1..=from + 50)
                .map(|n| Ok((format!("f{n}").parse()?, 1)))
                .collect::<Result<Vec<(DelegationId, i64)>, domain::Invalid>>()?;
            let held = scene.ledger.heartbeat(Some(&callee), &claims).await?.len() as u64;
            extended.fetch_add(held, Ordering::Relaxed);
            Ok(held)
        };
        ours.push(rate(CLIENTS, TIME, once).await?);
        our_wal.push((scene.number(wal).await? - before) / extended.load(Ordering::Relaxed) as f64);

        scene
            .execute(&std::fs::read_to_string(here("brief.sql"))?)
            .await?;
        scene
            .execute(
                "insert into brief.delegations (delegation_id, caller_id, callee_id, status, attempt, last_heartbeat)
                   select 'f' || n, 'a', 'b', 'in_progress', 1, now() from generate_series(0, 9999) n",
            )
            .await?;
        scene.execute("vacuum analyze brief.delegations").await?;
        scene.execute("checkpoint").await?;
        let before = scene.number(wal).await?;
        let rate = 50.0 * pgbench(&scene.url, here("brief_beat.sql")).await?;
        their_wal.push((scene.number(wal).await? - before) / (rate * TIME.as_secs_f64()));
        theirs.push(rate);
    }
    tell(
        "5",
        "heartbeats by 50 / the same on a table with an index on them",
        (median(ours), median(theirs)),
        "7",
    );
    tell(
        "5",
        "bytes of WAL of a heartbeat / the same",
        (median(our_wal), median(their_wal)),
        "0.22 at most",
    );
    Ok(())
}

/// Row 8: the 99th percentile of a claim, with a million ended rows of that callee and with none.
async fn claims() -> Result<(), Failure> {
    let scene = Scene::new().await?;
    let p99 = async |prefix: &str| -> Result<f64, Failure> {
        scene.backlog(prefix, 20_000).await?;
        let mut times = Vec::new();
        for _ in 0..1000 {
            let begun = Instant::now();
            let held = scene.claim(10).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
            scene.finish(held).await?;
        }
        times.sort_by(f64::total_cmp);
        while !scene.claim(500).await?.is_empty() {}
        Ok(times[times.len() * 99 / 100])
    };
    let none = p99("n").await?;
    scene
        .execute(&format!(
            "alter table delegations disable trigger tr_delegations_log_created;
             insert into delegations (delegation_id, caller_id, callee_id, status, attempt) select 'm' || n, '{CALLER}', '{CALLEE}', 'completed', 1 from generate_series(1, 1000000) n;
             alter table delegations enable trigger tr_delegations_log_created; analyze"
        ))
        .await?;
    scene.execute("checkpoint").await?;
    let many = p99("o").await?;
    tell(
        "8",
        "p99 of a claim of 10 in us, with 1,000,000 ended rows of the callee / with none",
        (many, none),
        "1.2 at most",
    );
    Ok(())
}

/// Row 9: a sweep of 100,000 that are held, of which none or a few are silent.
async fn sweeps() -> Result<(), Failure> {
    let scene = Scene::new().await?;
    scene
        .execute(&format!(
            "insert into delegations (delegation_id, caller_id, callee_id, status, attempt) select 's' || n, '{CALLER}', '{CALLEE}', 'in_progress', 1 from generate_series(1, 100000) n;
             insert into delegation_leases (delegation_id, attempt, callee_id, worker_id, boot_id, last_heartbeat, deadline)
               select 's' || n, 1, '{CALLEE}', 'w', gen_random_uuid(), now(), now() + interval '6 h' from generate_series(1, 100000) n;
             analyze delegations"
        ))
        .await?;
    scene.execute("vacuum analyze delegation_leases").await?;
    let sweeper = WorkerIdentity {
        name: "bench".into(),
        boot: Uuid::nil(),
    };
    let mut times = Vec::new();
    for _ in 0..20 {
        let mut uow = UnitOfWork::begin(&scene.store).await?;
        let begun = Instant::now();
        let swept = uow
            .delegations()
            .take_stuck(&sweeper, Duration::from_secs(3600), 100)
            .await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        assert!(swept.stuck.is_empty());
        uow.commit(()).await?.into_inner();
    }
    println!(
        "   9  {:<78} {:>10.1} ms                       aim 10 ms at most",
        "a sweep of 100,000 that are held, none silent (median)",
        median(times)
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // `LEDGER_ROWS=5,8` measures these alone.
    let wanted = std::env::var("LEDGER_ROWS").ok();
    let wants = |row: &str| {
        wanted
            .as_ref()
            .is_none_or(|rows| rows.split(',').any(|one| one == row))
    };
    println!("row  what{:>85} {:>10}", "ours", "theirs");
    if wants("1") {
        fence::run().await?;
    }
    if wants("2") || wants("3") {
        work_off().await?;
    }
    if wants("4") {
        life().await?;
    }
    if wants("5") {
        heartbeats().await?;
    }
    if wants("8") {
        claims().await?;
    }
    if wants("9") {
        sweeps().await?;
    }
    Ok(())
}
