//! Hooks that cannot run: what is refused at their release, and what is reported of the others.

use std::time::{Duration, Instant};

use blackbox::fixtures::{PASS, ingester, small};
use blackbox::parties::until;
use blackbox::world::digest;
use blackbox::{Client, World};
use serde_json::{Value, json};

fn release(image: &str, digest: &str) -> Value {
    json!({"image": image, "digest": digest, "config": {}, "source_ref": "git:2"})
}

/// Opens a run over `lines` records, and pushes and closes it.
fn pushed(admin: &Client, convention: &str, lines: u32) -> String {
    let run = admin.open(convention, 10);
    let lines: String = (0..lines)
        .map(|n| format!("{{\"source_id\":\"r{n}\",\"metadata\":{{\"label\":\"x\"}}}}\n"))
        .collect();
    admin.push_lines(&run, &lines);
    admin
        .post(&format!("/ingestions/{run}/close"), &json!({}))
        .expect(200);
    run
}

// proves PIP-5
#[test]
fn an_image_that_cannot_run_is_refused_when_it_is_released() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    admin
        .post("/conventions", &small("Checked", "checked", &[("pass", &pass)]))
        .expect(201);
    let (path, sha) = (format!("file:{}", pass.display()), digest(&pass));
    let text = world.home.path().join("notes.txt");
    std::fs::write(&text, "no program").unwrap();
    let odd = world.home.path().join("odd");
    std::fs::write(&odd, "#!/no/such/interpreter\n").unwrap();
    let missing = format!("file:{}/missing", world.home.path().display());
    let directory = format!("file:{}", world.home.path().display());

    let refused = |image: &str, digest: &str| {
        let told = admin
            .post("/hooks/pass/releases", &release(image, digest))
            .problem(422, "VALIDATION_ERROR");
        assert_eq!(told["errors"][0]["loc"], json!(["body", "image"]), "{told}");
        told["errors"][0]["msg"].as_str().unwrap().to_owned()
    };
    let zero = format!("sha256:{}", "0".repeat(64));
    assert!(refused("file:relative/hook", &sha).contains("absolute"));
    assert!(refused(&path, &zero).contains("another digest"));
    assert!(
        !refused(&path, &zero).contains(&sha),
        "a stranger's file has a secret digest"
    );
    let of = |file: &std::path::Path| (format!("file:{}", file.display()), digest(file));
    let (image, of_text) = of(&text);
    assert!(refused(&image, &of_text).contains("neither an ELF program"));
    let (image, of_odd) = of(&odd);
    assert!(refused(&image, &of_odd).contains("/no/such/interpreter"));
    // What is missing, unreadable or no file has one reason.
    assert_eq!(
        refused(&missing, &sha).replace(&missing["file:".len()..], "P"),
        refused(&directory, &sha).replace(&directory["file:".len()..], "P")
    );
    assert_eq!(
        admin.get("/hooks/pass/releases").expect(200)["live_version"],
        1,
        "nothing was released"
    );
    admin
        .post("/hooks/none/releases", &release(&missing, &sha))
        .problem(404, "hook_not_found");

    // A deploy looks, too, at every hook and at the ingester; nothing of it is stored.
    let mut body = small("Second", "second", &[("good", &pass), ("bad", &pass)]);
    body["hooks"][1]["release"]["image"] = json!(missing);
    let told = admin.post("/conventions", &body).problem(422, "VALIDATION_ERROR");
    assert_eq!(
        told["errors"][0]["loc"],
        json!(["body", "hooks", 1, "release", "image"])
    );
    let mut body = small("Second", "second", &[("good", &pass)]);
    body["ingester"] = ingester(&pass, &json!({}));
    body["ingester"]["release"]["digest"] = json!(zero);
    let told = admin.post("/conventions", &body).problem(422, "VALIDATION_ERROR");
    assert_eq!(
        told["errors"][0]["loc"],
        json!(["body", "ingester", "release", "image"])
    );
    admin.get("/hooks/good/releases").problem(404, "hook_not_found");
    // For machines that do not run hooks.
    admin.post("/conventions?check=false", &body).expect(201);
    admin
        .post("/hooks/pass/releases?check=false", &release(&missing, &zero))
        .expect(201);

    // What was released stays as it is when its file is gone.
    std::fs::remove_file(&pass).unwrap();
    let same = admin.post("/conventions", &body).expect(201);
    assert_eq!(same["releases"][0]["created"], false);
    admin
        .post("/hooks/pass/releases", &release(&missing, &zero))
        .expect(200);
}

// proves PRV-8
#[test]
fn a_hook_that_fails_says_why_to_those_who_may_read_its_log() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let stranger = world.person(&server, 1, "curator");
    // It passes one record, so that its run is public, and then misses a program.
    let first = r#"head -n 1 "$OSA_IN/records.jsonl" | sed -e 's/^{"id":"\([^"]*\)".*/{"id":"\1","features":[{"note":"x"}]}/' > "$OSA_OUT/features.jsonl""#;
    let fails = world.script(
        "fails",
        &format!("{first}; echo secret-words >&2; no-such-program"),
    );
    admin
        .post("/conventions", &small("Fails", "fails-of", &[("fails", &fails)]))
        .expect(201);
    let run = pushed(&admin, "fails", 2);
    let ended = admin.wait(&run);
    assert_eq!(
        (&ended["published_count"], &ended["errored_count"]),
        (&json!(1), &json!(1))
    );
    let reason = ended["reasons"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("status 127") && reason.contains("missing"),
        "{reason}"
    );
    let path = format!("/hooks/runs/{}", world.query("select id::text from hook_runs"));
    let failure = admin.get(&path).expect(200)["failure"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        failure.contains("status 127")
            && failure.contains("secret-words")
            && failure.contains("no-such-program"),
        "{failure}"
    );
    assert_eq!(stranger.client.get(&path).expect(200)["failure"], Value::Null);
    for text in [
        stranger.client.get(&path).text,
        server.anonymous().get(&path).text,
        admin.get(&format!("/ingestions/{run}")).text,
        admin.get(&format!("/ingestions/{run}/records")).text,
        server.log(),
        world.query("select coalesce(string_agg(payload::text, ''), '') from activity_log"),
    ] {
        assert!(!text.contains("secret-words"), "{text}");
    }
}

// proves PRV-8
#[test]
fn a_run_that_leaves_a_record_errored_keeps_its_log() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let stranger = world.person(&server, 1, "curator");
    let silent = world.script("silent", "echo secret-words");
    admin
        .post(
            "/conventions",
            &small("Silent", "silent-of", &[("silent", &silent)]),
        )
        .expect(201);
    let ended = admin.wait(&pushed(&admin, "silent", 1));
    assert_eq!(ended["errored_count"], 1);
    assert_eq!(ended["reasons"][0]["hook_name"], "silent");
    let path = format!("/hooks/runs/{}", world.query("select id::text from hook_runs"));
    let detail = admin.get(&path).expect(200);
    assert_eq!(
        (&detail["status"], &detail["has_logs"]),
        (&json!("passed"), &json!(true))
    );
    assert!(admin.get(&format!("{path}/logs")).text.contains("secret-words"));
    stranger
        .client
        .get(&format!("{path}/logs"))
        .problem(404, "NotFoundError");
}

// proves PIP-2
#[test]
fn cancelling_an_ingest_ends_its_hooks_at_once() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    // A time that no other `sleep` of this machine has.
    let word = format!("100000.{}", std::process::id());
    let slow = world.script("slow", &format!("sleep {word}"));
    admin
        .post("/conventions", &small("Slow", "slow-of", &[("slow", &slow)]))
        .expect(201);
    let run = pushed(&admin, "slow", 1);
    until("the hook runs", || runs(&word));
    let begun = Instant::now();
    let cancelled = admin
        .post(&format!("/ingestions/{run}/cancel"), &json!({}))
        .expect(200);
    assert_eq!(cancelled["failure_kind"], "cancelled");
    until("the hook ended", || !runs(&word));
    // 2 s are promised; a busy machine may need more, but not until the next heartbeat or the hook's own limit of 20 s.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    // No hook decided this.
    let reason = &admin.get(&format!("/ingestions/{run}")).expect(200)["reasons"][0];
    assert_eq!(
        (&reason["outcome"], &reason["hook_name"]),
        (&json!("errored"), &Value::Null)
    );
}

/// Whether a process has this word among its arguments.
fn runs(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| {
            line.split(|byte| *byte == 0)
                .any(|argument| argument == word.as_bytes())
        })
}
