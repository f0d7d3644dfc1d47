//! An ingest of many batches with three hooks while servers are killed and PostgreSQL is restarted: its result is that of an undisturbed
//! one, nothing is left behind, and every row was made by the release that its run names.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use blackbox::choices::Choices;
use blackbox::cluster::Cluster;
use blackbox::engine::{Engine, busybox_system};
use blackbox::fixtures::{COUNTING, ingester, small};
use blackbox::world::digest;
use blackbox::{Client, Server, World};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How many records a batch has.
const BATCH: usize = 20;
/// How often something breaks in a storm, at most.
const BREAKS: usize = 9;
/// After so long without a heartbeat a claim is taken away.
const SILENCE: (&str, &str) = ("HALLMARK_WORKER__SILENCE_SECONDS", "4");
const CONCURRENCY: (&str, &str) = ("HALLMARK_WORKER__CONCURRENCY", "2");

/// What every hook begins with: a function that tells of a record, with the digest of the very file that runs and its last line.
const HEAD: &str = r#"
me="sha256:$(sha256sum "$0" | cut -d ' ' -f 1) $(sed -n -e '$s/# release //p' "$0")"
ids() { sed -e 's/^{"id":"\([^"]*\)".*/\1/' "$OSA_IN/records.jsonl"; }
number() { echo "$1" | sed -e 's/r:\([0-9]*\)@x/\1/'; }
pass() { echo "{\"id\":\"$1\",\"features\":[{\"note\":\"$me\",\"size\":$(number "$1")}]}" >> "$OSA_OUT/features.jsonl"; }
"#;
/// Needs more memory than it has for the eleventh record of each batch.
const OOMY: &str = r#"
for id in $(ids); do
  if [ $(($(number "$id") % 20)) -eq 10 ]; then perl -e 'my $x = "a" x 40000000; select(undef, undef, undef, 0.6)'; fi
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

/// What runs the hooks, and how much is to be done.
struct Setting {
    batches: usize,
    /// Where the server finds a container engine; without one the hooks are local processes.
    engine: Option<Mutex<Engine>>,
}

impl Setting {
    /// The script as it runs. There is no perl in a busybox; what is written to its /tmp is memory.
    fn script(&self, text: &str) -> String {
        let text = if self.engine.is_some() {
            text.replace(
                "perl -e 'my $x = \"a\" x 40000000; select(undef, undef, undef, 0.6)'",
                "dd if=/dev/zero of=/tmp/big bs=1M count=60 2>/dev/null || { sleep 1; exit 1; }; rm /tmp/big",
            )
        } else {
            text.to_owned()
        };
        format!("#!/bin/sh\n{text}\n")
    }

    /// What the program of this script says of itself.
    fn program(&self, text: &str) -> String {
        let hash: String = Sha256::digest(self.script(text))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("sha256:{hash}")
    }

    /// The image of a script, and its digest.
    fn image(&self, world: &World, name: &str, text: &str) -> Option<[String; 2]> {
        let Some(engine) = &self.engine else {
            let file = world.script(name, text);
            return Some([format!("file:{}", file.display()), digest(&file)]);
        };
        let system = busybox_system(&self.script(text))?;
        Some(
            engine
                .lock()
                .unwrap()
                .import(system.path(), &format!("hallmark-storm-{name}")),
        )
    }

    /// Deploys the hooks, each with two releases; gives the digest of each release with what its program says of itself.
    fn deploy(&self, world: &World, admin: &Client) -> Option<BTreeSet<String>> {
        let mut programs = BTreeSet::new();
        let pull = self.image(world, "pull", COUNTING)?;
        for release in 1..=2 {
            let mut body = small("Storm", "storm-schema", &[]);
            for (name, text) in HOOKS {
                let script = world.script(name, text);
                let mut hook = small("x", "x-of", &[(name, &script)])["hooks"][0].clone();
                let text = format!("{HEAD}{text}\n# release {release}");
                let [image, of_image] = self.image(world, &format!("{name}-{release}"), &text)?;
                hook["release"] = json!({"image": image, "digest": of_image, "source_ref": "git:1"});
                if name == "oomy" {
                    hook["limits"] = json!({"timeout_seconds": 60, "memory": "48m", "cpu": "2"});
                }
                body["hooks"].as_array_mut().unwrap().push(hook);
                programs.insert(format!("{of_image} {} {release}", self.program(&text)));
            }
            body["ingester"] = ingester(
                Path::new("/dev/null"),
                &json!({"config": {"total": self.batches * BATCH}}),
            );
            body["ingester"]["release"] = json!({"image": pull[0], "digest": pull[1], "source_ref": "git:1"});
            admin.post("/conventions", &body).expect(201);
        }
        Some(programs)
    }

    /// What servers need to know of the engine.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let Some(engine) = &self.engine else {
            return Vec::new();
        };
        vec![
            ("DOCKER_HOST", engine.lock().unwrap().host.clone()),
            ("HALLMARK_RUNNER__BACKEND", "oci".to_owned()),
        ]
    }
}

fn open(admin: &Client) -> String {
    let body = json!({"convention_id": "storm", "batch_size": BATCH});
    admin.post("/ingestions", &body).expect(201)["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Its whole result, except what is new in every world.
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

/// How many processes have something of this world in their environment: hooks, ingesters, and what is between them.
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

/// What an undisturbed server makes of it, with local processes.
fn undisturbed(batches: usize) -> Vec<String> {
    let setting = Setting {
        batches,
        engine: None,
    };
    let world = World::start();
    let server = world.serve_with("calm", &[("HALLMARK_WORKER__CONCURRENCY", "4")]);
    let admin = server.admin();
    setting.deploy(&world, &admin).unwrap();
    let ended = admin.wait(&open(&admin));
    // Each fourth of seven batches crashes at its thirteenth record.
    let crashes = (0..batches).filter(|batch| batch % 7 == 3).count();
    assert_eq!(
        [
            &ended["pulls"],
            &ended["batches_completed"],
            &ended["published_count"],
            &ended["rejected_count"],
            &ended["errored_count"]
        ],
        [
            &json!(batches),
            &json!(batches),
            &json!(batches * (BATCH - 1) - crashes * 8),
            &json!(batches),
            &json!(crashes * 8)
        ]
    );
    outcome(&world)
}

/// Every row's own word about what made it, with the digest of its run's release.
fn makers(world: &World) -> BTreeSet<String> {
    let all = [
        world.query("select string_agg(distinct l.digest || ' ' || f.note, E'\\n') from features.oomy f join hook_runs r on r.id = f.run_id join hook_releases l on l.id = r.release_id"),
        world.query("select string_agg(distinct l.digest || ' ' || f.note, E'\\n') from features.crashy f join hook_runs r on r.id = f.run_id join hook_releases l on l.id = r.release_id"),
        world.query("select string_agg(distinct l.digest || ' ' || f.note, E'\\n') from features.slow f join hook_runs r on r.id = f.run_id join hook_releases l on l.id = r.release_id"),
    ];
    all.iter()
        .flat_map(|lines| lines.lines())
        .map(str::to_owned)
        .collect()
}

/// Kills servers and restarts PostgreSQL under an ingest, and compares its result with that of a calm one.
fn storm(setting: &Setting, least_kills: usize) {
    let mut cluster = Cluster::start();
    let world = World::at(&cluster.url("storm"));
    let environment = setting.environment();
    let mut more: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    more.extend([SILENCE, CONCURRENCY]);
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
    let Some(programs) = setting.deploy(&world, &admin()) else {
        return;
    };
    let expected = undisturbed(setting.batches);
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
                    let token = format!("Bearer {}", blackbox::tokens::user_token(&json!({})));
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
        let batches_done = || -> usize {
            let n = world.query("select (batches_completed + batches_failed)::text from ingest_runs");
            n.parse().unwrap()
        };
        // Something breaks each time when another ninth of the work is done: so often, however fast the machine is.
        let mut broken = 0;
        loop {
            std::thread::sleep(Duration::from_millis(100 + choices.below(500) as u64));
            let done = batches_done();
            if done >= setting.batches || begun.elapsed() > Duration::from_secs(400) {
                break;
            }
            if done * BREAKS < (broken + 1) * setting.batches {
                continue;
            }
            broken += 1;
            if broken % 3 == 0 && restarts < 2 {
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
        "{} batches: {kills} servers were killed, PostgreSQL was restarted {restarts} times, pointers were moved {} times; some work was redelegated {retries} times; {ended}",
        setting.batches,
        moves.load(Ordering::Relaxed)
    );
    assert!(
        kills >= least_kills && restarts == 2,
        "too calm: {kills} kills, {restarts} restarts"
    );

    for (what, (found, expected)) in outcome(&world).into_iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "part {what} of the outcome");
    }
    let made = makers(&world);
    let lies: Vec<_> = made.difference(&programs).collect();
    assert!(
        lies.is_empty(),
        "rows under a release that did not make them: {lies:?}"
    );
    assert!(
        made.len() > HOOKS.len(),
        "no hook had more than one release at work: {made:?}"
    );

    // Nothing is left behind: no process, no container, no directory, no file without a reference to it.
    blackbox::parties::until("checkpoints are removed", || {
        world.query("select count(*)::text from hook_checkpoints") == "0"
    });
    assert_eq!(left_running(&world), 0);
    for (n, name) in ["a", "b"].iter().enumerate() {
        for root in ["work", "containers"] {
            let left = std::fs::read_dir(world.home.path().join(name).join(root)).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{root} of {name}");
        }
        if let Some(engine) = &setting.engine {
            let data = servers[n].lock().unwrap().as_ref().unwrap().data.clone();
            assert_eq!(
                engine.lock().unwrap().containers(&data),
                0,
                "containers of {name}"
            );
        }
    }
    let files = world.home.path().join("files");
    assert_eq!(files_below(&files.join("checkpoints")), 0);
    assert_eq!(
        files_below(&files.join("ingests")).to_string(),
        world.query("select count(*)::text from ingest_files")
    );
}

// proves PIP-2, PRV-1, PRV-2, PRV-3, PRV-4, PRV-5, PIP-6, LED-10
#[test]
fn an_ingest_in_a_storm_comes_to_what_a_calm_one_comes_to() {
    storm(
        &Setting {
            batches: 21,
            engine: None,
        },
        4,
    );
}

// proves PIP-4, PRV-2, PRV-3, PRV-5, LED-10
#[test]
fn in_containers_too() {
    let Some(engine) = Engine::find() else {
        return;
    };
    let engine = Some(Mutex::new(engine));
    storm(&Setting { batches: 12, engine }, 3);
}
