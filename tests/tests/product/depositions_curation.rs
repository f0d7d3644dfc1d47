//! Depositions: curation, templates, and servers that die.

use blackbox::fixtures::{PASS, READ_FILES};
use blackbox::parties::until;
use blackbox::{Server, World};
use serde_json::{Value, json};

use super::depositions::{deploy, draft, get, submit, upload, validated};

// proves PIP-1
#[test]
fn a_curator_decides_where_the_convention_asks_for_it() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, owner) = (server.admin(), world.person(&server, 1, "curator").client);
    let curator = world.person(&server, 2, "curator").client;
    let hook = world.script("hook", READ_FILES);
    deploy(&admin, "Curated", &[("reads", &hook)], Some("required"));
    assert_eq!(
        admin.get("/conventions/curated").expect(200)["curation"],
        "required"
    );
    let srn = draft(&owner, "curated", &json!({"label": "a"}));
    upload(&owner, &format!("/depositions/{srn}/files"), "data.txt", b"kept").expect(200);
    let (approve, reject) = (
        format!("/depositions/{srn}/approve"),
        format!("/depositions/{srn}/reject"),
    );
    curator
        .post(&approve, &json!({}))
        .problem(409, "InvalidStateError");
    submit(&owner, &srn).expect(200);
    let waits = validated(&curator, &srn);
    assert_eq!(
        (&waits["status"], &waits["record_srn"]),
        (&json!("in_review"), &Value::Null)
    );
    assert_eq!(server.anonymous().rows("curated-schema/records", 10).len(), 0);
    // No curator decides about their own, and what waits is not changed.
    owner.post(&approve, &json!({})).problem(403, "access_denied");
    submit(&owner, &srn).problem(409, "InvalidStateError");
    curator
        .post(&reject, &json!({"reason": "  "}))
        .problem(422, "VALIDATION_ERROR");
    assert_eq!(
        curator
            .post(&reject, &json!({"reason": "no licence"}))
            .expect(200),
        json!({})
    );
    let back = get(&owner, &srn);
    assert_eq!(
        (&back["status"], &back["validation"]["reasons"]),
        (&json!("draft"), &json!(["the curator: no licence"]))
    );

    submit(&owner, &srn).expect(200);
    assert_eq!(validated(&owner, &srn)["status"], "in_review");
    // The hook is replaced meanwhile: what was computed is what is published, under the release that computed it.
    let other = world.script("other", PASS);
    deploy(&admin, "Curated", &[("reads", &other)], Some("required"));
    let approved = curator.post(&approve, &json!({})).expect(200);
    assert_eq!(approved["record_srn"], get(&owner, &srn)["record_srn"]);
    let rows = server.anonymous().rows("curated-schema/reads", 10);
    assert_eq!((rows.len(), &rows[0]["note"]), (1, &json!("kept")));
    let trace = server
        .anonymous()
        .get(&format!(
            "/data/curated-schema/reads/rows/{}/trace",
            rows[0]["id"]
        ))
        .expect(200);
    assert_eq!(
        (&trace["release"]["version"], &trace["deposition"]["submission"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        trace["deposition"]["curated_by"]["id"],
        "user:00000000-0000-7000-8000-000000000002"
    );
    curator
        .post(&approve, &json!({}))
        .problem(409, "InvalidStateError");
}

// proves PIP-1
#[test]
fn a_filled_in_template_fills_a_draft_in() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, owner) = (server.admin(), world.person(&server, 1, "depositor").client);
    let pass = world.script("pass", PASS);
    deploy(&admin, "Sheets", &[("pass", &pass)], None);
    let srn = draft(&owner, "sheets", &json!({}));
    let (_, template) = owner.send_raw(&format!("/depositions/{srn}/template"));
    assert!(template.starts_with(b"PK"));
    let sheet = |cells: &[(&str, rust_xlsxwriter::worksheet::ColNum, f64)], label: &str| {
        let mut book = rust_xlsxwriter::Workbook::new();
        let sheet = book.add_worksheet();
        sheet.write(0, 0, "label").unwrap();
        sheet.write(2, 0, label).unwrap();
        for (name, column, value) in cells {
            sheet.write(0, *column, *name).unwrap();
            sheet.write(2, *column, *value).unwrap();
        }
        book.save_to_buffer().unwrap()
    };
    let path = format!("/depositions/{srn}/spreadsheet");
    let filled = upload(
        &owner,
        &path,
        "a.xlsx",
        &sheet(&[("mass", 1, 2.5), ("colour", 2, 1.0)], "from a sheet"),
    )
    .expect(200);
    let result = &filled["parse_result"];
    assert_eq!(result["metadata"], json!({"label": "from a sheet", "mass": 2.5}));
    assert_eq!(
        (result["warnings"].as_array().unwrap().len(), &result["errors"]),
        (1, &json!([]))
    );
    assert_eq!(get(&owner, &srn)["metadata"], result["metadata"]);
    // What is wrong changes nothing.
    let wrong = upload(&owner, &path, "a.xlsx", &sheet(&[("mass", 1, 2.5)], "  ")).expect(200);
    assert_eq!(wrong["parse_result"]["errors"][0]["field"], "label");
    assert_eq!(get(&owner, &srn)["metadata"]["label"], "from a sheet");
    for bad in [&b"no workbook"[..], b""] {
        upload(&owner, &path, "a.xlsx", bad).problem(422, "VALIDATION_ERROR");
    }
    // The template itself has no record yet.
    let empty = upload(&owner, &path, "t.xlsx", &template).expect(200);
    assert_eq!(empty["parse_result"]["errors"][0]["field"], "label");
}

// proves PIP-1, LED-10
#[test]
fn a_submission_outlives_the_server_that_works_on_it() {
    let world = World::start();
    let quick = [("HALLMARK_WORKER__SILENCE_SECONDS", "3")];
    let first: Server = world.serve_with("a", &quick);
    let (admin, owner) = (first.admin(), world.person(&first, 1, "depositor").client);
    let slow = world.script("slow", &format!("sleep 2\n{READ_FILES}"));
    deploy(&admin, "Slow", &[("reads", &slow)], None);
    let srn = draft(&owner, "slow", &json!({"label": "a"}));
    upload(&owner, &format!("/depositions/{srn}/files"), "data.txt", b"safe").expect(200);
    submit(&owner, &srn).expect(200);
    until("a worker has it", || {
        get(&owner, &srn)["validation"]["status"] == "running"
    });
    first.kill();
    let second = world.serve_with("b", &quick);
    let owner = second.with_token(Some(blackbox::tokens::user_token(
        &json!({"sub": "00000000-0000-7000-8000-000000000001", "provider": "orcid", "external_id": "o1"}),
    )));
    assert_eq!(validated(&owner, &srn)["status"], "accepted");
    let rows = second.anonymous().rows("slow-schema/reads", 10);
    assert_eq!((rows.len(), &rows[0]["note"]), (1, &json!("safe")));
    assert_eq!(world.query("select count(*)::text from hook_runs"), "1");
}
