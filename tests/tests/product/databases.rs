//! Databases that a server works with, and those that it refuses with the remedy: PgBouncer, encodings.

use std::time::{Duration, Instant};

use blackbox::fixtures::{PASS, small};
use blackbox::pooler::Pooler;
use blackbox::{Server, World};
use serde_json::json;
use sqlx::Row as _;
use url::Url;

/// What a server on this database says when it does not start.
fn refusal(world: &World, url: &str) -> String {
    let data = world.home.path().join("refused");
    let environment = [("HALLMARK_DEV_MODE", "true"), ("DATABASE_URL", url)];
    match Server::try_start(&data, &environment) {
        Ok(_) => panic!("it started"),
        Err(told) => told,
    }
}

// proves EDG-7
#[test]
fn pgbouncer_works_where_each_connection_has_a_session() {
    for ignored in [
        None,
        Some("extra_float_digits"),
        Some("extra_float_digits,options"),
    ] {
        let world = World::start();
        let mut settings = vec![("pool_mode", "session"), ("default_pool_size", "60")];
        settings.extend(ignored.map(|names| ("ignore_startup_parameters", names)));
        let Some(pooler) = Pooler::start(&world.url, &settings) else {
            return;
        };
        // The database's own defaults, which a session through a pooler that drops parameters would have.
        let name = Url::parse(&world.url).unwrap().path()[1..].to_owned();
        for default in [
            "statement_timeout = '7min'",
            "timezone = 'Asia/Tokyo'",
            "extra_float_digits = 0",
        ] {
            world.execute(&format!("alter database {name} set {default}"));
        }
        let through = [
            ("DATABASE_URL", pooler.url.as_str()),
            ("HALLMARK_WORKER__POLL_SECONDS", "20"),
        ];
        let server = world.serve_machines("a", &through);
        let second = world.serve_machines("b", &through);
        let admin = server.admin();
        let pass = world.script("pass", PASS);
        admin
            .post("/conventions", &small("Pooled", "pooled", &[("pass", &pass)]))
            .expect(201);
        let run = admin.open("pooled", 20);
        let lines: String = (0..60)
            .map(|n| format!("{{\"id\":\"r{n}\",\"metadata\":{{\"label\":\"x\",\"mass\":0.1}}}}\n"))
            .collect();
        admin.push_lines(&run, &lines);
        assert_eq!(admin.finish(&run)["published_count"], 60, "{ignored:?}");
        let csv = second
            .anonymous()
            .fetch("GET", "/api/v1/data/pooled/records.csv", &[], "")
            .unwrap()
            .text();
        assert!(csv.lines().count() == 61 && csv.contains("+00:00"), "{csv}");

        // Notifications pass through it: one server wakes who waits at the other.
        let (caller, callee) = (world.person(&server, 1, "depositor"), second.machine("bot"));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let body = json!({"worker_id": "w", "wait_seconds": 25});
                callee.client.post("/claims", &body).expect(200)
            });
            std::thread::sleep(Duration::from_secs(1));
            caller.delegate("d", &callee, &json!({}));
            assert_eq!(waiting.join().unwrap()["items"][0]["delegation_id"], "d");
        });
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}

// proves EDG-7: settings that startup parameters used to carry hold through a pooler that drops those.
#[test]
fn no_setting_of_a_session_is_lost_on_the_way() {
    let world = World::start();
    let settings = [
        ("pool_mode", "session"),
        ("ignore_startup_parameters", "extra_float_digits,options"),
    ];
    let Some(pooler) = Pooler::start(&world.url, &settings) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let read = |url: &str| {
        runtime.block_on(async {
            let options = postgres_adapter::PoolOptions {
                url: url.to_owned(),
                max_connections: 2,
                acquire_timeout: Duration::from_secs(15),
            };
            let pool = postgres_adapter::connect(&options).await.unwrap();
            let rows = sqlx::raw_sql(
                "select name || ' ' || setting from pg_settings where name in ('application_name', 'client_encoding',
                   'DateStyle', 'extra_float_digits', 'idle_in_transaction_session_timeout', 'jit', 'lock_timeout',
                   'statement_timeout', 'TimeZone') order by lower(name)",
            )
            .fetch_all(&pool)
            .await
            .unwrap();
            let texts: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            pool.close().await;
            texts
        })
    };
    let straight = read(&world.url);
    assert_eq!(
        straight,
        [
            "application_name hallmark",
            "client_encoding UTF8",
            "DateStyle ISO, MDY",
            "extra_float_digits 1",
            "idle_in_transaction_session_timeout 60000",
            "jit off",
            "lock_timeout 20000",
            "statement_timeout 1800000",
            "TimeZone UTC",
        ]
    );
    assert_eq!(read(&pooler.url), straight);
}

// proves EDG-7
#[test]
fn a_pooler_that_shares_sessions_is_refused_with_the_remedy() {
    for settings in [
        &[("pool_mode", "transaction")][..],
        &[("pool_mode", "transaction"), ("server_round_robin", "1")],
        &[
            ("pool_mode", "transaction"),
            ("server_round_robin", "1"),
            ("min_pool_size", "5"),
        ],
        &[("pool_mode", "transaction"), ("server_reset_query_always", "1")],
        &[("pool_mode", "transaction"), ("default_pool_size", "1")],
        &[("pool_mode", "statement")],
    ] {
        let world = World::start();
        let Some(pooler) = Pooler::start(&world.url, settings) else {
            return;
        };
        let told = refusal(&world, &pooler.url);
        for part in ["database.url", "PgBouncer", "set pool_mode = session"] {
            assert!(told.contains(part), "{settings:?}: {told}");
        }
        assert!(!told.contains("secret"), "{told}");
    }
}

// proves EDG-7
#[test]
fn a_pooler_with_too_few_sessions_is_named() {
    let world = World::start();
    let settings = [("pool_mode", "session"), ("default_pool_size", "1")];
    let Some(pooler) = Pooler::start(&world.url, &settings) else {
        return;
    };
    let told = refusal(&world, &pooler.url);
    assert!(told.contains("default_pool_size"), "{told}");
}

// proves EDG-1: a database that would refuse or change texts gets none.
#[test]
fn a_database_in_another_encoding_is_refused_with_the_remedy() {
    let world = World::start();
    for encoding in ["SQL_ASCII", "LATIN1", "EUC_JP"] {
        let mut url = Url::parse(&world.url).unwrap();
        let name = format!("{}_{}", &url.path()[1..], encoding.to_lowercase());
        world.execute(&format!(
            "create database {name} encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0"
        ));
        url.set_path(&name);
        let told = refusal(&world, url.as_str());
        let remedy = "createdb -E UTF8 -T template0";
        for part in [encoding, name.as_str(), remedy, "database.url"] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        world.execute(&format!("drop database {name}"));
    }
}
