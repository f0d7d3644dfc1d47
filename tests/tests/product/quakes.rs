//! The example in Python, a hook and an ingester, under both runners.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use blackbox::engine::Engine;
use blackbox::fixtures::small;
use blackbox::parties::until;
use blackbox::world::{digest, root};
use blackbox::{Server, World};
use serde_json::{Value, json};

fn example(name: &str) -> PathBuf {
    root().join("examples/quakes").join(name)
}

/// Serves the feed until the test ends; returns its URL.
fn feed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/quakes.geojson", listener.local_addr().unwrap());
    let body = std::fs::read(example("quakes.geojson")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let head = format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&body));
        }
    });
    url
}

/// The example's deploy body with these images and their digests.
fn deploy_body(feed: &str, hook: [&str; 2], ingester: [&str; 2]) -> Value {
    let mut text = std::fs::read_to_string(example("convention.json")).unwrap();
    for (name, value) in [
        ("HOOK_IMAGE", hook[0]),
        ("HOOK_DIGEST", hook[1]),
        ("INGESTER_IMAGE", ingester[0]),
        ("INGESTER_DIGEST", ingester[1]),
        ("FEED", feed),
    ] {
        text = text.replace(&format!("@{name}@"), value);
    }
    serde_json::from_str(&text).unwrap()
}

/// Pulls the feed in batches of ten, and checks the result.
fn the_earthquakes_come_in(server: &Server, body: &Value) {
    let admin = server.admin();
    admin.post("/conventions", body).expect(201);
    let open = json!({"convention_id": "earthquakes", "batch_size": 10});
    let run = admin.post("/ingestions", &open).expect(201)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ended = admin.wait(&run);
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(
        [
            &ended["pulls"],
            &ended["pulled_count"],
            &ended["published_count"],
            &ended["rejected_count"],
            &ended["refused_count"]
        ],
        [&json!(3), &json!(25), &json!(24), &json!(1), &json!(0)],
        "{ended}"
    );
    let anonymous = server.anonymous();
    let rows = anonymous.rows("earthquakes/quake_energy", 100);
    let deep = rows.iter().filter(|row| row["depth_class"] == "deep").count();
    assert_eq!((rows.len(), deep), (24, 3));
    let records = anonymous.rows("earthquakes/records", 100);
    let tohoku = records
        .iter()
        .find(|r| r["place"].as_str().unwrap().contains("Tohoku"))
        .unwrap();
    assert_eq!(
        (&tohoku["magnitude"], &tohoku["date"]),
        (&json!(9.1), &json!("2011-03-11"))
    );
    let row = rows
        .iter()
        .find(|row| row["record_srn"] == tohoku["srn"])
        .unwrap();
    // Four networks, which only the event's file tells.
    assert_eq!(row["reported_by"], 4);
    let moment = row["moment_nm"].as_f64().unwrap();
    assert!((moment.log10() - 22.75).abs() < 1e-9, "{moment}");
}

// proves PIP-2, PIP-4
#[test]
fn the_example_runs_as_local_processes() {
    if !Path::new("/usr/bin/python3").exists() {
        test_needs::left_out("/usr/bin/python3, which the example's #! line finds,");
        return;
    }
    let world = World::start();
    let server = world.serve("a");
    let copy = |name: &str| {
        let file = world.home.path().join(name);
        std::fs::copy(example(name), &file).unwrap();
        (format!("file:{}", file.display()), digest(&file))
    };
    let (hook, ingester) = (copy("hook.py"), copy("ingester.py"));
    let body = deploy_body(&feed(), [&hook.0, &hook.1], [&ingester.0, &ingester.1]);
    the_earthquakes_come_in(&server, &body);
}

/// A root file system with this machine's Python, and a program.
fn python_system(program: &[u8]) -> tempfile::TempDir {
    let system = tempfile::tempdir().unwrap();
    let python = std::fs::canonicalize("/usr/bin/python3").unwrap();
    let library = Path::new("/usr/lib").join(python.file_name().unwrap());
    let mut files = BTreeSet::from([python.clone(), PathBuf::from("/usr/bin/env")]);
    for binary in [&python, Path::new("/usr/bin/env")] {
        let printed = Command::new("ldd").arg(binary).output().unwrap().stdout;
        let printed = String::from_utf8(printed).unwrap();
        files.extend(
            printed
                .split_whitespace()
                .filter(|word| word.starts_with('/'))
                .map(PathBuf::from),
        );
    }
    let inside = |path: &Path| system.path().join(path.strip_prefix("/").unwrap());
    for file in &files {
        std::fs::create_dir_all(inside(file).parent().unwrap()).unwrap();
        std::fs::copy(file, inside(file)).unwrap();
    }
    for (from, to) in [("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        // On a merged /usr the loader's own path is a link.
        if !system.path().join(from).exists() && system.path().join(to).exists() {
            symlink(to, system.path().join(from)).unwrap();
        }
    }
    symlink(&python, inside(Path::new("/usr/bin/python3"))).unwrap();
    std::fs::create_dir_all(inside(Path::new("/usr/lib"))).unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(&library)
        .arg(inside(Path::new("/usr/lib")))
        .status()
        .unwrap();
    assert!(copied.success());
    std::fs::create_dir_all(system.path().join("tmp")).unwrap();
    let file = system.path().join("program");
    std::fs::write(&file, program).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    system
}

// proves PIP-2, PIP-4, PIP-5
#[test]
fn the_example_runs_in_containers_and_a_killed_servers_containers_are_removed() {
    let Some(mut engine) = Engine::find() else { return };
    if !Path::new("/usr/bin/python3").exists() {
        test_needs::left_out("/usr/bin/python3, of which an image is made,");
        return;
    }
    let world = World::start();
    let host = engine.host.clone();
    let settings = [
        ("DOCKER_HOST", host.as_str()),
        ("HALLMARK_RUNNER__BACKEND", "oci"),
        // The feed is on this machine.
        ("HALLMARK_RUNNER__INGESTER_NETWORK", "host"),
        ("HALLMARK_WORKER__SILENCE_SECONDS", "4"),
    ];
    let server = world.serve_with("a", &settings);
    let image = |engine: &mut Engine, name: &str| {
        let system = python_system(&std::fs::read(example(name)).unwrap());
        engine.import(
            system.path(),
            &format!("hallmark-test-{}", name.trim_end_matches(".py")),
        )
    };
    let (hook, ingester) = (image(&mut engine, "hook.py"), image(&mut engine, "ingester.py"));
    let body = deploy_body(&feed(), [&hook[0], &hook[1]], [&ingester[0], &ingester[1]]);
    the_earthquakes_come_in(&server, &body);
    assert_eq!(engine.containers(&server.data), 0);

    // A file: image is none that this server runs, and says so.
    let admin = server.admin();
    let pass = world.script("pass", blackbox::fixtures::PASS);
    admin
        .post("/conventions", &small("Local", "local-of", &[("local", &pass)]))
        .expect(201);
    let run = admin.open("local", 10);
    admin.push_lines(&run, "{\"id\":\"a\",\"metadata\":{\"label\":\"x\"}}\n");
    let ended = admin.finish(&run);
    assert!(
        ended["failure_reason"]
            .as_str()
            .unwrap()
            .contains("runner.backend is oci"),
        "{ended}"
    );

    // A hook that takes its time, and a server that is killed under it.
    let slow = b"#!/usr/bin/python3\nimport json, os, time\ntime.sleep(6)\nwith open(os.environ['OSA_OUT'] + '/features.jsonl', 'w') as out:\n    for line in open(os.environ['OSA_IN'] + '/records.jsonl'):\n        print(json.dumps({'id': json.loads(line)['id'], 'features': [{'note': 'slept'}]}), file=out)\n";
    let [name, id] = engine.import(python_system(slow).path(), "hallmark-test-slow");
    let mut body = small("Sleepy", "sleepy-of", &[("sleepy", &pass)]);
    body["hooks"][0]["release"] = json!({"image": name, "digest": id, "source_ref": "git:1"});
    admin.post("/conventions", &body).expect(201);
    let run = admin.open("sleepy", 10);
    admin.push_lines(&run, "{\"id\":\"a\",\"metadata\":{\"label\":\"x\"}}\n");
    admin
        .post(&format!("/ingestions/{run}/close"), &json!({}))
        .expect(200);
    until("its container runs", || engine.containers(&server.data) == 1);
    std::thread::sleep(Duration::from_millis(500));
    let data = server.data.clone();
    server.kill();
    assert_eq!(engine.containers(&data), 1, "no server was there to remove it");
    let server = world.serve_with("a", &settings);
    let ended = server.admin().wait(&run);
    assert_eq!(ended["published_count"], 1, "{ended}");
    assert_eq!(
        server.anonymous().rows("sleepy-of/sleepy", 10)[0]["note"],
        "slept"
    );
    assert_eq!(engine.containers(&data), 0);
    assert_eq!(std::fs::read_dir(data.join("containers")).unwrap().count(), 0);
}
