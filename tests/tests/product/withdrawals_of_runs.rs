//! Withdrawing the records of an ingest run together, from the API and from the command line.

use std::process::{Command, Output};

use blackbox::parties::until;
use blackbox::world::binaries;
use blackbox::{Answer, Client, World};
use serde_json::{Value, json};

use super::withdrawals::{deployed, id_of, labels, now, pushed};

fn change(client: &Client, run: &str, what: &str, body: &Value) -> Answer {
    client.post(&format!("/ingestions/{run}/{what}"), body)
}

// proves EDG-4
#[test]
fn the_records_of_a_run_are_withdrawn_and_restored_together() {
    let world = World::start();
    let server = world.serve_machines("a", &[]);
    deployed(&world, &server);
    let (admin, anonymous) = (server.admin(), server.anonymous());
    let bad = pushed(&admin, &["alone", "one", "replaced", "two"], 1);
    pushed(&admin, &["other", "replaced"], 2);
    let [alone, one, replaced] = ["alone", "one", "replaced"].map(|label| id_of(&anonymous, label));
    let before = now(&world);

    let why = json!({"reason": "the wrong file"});
    let stranger = server.machine("stranger").client;
    for run in [bad.as_str(), "018f4e2a-6b1c-7c3e-9d52-0a1b2c3d4e5f"] {
        change(&anonymous, run, "withdraw", &why).problem(401, "missing_token");
        // Strangers do not find out which runs exist.
        change(&stranger, run, "withdraw", &why).problem(403, "access_denied");
    }
    change(&admin, "018f4e2a-6b1c-7c3e-9d52-0a1b2c3d4e5f", "withdraw", &why).problem(404, "NotFoundError");
    let problem = change(&admin, &bad, "withdraw", &json!({})).problem(422, "VALIDATION_ERROR");
    assert_eq!(problem["field"], "reason");

    admin
        .post(
            &format!("/data/records/{alone}/withdraw"),
            &json!({"reason": "twice"}),
        )
        .expect(200);
    let done = change(&admin, &bad, "withdraw", &why).expect(200);
    assert_eq!((&done["id"], &done["withdrawn"]), (&json!(bad), &json!(true)));
    assert_eq!(done["withdrawal"]["reason"], "the wrong file");
    // One was withdrawn before, and one has a newer version of another run.
    assert_eq!((&done["records"], &done["finished"]), (&json!(2), &json!(true)));
    assert_eq!(change(&admin, &bad, "withdraw", &why).expect(200), done);
    let during = now(&world);

    assert_eq!(labels(&anonymous, ""), ["other", "replaced"]);
    assert_eq!(
        labels(&anonymous, &format!("&as_of={during}")),
        ["other", "replaced"]
    );
    assert_eq!(labels(&anonymous, &format!("&as_of={before}")).len(), 5);
    let problem = anonymous
        .get(&format!("/data/records/{one}"))
        .problem(410, "record_withdrawn");
    assert_eq!(problem["withdrawal"]["ingest_run_id"], json!(bad));
    // The version of the run is withdrawn, its successor is not.
    anonymous
        .get(&format!("/data/records/{replaced}@1"))
        .problem(410, "record_withdrawn");
    anonymous.get(&format!("/data/records/{replaced}")).expect(200);
    admin
        .post(&format!("/data/records/{one}/restore"), &json!({}))
        .problem(409, "ingest_run_withdrawn");
    let refused = pushed(&admin, &["one", "other"], 9);
    let counts = admin.get(&format!("/ingestions/{refused}")).expect(200);
    assert_eq!(
        (&counts["published_count"], &counts["errored_count"]),
        (&json!(1), &json!(1))
    );

    let back = change(&admin, &bad, "restore", &json!({})).expect(200);
    assert_eq!(
        (&back["withdrawn"], &back["records"], &back["finished"]),
        (&json!(false), &json!(2), &json!(true))
    );
    assert_eq!(labels(&anonymous, ""), ["one", "other", "replaced", "two"]);
    anonymous
        .get(&format!("/data/records/{alone}"))
        .problem(410, "record_withdrawn");
    assert_eq!(
        labels(&anonymous, &format!("&as_of={during}")),
        ["other", "replaced"]
    );

    let open = admin.open("small-things", 10);
    for what in ["withdraw", "restore"] {
        change(&admin, &open, what, &why).problem(409, "ingest_active");
    }
    until("the log shows both", || {
        let log = admin
            .get(&format!(
                "/activity?subject=ingest_run:{bad}&kind=IngestRunWithdrawn&kind=IngestRunRestored"
            ))
            .expect(200);
        let kinds: Vec<&Value> = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| &i["kind"])
            .collect();
        kinds == ["IngestRunWithdrawn", "IngestRunRestored"]
    });
}

// proves EDG-4
#[test]
fn a_server_finishes_the_withdrawal_that_another_one_began() {
    let world = World::start();
    let first = world.serve("a");
    deployed(&world, &first);
    let run = pushed(&first.admin(), &["one", "two"], 1);
    pushed(&first.admin(), &["other"], 1);
    first.kill();
    // As a server leaves it that dies after the first commit: the fact is there, and the tables do not follow yet.
    world.execute(&format!(
        "insert into withdrawals (ingest_run_id, number, withdraws, reason, actor_user_id, happened_at)
           values ('{run}', 1, true, 'why', '00000000-0000-7000-8000-0000000000a1', clock_timestamp());
         insert into withdrawal_progress (ingest_run_id) values ('{run}')"
    ));
    let second = world.serve("b");
    let anonymous = second.anonymous();
    until("the tables follow", || labels(&anonymous, "") == ["other"]);
    until("the progress says so", || {
        world.query("select count(*)::text from withdrawal_progress where finished_at is null") == "0"
    });
    let done = change(&second.admin(), &run, "withdraw", &json!({"reason": "again"})).expect(200);
    assert_eq!(
        (&done["records"], &done["withdrawal"]["reason"]),
        (&json!(2), &json!("why"))
    );
}

// proves EDG-4
#[test]
fn records_and_runs_are_withdrawn_from_the_command_line() {
    let world = World::start();
    let server = world.serve("a");
    deployed(&world, &server);
    let admin = server.admin();
    let run = pushed(&admin, &["one", "two"], 1);
    let id = id_of(&admin, "one");
    let hallmark = |environment: &[(&str, &str)], arguments: &[&str]| -> Output {
        Command::new(binaries().join("hallmark"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    };
    let printed = |output: &Output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout.clone()).unwrap()
    };
    let token = printed(&hallmark(&[("OSA_DEV_MODE", "true")], &["token", "mint"]));
    let remote = [
        ("HALLMARK_SERVER", server.url.as_str()),
        ("HALLMARK_TOKEN", token.trim()),
    ];
    let text = printed(&hallmark(&remote, &["withdraw", &id, "--reason", "why"]));
    assert!(
        text.starts_with(&format!("record {id} is withdrawn since ")) && text.ends_with(": why\n"),
        "{text}"
    );
    assert_eq!(labels(&admin, ""), ["two"]);
    let text = printed(&hallmark(&remote, &["restore", &id]));
    assert_eq!(text, format!("record {id} is not withdrawn\n"));
    let text = printed(&hallmark(
        &remote,
        &["withdraw", "--run", &run, "--reason", "why"],
    ));
    assert!(
        text.ends_with(": why; 2 records changed in the tables\n"),
        "{text}"
    );
    assert!(labels(&admin, "").is_empty());
    printed(&hallmark(&remote, &["restore", "--run", &run]));
    assert_eq!(labels(&admin, ""), ["one", "two"]);
    let refused = hallmark(&remote, &["withdraw", &id, "--reason", " "]);
    assert!(!refused.status.success());
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("body.reason"), "{text}");
}
