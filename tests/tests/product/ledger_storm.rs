//! The ledger in a storm: more than a thousand tasks, two servers, eight workers that are processes of their own and of which seven are
//! killed and replaced all the time, and one restart of PostgreSQL. Every task ends once, none is lost, and the inboxes are exact.
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use blackbox::choices::Choices;
use blackbox::cluster::Cluster;
use blackbox::ledger_worker::{self as worker, SILENCE};
use blackbox::parties::Party;
use blackbox::tokens::{key, machine_token, now};
use blackbox::{Client, Server, World};
use serde_json::{Value, json};

/// How many tasks; two callers have half of them each. `HALLMARK_STORM_TASKS=20000` is the long storm.
fn tasks() -> usize {
    let named = std::env::var("HALLMARK_STORM_TASKS").ok();
    named.map_or(1_600, |tasks| tasks.parse().unwrap())
}
/// The first of them is never killed: it comes back from the dead, and finds that others have what it held.
const WORKERS: usize = 8;
/// PostgreSQL is restarted when so many of ten tasks have ended.
const RESTART_AT: usize = 4;
/// A worker is killed each time when another of so many parts of the tasks has ended, and at least this often.
const KILLS: usize = 50;
const KILL_EVERY: Duration = Duration::from_millis(400);
/// The longest that all of it may take.
const MOST: Duration = Duration::from_mins(9);

/// A worker that dies with this test.
struct Process(Child);

impl Process {
    fn start(servers: &[Server], token: &str, seed: u64) -> Self {
        let urls: Vec<&str> = servers.iter().map(|server| server.url.as_str()).collect();
        let child = Command::new(env!("CARGO_BIN_EXE_ledger_worker"))
            .env(worker::SERVERS, urls.join(" "))
            .env(worker::TOKEN, token)
            .env(worker::SEED, seed.to_string())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Process {
    /// SIGKILL, which no process can handle.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Retries until the response is not 503: the database may be away.
fn answered(mut ask: impl FnMut() -> Option<(u16, Value)>) -> (u16, Value) {
    let begun = Instant::now();
    loop {
        match ask() {
            Some((status, body)) if status != 503 => return (status, body),
            _ => assert!(begun.elapsed() < Duration::from_mins(1), "no server responds"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn send(client: &Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    answered(|| {
        let sent = client.send(
            method,
            path,
            Some("application/json"),
            body.to_string().as_bytes(),
        );
        sent.ok().map(|answer| (answer.status, answer.json()))
    })
}

/// Hands over one task after the other.
fn hand_over(client: &Client, tasks: &[(usize, String)], callee: &str) {
    for (n, task) in tasks {
        let body = json!({
            "delegation_id": format!("n{n}"), "callee_id": callee, "task_id": task, "input": {"n": n}, "idempotency_key": format!("k{n}"), "max_retries": 20,
        });
        let (status, answer) = send(client, "POST", "/delegations", &body);
        assert!(matches!(status, 200 | 201), "{answer}");
    }
}

/// What came into an inbox.
#[derive(Default)]
struct Received {
    /// The status of each delegation.
    ends: BTreeMap<String, String>,
    /// The numbers that were completed.
    completed: BTreeSet<u64>,
    acknowledged: BTreeSet<i64>,
}

/// Reads an inbox, redelegates what failed, and acknowledges, until it is empty.
fn read(client: &Client, done: &AtomicBool) -> Received {
    let mut received = Received::default();
    loop {
        let over = done.load(Ordering::SeqCst);
        let (_, page) = send(client, "GET", "/inbox?limit=50&wait=1", &Value::Null);
        let messages = page["items"].as_array().unwrap();
        if over && messages.is_empty() {
            return received;
        }
        let mut ids = Vec::new();
        for message in messages {
            let id = message["message_id"].as_i64().unwrap();
            assert!(
                !received.acknowledged.contains(&id),
                "what was acknowledged came again: {message}"
            );
            ids.push(id);
            let delegation = message["delegation_id"].as_str().unwrap();
            let status = message["status"].as_str().unwrap();
            let before = received.ends.insert(delegation.to_owned(), status.to_owned());
            // It may come again before it is acknowledged, and says the same.
            assert!(before.is_none_or(|before| before == status), "{message}");
            match status {
                "completed" => {
                    assert_eq!(
                        message["result"]["by"],
                        json!(delegation),
                        "the result of another callee"
                    );
                    received
                        .completed
                        .insert(message["result"]["n"].as_u64().unwrap());
                }
                "failed" => {
                    let path = format!("/delegations/{delegation}/redelegate");
                    let (status, answer) = send(client, "POST", &path, &json!({}));
                    // The answer may have been lost the first time.
                    assert!(
                        status == 201 || answer["code"] == json!("delegation_handed_out_again"),
                        "{answer}"
                    );
                }
                _ => {}
            }
        }
        if !ids.is_empty() {
            let (status, answer) = send(client, "POST", "/inbox/acknowledge", &json!({"message_ids": ids}));
            assert_eq!(status, 200, "{answer}");
            received.acknowledged.extend(ids);
        }
    }
}

// proves LED-3, LED-5, LED-6, LED-7, LED-10
#[test]
fn every_task_ends_once_and_the_inboxes_are_exact() {
    let begun = Instant::now();
    let total = tasks();
    let mut cluster = Cluster::start();
    let world = World::at(&cluster.url("storm"));
    let silence = SILENCE.as_secs().to_string();
    let more = [("HALLMARK_WORKER__SILENCE_SECONDS", silence.as_str())];
    let servers = [world.serve_machines("a", &more), world.serve_machines("b", &more)];
    let callers = [servers[0].machine("caller-0"), servers[1].machine("caller-1")];
    let callee = servers[0].machine("callee");
    let lasting = json!({"sub": "callee", "scope": "", "exp": now() + 3600});
    let token = machine_token(&key(1), &lasting);
    for (half, caller) in callers.iter().enumerate() {
        world.execute(&format!(
            "insert into tasks (id, kind, name, params, creator_service_account_id)
             select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'storm', 'n', '{{}}', '{}'
             from generate_series(0, {total} - 1) n where n % 2 = {half}",
            caller.id()
        ));
    }

    let done = AtomicBool::new(false);
    let mut choices = Choices(20);
    let mut kills: u64 = 0;
    let received: Vec<Received> = std::thread::scope(|scope| {
        let readers: Vec<_> = callers
            .iter()
            .map(|caller: &Party| scope.spawn(|| read(&caller.client, &done)))
            .collect();
        for (half, caller) in callers.iter().enumerate() {
            for part in 0..2 {
                let tasks: Vec<(usize, String)> = (0..total)
                    .filter(|n| n % 2 == half && n / 2 % 2 == part)
                    .map(|n| (n, format!("00000000-0000-7000-8000-{n:012}")))
                    .collect();
                let callee = &callee.name;
                scope.spawn(move || hand_over(&caller.client, &tasks, callee));
            }
        }
        let mut workers: Vec<Process> = (0..WORKERS)
            .map(|n| Process::start(&servers, &token, n as u64))
            .collect();
        let mut restarted = false;
        let mut killed = Instant::now();
        loop {
            std::thread::sleep(KILL_EVERY / 8);
            let ended: usize = world
                .query("select count(*)::text from tasks where kind = 'storm' and status = 'completed'")
                .parse()
                .unwrap();
            assert!(
                begun.elapsed() < MOST,
                "only {ended} tasks ended in {:?}",
                begun.elapsed()
            );
            if ended == total {
                break;
            }
            let parts = u64::try_from(ended * KILLS / total).unwrap();
            if kills < parts || killed.elapsed() >= KILL_EVERY {
                let victim = 1 + choices.below(WORKERS - 1);
                kills += 1;
                workers[victim] = Process::start(&servers, &token, 1000 + kills);
                killed = Instant::now();
            }
            if ended * 10 >= total * RESTART_AT && !restarted {
                restarted = true;
                cluster.restart(Duration::from_secs(1));
            }
        }
        assert!(restarted, "PostgreSQL was not restarted");
        drop(workers);
        done.store(true, Ordering::SeqCst);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    let took = begun.elapsed();

    // Every task ended once, by one end, and no lease is left.
    let all = total.to_string();
    let count = |what: &'static str| world.query(what);
    assert_eq!(
        count("select count(distinct task_id)::text from delegations where status = 'completed'"),
        all
    );
    assert_eq!(
        count("select count(*)::text from delegations where status = 'completed'"),
        all
    );
    assert_eq!(
        count(
            "select count(*)::text from activity_log where kind = 'TaskStatusChanged' and payload ->> 'status' = 'completed'"
        ),
        all
    );
    assert_eq!(
        count("select count(*)::text from delegations where status not in ('completed', 'failed', 'stuck')"),
        "0"
    );
    assert_eq!(
        count(
            "select ((select count(*) from delegation_leases) + (select count(*) from delegation_ready))::text"
        ),
        "0"
    );
    assert_eq!(
        count(
            "select count(*)::text from (select delegation_id from delegation_attempts where event in ('completed', 'failed', 'stuck') group by 1 having count(*) > 1) twice"
        ),
        "0"
    );
    assert_eq!(
        count(
            "select count(*)::text from (select delegation_id from delegation_attempts where event = 'claimed' group by 1, attempt having count(*) > 1) twice"
        ),
        "0"
    );
    // Each end is in the inbox of its caller only.
    let mut completed = BTreeSet::new();
    for (half, received) in received.iter().enumerate() {
        let numbers: BTreeSet<u64> = (0..total as u64).filter(|n| n % 2 == half as u64).collect();
        assert_eq!(received.completed, numbers);
        assert_eq!(
            received.ends.len(),
            received.acknowledged.len(),
            "one message for each end"
        );
        completed.extend(received.completed.iter().copied());
    }
    assert_eq!(completed.len(), total);
    let ends: usize = received.iter().map(|received| received.ends.len()).sum();
    assert_eq!(count("select count(*)::text from delegations"), ends.to_string());
    assert_eq!(
        count("select count(*)::text from delegation_inbox where acknowledged_at is not null"),
        ends.to_string()
    );
    // It was a storm.
    let number = |what: &'static str| -> usize { count(what).parse().unwrap() };
    let stuck = number("select count(*)::text from delegations where status = 'stuck'");
    let failed = number("select count(*)::text from delegations where status = 'failed'");
    let late = number("select count(*)::text from delegation_attempts where event = 'refused-late'");
    println!(
        "{total} tasks in {took:.0?}: {ends} delegations, of which {stuck} got stuck and {failed} failed; {late} late ends were refused; \
         {kills} workers were killed, and PostgreSQL was restarted"
    );
    assert!(
        kills >= 20 && stuck > 0 && failed > 0 && late > 0,
        "it was no storm"
    );
}
