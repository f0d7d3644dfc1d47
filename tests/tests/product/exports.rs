//! Provenance both ways: of a record, and in the forms that other tools read. `cargo xtask exports` asks their validators.

use std::collections::BTreeSet;

use blackbox::fixtures::{penguins, push_penguins};
use blackbox::{Client, World};
use serde_json::{Value, json};

fn export(client: &Client, path: &str, content_type: &str) -> String {
    let answer = client.fetch("GET", &format!("/api/v1{path}"), &[], "").unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), content_type, "{path}");
    answer.text()
}

/// Every id that a PROV-JSON document declares, and every one that it refers to.
fn ids_of_prov(document: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut declared, mut named) = (BTreeSet::new(), BTreeSet::new());
    for (kind, all) in document.as_object().unwrap() {
        if kind == "prefix" {
            continue;
        }
        for (id, one) in all.as_object().unwrap() {
            if ["entity", "activity", "agent"].contains(&kind.as_str()) {
                declared.insert(id.clone());
                continue;
            }
            for (key, value) in one.as_object().unwrap() {
                let reference = [
                    "prov:entity",
                    "prov:activity",
                    "prov:agent",
                    "prov:plan",
                    "prov:usedEntity",
                    "prov:generatedEntity",
                    "prov:delegate",
                    "prov:responsible",
                    "prov:informed",
                    "prov:informant",
                    "prov:starter",
                    "prov:trigger",
                ];
                if reference.contains(&key.as_str()) {
                    named.insert(value.as_str().unwrap().to_owned());
                }
            }
        }
    }
    (declared, named)
}

// proves PRV-6, PRV-7
#[test]
fn provenance_is_exported_whole_and_without_names_of_people() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, anonymous) = (server.admin(), server.anonymous());
    admin.post("/conventions", &penguins()).expect(201);
    let ingest = admin.open("palmer-penguins", 100);
    push_penguins(&admin, &ingest).expect(200);
    admin.finish(&ingest);
    let row = anonymous
        .get("/data/palmer-penguins/penguin_shape?limit=1")
        .expect(200)["rows"][0]
        .clone();
    let (srn, run) = (
        row["record_srn"].as_str().unwrap(),
        row["run_id"].as_str().unwrap(),
    );
    let record = srn.rsplit(':').next().unwrap();
    for (path, sets) in [
        (format!("/data/records/{record}?"), 2),
        (format!("/data/records/{record}/provenance?"), 2),
        (format!("/hooks/runs/{run}?"), 97),
        ("/hooks/penguin_shape/releases/1?".to_owned(), 333),
        (
            "/data/palmer-penguins/penguin_shape?limit=10&sort=culmen_ratio&".to_owned(),
            10,
        ),
    ] {
        let text = export(
            &anonymous,
            &format!("{path}format=prov-json"),
            "application/prov+json",
        );
        assert!(!text.contains("Local Admin"), "{path}");
        let document: Value = serde_json::from_str(&text).unwrap();
        let (declared, named) = ids_of_prov(&document);
        let dangling: Vec<&String> = named.difference(&declared).collect();
        assert!(dangling.is_empty(), "{path} {dangling:?}");
        let generated = document["wasGeneratedBy"].as_object().unwrap().len();
        assert!(generated >= sets, "{path} {generated}");
        assert!(text.contains(&blackbox::world::digest(
            &blackbox::world::binaries().join("penguin_shape")
        )));

        let text = export(
            &anonymous,
            &format!("{path}format=ro-crate"),
            "application/ld+json",
        );
        let document: Value = serde_json::from_str(&text).unwrap();
        let graph = document["@graph"].as_array().unwrap();
        let actions: Vec<&Value> = graph
            .iter()
            .filter(|entity| entity["@type"] == "CreateAction")
            .collect();
        assert!(!actions.is_empty(), "{path}");
        assert!(
            actions
                .iter()
                .all(|action| action["instrument"]["@id"].is_string())
        );

        let text = export(
            &anonymous,
            &format!("{path}format=openlineage"),
            "application/x-ndjson",
        );
        let events: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of = |kind: &str| {
            events
                .iter()
                .filter(|event| event["eventType"] == kind)
                .map(|event| event["run"]["runId"].as_str().unwrap())
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(of("START"), of("COMPLETE"), "{path}");
        assert_eq!(events.len(), 2 * of("START").len(), "{path}");
        anonymous
            .get(&format!("{path}format=xml"))
            .problem(422, "VALIDATION_ERROR");
    }
    // A reader who may see names gets them where the request asks for them.
    let named = export(
        &admin,
        &format!("/data/records/{record}/provenance?format=prov-json"),
        "application/prov+json",
    );
    assert!(named.contains("Local Admin"));

    let provenance = anonymous
        .get(&format!("/data/records/{record}/provenance"))
        .expect(200);
    assert_eq!(provenance["record"]["srn"], srn);
    assert_eq!(provenance["source"]["ingest_run_id"], ingest);
    let features = provenance["features"].as_array().unwrap();
    let hooks: BTreeSet<&str> = features
        .iter()
        .map(|rows| rows["hook_name"].as_str().unwrap())
        .collect();
    assert_eq!(hooks, ["check_penguin", "penguin_shape"].into());
    for rows in features {
        assert_eq!(
            (&rows["rows"], &rows["current"], &rows["release"]["version"]),
            (&json!(1), &json!(true), &json!(1))
        );
        assert_eq!(
            rows["run"]["asked_by"]["id"],
            "user:00000000-0000-7000-8000-0000000000a1"
        );
        assert_eq!(rows["run"]["asked_by"]["name"], Value::Null);
    }
    anonymous
        .get("/data/records/018f4e2a-6b1c-7c3e-9d52-0a1b2c3d4e5f/provenance")
        .problem(404, "record_not_found");
    anonymous
        .get("/hooks/penguin_shape/releases/7?format=prov-json")
        .problem(404, "release_not_found");
    anonymous
        .get("/hooks/runs/018f4e2a-6b1c-7c3e-9d52-0a1b2c3d4e5f?format=prov-json")
        .problem(401, "missing_token");
}
