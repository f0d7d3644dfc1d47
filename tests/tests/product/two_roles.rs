//! A server works with a database role that owns nothing and cannot switch a guard off.

use std::process::{Command, Output};

use blackbox::fixtures::{PASS, small};
use blackbox::parties::until;
use blackbox::world::binaries;
use blackbox::{Server, World};
use serde_json::{Value, json};
use url::Url;

/// Runs `hallmark database ...` on a database.
fn database(world: &World, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(binaries().join("hallmark"))
        .arg("database")
        .args(arguments)
        .current_dir(world.home.path())
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// Deploys twice, with another field the second time, pushes, and reads the row and its trace.
fn main_job(world: &World, server: &Server) {
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    let mut body = small("Owned", "owned", &[("owned", &pass)]);
    admin.post("/conventions", &body).expect(201);
    body["schema"]["version"] = json!("1.1.0");
    let more = json!({"name": "order", "type": "date", "required": false, "cardinality": "exactly_one"});
    body["schema"]["fields"].as_array_mut().unwrap().push(more);
    admin.post("/conventions", &body).expect(201);
    let run = admin.open("owned", 10);
    admin.push_lines(
        &run,
        "{\"id\":\"r\",\"metadata\":{\"label\":\"x\",\"mass\":1,\"order\":\"2026-01-02\"}}\n",
    );
    assert_eq!(admin.finish(&run)["published_count"], 1);
    let anonymous = server.anonymous();
    assert_eq!(anonymous.rows("owned/records", 10)[0]["order"], "2026-01-02");
    let rows = anonymous.rows("owned/owned", 10);
    assert_eq!((rows.len(), &rows[0]["note"]), (1, &json!("r")));
    let trace = anonymous
        .get(&format!("/data/owned/owned/rows/{}/trace", rows[0]["id"]))
        .expect(200);
    assert_eq!(
        (&trace["source"]["ingest_run_id"], &trace["task"]["status"]),
        (&json!(run), &json!("completed"))
    );
}

fn database_detail(server: &Server) -> Value {
    let ready = server.anonymous().get("/ready").expect(200);
    assert_eq!(ready["components"]["db"]["status"], "ok", "{ready}");
    ready["components"]["db"]["detail"].clone()
}

// proves ISO-2, DEP-1, PRV-6
#[test]
fn a_server_whose_role_owns_nothing_does_the_main_job() {
    let world = World::start();
    let url = world.application_url();
    let server = world.serve_with("a", &[("DATABASE_URL", &url)]);
    main_job(&world, &server);
    assert_eq!(database_detail(&server), Value::Null);
    assert!(
        !server.log().contains("can do more than it needs"),
        "{}",
        server.log()
    );

    // With the role that owns everything it works, too, and says what that role could do.
    let owner = world.serve("b");
    assert!(
        database_detail(&owner)
            .as_str()
            .unwrap()
            .contains("more than a server needs")
    );
    assert!(owner.log().contains("it is a superuser"), "{}", owner.log());
}

// proves ISO-2
#[test]
fn the_servers_role_can_switch_no_guard_off() {
    let world = World::start();
    let url = world.application_url();
    let server = world.serve_with("a", &[("DATABASE_URL", &url)]);
    main_job(&world, &server);
    drop(server);
    let owner = world
        .query("select pg_get_userbyid(relowner)::text from pg_class where oid = 'public.records'::regclass");
    for statement in [
        "alter table tasks disable trigger all",
        "alter table features.owned disable trigger all",
        "drop trigger tr_records_immutable on records",
        "drop trigger tr_only_supersede on features.owned",
        "create or replace function refuse_change() returns trigger language plpgsql as $$ begin return null; end $$",
        "alter function refuse_change() owner to current_user",
        "create trigger first before update on tasks for each row execute function only_supersede()",
        "create rule quiet as on update to tasks do instead nothing",
        "set session_replication_role = replica",
        "alter role current_user superuser",
        "alter role current_user set session_replication_role = replica",
        "alter table tasks owner to current_user",
        "alter table tasks add column x int",
        "alter table features.owned add column x int",
        "alter table metadata.owned_v1 drop column label",
        "truncate tasks cascade",
        "truncate features.owned",
        "drop table features.owned",
        "drop schema features cascade",
        "create table public.mine ()",
        "create table features.mine ()",
        "create schema mine",
        "insert into _sqlx_migrations select * from _sqlx_migrations limit 1",
        "delete from _sqlx_migrations",
        "update activity_log set kind = 'x'",
        "copy (select 1) to program 'true'",
        "copy (select 1) to '/tmp/hallmark-test-file'",
        "select pg_read_file('PG_VERSION')",
        "create role other superuser",
        "select make_feature_table('owned\" (id int); drop table tasks; --', '{}', '{}', '{}')",
        "select make_feature_table('stranger', '{}', '{}', '{}')",
        "select make_feature_table('owned', array['a\" int); drop table tasks; --'], '{text}', '{f}')",
        "select make_feature_table('owned', '{a}', array['text); drop table tasks; --'], '{f}')",
        "select sync_metadata_table('stranger_v1', '{a}', '{text}', '{f}')",
        "select sync_metadata_table('owned_v1', array['a\" text; drop table tasks; --'], '{text}', '{f}')",
        // A temporary table in the place of one that a guard reads.
        "create temporary table hook_live_moves (like public.hook_live_moves); insert into hook_live_moves select * from public.hook_live_moves;
         insert into public.hook_live_moves (hook_name, move, to_release_id) select hook_name, move + 5, to_release_id from public.hook_live_moves",
        // A delegation that goes without an entry of the archive, or with another one.
        "delete from delegations",
        "with gone as (delete from delegations returning *) insert into delegation_archive_ids select delegation_id, caller_id, idempotency_key, created_at from gone",
        // A second worker of one attempt.
        "insert into delegation_attempts (delegation_id, attempt, event, worker_id, at) select delegation_id, attempt, 'claimed', 'forged', '2001-01-01' from delegation_attempts where event = 'claimed'",
        "update record_heads set version = version - 1",
        "update hooks set contract = '{\"cardinality\": \"one\", \"columns\": []}'",
        "delete from schema_features",
        "update schema_features set hook_name = hook_name",
    ] {
        assert!(world.as_application(statement).is_err(), "{statement} was not refused");
    }
    assert!(world.as_application(&format!("set role \"{owner}\"")).is_err());
    // It adds entries to the log only through what happens.
    let entries = "select count(*)::text from activity_log where kind = 'TaskStatusChanged'";
    let before = world.query(entries);
    world
        .as_application(
            "create temporary table activity_log (like public.activity_log including all);
             insert into tasks (id, kind, name, params) values ('00000000-0000-0000-0000-0000000000ff', 'x', 't', '{}');
             update tasks set status = 'running' where id = '00000000-0000-0000-0000-0000000000ff'",
        )
        .unwrap();
    assert_ne!(
        world.query(entries),
        before,
        "a temporary table took an entry of the log"
    );
}

// proves ISO-2
#[test]
fn one_command_makes_the_roles_of_a_database_and_another_checks_them() {
    let world = World::start();
    let name = Url::parse(&world.url).unwrap().path()[1..].to_owned();
    let (owner, application) = (format!("{name}_owner"), format!("{name}_app"));
    let environment = [("DATABASE_URL", world.url.as_str())];
    let arguments = ["roles", "--owner", &owner, "--application", &application];

    let printed = database(&world, &environment, &arguments);
    let sql = String::from_utf8(printed.stdout).unwrap();
    for part in [
        format!("create role {owner}"),
        format!("create role {application}"),
        format!("alter database {name} owner to {owner}"),
        format!("alter table records owner to {owner}"),
        format!("grant_application_role('{application}')"),
    ] {
        // Names are quoted.
        assert!(sql.replace('"', "").contains(&part), "{part} is not in\n{sql}");
    }
    let refused = database(&world, &environment, &["check"]);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(
        String::from_utf8(refused.stdout)
            .unwrap()
            .contains("is a superuser")
    );

    let applied = database(&world, &environment, &[&arguments[..], &["--apply"]].concat());
    assert!(applied.status.success(), "{applied:?}");
    let settings = String::from_utf8(applied.stdout).unwrap();
    let setting = |key: &str| {
        let line = settings
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.unwrap().trim_matches('"').to_owned()
    };
    let (url, owner_url) = (setting("database.url"), setting("database.owner_url"));
    let checked = database(&world, &[("DATABASE_URL", &url)], &["check"]);
    assert!(checked.status.success(), "{checked:?}");
    let checked = database(&world, &[("DATABASE_URL", &owner_url)], &["check"]);
    assert!(String::from_utf8(checked.stdout).unwrap().contains("owns tables"));

    // A migration is pending: the owner makes it, and the server's role alone says who has to.
    world.execute(
        "drop index uq_delegation_attempts_claimed; delete from _sqlx_migrations where version = 44",
    );
    let data = world.home.path().join("refused");
    let alone = Server::try_start(&data, &[("HALLMARK_DEV_MODE", "true"), ("DATABASE_URL", &url)]);
    let Err(told) = alone else {
        panic!("it started without a migration")
    };
    assert!(
        told.contains("may not migrate") && told.contains("database.owner_url"),
        "{told}"
    );
    let both = [
        ("DATABASE_URL", url.as_str()),
        ("HALLMARK_DATABASE__OWNER_URL", owner_url.as_str()),
    ];
    let server = world.serve_with("a", &both);
    assert_eq!(database_detail(&server), Value::Null);
    main_job(&world, &server);
}

// proves ISO-2
#[test]
fn the_tables_of_an_embedded_database_of_before_get_another_owner() {
    let world = World::start();
    let data = world.home.path().join("embedded");
    std::fs::create_dir(&data).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let superuser = runtime.block_on(async {
        let options = pg_cluster::Options::throwaway(data.join("postgres"));
        let cluster = pg_cluster::Cluster::start(options).await.unwrap();
        cluster.ensure_database("hallmark").await.unwrap();
        let url = cluster.url("hallmark");
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        postgres_adapter::migrate(&pool, std::time::Duration::from_secs(60))
            .await
            .unwrap();
        sqlx::raw_sql(
            "insert into hooks (name, contract) values ('old', '{\"cardinality\": \"many\", \"columns\": []}');
             select make_feature_table('old', '{note}', '{text}', '{f}');
             insert into metadata_tables (table_name, schema_id, major) values ('old_v1', 'old', 1);
             select sync_metadata_table('old_v1', '{note}', '{text}', '{f}');
             select make_archive_month(now())",
        )
        .execute(&pool)
        .await
        .unwrap();
        pool.close().await;
        cluster.stop().await.unwrap();
        url
    });
    for round in 0..2 {
        let server = Server::start(&data, &[("OSA_DEV_MODE", "true")]);
        assert_eq!(database_detail(&server), Value::Null, "round {round}");
        if round == 0 {
            main_job(&world, &server);
        }
        let inside = World::at(&superuser);
        let owners = inside.query(
            "select string_agg(distinct pg_get_userbyid(owner)::text, ' ') from (
               select relowner as owner from pg_class where relnamespace in ('public'::regnamespace, 'features'::regnamespace, 'metadata'::regnamespace)
               union all select proowner from pg_proc where pronamespace = 'public'::regnamespace
               union all select datdba from pg_database where datname = current_database()) all_of_ours",
        );
        assert_eq!(owners, "hallmark_owner", "round {round}");
        until("all sessions are the application's", || {
            inside.query(
                "select string_agg(distinct usename::text, ' ') from pg_stat_activity where application_name = 'hallmark'",
            ) == "hallmark_app"
        });
        assert!(server.terminate().success());
    }
}
