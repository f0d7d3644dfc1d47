//! Tasks over HTTP: who made them, who may see and operate them, and that no key makes two.

use blackbox::World;
use blackbox::fixtures::{penguins, push_penguins};
use serde_json::{Value, json};

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

// proves AUD-1, AUD-5
#[test]
fn a_task_is_created_once_per_key_by_any_known_principal_and_found_by_its_creator() {
    let world = World::start();
    let server = world.serve_machines("a", &[]);
    let person = world.person(&server, 1, "depositor");
    let machine = server.machine("bot");

    server
        .anonymous()
        .post("/tasks", &json!({"kind": "x", "name": "n"}))
        .problem(401, "missing_token");
    let body =
        json!({"kind": "recalibrate", "name": "n", "params": {"b": 1, "a": [1, 2]}, "idempotency_key": "k"});
    let made = person.client.post("/tasks", &body).expect(201);
    assert_eq!(made["creator_user_id"], json!(person.id()));
    assert_eq!(made["creator_service_account_id"], Value::Null);
    assert_eq!(made["status"], json!("queued"));
    assert_eq!(made["access"], json!("own"));
    let again = person.client.post("/tasks", &body).expect(200);
    assert_eq!(again["id"], made["id"]);
    for (field, value) in [
        ("kind", json!("other")),
        ("name", json!("m")),
        ("params", json!({})),
    ] {
        let mut other = body.clone();
        other[field] = value;
        person
            .client
            .post("/tasks", &other)
            .problem(409, "idempotency_conflict");
    }
    // Keys of two creators do not clash.
    let theirs = machine.client.post("/tasks", &body).expect(201);
    assert_eq!(theirs["creator_service_account_id"], json!(machine.id()));
    assert_eq!(theirs["creator_user_id"], Value::Null);

    // Many at once with one key make one.
    let racing = json!({"kind": "race", "name": "n", "idempotency_key": "r"});
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..12)
            .map(|_| {
                scope.spawn(|| {
                    let answer = person.client.post("/tasks", &racing);
                    (answer.status, answer.json()["id"].clone())
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(
        answers.iter().filter(|(status, _)| *status == 201).count(),
        1,
        "{answers:?}"
    );
    assert!(
        answers
            .iter()
            .all(|(status, id)| matches!(status, 200 | 201) && *id == answers[0].1)
    );

    let (mine, theirs_only) = (person.task("alpha"), machine.task("alpha"));
    let admin = server.admin();
    let by = |query: &str| admin.get(&format!("/tasks?{query}")).expect(200);
    assert_eq!(
        ids(&by(&format!("creator_user_id={}&kind=alpha", person.id()))),
        [&mine]
    );
    assert_eq!(
        ids(&by(&format!(
            "creator_service_account_id={}&kind=alpha",
            machine.id()
        ))),
        [&theirs_only]
    );
    assert_eq!(ids(&by("kind=alpha&status=queued")), [&theirs_only, &mine]);
    assert_eq!(ids(&by("kind=alpha&status=running")), [""; 0]);
    admin
        .get("/tasks?creator_user_id=1")
        .problem(422, "VALIDATION_ERROR");
    admin.get("/tasks?status=stuck").problem(422, "VALIDATION_ERROR");
    admin
        .get(&format!(
            "/tasks?creator_user_id={}&creator_service_account_id={}",
            person.id(),
            machine.id()
        ))
        .problem(422, "VALIDATION_ERROR");
    for bad in [
        json!({"kind": "Bad Kind", "name": "n"}),
        json!({"kind": "ingest_batch", "name": "n"}),
        json!({"kind": "x", "name": ""}),
        json!({"kind": "x", "name": "n", "idempotency_key": ""}),
        json!({"kind": "x", "name": "n", "params": {"a": "b".repeat(70_000)}}),
        json!({"kind": "x", "name": "n", "more": 1}),
    ] {
        person
            .client
            .post("/tasks", &bad)
            .problem(422, "VALIDATION_ERROR");
    }

    // Pages cover all of it once, newest first.
    let mut all: Vec<String> = (0..7).map(|_| person.task("pages")).collect();
    all.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = person
            .client
            .get(&format!("/tasks?kind=pages&limit=3{cursor}"))
            .expect(200);
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, all);
    person
        .client
        .get(&format!("/tasks?kind=other{cursor}"))
        .problem(422, "invalid_cursor");
}

// proves AUD-6
#[test]
fn who_may_not_see_a_task_gets_404_and_who_may_not_operate_it_403() {
    let world = World::start();
    let server = world.serve_machines("a", &[]);
    let owner = world.person(&server, 1, "depositor");
    let other = world.person(&server, 2, "curator");
    let machine = server.machine("bot");
    let admin = server.admin();
    let task = owner.task("x");
    let at = |rest: &str| format!("/tasks/{task}{rest}");
    let unknown = "/tasks/0190f3c2-6b1c-7c3e-9d52-0a1b2c3d4e5f";
    let patch = |client: &blackbox::Client, path: &str| {
        let body = json!({"status": "running"}).to_string();
        client
            .send("PATCH", path, Some("application/json"), body.as_bytes())
            .unwrap()
    };
    let grant = at(&format!("/grants/{}", machine.name));

    // To a stranger there is no such task, in exactly the same words.
    let reply = |answer: blackbox::Answer| (answer.status, answer.text.replace(&task, "ID"));
    for stranger in [&other, &machine] {
        let client = &stranger.client;
        for (here, there) in [
            (client.get(&at("")), client.get(unknown)),
            (
                client.post(&at("/cancel"), &json!({})),
                client.post(&format!("{unknown}/cancel"), &json!({})),
            ),
            (patch(client, &at("")), patch(client, unknown)),
            (
                client.get(&at("/grants")),
                client.get(&format!("{unknown}/grants")),
            ),
            (
                client.put(&grant, &json!({"access": "read"})),
                client.put(
                    &format!("{unknown}/grants/{}", machine.name),
                    &json!({"access": "read"}),
                ),
            ),
            (
                client.delete(&grant),
                client.delete(&format!("{unknown}/grants/{}", machine.name)),
            ),
        ] {
            let (status, text) = reply(here);
            let there = (
                there.status,
                there.text.replace("0190f3c2-6b1c-7c3e-9d52-0a1b2c3d4e5f", "ID"),
            );
            assert_eq!((status, text), there);
            assert_eq!(status, 404);
        }
        let list = client
            .get(&format!("/tasks?kind=x&creator_user_id={}", owner.id()))
            .expect(200);
        assert_eq!((&list["items"], &list["has_more"]), (&json!([]), &json!(false)));
        assert_eq!(client.get("/tasks?kind=x").expect(200)["items"], json!([]));
        assert_eq!(
            client
                .get(&format!("/tasks?creator_user_id={}", owner.id()))
                .expect(200)["items"],
            json!([])
        );
    }

    // Who may read may not do.
    assert_eq!(owner.client.put(&grant, &json!({"access": "read"})).status, 204);
    let reads = &machine.client;
    assert_eq!(reads.get(&at("")).expect(200)["access"], json!("read"));
    assert_eq!(ids(&reads.get("/tasks?kind=x").expect(200)), [&task]);
    assert_eq!(
        ids(&reads
            .get(&format!("/tasks?creator_user_id={}", owner.id()))
            .expect(200)),
        [&task]
    );
    reads
        .post(&at("/cancel"), &json!({}))
        .problem(403, "access_denied");
    patch(reads, &at("")).problem(403, "access_denied");
    reads.get(&at("/grants")).problem(403, "access_denied");
    reads
        .put(&grant, &json!({"access": "operate"}))
        .problem(403, "access_denied");
    let delegation = json!({"delegation_id": "d", "callee_id": machine.name, "task_id": task});
    reads
        .post("/delegations", &delegation)
        .problem(403, "access_denied");

    // Who may operate may not share.
    assert_eq!(
        owner.client.put(&grant, &json!({"access": "operate"})).status,
        204
    );
    assert_eq!(patch(reads, &at("")).expect(200)["status"], json!("running"));
    reads
        .put(&grant, &json!({"access": "operate"}))
        .problem(403, "access_denied");
    let grants = owner.client.get(&at("/grants")).expect(200);
    assert_eq!(grants["items"].as_array().unwrap().len(), 1);
    assert_eq!(grants["items"][0]["grantee"], json!(machine.name));
    assert_eq!(grants["items"][0]["access"], json!("operate"));
    assert_eq!(grants["items"][0]["granted_by"], json!(owner.name));

    // What was granted can be taken back, and admins may do all.
    assert_eq!(admin.delete(&grant).status, 204);
    admin.delete(&grant).problem(404, "task_grant_not_found");
    reads.get(&at("")).problem(404, "task_not_found");
    assert_eq!(reads.get("/tasks?kind=x").expect(200)["items"], json!([]));
    admin
        .put(
            &at("/grants/user:0190f3c2-6b1c-7c3e-9d52-0a1b2c3d4e5f"),
            &json!({"access": "read"}),
        )
        .problem(422, "VALIDATION_ERROR");
    admin
        .put(&at("/grants/somebody"), &json!({"access": "read"}))
        .problem(422, "VALIDATION_ERROR");

    let cancelled = admin
        .post(&at("/cancel"), &json!({"reason": "not needed"}))
        .expect(200);
    assert_eq!(cancelled["status"], json!("cancelled"));
    assert!(
        cancelled["status_detail"]
            .as_str()
            .unwrap()
            .ends_with(": not needed"),
        "{cancelled}"
    );
    // Again is no change, and nothing follows.
    assert_eq!(
        owner.client.post(&at("/cancel"), &json!({})).expect(200),
        cancelled
    );
    patch(&owner.client, &at("")).problem(409, "task_over");
    let done = owner.task("y");
    let body = json!({"status": "completed"}).to_string();
    let path = format!("/tasks/{done}");
    owner
        .client
        .send("PATCH", &path, Some("application/json"), body.as_bytes())
        .unwrap()
        .expect(200);
    owner
        .client
        .post(&format!("{path}/cancel"), &json!({}))
        .problem(409, "task_over");
}

// proves AUD-3, AUD-6
#[test]
fn a_batch_of_an_ingest_run_can_be_cancelled_and_its_run_ends_without_it() {
    let world = World::start();
    // No worker runs, so that the batches wait.
    let server = world.serve_with("a", &[("HALLMARK_WORKER__POLL_SECONDS", "0.2")]);
    let admin = server.admin();
    // A hook that takes its time.
    let slow = world.script("slow", &format!("sleep 4\n{}", blackbox::fixtures::PASS));
    admin
        .post(
            "/conventions",
            &blackbox::fixtures::small("Slow things", "small", &[("slow", &slow)]),
        )
        .expect(201);
    let run = admin.open("slow-things", 2);
    let lines: String = (0..4)
        .map(|n| format!("{{\"source_id\":\"s{n}\",\"metadata\":{{\"label\":\"l\"}}}}\n"))
        .collect();
    admin.push_lines(&run, &lines);
    let tasks = admin.get("/tasks?kind=ingest_batch").expect(200);
    let all: Vec<String> = ids(&tasks).into_iter().map(str::to_owned).collect();
    assert_eq!(all.len(), 2, "{tasks}");
    assert_eq!(
        tasks["items"][0]["creator_user_id"],
        json!("00000000-0000-7000-8000-0000000000a1")
    );
    let path = format!("/tasks/{}", all[0]);
    let body = json!({"status": "completed"}).to_string();
    admin
        .send("PATCH", &path, Some("application/json"), body.as_bytes())
        .unwrap()
        .problem(409, "task_of_server");
    let delegation = json!({"delegation_id": "d", "callee_id": "user:00000000-0000-7000-8000-0000000000a1", "task_id": all[0]});
    admin
        .post("/delegations", &delegation)
        .problem(409, "task_of_server");
    admin.post(&format!("{path}/cancel"), &json!({})).expect(200);
    admin.finish(&run);
    let ended = admin.wait(&run);
    assert_eq!(ended["status"], json!("completed"), "{ended}");
    assert_eq!(admin.get(&path).expect(200)["status"], json!("cancelled"));
    assert_eq!(
        admin.get(&format!("/tasks/{}", all[1])).expect(200)["status"],
        json!("completed")
    );
    assert_eq!(world.query("select count(*)::text from ingest_records where outcome = 'errored' and reason like 'cancelled by %'"), "2");
    assert_eq!(
        world.query("select count(*)::text from ingest_records where outcome = 'published'"),
        "2"
    );
    // The penguins beside it are complete.
    admin.post("/conventions", &penguins()).expect(201);
    let run = admin.open("palmer-penguins", 100);
    push_penguins(&admin, &run);
    admin.finish(&run);
    assert_eq!(admin.wait(&run)["status"], json!("completed"));
}
