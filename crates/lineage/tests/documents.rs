//! The three documents of the sample: that every reference resolves, and that they say what the sample says.

use domain::RunStatus;
use lineage::{Lineage, Subject, openlineage, prov_json, ro_crate};
use serde_json::{Value, json};

mod common;
use common::{faults_of_crate, faults_of_events, faults_of_prov, sample};

const NOTHING: [String; 0] = [];

/// The sample without any description: only references are left.
fn bare() -> Lineage {
    let mut bare = sample();
    bare.records.clear();
    bare.runs.clear();
    bare.releases.clear();
    bare.tasks.clear();
    bare.agents.clear();
    bare
}

#[expect(
    clippy::unwrap_used,
    reason = "a document of another form should end the test"
)]
fn entity<'a>(document: &'a Value, end: &str) -> &'a Value {
    let mut found = document["@graph"].as_array().unwrap().iter();
    found.find(|e| e["@id"].as_str().unwrap().ends_with(end)).unwrap()
}

#[expect(
    clippy::unwrap_used,
    reason = "a document of another form should end the test"
)]
fn relation<'a>(document: &'a Value, kind: &str, role: &str, name: &str) -> Vec<&'a Value> {
    let all = document[kind].as_object().unwrap().values();
    all.filter(|r| r[role].as_str().unwrap().contains(name)).collect()
}

// proves PRV-6
#[test]
fn every_reference_resolves_in_the_sample_and_when_only_references_are_left() {
    for lineage in [sample(), bare()] {
        assert_eq!(faults_of_prov(&prov_json(&lineage)), NOTHING);
        assert_eq!(faults_of_crate(&ro_crate(&lineage)), NOTHING);
        assert_eq!(faults_of_events(&openlineage(&lineage)), NOTHING);
    }
}

// proves PRV-6
#[test]
fn prov_leads_from_rows_to_run_release_code_record_source_and_creator() {
    let sample = sample();
    let document = prov_json(&sample);
    let first = sample.runs[0].id.to_string();
    let rows = format!("#{first}/");
    let made = relation(&document, "wasGeneratedBy", "prov:entity", &rows);
    assert_eq!(made[0]["prov:activity"], format!("api:hooks/runs/{first}"));
    assert_eq!(made[0]["prov:time"], "2026-11-25T14:30:00.123456+00:00");
    let by = relation(&document, "wasAssociatedWith", "prov:activity", &first);
    assert_eq!(by[0]["prov:plan"], "api:hooks/body_shape/releases/1");
    let behalf = relation(&document, "actedOnBehalfOf", "prov:activity", &first);
    assert_eq!(behalf[0]["prov:delegate"], "id:system");
    assert!(
        behalf[0]["prov:responsible"]
            .as_str()
            .unwrap()
            .starts_with("id:user/")
    );
    let task = relation(&document, "wasInformedBy", "prov:informed", &first);
    assert!(
        task[0]["prov:informant"]
            .as_str()
            .unwrap()
            .starts_with("api:tasks/")
    );
    let code = relation(
        &document,
        "wasDerivedFrom",
        "prov:generatedEntity",
        "body_shape/releases/2",
    );
    assert_eq!(
        code[0]["prov:usedEntity"],
        "id:code/git%3A0123abc%20%C2%AB%C3%9C%C2%BB%20a%20b"
    );
    let ended = relation(&document, "wasInvalidatedBy", "prov:entity", &rows);
    assert_eq!(
        ended[0]["prov:activity"],
        format!("api:hooks/runs/{}", sample.runs[1].id)
    );
}

// proves PRV-6
#[test]
fn a_second_version_is_a_revision_of_the_first_and_of_no_other_record() {
    let sample = sample();
    let document = prov_json(&sample);
    let revisions: Vec<_> = document["wasDerivedFrom"]
        .as_object()
        .unwrap()
        .values()
        .filter(|r| r["prov:type"][0]["$"] == "prov:Revision")
        .collect();
    assert_eq!(revisions.len(), 1, "{revisions:?}");
    let id = sample.records[0].srn.id;
    assert_eq!(
        revisions[0]["prov:generatedEntity"],
        format!("api:data/records/{id}@2")
    );
    assert_eq!(
        revisions[0]["prov:usedEntity"],
        format!("api:data/records/{id}@1")
    );
}

// proves PRV-6
#[test]
fn a_person_without_a_name_is_called_by_its_id_everywhere() {
    let sample = sample();
    let nameless = &sample.agents[1].actor;
    let local = nameless.to_string().replace("user:", "user/");
    let prov = prov_json(&sample);
    assert_eq!(
        prov["agent"][format!("id:{local}")]["prov:label"],
        nameless.to_string()
    );
    assert_eq!(entity(&ro_crate(&sample), &local)["name"], nameless.to_string());
}

// proves PRV-6
#[test]
fn a_crate_has_one_action_a_run_with_instrument_objects_results_and_state() {
    let sample = sample();
    let document = ro_crate(&sample);
    let actions = document["@graph"].as_array().unwrap().iter();
    // Four that are described, and two that are only referred to.
    assert_eq!(actions.filter(|e| e["@type"] == "CreateAction").count(), 6);
    let first = entity(&document, &format!("/hooks/runs/{}", sample.runs[0].id));
    assert_eq!(
        first["instrument"],
        json!({"@id": "https://archive.example.org/api/v1/hooks/body_shape/releases/1"})
    );
    assert_eq!(first["actionStatus"], "http://schema.org/CompletedActionStatus");
    assert_eq!(first["startTime"], "2026-11-25T14:10:00.123+00:00");
    assert_eq!(
        (
            first["object"].as_array().unwrap().len(),
            first["result"].as_array().unwrap().len()
        ),
        (1, 1)
    );
    let failed = entity(&document, &format!("/hooks/runs/{}", sample.runs[2].id));
    assert_eq!(failed["actionStatus"], "http://schema.org/FailedActionStatus");
    assert_eq!(failed["error"], "it said: \"no\"\nand went — 100 %");
    assert_eq!(failed["object"].as_array().unwrap().len(), 2);
    let release = entity(&document, "/releases/1");
    assert_eq!(release["softwareVersion"], "1");
    assert_eq!(
        entity(
            &document,
            "/id/code/git%2Bhttps%3A%2F%2Fgithub.com%2Fexample%2Fpenguins%400123abc"
        )["codeRepository"],
        "https://github.com/example/penguins"
    );
}

// proves PRV-6
#[test]
fn a_crate_without_a_licence_says_that_none_is_stated() {
    let mut sample = sample();
    sample.license = Some(" ".to_owned());
    let document = ro_crate(&sample);
    let license = entity(&document, "/id/license");
    assert!(
        license["name"]
            .as_str()
            .unwrap()
            .starts_with("No licence is stated")
    );
    assert_eq!(faults_of_crate(&document), NOTHING);
}

// proves PRV-6
#[test]
fn events_tell_how_a_run_ended_and_how_many_rows_it_wrote() {
    let sample = sample();
    let events = openlineage(&sample);
    assert_eq!(events.len(), 2 * sample.runs.len());
    for run in &sample.runs {
        let end = events
            .iter()
            .rfind(|e| e["run"]["runId"] == run.id.to_string())
            .unwrap();
        let state = if run.status == RunStatus::Passed {
            "COMPLETE"
        } else {
            "FAIL"
        };
        assert_eq!(end["eventType"], state);
    }
    let (start, end) = (&events[2], &events[3]);
    assert_eq!(start["job"]["name"], "hooks.body_shape");
    assert_eq!(start["job"]["namespace"], "hallmark://archive.example.org");
    assert_eq!(start["outputs"][0].get("outputFacets"), None);
    // Two rows, one and one, for three records.
    assert_eq!(
        end["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"],
        4
    );
    assert_eq!(
        end["outputs"][0]["facets"]["schema"]["fields"][0]["name"],
        "ratio"
    );
    assert_eq!(
        end["run"]["facets"]["parent"]["job"]["name"],
        "tasks.ingest_batch"
    );
    assert_eq!(
        events[0]["job"]["facets"]["sourceCodeLocation"]["url"],
        "https://github.com/example/penguins/tree/0123abc"
    );
}

// proves PRV-6
#[test]
fn a_run_whose_release_is_not_described_still_has_its_events_and_an_instrument() {
    let sample = sample();
    let error = &sample.runs[3];
    let events = openlineage(&sample);
    let end = events
        .iter()
        .rfind(|e| e["run"]["runId"] == error.id.to_string())
        .unwrap();
    assert_eq!(end["job"]["name"], format!("hooks.of-release-{}", error.release));
    let document = ro_crate(&sample);
    let action = entity(&document, &format!("/hooks/runs/{}", error.id));
    assert!(
        action["instrument"]["@id"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/id/release/{}", error.release))
    );
}

// proves PRV-7
#[test]
fn every_subject_is_declared_though_nothing_else_mentions_it() {
    let mut lineage = bare();
    lineage.row_sets.clear();
    let hook: domain::HookName = "body_shape".parse().unwrap();
    let subjects = [
        lineage.subject.clone(),
        Subject::Run(sample().runs[0].id),
        Subject::Release {
            hook: hook.clone(),
            version: domain::ReleaseVersion::FIRST,
        },
        Subject::Table {
            schema: "penguins@1.0.0".parse().unwrap(),
            feature: hook,
        },
    ];
    for subject in subjects {
        lineage.subject = subject;
        assert_eq!(faults_of_crate(&ro_crate(&lineage)), NOTHING);
        assert_eq!(faults_of_prov(&prov_json(&lineage)), NOTHING);
    }
}
