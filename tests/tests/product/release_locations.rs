//! Images that move: the digest is what runs, and a release is used from its newest location.

use std::path::Path;

use blackbox::fixtures::{PASS, small};
use blackbox::world::digest;
use blackbox::{Client, World};
use serde_json::{Value, json};

/// The content that [`small`] deploys, at this location.
fn at(image: &str, digest: &str) -> Value {
    json!({"image": image, "digest": digest, "config": {}, "limits": {"timeout_seconds": 20, "memory": "256m", "cpu": "1"}, "source_ref": "git:1"})
}

fn location(file: &Path) -> String {
    format!("file:{}", file.display())
}

/// The images of a release's locations, in order.
fn images(release: &Value) -> Vec<String> {
    let locations = release["locations"].as_array().unwrap();
    locations
        .iter()
        .map(|l| l["image"].as_str().unwrap().to_owned())
        .collect()
}

/// Runs the hook over one record; gives how the ingest run ended.
fn ran(admin: &Client, record: &str) -> Value {
    let run = admin.open("moving", 10);
    admin.push_lines(
        &run,
        &format!("{{\"source_id\":\"{record}\",\"metadata\":{{\"label\":\"x\"}}}}\n"),
    );
    admin.finish(&run)
}

// proves REG-3, REG-8, PIP-5, PRV-6, ISO-4
#[test]
fn a_release_whose_image_moved_runs_from_where_it_is_now() {
    let world = World::start();
    let (server, other) = (world.serve("a"), world.serve("b"));
    let (admin, elsewhere) = (server.admin(), other.admin());
    let pass = world.script("pass", PASS);
    let sha = digest(&pass);
    admin
        .post("/conventions", &small("Moving", "moving-of", &[("pass", &pass)]))
        .expect(201);
    assert_eq!(ran(&admin, "a")["published_count"], 1);
    let detail = elsewhere.get("/hooks/pass/releases/1").expect(200);
    let first = &detail["locations"][0];
    assert_eq!(images(&detail), [location(&pass)]);
    assert_eq!(
        (&first["registered_by"], &first["registered_at"]),
        (&detail["built_by"], &detail["built_at"])
    );

    let moved = world.home.path().join("moved");
    std::fs::rename(&pass, &moved).unwrap();
    let ended = ran(&admin, "b");
    assert_eq!(ended["failure_kind"], "image_pull");
    let why = ended["failure_reason"].as_str().unwrap();
    assert!(why.contains("from the path where it is"), "{why}");

    // What the reason advises.
    let again = admin
        .post("/hooks/pass/releases", &at(&location(&moved), &sha))
        .expect(200);
    assert_eq!(
        (&again["version"], &again["live"], &again["location_added"]),
        (&json!(1), &json!(true), &json!(true))
    );
    assert_eq!(again["image"], location(&moved));
    assert_eq!(images(&again), [location(&pass), location(&moved)]);
    assert_eq!(ran(&admin, "c")["published_count"], 1);

    // The same location again is none.
    let same = admin
        .post("/hooks/pass/releases", &at(&location(&moved), &sha))
        .expect(200);
    assert_eq!(same["location_added"], false);
    assert_eq!(same["locations"], again["locations"]);

    // Who may release hooks sees it, also where the release was read before.
    let detail = elsewhere.get("/hooks/pass/releases/1").expect(200);
    assert_eq!(
        (&detail["image"], &detail["locations"]),
        (&again["image"], &again["locations"])
    );
    let history = elsewhere.get("/hooks/pass/releases").expect(200);
    assert_eq!(history["releases"][0]["locations"], again["locations"]);
    assert_eq!(history["releases"].as_array().unwrap().len(), 1);
    // All others see the files' names, also after others have read it.
    for _ in 0..2 {
        let shown = other.anonymous().get("/hooks/pass/releases/1").expect(200);
        assert_eq!(
            (&shown["image"], &shown["digest"]),
            (&json!("file:moved"), &json!(sha))
        );
        assert_eq!(images(&shown), ["file:pass", "file:moved"]);
        let again = elsewhere.get("/hooks/pass/releases/1").expect(200);
        assert_eq!(again["image"], location(&moved));
    }
    let shown = other.anonymous().get("/hooks/pass/releases").expect(200);
    assert_eq!(images(&shown["releases"][0]), ["file:pass", "file:moved"]);
    let moves = elsewhere.get("/hooks/pass/live/history").expect(200);
    assert_eq!(
        moves["moves"].as_array().unwrap().len(),
        1,
        "the pointer did not move"
    );

    // A row says where the bytes came from that made it.
    let rows = admin.rows("moving-of/pass", 10);
    for (record, number, image) in [("a", 1, &pass), ("c", 2, &moved)] {
        let row = rows.iter().find(|row| row["note"] == record).unwrap();
        let trace = admin
            .get(&format!("/data/moving-of/pass/rows/{}/trace", row["id"]))
            .expect(200);
        assert_eq!(
            (&trace["run"]["location"], &trace["run"]["image"]),
            (&json!(number), &json!(location(image)))
        );
        assert_eq!(
            (&trace["release"]["image"], &trace["release"]["locations"]),
            (&again["image"], &again["locations"])
        );
        let run = trace["run"]["id"].as_str().unwrap();
        let run = elsewhere.get(&format!("/hooks/runs/{run}")).expect(200);
        assert_eq!(run["location"], number);
    }
    let row = rows.iter().find(|row| row["note"] == "a").unwrap();
    let page = elsewhere
        .fetch(
            "GET",
            &format!("/data/moving-of/pass/rows/{}", row["id"]),
            &[("accept", "text/html")],
            "",
        )
        .unwrap()
        .text();
    assert!(
        page.contains("Image read from") && page.contains("Locations"),
        "{page}"
    );

    // A deploy moves it, too: back to where it was, which is the third location.
    std::fs::copy(&moved, &pass).unwrap();
    let deployed = admin
        .post("/conventions", &small("Moving", "moving-of", &[("pass", &pass)]))
        .expect(201);
    assert_eq!(
        (
            &deployed["releases"][0]["created"],
            &deployed["releases"][0]["location_added"]
        ),
        (&json!(false), &json!(true))
    );
    let detail = elsewhere.get("/hooks/pass/releases/1").expect(200);
    assert_eq!(
        images(&detail),
        [location(&pass), location(&moved), location(&pass)]
    );
    let logged = world.query(
        "select string_agg(concat_ws(' ', payload ->> 'hook_name', payload ->> 'version', payload ->> 'location'), ', ' order by sequence)
         from activity_log where kind = 'HookReleaseLocated' and actor_user_id is not null",
    );
    assert_eq!(logged, "pass 1 2, pass 1 3");
}

// proves REG-8, PIP-5, AUT-8
#[test]
fn a_location_without_the_released_bytes_is_refused() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    let sha = digest(&pass);
    admin
        .post("/conventions", &small("Moving", "moving-of", &[("pass", &pass)]))
        .expect(201);
    let wrong = world.script("wrong", &format!("{PASS} # other bytes"));
    let missing = location(&world.home.path().join("missing"));
    let post = |image: &str, digest: &str| admin.post("/hooks/pass/releases", &at(image, digest));
    for image in [location(&wrong), missing.clone()] {
        let told = post(&image, &sha).problem(422, "VALIDATION_ERROR");
        assert_eq!(told["errors"][0]["loc"], json!(["body", "image"]), "{told}");
    }
    let mut body = small("Moving", "moving-of", &[("pass", &pass)]);
    body["hooks"][0]["release"]["image"] = json!(missing);
    let told = admin.post("/conventions", &body).problem(422, "VALIDATION_ERROR");
    assert_eq!(
        told["errors"][0]["loc"],
        json!(["body", "hooks", 0, "release", "image"])
    );
    // Nor may everyone move it.
    world
        .person(&server, 1, "curator")
        .client
        .post("/hooks/pass/releases", &at(&location(&wrong), &sha))
        .problem(403, "access_denied");
    let detail = admin.get("/hooks/pass/releases/1").expect(200);
    assert_eq!(images(&detail), [location(&pass)], "nothing was added");

    // Other bytes are a release of their own.
    let own = post(&location(&wrong), &digest(&wrong)).expect(201);
    assert_eq!(
        (&own["version"], &own["location_added"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(images(&own), [location(&wrong)]);
    // The server takes the word of those who know better.
    let unseen = admin
        .post("/hooks/pass/releases?check=false", &at(&missing, &sha))
        .expect(200);
    assert_eq!(images(&unseen), [location(&pass), missing.clone()]);
    assert_eq!(unseen["live"], false, "release 2 stays live");

    // There is an end to it, and the location in use is still no fault.
    world.execute(
        "insert into hook_release_locations (hook_name, release_id, position, image, registered_by_user_id, registered_at)
         select hook_name, id, n, 'file:/' || n, built_by_user_id, now() from hook_releases, generate_series(3, 1000) n where version = 1 order by n",
    );
    let told = admin
        .post("/hooks/pass/releases?check=false", &at(&missing, &sha))
        .problem(409, "locations_exhausted");
    assert!(told["message"].as_str().unwrap().contains("file:/1000"), "{told}");
    let same = admin
        .post("/hooks/pass/releases?check=false", &at("file:/1000", &sha))
        .expect(200);
    assert_eq!(same["location_added"], false);
}

// proves REG-8, REG-3
#[test]
fn locations_that_are_registered_at_once_on_two_servers_have_one_order() {
    let world = World::start();
    let servers = [world.serve("a"), world.serve("b")];
    let pass = world.script("pass", PASS);
    let sha = digest(&pass);
    servers[0]
        .admin()
        .post("/conventions", &small("Moving", "moving-of", &[("pass", &pass)]))
        .expect(201);
    let all_at_once = |images: &[String]| -> Vec<Value> {
        std::thread::scope(|scope| {
            let running: Vec<_> = images
                .iter()
                .enumerate()
                .map(|(n, image)| {
                    let (server, body) = (&servers[n % 2], at(image, &sha));
                    scope.spawn(move || {
                        server
                            .admin()
                            .post("/hooks/pass/releases?check=false", &body)
                            .expect(200)
                    })
                })
                .collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    };
    let different: Vec<String> = (0..8).map(|n| format!("file:/place/{n}")).collect();
    let answers = all_at_once(&different);
    let order = images(&servers[1].admin().get("/hooks/pass/releases/1").expect(200));
    assert_eq!(order[0], location(&pass));
    let mut rest = order[1..].to_vec();
    rest.sort_unstable();
    assert_eq!(rest, different, "each is kept, once");
    for (answer, image) in answers.iter().zip(&different) {
        assert_eq!(
            (&answer["location_added"], &answer["image"]),
            (&json!(true), &json!(image))
        );
        assert!(order.starts_with(&images(answer)), "{answer}");
    }
    // The same location from all of them is added by one.
    let answers = all_at_once(&[0; 6].map(|_| "file:/same".to_owned()));
    let added = answers.iter().filter(|answer| answer["location_added"] == true);
    assert_eq!(added.count(), 1);
    assert_eq!(
        world.query("select count(*)::text from hook_release_locations"),
        "9"
    );
    assert_eq!(
        world.query("select count(*)::text from activity_log where kind = 'HookReleaseLocated'"),
        "9"
    );
}
