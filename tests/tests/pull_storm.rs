//! An ingest of 50 batches with three hooks while servers are killed and PostgreSQL is restarted: what comes of it is what comes of an undisturbed
//! one, nothing is left behind, and every row was made by the release that its run names.
#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

mod world;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use world::choices::Choices;
use world::cluster::Cluster;
use world::{COUNTING, Client, Server, World, ingester, small};

/// How many records there are, and how many a batch has.
const RECORDS: usize = 1000;
const BATCH: usize = 20;
/// After so long without a heartbeat a claim is taken away.
const SILENCE: (&str, &str) = ("HALLMARK_WORKER__SILENCE_SECONDS", "4");
const CONCURRENCY: (&str, &str) = ("HALLMARK_WORKER__CONCURRENCY", "2");

/// What every hook begins with: a function that tells of a record, with the digest of the very file that runs.
const HEAD: &str = r#"
me="sha256:$(sha256sum "$0" | cut -d ' ' -f 1)"
ids() { sed -e 's/^{"id":"\([^"]*\)".*/\1/' "$OSA_IN/records.jsonl"; }
number() { echo "$1" | sed -e 's/r:\([0-9]*\)@x/\1/'; }
pass() { echo "{\"id\":\"$1\",\"features\":[{\"note\":\"$me\",\"size\":$(number "$1")}]}" >> "$OSA_OUT/features.jsonl"; }
"#;
/// Needs more memory than it has for the eleventh record of each batch.
const OOMY: &str = r#"
for id in $(ids); do
  if [ $(($(number "$id") % 20)) -eq 10 ]; then perl -e 'my $x = "a" x 60000000; select(undef, undef, undef, 0.15)'; fi
  pass "$id"
done"#;
/// Ends in the middle of each seventh batch.
const CRASHY: &str = r#"
for id in $(ids); do
  n=$(number "$id")
  if [ $((n / 20 % 7)) -eq 3 ] && [ $((n % 20)) -eq 12 ]; then exit 3; fi
  pass "$id"
done"#;
/// Takes its time, and rejects one record of each batch.
const SLOW: &str = r#"
sleep 0.2
for id in $(ids); do
  if [ $(($(number "$id") % 20)) -eq 5 ]; then echo "{\"id\":\"$id\",\"reason\":\"every fifth of twenty\"}" >> "$OSA_OUT/rejections.jsonl"; else pass "$id"; fi
done"#;
const HOOKS: [(&str, &str); 3] = [("oomy", OOMY), ("crashy", CRASHY), ("slow", SLOW)];

/// Deploys the hooks, each with two releases.
fn deploy(world: &World, admin: &Client) {
    for release in 1..=2 {
        let files = HOOKS.map(|(name, body)| {
            let text = format!("{HEAD}{body}\n# release {release}");
            (name, world.script(&format!("{name}-{release}"), &text))
        });
        let hooks: Vec<(&str, &Path)> = files.iter().map(|(name, file)| (*name, file.as_path())).collect();
        let mut body = small("Storm", "storm-schema", &hooks);
        body["hooks"][0]["limits"] = json!({"timeout_seconds": 60, "memory": "48m", "cpu": "2"});
        let pull = world.script("pull", COUNTING);
        body["ingester"] = ingester(&pull, &json!({"config": {"total": RECORDS}}));
        admin.post("/conventions", &body).expect(201);
    }
}

fn open(admin: &Client) -> String {
    let body = json!({"convention_id": "storm", "batch_size": BATCH});
    admin.post("/ingestions", &body).expect(201)["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Everything that came of it, but for what is new in every world.
fn outcome(world: &World) -> Vec<String> {
    vec![
        world.query("select concat_ws(' ', status, pulls, pulled, received, batches_ingested, batches_completed, batches_failed, published, rejected, errored, failure_kind) from ingest_runs"),
        world.query("select string_agg(concat_ws(' ', source_id, srn, version, metadata), E'\\n' order by source_id) from records"),
        world.query("select string_agg(concat_ws(' ', source_id, batch, outcome, hook_name, reason), E'\\n' order by source_id) from ingest_records"),
        world.query("select string_agg(concat_ws(' ', source_id, name, bytes, encode(sha256, 'hex')), E'\\n' order by source_id) from ingest_files"),
        world.query("select string_agg(concat_ws(' ', b.batch, p.hook_name, r.status, r.oom_retries, r.passed, r.rejected, r.errored, r.failure), E'\\n' order by b.batch, p.position)
                     from ingest_batches b join release_pins p on p.task_id = b.task_id join hook_runs r on r.id = p.run_id"),
        world.query("select string_agg(concat_ws(' ', record_srn, size), E'\\n' order by record_srn) from features.oomy where superseded_by is null"),
        world.query("select string_agg(concat_ws(' ', record_srn, size), E'\\n' order by record_srn) from features.crashy where superseded_by is null"),
        world.query("select string_agg(concat_ws(' ', record_srn, size), E'\\n' order by record_srn) from features.slow where superseded_by is null"),
    ]
}

/// How many processes have something of this world in their environment: hooks, ingesters, and what stands between.
fn left_running(world: &World) -> usize {
    let mark = format!("OSA_OUT={}", world.home.path().display());
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = entries.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
    environments
        .filter(|environment| {
            environment
                .windows(mark.len())
                .any(|part| part == mark.as_bytes())
        })
        .count()
}

fn files_below(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| {
            if entry.path().is_dir() {
                files_below(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

/// What an undisturbed server makes of it.
fn undisturbed() -> Vec<String> {
    let world = World::new();
    let server = world.serve_with("calm", &[("HALLMARK_WORKER__CONCURRENCY", "4")]);
    let admin = server.admin();
    deploy(&world, &admin);
    let run = open(&admin);
    let ended = admin.wait(&run);
    assert_eq!(
        [
            &ended["pulls"],
            &ended["batches_completed"],
            &ended["published_count"],
            &ended["rejected_count"],
            &ended["errored_count"]
        ],
        // 7 of 50 batches crash at their thirteenth record.
        [
            &json!(50),
            &json!(50),
            &json!(1000 - 50 - 7 * 8),
            &json!(50),
            &json!(7 * 8)
        ]
    );
    outcome(&world)
}

// proves PIP-2, PRV-1, PRV-2, PRV-3, PRV-4, PRV-5, PIP-6, LED-10
#[test]
fn an_ingest_in_a_storm_comes_to_what_a_calm_one_comes_to() {
    let expected = undisturbed();
    let mut cluster = Cluster::start();
    let world = World::at(&cluster.url("storm"));
    let more = [SILENCE, CONCURRENCY];
    let servers: [Mutex<Option<Server>>; 2] =
        ["a", "b"].map(|name| Mutex::new(Some(world.serve_with(name, &more))));
    let url = |n: usize| {
        servers[n]
            .lock()
            .unwrap()
            .as_ref()
            .map(|server| server.url.clone())
    };
    let admin = || servers[0].lock().unwrap().as_ref().unwrap().admin();
    deploy(&world, &admin());
    let run = open(&admin());

    let (over, moves) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut kills, mut restarts) = (0, 0);
    let mut choices = Choices(20_261_125);
    std::thread::scope(|scope| {
        // The pointer of every hook is moved all the time, by whichever server is up.
        scope.spawn(|| {
            let mut version = 1;
            while !over.load(Ordering::Relaxed) {
                for (n, (hook, _)) in HOOKS.iter().enumerate() {
                    let Some(url) = url(n % 2) else { continue };
                    let agent: ureq::Agent = ureq::Agent::config_builder()
                        .timeout_global(Some(Duration::from_secs(5)))
                        .build()
                        .into();
                    let token = format!("Bearer {}", world::user_token(&json!({})));
                    let put = agent
                        .put(format!("{url}/api/v1/hooks/{hook}/live"))
                        .header("authorization", token);
                    if put.send_json(json!({"version": version})).is_ok() {
                        moves.fetch_add(1, Ordering::Relaxed);
                    }
                }
                version = 3 - version;
                std::thread::sleep(Duration::from_millis(60));
            }
        });
        let begun = Instant::now();
        let batches_done = || -> i64 {
            let n = world.query("select (batches_completed + batches_failed)::text from ingest_runs");
            n.parse().unwrap()
        };
        loop {
            std::thread::sleep(Duration::from_millis(900 + choices.below(1500) as u64));
            let done = batches_done();
            if done >= 50 || begun.elapsed() > Duration::from_secs(300) {
                break;
            }
            if restarts < 2 && done >= 12 * (restarts + 1) {
                cluster.restart(Duration::from_millis(500));
                restarts += 1;
            } else {
                let n = choices.below(2);
                let mut place = servers[n].lock().unwrap();
                place.take().unwrap().kill();
                *place = Some(world.serve_with(["a", "b"][n], &more));
                kills += 1;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let ended: Value = admin().wait(&run);
    let retries = world.query("select max(retry_count)::text from delegations");
    println!(
        "{kills} servers were killed, PostgreSQL was restarted {restarts} times, pointers were moved {} times; some work was handed out {retries} times more; {ended}",
        moves.load(Ordering::Relaxed)
    );
    assert!(
        kills >= 5 && restarts == 2,
        "too calm: {kills} kills, {restarts} restarts"
    );

    for (what, (found, expected)) in outcome(&world).into_iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "part {what} of the outcome");
    }
    for hook in ["features.oomy", "features.crashy", "features.slow"] {
        let wrong = match hook {
            "features.oomy" => world.query("select count(*)::text from features.oomy f join hook_runs r on r.id = f.run_id join hook_releases l on l.id = r.release_id where f.note <> l.digest"),
            "features.crashy" => world.query("select count(*)::text from features.crashy f join hook_runs r on r.id = f.run_id join hook_releases l on l.id = r.release_id where f.note <> l.digest"),
            _ => world.query("select count(*)::text from features.slow f join hook_runs r on r.id = f.run_id join hook_releases l on l.id = r.release_id where f.note <> l.digest"),
        };
        assert_eq!(wrong, "0", "{hook}: rows under a release that did not make them");
    }
    let both = world.query("select count(distinct release_id)::text from hook_runs");
    assert_eq!(both, "6", "every release of every hook was used");

    // Nothing is left behind: no process, no directory, no file that nobody refers to.
    world::parties::until("checkpoints are removed", || {
        world.query("select count(*)::text from hook_checkpoints") == "0"
    });
    assert_eq!(left_running(&world), 0);
    for name in ["a", "b"] {
        assert_eq!(
            std::fs::read_dir(world.home.path().join(name).join("work"))
                .unwrap()
                .count(),
            0
        );
    }
    let files = world.home.path().join("files");
    assert_eq!(files_below(&files.join("checkpoints")), 0);
    assert_eq!(
        files_below(&files.join("ingests")).to_string(),
        world.query("select count(*)::text from ingest_files")
    );
}
