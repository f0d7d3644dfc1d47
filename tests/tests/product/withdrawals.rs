//! Withdrawing a published record, and restoring it.

use blackbox::fixtures::{PASS, small};
use blackbox::parties::until;
use blackbox::tokens::{key, machine_token};
use blackbox::{Client, Server, World};
use serde_json::{Value, json};

use super::depositions::{deploy, draft, submit, upload, validated};

/// The convention `small-things`, without records.
pub(super) fn deployed(world: &World, server: &Server) {
    let pass = world.script("pass", PASS);
    server
        .admin()
        .post(
            "/conventions",
            &small("Small things", "small", &[("pass", &pass)]),
        )
        .expect(201);
}

/// Pushes a record for each label, in a run of its own. The label is the source id too. Gives the run, which has ended.
pub(super) fn pushed(client: &Client, labels: &[&str], mass: u32) -> String {
    let run = client.open("small-things", 10);
    let line = |label: &&str| {
        json!({"source_id": label, "metadata": {"label": label, "mass": mass}}).to_string() + "\n"
    };
    client.push_lines(&run, &labels.iter().map(line).collect::<String>());
    client.finish(&run);
    run
}

/// The labels that the table of records shows, in its order by label.
pub(super) fn labels(client: &Client, more: &str) -> Vec<String> {
    let page = client
        .get(&format!("/data/small/records?sort=label{more}"))
        .expect(200);
    let label = |row: &Value| row["label"].as_str().unwrap().to_owned();
    page["rows"].as_array().unwrap().iter().map(label).collect()
}

/// The id of the record with a label.
pub(super) fn id_of(client: &Client, label: &str) -> String {
    let rows = client.rows("small/records", 50);
    let row = rows.iter().find(|row| row["label"] == label).unwrap();
    row["id"].as_str().unwrap().to_owned()
}

pub(super) fn now(world: &World) -> String {
    world.query("select to_json(clock_timestamp() at time zone 'utc') #>> '{}' || 'Z'")
}

fn change(client: &Client, id: &str, what: &str, body: &Value) -> blackbox::Answer {
    client.post(&format!("/data/records/{id}/{what}"), body)
}

// proves EDG-4
#[test]
fn a_withdrawn_record_is_gone_everywhere_until_it_is_restored() {
    let world = World::start();
    let server = world.serve("a");
    deployed(&world, &server);
    let (admin, anonymous) = (server.admin(), server.anonymous());
    pushed(&admin, &["one", "secret", "two"], 1);
    let id = id_of(&anonymous, "secret");
    let rows = anonymous.rows("small/pass", 50);
    let row = rows.iter().find(|row| row["note"] == "secret").unwrap()["id"].clone();
    let before = now(&world);

    let reason = "the scale was broken";
    let done = change(
        &admin,
        &id,
        "withdraw",
        &json!({"reason": format!("  {reason} ")}),
    )
    .expect(200);
    assert_eq!((&done["id"], &done["withdrawn"]), (&json!(id), &json!(true)));
    assert_eq!(done["withdrawal"]["reason"], reason);
    let during = now(&world);
    // Again changes nothing: the first reason stays.
    let again = change(&admin, &id, "withdraw", &json!({"reason": "another"})).expect(200);
    assert_eq!(again, done);

    for path in [
        format!("/data/records/{id}"),
        format!("/data/records/{id}@1"),
        format!("/data/records/{id}/provenance"),
        format!("/data/records/{id}/export?format=prov-json"),
        format!("/data/small/pass/rows/{row}/trace"),
    ] {
        // Not even an administrator reads it.
        for client in [&anonymous, &admin] {
            let answer = client.get(&path);
            assert!(!answer.text.contains("secret"), "{path}: {}", answer.text);
            let problem = answer.problem(410, "record_withdrawn");
            assert_eq!(problem["withdrawal"], done["withdrawal"], "{path}");
            assert!(
                problem["message"].as_str().unwrap().ends_with(reason),
                "{problem}"
            );
        }
    }
    for path in [
        format!("/data/records/{id}"),
        format!("/data/small/pass/rows/{row}"),
    ] {
        let page = anonymous
            .fetch("GET", &path, &[("accept", "text/html")], "")
            .unwrap();
        assert_eq!(page.status, 410, "{path}");
        assert!(
            page.text().contains(reason) && !page.text().contains("secret"),
            "{path}"
        );
    }

    let both = ["one", "two"];
    assert_eq!(labels(&anonymous, ""), both);
    assert_eq!(anonymous.rows("small/records", 50).len(), 2, "in the usual order");
    assert_eq!(anonymous.rows("small/pass", 50).len(), 2);
    let filter = "%7B%22kind%22%3A%22predicate%22%2C%22field%22%3A%22features.pass.note%22%2C%22op%22%3A%22eq%22%2C%22value%22%3A%22secret%22%7D";
    assert!(labels(&anonymous, &format!("&filter={filter}")).is_empty());
    for path in ["/data/small/records.csv", "/data/small/pass.csv"] {
        let csv = anonymous.get(path);
        assert_eq!((csv.status, csv.text.lines().count()), (200, 3), "{path}");
    }
    let manifest = anonymous.get("/data/small?counts=exact").expect(200);
    for table in manifest["table_resources"].as_array().unwrap() {
        assert_eq!(table["row_count"], 2, "{table}");
    }
    let made = anonymous.get("/hooks/pass/releases/1/recall").expect(200);
    assert_eq!((&made["rows"], &made["records"]), (&json!(2), &json!(2)));
    let made = anonymous.get("/hooks/pass/releases/1/export?format=prov-json");
    assert!(made.status == 200 && !made.text.contains(&id), "{}", made.text);
    let stats = world.serve("fresh").anonymous().get("/stats").expect(200);
    assert_eq!(
        (&stats["records"], &stats["features_per_record"]),
        (&json!(2), &json!(1.0))
    );

    assert_eq!(
        labels(&anonymous, &format!("&as_of={before}")),
        ["one", "secret", "two"]
    );
    assert_eq!(labels(&anonymous, &format!("&as_of={during}")), both);
    for (at, rows) in [(&before, 3), (&during, 2)] {
        let page = anonymous.get(&format!("/data/small/pass?as_of={at}")).expect(200);
        assert_eq!(page["rows"].as_array().unwrap().len(), rows);
    }

    // To push it again does not publish it again, changed or not.
    for mass in [1, 2] {
        let run = pushed(&admin, &["secret", "two"], mass);
        let records = admin
            .get(&format!("/ingestions/{run}/records?outcome=errored"))
            .expect(200);
        let refused = &records["items"][0];
        assert_eq!(refused["source_id"], "secret", "{records}");
        assert!(
            refused["reason"].as_str().unwrap().starts_with("withdrawn"),
            "{refused}"
        );
    }
    assert_eq!(labels(&anonymous, ""), both);

    let back = change(&admin, &id, "restore", &json!({"reason": "it was not"})).expect(200);
    assert_eq!(
        (&back["withdrawn"], &back["withdrawal"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(
        change(&admin, &id, "restore", &json!({})).expect(200)["withdrawn"],
        false
    );
    assert_eq!(
        anonymous.get(&format!("/data/records/{id}@1")).expect(200)["metadata"]["mass"],
        1
    );
    assert_eq!(labels(&anonymous, ""), ["one", "secret", "two"]);
    assert_eq!(
        labels(&anonymous, &format!("&as_of={during}")),
        both,
        "this never changes"
    );
    pushed(&admin, &["secret"], 3);
    assert_eq!(
        anonymous.get(&format!("/data/records/{id}")).expect(200)["version"],
        2
    );

    let followed = |kind: &str| anonymous.get(&format!("/events?types={kind}")).expect(200)["events"].clone();
    until("the feed shows the restore", || {
        followed("RecordRestored") != json!([])
    });
    let (withdrawn, restored) = (followed("RecordWithdrawn"), followed("RecordRestored"));
    let srn = format!("urn:osa:localhost:rec:{id}@1");
    assert_eq!(withdrawn[0]["data"], json!({"record_srn": srn, "reason": reason}));
    assert_eq!(
        restored[0]["data"],
        json!({"record_srn": srn, "reason": "it was not"})
    );
    assert_eq!(
        [&withdrawn, &restored].map(|events| events.as_array().unwrap().len()),
        [1, 1]
    );
}

// proves EDG-4, AUT-4, AUT-8
#[test]
fn publishers_curators_and_a_scope_withdraw_and_no_one_else_does() {
    let world = World::start();
    let server = world.serve_machines("a", &[]);
    let (admin, anonymous) = (server.admin(), server.anonymous());
    let owner = world.person(&server, 1, "depositor").client;
    let other = world.person(&server, 2, "depositor").client;
    let curator = world.person(&server, 3, "curator").client;
    let machine = |subject: &str, scope: &str| {
        server.with_token(Some(machine_token(
            &key(1),
            &json!({"sub": subject, "scope": scope}),
        )))
    };
    deployed(&world, &server);
    let pass = world.script("passes", PASS);
    deploy(&admin, "Files", &[("passes", &pass)], None);
    let deposition = draft(&owner, "files", &json!({"label": "deposited"}));
    upload(&owner, &format!("/depositions/{deposition}/files"), "a.txt", b"a").expect(200);
    submit(&owner, &deposition);
    let srn = validated(&owner, &deposition)["record_srn"]
        .as_str()
        .unwrap()
        .to_owned();
    let deposited = srn
        .rsplit(':')
        .next()
        .unwrap()
        .split('@')
        .next()
        .unwrap()
        .to_owned();
    let pusher = machine("pusher", "ingestions:write ingestions:read");
    pushed(&pusher, &["machine"], 1);
    let of_machine = id_of(&anonymous, "machine");

    let why = json!({"reason": "why"});
    let stranger = machine("stranger", "ingestions:write hooks:write");
    let scoped = machine("scoped", "records:withdraw");
    for what in ["withdraw", "restore"] {
        change(&anonymous, &deposited, what, &why).problem(401, "missing_token");
        for (client, id) in [
            (&other, &deposited),
            (&pusher, &deposited),
            (&owner, &of_machine),
            (&stranger, &of_machine),
        ] {
            change(client, id, what, &why).problem(403, "access_denied");
        }
    }
    for (client, id) in [
        (&owner, &deposited),
        (&curator, &deposited),
        (&scoped, &deposited),
        (&pusher, &of_machine),
        (&curator, &of_machine),
        (&admin, &of_machine),
    ] {
        assert_eq!(
            change(client, id, "withdraw", &why).expect(200)["withdrawn"],
            true
        );
        anonymous
            .get(&format!("/data/records/{id}"))
            .problem(410, "record_withdrawn");
        assert_eq!(
            change(client, id, "restore", &json!({})).expect(200)["withdrawn"],
            false
        );
    }

    // The changefeed is public, and its entry of the publication has the metadata.
    change(&owner, &deposited, "withdraw", &why).expect(200);
    let published = |client: &Client| {
        let page = client.get("/events?types=RecordPublished").expect(200);
        page["events"][0]["data"]["metadata"].clone()
    };
    until("the feed shows the publication", || {
        published(&curator) == json!({"label": "deposited"})
    });
    assert_eq!(published(&anonymous), Value::Null);

    let unknown = "018f4e2a-6b1c-7c3e-9d52-0a1b2c3d4e5f";
    for client in [&curator, &other] {
        change(client, unknown, "withdraw", &why).problem(404, "record_not_found");
    }
    for id in ["x", &format!("{of_machine}@1")] {
        let problem = change(&curator, id, "withdraw", &why).problem(422, "VALIDATION_ERROR");
        assert_eq!(problem["field"], "id");
    }
    let long = "é".repeat(2000);
    for reason in [
        json!({}),
        json!({"reason": " "}),
        json!({"reason": format!("{long}é")}),
    ] {
        let problem = change(&curator, &of_machine, "withdraw", &reason).problem(422, "VALIDATION_ERROR");
        assert_eq!(problem["field"], "reason", "{problem}");
    }
    change(
        &curator,
        &of_machine,
        "withdraw",
        &json!({"reason": "x", "odd": 1}),
    )
    .problem(422, "VALIDATION_ERROR");
    let done = change(&curator, &of_machine, "withdraw", &json!({"reason": long})).expect(200);
    assert_eq!(done["withdrawal"]["reason"], long);
}

// proves EDG-4
#[test]
fn servers_that_withdraw_and_restore_at_once_write_each_fact_once() {
    let world = World::start();
    let servers = [world.serve("a"), world.serve("b")];
    deployed(&world, &servers[0]);
    let admin = servers[0].admin();
    pushed(&admin, &["one"], 1);
    let id = id_of(&admin, "one");
    let at_once = |what: &(dyn Fn(usize) -> &'static str + Sync), each: usize| {
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (client, id) = (servers[n % 2].admin(), &id);
                scope.spawn(move || {
                    for round in 0..each {
                        change(
                            &client,
                            id,
                            what(n + round),
                            &json!({"reason": format!("of {n}")}),
                        )
                        .expect(200);
                    }
                });
            }
        });
    };
    let written = "select coalesce(max(number), 0)::text || ' of ' || count(*) from withdrawals";
    at_once(&|_| "withdraw", 1);
    assert_eq!(world.query(written), "1 of 1");
    at_once(&|_| "restore", 1);
    assert_eq!(world.query(written), "2 of 2");
    at_once(&|n| if n % 2 == 0 { "withdraw" } else { "restore" }, 10);
    // The database holds that they alternate; each has its entry, and the head follows the last.
    let logged =
        "select count(*)::text from activity_log where kind in ('RecordWithdrawn', 'RecordRestored')";
    let facts = world.query("select count(*)::text from withdrawals");
    assert_eq!(world.query(logged), facts);
    assert_eq!(
        world.query(
            "select ((srn is null) = (withdrawal_of(record_id, null) is not null))::text from record_heads"
        ),
        "true"
    );
    let withdrawn = facts.parse::<u32>().unwrap() % 2 == 1;
    let read = admin.get(&format!("/data/records/{id}")).status;
    assert_eq!(read, if withdrawn { 410 } else { 200 });
    assert_eq!(labels(&admin, "").is_empty(), withdrawn);
    assert!(!world.try_execute("update withdrawals set reason = 'another'"));
    assert!(!world.try_execute("delete from withdrawals"));
}
