//! What a server says of the isolation of its hooks, and what it says of files that are not its images.

use blackbox::World;
use blackbox::fixtures::{COUNTING, PASS, ingester, small};
use blackbox::world::digest;
use serde_json::json;

// proves ISO-1
#[test]
fn a_server_without_a_sandbox_says_so_where_it_is_looked_at() {
    let world = World::start();
    let server = world.serve_with("a", &[("HALLMARK_RUNNER__SANDBOX", "none")]);
    let admin = server.admin();
    let ready = server.anonymous().get("/ready").expect(200);
    let detail = ready["components"]["runner"]["detail"].as_str().unwrap();
    assert!(detail.contains("WITHOUT A SANDBOX"), "{detail}");
    let pass = world.script("pass", PASS);
    admin
        .post("/conventions", &small("Open", "open-of", &[("pass", &pass)]))
        .expect(201);
    let run = admin.open("open", 10);
    admin.push_lines(&run, "{\"source_id\":\"a\",\"metadata\":{\"label\":\"x\"}}\n");
    assert_eq!(admin.finish(&run)["published_count"], 1);
    let path = format!("/hooks/runs/{}", world.query("select id::text from hook_runs"));
    let ran = admin.get(&path).expect(200);
    let worker = ran["worker"].as_str().unwrap();
    assert!(worker.ends_with(" (process+no-sandbox)"), "{worker}");
}

// proves ISO-1
#[test]
fn a_server_that_may_not_run_hooks_without_a_sandbox_has_one_or_refuses_them() {
    let world = World::start();
    let server = world.serve_with("a", &[("HALLMARK_RUNNER__SANDBOX", "required")]);
    let admin = server.admin();
    let ready = server.anonymous().get("/ready").expect(200);
    let detail = ready["components"]["runner"]["detail"].as_str().unwrap();
    let pass = world.script("pass", PASS);
    let released = admin.post("/conventions", &small("Closed", "closed-of", &[("pass", &pass)]));
    if detail.contains("refused") {
        let told = released.problem(422, "VALIDATION_ERROR");
        let why = told["errors"][0]["msg"].as_str().unwrap();
        assert!(why.contains("runner.sandbox = none"), "{why}");
    } else {
        assert!(!detail.contains("WITHOUT"), "{detail}");
        released.expect(201);
    }
}

// proves ISO-1
#[test]
fn which_network_an_ingester_had_is_told_by_ready_and_kept_with_its_pull() {
    let world = World::start();
    let settings = [("HALLMARK_RUNNER__LOCAL_INGESTER_NETWORK", "auto")];
    let server = world.serve_with("a", &settings);
    let admin = server.admin();
    let ready = server.anonymous().get("/ready").expect(200);
    let detail = ready["components"]["runner"]["detail"].as_str().unwrap();
    let (pull, pass) = (world.script("pull", COUNTING), world.script("pass", PASS));
    let mut body = small("Networked", "networked-of", &[("pass", &pass)]);
    body["ingester"] = ingester(&pull, &json!({"config": {"total": 1}}));
    admin.post("/conventions", &body).expect(201);
    let open = json!({"convention_id": "networked", "batch_size": 10});
    let run = admin.post("/ingestions", &open).expect(201);
    let ended = admin.wait(run["id"].as_str().unwrap());
    assert_eq!(ended["published_count"], 1, "{ended}");
    let runner = world
        .query("select coalesce(payload->>'runner', '') from activity_log where kind = 'IngesterBatchReady'");
    let expected = if detail.contains("WITHOUT A SANDBOX") {
        "process+no-sandbox"
    } else if detail.contains("ingesters have a network of their own") {
        "+own-network"
    } else {
        assert!(
            detail.contains("ingesters share the machine's network"),
            "{detail}"
        );
        "+host-network"
    };
    assert!(runner.ends_with(expected), "{detail}: {runner}");
}

// proves ISO-4
#[test]
fn a_releaser_learns_nothing_of_files_that_are_no_images() {
    let world = World::start();
    let images = world.home.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let dirs = images.to_str().unwrap();
    let server = world.serve_with("a", &[("HALLMARK_RUNNER__IMAGE_DIRS", dirs)]);
    let admin = server.admin();
    let ours = world.script("images/ours", PASS);
    let theirs = world.script("theirs", PASS);
    std::os::unix::fs::symlink(&theirs, images.join("link")).unwrap();
    admin
        .post("/conventions", &small("Ours", "ours-of", &[("ours", &ours)]))
        .expect(201);
    let refused = |path: &str, digest: &str| {
        let body = json!({"image": format!("file:{path}"), "digest": digest, "config": {"x": 1}, "source_ref": "git:2"});
        let told = admin
            .post("/hooks/ours/releases", &body)
            .problem(422, "VALIDATION_ERROR");
        let why = told["errors"][0]["msg"].as_str().unwrap().to_owned();
        why.replace(path, "P").replace(digest, "D")
    };
    let (known, zero) = (digest(&theirs), format!("sha256:{}", "0".repeat(64)));
    let of = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let missing = refused(&of(&images.join("missing")), &zero);
    for (path, digest) in [
        (of(&theirs), &known),
        (of(&theirs), &zero),
        (of(&images.join("link")), &known),
        (of(&images), &zero),
        (of(&ours), &zero),
        ("/etc/shadow".to_owned(), &zero),
        (of(&server.data.join("worker")), &zero),
    ] {
        assert_eq!(refused(&path, digest), missing, "{path}");
    }
}
