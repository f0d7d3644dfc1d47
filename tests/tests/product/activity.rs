//! The activity log: followed over HTTP without missing an entry, gated, filtered, and written by the database itself.
#![expect(
    clippy::disallowed_methods,
    reason = "writers of a test's own, with commits as slow as it wants"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use blackbox::fixtures::{penguins, push_penguins};
use blackbox::tokens::{ISSUER, key, machine_token, public_pem, user_token};
use blackbox::{Client, World};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

const WRITERS: u64 = 16;
const TRANSACTIONS: u64 = 25;

fn blocking<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Waits until everything that was committed can be shown: the feed waits for the oldest transaction of the whole PostgreSQL server, and
/// other tests have theirs open.
fn caught_up(world: &World) {
    let hidden = "select count(*)::text from activity_log where transaction_id >= log_position(pg_snapshot_xmin(pg_current_snapshot()))";
    let begun = Instant::now();
    while world.query(hidden) != "0" {
        assert!(
            begun.elapsed() < Duration::from_mins(2),
            "a transaction is open for minutes"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Transactions that write an entry, dawdle, write another, and commit, or do not.
async fn write(url: &str, writer: u64) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut committed = Vec::new();
    for n in 0..TRANSACTIONS {
        let mut transaction = connection.begin().await.unwrap();
        let mut subjects = Vec::new();
        for part in 0..2 {
            let subject = format!("test:{writer}:{n}:{part}");
            sqlx::query("insert into activity_log (kind, subject, payload) values ('Test', $1, '{}')")
                .bind(&subject)
                .execute(&mut *transaction)
                .await
                .unwrap();
            subjects.push(subject);
            // From at once to a twentieth of a second, spread over writers and transactions.
            tokio::time::sleep(Duration::from_millis((writer * 7 + n * 13 + part * 5) % 50)).await;
        }
        if (writer + n).is_multiple_of(5) {
            transaction.rollback().await.unwrap();
        } else {
            transaction.commit().await.unwrap();
            committed.append(&mut subjects);
        }
    }
    committed
}

/// Follows until the writers are done and nothing new comes; gives ids and subjects as they came.
fn follow(client: &Client, done: &AtomicBool) -> Vec<(String, String)> {
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let over = done.load(Ordering::SeqCst);
        let page = client
            .get(&format!("/activity?kind=Test&limit=7&wait=1{after}"))
            .expect(200);
        let items = page["items"].as_array().unwrap();
        for item in items {
            let text = |key: &str| item[key].as_str().unwrap().to_owned();
            seen.push((text("id"), text("subject")));
        }
        if over && items.is_empty() && page["has_more"] == json!(false) {
            return seen;
        }
        if let Some(cursor) = page["next_cursor"].as_str() {
            after = format!("&after={cursor}");
        }
    }
}

/// What a follower by the sequence alone sees, which is what the transaction in the order is for.
async fn follow_by_sequence(url: &str, done: &AtomicBool) -> usize {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let (mut seen, mut last) = (0, 0_i64);
    loop {
        let over = done.load(Ordering::SeqCst);
        let rows: Vec<i64> = sqlx::query_scalar(
            "select sequence from activity_log where kind = 'Test' and sequence > $1 order by sequence",
        )
        .bind(last)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        seen += rows.len();
        last = rows.last().copied().unwrap_or(last);
        if over && rows.is_empty() {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// proves LED-8
#[test]
fn a_follower_sees_every_entry_once_and_in_order_however_late_it_is_committed() {
    let world = World::start();
    let server = world.serve("a");
    let client = server.admin();
    let done = AtomicBool::new(false);
    let (written, seen, naive) = std::thread::scope(|scope| {
        let following = scope.spawn(|| follow(&client, &done));
        let naive = scope.spawn(|| blocking(follow_by_sequence(&world.url, &done)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let url = &world.url;
                scope.spawn(move || blocking(write(url, writer)))
            })
            .collect();
        let written: Vec<String> = writers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        caught_up(&world);
        done.store(true, Ordering::SeqCst);
        (written, following.join().unwrap(), naive.join().unwrap())
    });
    assert!(
        naive < written.len(),
        "the commits were not slow enough to prove anything: a follower by the sequence alone missed none"
    );
    let ids: Vec<&String> = seen.iter().map(|(id, _)| id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "in order, each once");
    let subjects: BTreeSet<&String> = seen.iter().map(|(_, subject)| subject).collect();
    assert_eq!(
        subjects,
        written.iter().collect(),
        "every one, and nothing that was rolled back"
    );
    caught_up(&world);
    // From the other end it is the same log.
    let (mut back, mut after) = (Vec::new(), String::new());
    loop {
        let page = client
            .get(&format!("/activity?kind=Test&order=desc&limit=100{after}"))
            .expect(200);
        back.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|i| i["id"].as_str().unwrap().to_owned()),
        );
        if page["has_more"] == json!(false) {
            break;
        }
        after = format!("&after={}", page["next_cursor"].as_str().unwrap());
    }
    back.reverse();
    assert_eq!(back.iter().collect::<Vec<_>>(), ids);
}

// proves LED-8
#[test]
fn every_state_of_a_task_and_a_delegation_is_in_the_log() {
    let world = World::start();
    let server = world.serve("a");
    let client = server.admin();
    client.post("/conventions", &penguins()).expect(201);
    let run = client.open("palmer-penguins", 50);
    push_penguins(&client, &run);
    client.finish(&run);
    // The last entry about each has its state, and the first is that it was created.
    let logged = |what: &str, table: &str, id: &str| {
        format!(
            "select count(*) || ' ' || count(*) filter (where said.states = 'queued ' || case '{what}' when 'Task' then 'running ' else 'in_progress ' end || t.status)
             from {table} t left join lateral (
               select string_agg(payload ->> 'status', ' ' order by sequence) as states from activity_log
               where kind in ('{what}Created', '{what}StatusChanged') and subject = lower('{what}') || ':' || t.{id}) said on true"
        )
    };
    for statement in [
        logged("Task", "tasks", "id"),
        logged("Delegation", "delegations", "delegation_id"),
    ] {
        let counts = world.query(Box::leak(statement.into_boxed_str()));
        assert_eq!(counts, "7 7");
    }
    caught_up(&world);
    let task = world.query("select min(id::text) from tasks");
    let page = client.get(&format!("/activity?subject=task:{task}")).expect(200);
    let kinds: Vec<&Value> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["kind"])
        .collect();
    assert_eq!(kinds, ["TaskCreated", "TaskStatusChanged", "TaskStatusChanged"]);
    assert_eq!(
        page["items"][0]["actor"],
        json!("user:00000000-0000-7000-8000-0000000000a1")
    );
    assert_eq!(page["items"][2]["actor"], json!("system"));
    assert_eq!(page["items"][2]["data"]["status"], json!("completed"));
}

// proves LED-8, AUT-4
#[test]
fn the_log_is_for_curators_and_machines_with_the_scope_and_filters_by_who_what_and_kind() {
    let world = World::start();
    let pem = public_pem(&key(1));
    let server = world.serve_with(
        "a",
        &[
            ("HALLMARK_AUTH__ISSUERS__CI__ISSUER", ISSUER),
            ("HALLMARK_AUTH__ISSUERS__CI__PUBLIC_KEY", &pem),
        ],
    );
    let admin = server.admin();
    admin.post("/conventions", &penguins()).expect(201);
    let with = |scope: &str| server.with_token(Some(machine_token(&key(1), &json!({"scope": scope}))));
    with("events:read").get("/activity").problem(403, "access_denied");
    server.anonymous().get("/activity").problem(401, "missing_token");
    for (n, role, status) in [(1, "depositor", 403), (2, "curator", 200)] {
        let id = format!("00000000-0000-7000-8000-{n:012}");
        world.execute(&format!(
            "insert into users (id, provider, external_id, display_name) values ('{id}', 'orcid', 'o{n}', 'User {n}');
             insert into role_assignments (id, user_id, role) values (gen_random_uuid(), '{id}', '{role}')"
        ));
        let token = user_token(&json!({"sub": id, "provider": "orcid", "external_id": format!("o{n}")}));
        assert_eq!(
            server.with_token(Some(token)).get("/activity").status,
            status,
            "{role}"
        );
    }
    caught_up(&world);
    let machine = with("activity:read");
    let all = machine.get("/activity").expect(200);
    let kinds = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|i| i["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(kinds(&all).contains(&"ConventionRegistered".to_owned()), "{all}");
    let hook = machine
        .get("/activity?subject=hook:penguin_shape&kind=HookReleased&kind=HookLiveMoved")
        .expect(200);
    assert_eq!(kinds(&hook), ["HookReleased"]);
    let by = "user:00000000-0000-7000-8000-0000000000a1";
    let own = machine.get(&format!("/activity?actor={by}&limit=1")).expect(200);
    assert_eq!((kinds(&own).len(), &own["has_more"]), (1, &json!(true)));
    let none = machine
        .get("/activity?actor=user:00000000-0000-7000-8000-000000000001")
        .expect(200);
    assert_eq!(
        (kinds(&none).len(), &none["has_more"], &none["next_cursor"]),
        (0, &json!(false), &Value::Null)
    );
    let unheard = machine.get("/activity?kind=NeverHeardOf").expect(200);
    assert_eq!(kinds(&unheard).len(), 0);
    assert_eq!(
        unheard["next_cursor"], all["next_cursor"],
        "what was looked at is behind the cursor"
    );

    // A cursor that names no entry is refused; reading does not silently start over (WC-D26).
    for bad in [
        "x",
        "018f4e2a-6b1c-4c3e-9d52-0a1b2c3d4e5f",
        "00000000-0001-8fff-8000-00000000000f",
    ] {
        let problem = machine
            .get(&format!("/activity?after={bad}"))
            .problem(422, "VALIDATION_ERROR");
        assert_eq!(
            problem["errors"][0]["loc"],
            json!(["query", "after"]),
            "{problem}"
        );
    }
    machine.get("/activity?actor=me").problem(422, "VALIDATION_ERROR");
    machine
        .get("/activity?subject=%00")
        .problem(422, "VALIDATION_ERROR");

    // A long poll returns when an entry arrives, and not before.
    let after = all["next_cursor"].as_str().unwrap();
    let begun = Instant::now();
    let waited = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            machine
                .get(&format!("/activity?after={after}&wait=20"))
                .expect(200)
        });
        std::thread::sleep(Duration::from_millis(700));
        admin
            .post(
                "/admin/users/00000000-0000-7000-8000-000000000001/roles",
                &json!({"role": "curator"}),
            )
            .expect(201);
        waiting.join().unwrap()
    });
    assert_eq!(kinds(&waited), ["RoleGranted"]);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "it did not wait its whole time"
    );
}

// proves LED-8 (WC-1.7, WC-D6, WC-D26)
#[test]
fn everybody_sees_of_the_changefeed_what_is_public_and_curators_see_all() {
    let world = World::start();
    let pem = public_pem(&key(1));
    let server = world.serve_with(
        "a",
        &[
            ("HALLMARK_AUTH__ISSUERS__CI__ISSUER", ISSUER),
            ("HALLMARK_AUTH__ISSUERS__CI__PUBLIC_KEY", &pem),
        ],
    );
    server.admin().post("/conventions", &penguins()).expect(201);
    caught_up(&world);
    let types = |page: &Value| -> Vec<String> {
        let events = page["events"].as_array().unwrap();
        events
            .iter()
            .map(|e| e["type"].as_str().unwrap().to_owned())
            .collect()
    };
    let anonymous = server.anonymous();
    let public = anonymous.get("/events").expect(200);
    assert_eq!(types(&public), ["ConventionRegistered"]);
    let event = &public["events"][0];
    assert_eq!(event["data"]["convention_id"], json!("palmer-penguins"));
    assert!(
        !event.to_string().contains("0000000000a1"),
        "nothing about people: {event}"
    );
    assert_eq!(
        types(&anonymous.get("/events?types=HookReleased").expect(200)).len(),
        0
    );
    assert_eq!(
        types(
            &anonymous
                .get("/events?types=HookReleased&types=ConventionRegistered")
                .expect(200)
        ),
        ["ConventionRegistered"]
    );
    // Credentials that do not hold are no credentials of a stranger's.
    assert_eq!(
        server.with_token(Some("garbage".into())).get("/events").status,
        401
    );
    let weak = server.with_token(Some(machine_token(&key(1), &json!({"scope": "hooks:write"}))));
    assert_eq!(types(&weak.get("/events").expect(200)), ["ConventionRegistered"]);
    let strong = server.with_token(Some(machine_token(&key(1), &json!({"scope": "events:read"}))));
    for client in [&strong, &server.admin()] {
        let all = client.get("/events").expect(200);
        assert!(types(&all).contains(&"HookReleased".to_owned()), "{all}");
    }
    let first = strong.get("/events?limit=1").expect(200);
    assert_eq!((types(&first).len(), &first["has_more"]), (1, &json!(true)));
    let rest = strong
        .get(&format!("/events?after={}", first["cursor"].as_str().unwrap()))
        .expect(200);
    let newest = strong.get("/events?order=desc&limit=1").expect(200);
    assert_eq!(
        rest["events"].as_array().unwrap().last(),
        newest["events"].as_array().unwrap().first()
    );
    anonymous
        .get("/events?after=018f4e2a-6b1c-4c3e-9d52-0a1b2c3d4e5f")
        .problem(422, "VALIDATION_ERROR");
}
