//! Killing the server with -9 at any moment of an ingestion ends in the same rows as an undisturbed run.

use std::io::Read;
use std::time::Duration;

use blackbox::fixtures::{PASS, small};
use blackbox::{Client, World};
use serde_json::Value;

const RECORDS: usize = 400;

fn lines() -> String {
    (0..RECORDS)
        .map(|n| {
            format!("{{\"source_id\":\"r{n:04}\",\"metadata\":{{\"label\":\"bird {n}\",\"mass\":{n}.5}}}}\n")
        })
        .collect()
}

/// A body that takes its time, so that a kill meets it on its way.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(3));
        let most = into.len().min(600);
        self.0.read(&mut into[..most])
    }
}

/// What the archive holds, without what a second run cannot have in common: ids of runs and rows, and times.
fn holdings(anonymous: &Client) -> Vec<String> {
    let strip = |mut row: Value| {
        for key in ["id", "run_id", "created_at"] {
            row.as_object_mut().unwrap().remove(key);
        }
        row.to_string()
    };
    let mut all: Vec<String> = ["crashes/records", "crashes/slow_pass", "crashes/pick"]
        .iter()
        .flat_map(|table| anonymous.rows(table, 500))
        .map(strip)
        .collect();
    all.sort();
    all
}

fn deploy(world: &World, client: &Client) {
    let slow = world.script("slow_pass", &format!("sleep 0.1; {PASS}"));
    // Every record whose id ends in 7 is rejected.
    let pick = world.script(
        "pick",
        &format!("{PASS}; grep '7\"' \"$OSA_OUT/features.jsonl\" | sed -e 's/^{{\"id\":\"\\([^\"]*\\)\".*/{{\"id\":\"\\1\",\"reason\":\"ends in 7\"}}/' > \"$OSA_OUT/rejections.jsonl\"; exit 0"),
    );
    client
        .post(
            "/conventions",
            &small("Crashes", "crashes", &[("slow_pass", &slow), ("pick", &pick)]),
        )
        .expect(201);
}

// proves LED-10, PRV-4, PIP-6
#[test]
fn ten_kills_at_random_moments_change_nothing() {
    let undisturbed = {
        let world = World::start();
        let server = world.serve("a");
        deploy(&world, &server.admin());
        let run = server.admin().open("crashes", 20);
        server.admin().push_lines(&run, &lines());
        assert_eq!(server.admin().finish(&run)["rejected_count"], RECORDS / 10);
        holdings(&server.anonymous())
    };
    assert_eq!(undisturbed.len(), RECORDS * 9 / 10 * 3);

    let world = World::start();
    let mut server = world.serve("a");
    deploy(&world, &server.admin());
    let run = server.admin().open("crashes", 20);
    // Moments spread by a multiplicative generator, so that a failure can be repeated.
    let mut seed = 88_172_645_463_325_252_u64;
    let mut kills = 0;
    while kills < 10 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let moment = Duration::from_millis(seed % 700);
        let (client, path) = (server.admin(), format!("/ingestions/{run}/records"));
        let pushing = std::thread::spawn(move || {
            // The first four kills meet the push, the others the hooks.
            let all = lines();
            let part = if kills < 4 {
                Slow(all.as_bytes())
            } else {
                Slow(&[])
            };
            client
                .send("POST", &path, Some("application/x-ndjson"), part)
                .is_ok_and(|answer| answer.status == 200)
        });
        std::thread::sleep(moment);
        server.kill();
        kills += 1;
        let _ = pushing.join().unwrap();
        server = world.serve("a");
        if kills == 5 {
            server.admin().push_lines(&run, &lines());
        }
    }
    let again = server.admin().push_lines(&run, &lines());
    assert_eq!(
        again["repeated"], RECORDS,
        "the same lines again change nothing: {again}"
    );
    let ended = server.admin().finish(&run);
    let counts = [
        "received_count",
        "published_count",
        "rejected_count",
        "errored_count",
        "batches_failed",
    ]
    .map(|key| ended[key].as_u64().unwrap());
    assert_eq!(counts, [400, 360, 40, 0, 0], "{ended}");
    assert_eq!(holdings(&server.anonymous()), undisturbed);
    let twice = "select count(*)::text from (select record_srn from features.pick where superseded_by is null group by 1 having count(*) > 1) as x";
    assert_eq!(world.query(twice), "0");
    let left = std::fs::read_dir(server.data.join("work")).unwrap().count();
    assert_eq!(left, 0, "no work directory is left behind");
    assert_ne!(
        world.query("select count(*)::text from delegations where status = 'stuck'"),
        "0",
        "some kill met a batch"
    );
}

// proves LED-5, LED-6, LED-10
#[test]
fn another_server_takes_up_the_work_of_one_that_was_killed() {
    let world = World::start();
    let quick = [("HALLMARK_WORKER__SILENCE_SECONDS", "2")];
    let first = world.serve_with("a", &quick);
    deploy(&world, &first.admin());
    let run = first.admin().open("crashes", 400);
    first.admin().push_lines(&run, &lines());
    std::thread::sleep(Duration::from_millis(60));
    first.kill();
    let second = world.serve_with("b", &quick);
    assert_eq!(second.admin().finish(&run)["published_count"], 360);
}
