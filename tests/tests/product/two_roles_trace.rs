//! Every field of a trace is kept in a column that no statement of the application's role changes.

use std::collections::BTreeSet;

use blackbox::World;
use blackbox::fixtures::{PASS, READ_FILES, small};
use blackbox::tokens::{key, machine_token};
use blackbox::world::digest;
use serde_json::{Value, json};

use super::depositions::{deploy, draft, submit, upload, validated};

/// Where a field of a trace comes from.
enum Kept {
    /// In these columns, as they were written.
    In(&'static [(&'static str, &'static str)]),
    /// It says what is so now, and moves as the reason tells.
    Moves(&'static str),
}
use Kept::{In, Moves};

/// Every field of a trace; `[]` is any entry of a list. What is below a path with `.*` is one document.
const FIELDS: &[(&str, Kept)] = &[
    ("row.id", In(&[("features.{hook}", "id")])),
    ("row.values.note", In(&[("features.{hook}", "note")])),
    ("row.values.size", In(&[("features.{hook}", "size")])),
    ("row.created_at", In(&[("features.{hook}", "created_at")])),
    (
        "row.current",
        Moves("a row is superseded once, and a record's newest version only rises"),
    ),
    ("row.superseded_by", Moves("a row is superseded once")),
    ("run.id", In(&[("hook_runs", "id")])),
    ("run.status", In(&[("hook_runs", "status")])),
    ("run.started_at", In(&[("hook_runs", "started_at")])),
    ("run.finished_at", In(&[("hook_runs", "finished_at")])),
    ("run.duration_s", In(&[("hook_runs", "duration_s")])),
    ("run.oom_retries", In(&[("hook_runs", "oom_retries")])),
    ("run.worker", In(&[("hook_runs", "worker")])),
    ("run.location", In(&[("hook_runs", "location")])),
    ("run.image", In(&[("hook_releases", "image")])),
    (
        "release.id",
        In(&[("hook_releases", "id"), ("hook_runs", "release_id")]),
    ),
    (
        "release.hook_name",
        In(&[("hook_releases", "hook_name"), ("hooks", "name")]),
    ),
    ("release.version", In(&[("hook_releases", "version")])),
    ("release.image", In(&[("hook_releases", "image")])),
    // The first location; a test of its own tries to change later ones.
    ("release.locations[].image", In(&[("hook_releases", "image")])),
    (
        "release.locations[].registered_by",
        In(&[
            ("hook_releases", "built_by_user_id"),
            ("hook_releases", "built_by_service_account_id"),
        ]),
    ),
    (
        "release.locations[].registered_at",
        In(&[("hook_releases", "built_at")]),
    ),
    ("release.digest", In(&[("hook_releases", "digest")])),
    ("release.config.*", In(&[("hook_releases", "config")])),
    ("release.limits.*", In(&[("hook_releases", "limits")])),
    ("release.source_ref", In(&[("hook_releases", "source_ref")])),
    (
        "release.built_by.id",
        In(&[
            ("hook_releases", "built_by_user_id"),
            ("hook_releases", "built_by_service_account_id"),
            ("service_accounts", "id"),
        ]),
    ),
    ("release.built_by.name", In(&[("service_accounts", "subject")])),
    (
        "release.built_by.authority",
        In(&[("service_accounts", "issuer")]),
    ),
    ("release.built_at", In(&[("hook_releases", "built_at")])),
    ("release.live", Moves("the pointer moves as its history says")),
    (
        "release.live_version",
        Moves("the pointer moves as its history says"),
    ),
    (
        "release.yanked",
        Moves("a release is yanked and unyanked by entries of its history"),
    ),
    ("record.id", In(&[("records", "id")])),
    (
        "record.srn",
        In(&[("records", "srn"), ("features.{hook}", "record_srn")]),
    ),
    ("record.version", In(&[("records", "version")])),
    (
        "record.schema_id",
        In(&[("records", "schema_id"), ("records", "schema_version")]),
    ),
    ("record.metadata.*", In(&[("records", "metadata")])),
    ("record.created_at", In(&[("records", "created_at")])),
    ("source.type", In(&[("records", "source_kind")])),
    ("source.convention_id", In(&[("records", "convention_slug")])),
    (
        "source.ingest_run_id",
        In(&[
            ("records", "ingest_run_id"),
            ("ingest_records", "ingest_run_id"),
            ("ingest_runs", "id"),
        ]),
    ),
    (
        "source.source_id",
        In(&[("records", "source_id"), ("ingest_records", "source_id")]),
    ),
    ("source.upload", In(&[("ingest_records", "upload")])),
    ("source.line", In(&[("ingest_records", "line")])),
    ("source.batch", In(&[("ingest_records", "batch")])),
    (
        "source.opened_by.id",
        In(&[
            ("ingest_runs", "opened_by_user_id"),
            ("ingest_runs", "opened_by_service_account_id"),
            ("users", "id"),
        ]),
    ),
    ("source.opened_by.name", Moves(NAME)),
    ("source.opened_by.authority", In(&[("users", "provider")])),
    (
        "source.pushed_by.id",
        In(&[
            ("ingest_uploads", "pushed_by_user_id"),
            ("ingest_uploads", "pushed_by_service_account_id"),
            ("ingest_uploads", "upload"),
        ]),
    ),
    ("source.pushed_by.name", Moves(NAME)),
    ("source.pushed_by.authority", In(&[("users", "provider")])),
    (
        "deposition.srn",
        In(&[("depositions", "id"), ("depositions", "record_srn")]),
    ),
    (
        "deposition.convention_id",
        In(&[("depositions", "convention_slug")]),
    ),
    (
        "deposition.submission",
        In(&[
            ("depositions", "submissions"),
            ("submissions", "number"),
            ("submissions", "deposition_id"),
        ]),
    ),
    ("deposition.submitted_at", In(&[("submissions", "submitted_at")])),
    ("deposition.owner.id", In(&[("depositions", "owner_user_id")])),
    ("deposition.owner.name", Moves(NAME)),
    ("deposition.owner.authority", In(&[("users", "provider")])),
    (
        "deposition.curated_by",
        In(&[("submissions", "curated_by_user_id")]),
    ),
    (
        "deposition.curated_by.id",
        In(&[("submissions", "curated_by_user_id")]),
    ),
    ("deposition.curated_by.name", Moves(NAME)),
    ("deposition.curated_by.authority", In(&[("users", "provider")])),
    (
        "task.id",
        In(&[
            ("tasks", "id"),
            ("release_pins", "task_id"),
            ("release_pins", "run_id"),
        ]),
    ),
    ("task.kind", In(&[("tasks", "kind")])),
    ("task.name", In(&[("tasks", "name")])),
    ("task.status", In(&[("tasks", "status")])),
    (
        "task.creator.id",
        In(&[
            ("tasks", "creator_user_id"),
            ("tasks", "creator_service_account_id"),
        ]),
    ),
    ("task.creator.name", Moves(NAME)),
    ("task.creator.authority", In(&[("users", "provider")])),
    ("task.created_at", In(&[("tasks", "created_at")])),
    (
        "task.delegations[].id",
        In(&[("delegations", "delegation_id"), ("delegations", "task_id")]),
    ),
    ("task.delegations[].caller", In(&[("delegations", "caller_id")])),
    ("task.delegations[].callee", In(&[("delegations", "callee_id")])),
    ("task.delegations[].status", In(&[("delegations", "status")])),
    ("task.delegations[].attempt", In(&[("delegations", "attempt")])),
    (
        "task.delegations[].retry_count",
        In(&[("delegations", "retry_count")]),
    ),
    (
        "task.delegations[].worker",
        In(&[
            ("delegation_attempts", "worker_id"),
            ("delegation_attempts", "event"),
            ("delegation_attempts", "attempt"),
        ]),
    ),
    (
        "task.delegations[].created_at",
        In(&[("delegations", "created_at")]),
    ),
    (
        "task.delegations[].updated_at",
        In(&[("delegations", "updated_at")]),
    ),
];

/// A user is shown by the name of today, which each sign-in writes.
const NAME: &str = "each sign-in writes the user's name";

/// Collects the paths of all leaves.
fn leaves(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let below = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                leaves(value, &below, into);
            }
        }
        Value::Array(entries) if !entries.is_empty() => {
            for entry in entries {
                leaves(entry, &format!("{path}[]"), into);
            }
        }
        _ => {
            into.insert(path.to_owned());
        }
    }
}

fn covers(field: &str, leaf: &str) -> bool {
    match field.strip_suffix(".*") {
        Some(document) => leaf == document || leaf.starts_with(&format!("{document}.")),
        None => field == leaf,
    }
}

/// Another value of a column of this type.
fn another(column: &str, column_type: &str) -> String {
    match column_type {
        "text" => format!("coalesce({column}, '') || 'x'"),
        "uuid" => "gen_random_uuid()".to_owned(),
        "integer" | "bigint" | "double precision" => format!("coalesce({column}, 0) + 1"),
        "timestamp with time zone" => format!("{column} + interval '1 hour'"),
        "jsonb" => "'{\"forged\": true}'".to_owned(),
        other => panic!("{column} is of type {other}"),
    }
}

/// Tries to change each field that the trace shows, and to remove the rows that it comes from.
fn attack(world: &World, trace: &Value, hook: &str) {
    let mut found = BTreeSet::new();
    leaves(trace, "", &mut found);
    let mut tables = BTreeSet::new();
    for leaf in &found {
        // The other kind of source.
        if leaf == "source" || leaf == "deposition" {
            continue;
        }
        let (_, kept) = FIELDS
            .iter()
            .find(|(field, _)| covers(field, leaf))
            .unwrap_or_else(|| {
                panic!("{leaf} of a trace has no entry here: where is it kept, and what keeps it?")
            });
        let columns = match kept {
            In(columns) => *columns,
            Moves(reason) => {
                assert!(!reason.is_empty());
                continue;
            }
        };
        for (table, column) in columns {
            let table = table.replace("{hook}", hook);
            let value = another(column, &world.column_type(&table, column));
            let statement = format!("update {table} set \"{column}\" = {value}");
            let refused = world.as_application(&statement);
            // restrict_violation of a guard; insufficient_privilege; generated_always of an identity.
            assert!(
                matches!(
                    refused.as_ref().err().map(String::as_str),
                    Some("23001" | "42501" | "428C9")
                ),
                "{leaf}: {statement}: {refused:?}"
            );
            tables.insert(table);
        }
    }
    for table in tables {
        for statement in [
            format!("delete from {table}"),
            format!("truncate {table} cascade"),
        ] {
            let refused = world.as_application(&statement);
            assert!(
                matches!(
                    refused.as_ref().err().map(String::as_str),
                    Some("23001" | "42501")
                ),
                "{statement}: {refused:?}"
            );
        }
    }
}

// proves ISO-2, PRV-6
#[test]
fn no_field_of_a_trace_can_be_changed_by_the_servers_own_role() {
    let world = World::start();
    let url = world.application_url();
    let server = world.serve_machines("a", &[("DATABASE_URL", &url)]);
    let (admin, owner) = (server.admin(), world.person(&server, 1, "depositor").client);
    let curator = world.person(&server, 2, "curator").client;

    // An ingested record, whose hook a machine released.
    let (one, two) = (
        world.script("one", PASS),
        world.script("two", &format!("{PASS} # 2")),
    );
    admin
        .post("/conventions", &small("Guarded", "guarded", &[("guarded", &one)]))
        .expect(201);
    let machine = server.with_token(Some(machine_token(
        &key(1),
        &json!({"sub": "ci-bot", "scope": "hooks:write"}),
    )));
    let release = json!({"image": format!("file:{}", two.display()), "digest": digest(&two), "config": {}, "source_ref": "git:2"});
    machine.post("/hooks/guarded/releases", &release).expect(201);
    let run = admin.open("guarded", 10);
    admin.push_lines(&run, "{\"id\":\"r\",\"metadata\":{\"label\":\"x\",\"mass\":1}}\n");
    assert_eq!(admin.finish(&run)["published_count"], 1);

    // A deposited one, which a curator approved.
    let reads = world.script("reads", READ_FILES);
    deploy(&admin, "Reviewed", &[("reads", &reads)], Some("required"));
    let srn = draft(&owner, "reviewed", &json!({"label": "mine"}));
    upload(&owner, &format!("/depositions/{srn}/files"), "data.txt", b"kept").expect(200);
    submit(&owner, &srn).expect(200);
    assert_eq!(validated(&curator, &srn)["status"], "in_review");
    curator
        .post(&format!("/depositions/{srn}/approve"), &json!({}))
        .expect(200);

    let trace = |table: &str| {
        let row = admin.rows(table, 10)[0]["id"].clone();
        admin.get(&format!("/data/{table}/rows/{row}/trace")).expect(200)
    };
    let (ingested, deposited) = (trace("guarded/guarded"), trace("reviewed-schema/reads"));
    assert_eq!(ingested["release"]["built_by"]["name"], "ci-bot");
    assert!(
        deposited["deposition"]["curated_by"]["id"].is_string(),
        "{deposited}"
    );
    attack(&world, &ingested, "guarded");
    attack(&world, &deposited, "reads");
    assert_eq!(trace("guarded/guarded"), ingested);
    assert_eq!(trace("reviewed-schema/reads"), deposited);

    // Every entry is of a field that some trace has, or of the other shape of one.
    let mut found = BTreeSet::new();
    leaves(&ingested, "", &mut found);
    leaves(&deposited, "", &mut found);
    found.insert("deposition.curated_by".to_owned());
    for (field, _) in FIELDS {
        assert!(
            found.iter().any(|leaf| covers(field, leaf)),
            "no trace has {field} of this list"
        );
    }
}
