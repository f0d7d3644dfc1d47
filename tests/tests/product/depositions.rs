//! Depositions: from a draft to a record, and back to a draft with reasons.

use std::path::Path;

use blackbox::fixtures::{PASS, READ_FILES, small};
use blackbox::parties::until;
use blackbox::{Answer, Client, World};
use serde_json::{Value, json};

/// A convention with these hooks that takes up to two files of at most 20 bytes that end with `.txt`.
pub(super) fn deploy(admin: &Client, title: &str, hooks: &[(&str, &Path)], curation: Option<&str>) {
    let mut body = small(title, &format!("{title}-schema").to_lowercase(), hooks);
    body["file_requirements"] =
        json!({"accepted_types": [".txt"], "min_count": 1, "max_count": 2, "max_file_size": 20});
    if let Some(curation) = curation {
        body["curation"] = json!(curation);
    }
    admin.post("/conventions", &body).expect(201);
}

/// A multipart form with one file.
pub(super) fn form(field: &str, name: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nignored\r\n--XX\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\nContent-Type: text/html\r\n\r\n"
    );
    [head.as_bytes(), content, b"\r\n--XX--\r\n"].concat()
}

pub(super) fn upload(client: &Client, path: &str, name: &str, content: &[u8]) -> Answer {
    let body = form("file", name, content);
    client
        .send(
            "POST",
            path,
            Some("multipart/form-data; boundary=XX"),
            body.as_slice(),
        )
        .unwrap()
}

pub(super) fn draft(client: &Client, convention: &str, metadata: &Value) -> String {
    let made = client
        .post("/depositions", &json!({"convention_id": convention}))
        .expect(201);
    let srn = made["srn"].as_str().unwrap().to_owned();
    set(client, &srn, metadata);
    srn
}

pub(super) fn set(client: &Client, srn: &str, metadata: &Value) {
    let body = metadata.to_string();
    let path = format!("/depositions/{srn}/metadata");
    let answer = client
        .send("PATCH", &path, Some("application/json"), body.as_bytes())
        .unwrap();
    assert_eq!(answer.expect(200), json!({}));
}

pub(super) fn submit(client: &Client, srn: &str) -> Answer {
    client
        .send(
            "POST",
            &format!("/depositions/{srn}/submit"),
            None,
            std::io::empty(),
        )
        .unwrap()
}

pub(super) fn get(client: &Client, srn: &str) -> Value {
    client.get(&format!("/depositions/{srn}")).expect(200)
}

/// Waits until its hooks have run.
pub(super) fn validated(client: &Client, srn: &str) -> Value {
    until("its hooks have run", || {
        get(client, srn)["status"] != "in_validation"
    });
    get(client, srn)
}

pub(super) fn events(admin: &Client, srn: &str) -> Vec<String> {
    let id = srn.rsplit(':').next().unwrap();
    let page = admin
        .get(&format!("/activity?subject=deposition:{id}&limit=100"))
        .expect(200);
    let kind = |entry: &Value| entry["kind"].as_str().unwrap().to_owned();
    page["items"].as_array().unwrap().iter().map(kind).collect()
}

// proves PIP-1, PRV-2, PRV-6
#[test]
fn a_draft_with_a_file_becomes_a_record_with_its_rows() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, owner) = (server.admin(), world.person(&server, 1, "depositor").client);
    let hook = world.script("hook", READ_FILES);
    deploy(&admin, "Files", &[("reads", &hook)], None);
    let srn = draft(&owner, "files", &json!({"label": "mine", "mass": 2}));
    assert!(srn.starts_with("urn:osa:localhost:dep:"));
    let files = format!("/depositions/{srn}/files");
    let file = upload(&owner, &files, "data.txt", b"first").expect(200)["file"].clone();
    assert_eq!(
        (&file["name"], &file["size"], &file["content_type"]),
        (&json!("data.txt"), &json!(5), &Value::Null)
    );
    // The same name again replaces it: there is one entry (WC-D24).
    upload(&owner, &files, "data.txt", b"second").expect(200);
    let read = get(&owner, &srn);
    assert_eq!(
        (&read["status"], read["files"].as_array().unwrap().len()),
        (&json!("draft"), 1)
    );
    assert_eq!(
        read["files"][0]["checksum"],
        "sha256:16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4"
    );
    let (name, content) = owner.send_raw(&format!("{files}/data.txt"));
    assert_eq!(content, b"second");
    assert!(name.unwrap().starts_with("attachment; filename=\"data.txt\""));

    assert_eq!(submit(&owner, &srn).expect(200), json!({}));
    let accepted = validated(&owner, &srn);
    assert_eq!(accepted["status"], "accepted", "{accepted}");
    let record = accepted["record_srn"].as_str().unwrap();
    let anonymous = server.anonymous();
    let rows = anonymous.rows("files-schema/reads", 10);
    assert_eq!(
        (rows.len(), &rows[0]["note"], &rows[0]["record_srn"]),
        (1, &json!("second"), &json!(record))
    );
    let records = anonymous.rows("files-schema/records", 10);
    assert_eq!(
        (&records[0]["label"], &records[0]["mass"], &records[0]["version"]),
        (&json!("mine"), &json!(2.0), &json!(1))
    );
    let trace = anonymous
        .get(&format!("/data/files-schema/reads/rows/{}/trace", rows[0]["id"]))
        .expect(200);
    assert_eq!(trace["task"]["kind"], "submission");
    assert_eq!(
        trace["task"]["creator"]["id"],
        "user:00000000-0000-7000-8000-000000000001"
    );
    assert_eq!(trace["task"]["delegations"][0]["caller"], "hallmark:depositions");
    assert_eq!(
        (&trace["deposition"]["srn"], &trace["deposition"]["submission"]),
        (&json!(srn), &json!(1))
    );
    assert_eq!(trace["source"], Value::Null);

    let run = accepted["validation"]["run_id"].as_str().unwrap();
    let validation = owner.get(&format!("/validation/runs/{run}")).expect(200);
    assert_eq!(
        (&validation["status"], &validation["summary"]),
        (&json!("completed"), &json!("passed"))
    );
    assert_eq!(
        (
            &validation["results"][0]["hook_name"],
            &validation["results"][0]["status"]
        ),
        (&json!("reads"), &json!("passed"))
    );
    assert_eq!(
        events(&admin, &srn),
        [
            "DepositionCreatedEvent",
            "MetadataUpdatedEvent",
            "FileUploadedEvent",
            "FileUploadedEvent",
            "DepositionSubmittedEvent",
            "ValidationCompleted",
            "DepositionApproved"
        ]
    );
    let public = anonymous.get("/events?types=RecordPublished").expect(200);
    assert_eq!(public["events"][0]["data"]["source"]["id"], srn.as_str());
    // What is published stays.
    submit(&owner, &srn).problem(409, "InvalidStateError");
    upload(&owner, &files, "late.txt", b"x").problem(409, "InvalidStateError");
    owner
        .delete(&format!("{files}/data.txt"))
        .problem(409, "InvalidStateError");
}

// proves PIP-1
#[test]
fn only_its_owner_changes_a_draft_and_the_conventions_rules_hold() {
    let world = World::start();
    let server = world.serve_machines("a", &[]);
    let (admin, owner) = (server.admin(), world.person(&server, 1, "depositor").client);
    let (other, curator) = (
        world.person(&server, 2, "depositor").client,
        world.person(&server, 3, "curator").client,
    );
    let pass = world.script("pass", PASS);
    deploy(&admin, "Rules", &[("pass", &pass)], None);
    let srn = draft(&owner, "rules", &json!({"mass": "heavy", "odd": 1}));
    let path = format!("/depositions/{srn}");
    let files = format!("{path}/files");
    // Reading is for curators too, writing is for owners only, not even for admins; and nothing of a refused upload is stored.
    upload(&owner, &files, "mine.txt", b"mine").expect(200);
    for (who, reads) in [(&other, false), (&curator, true), (&admin, true)] {
        let answer = who.get(&path);
        // To who may not read it, it is one that is not there.
        let (status, code) = if reads {
            (403, "access_denied")
        } else {
            (404, "NotFoundError")
        };
        if reads {
            answer.expect(200);
            assert_eq!(who.send_raw(&format!("{files}/mine.txt")).1, b"mine");
        } else {
            let refused = answer.problem(status, code);
            let nothing = srn.rsplit_once(':').unwrap().0.to_owned() + ":0000000000000000";
            let unknown = who.get(&format!("/depositions/{nothing}")).problem(404, code);
            assert_eq!(
                refused["message"]
                    .as_str()
                    .unwrap()
                    .replace(srn.rsplit(':').next().unwrap(), "-"),
                unknown["message"]
                    .as_str()
                    .unwrap()
                    .replace("0000000000000000", "-")
            );
            who.get(&format!("{files}/mine.txt")).problem(status, code);
        }
        upload(who, &files, "mine.txt", b"theirs").problem(status, code);
        who.delete(&format!("{files}/mine.txt")).problem(status, code);
        submit(who, &srn).problem(status, code);
        who.send(
            "PATCH",
            &format!("{path}/metadata"),
            Some("application/json"),
            &b"{}"[..],
        )
        .unwrap()
        .problem(status, code);
    }
    assert_eq!(owner.send_raw(&format!("{files}/mine.txt")).1, b"mine");
    // The directory goes with its last file.
    let place = world
        .home
        .path()
        .join("files/depositions")
        .join(srn.rsplit(':').next().unwrap());
    let stored = || std::fs::read_dir(&place).map_or(0, Iterator::count);
    assert_eq!(stored(), 1);
    server.anonymous().get(&path).problem(401, "missing_token");
    server
        .machine("bot")
        .client
        .post("/depositions", &json!({"convention_id": "rules"}))
        .problem(403, "access_denied");
    assert_eq!(owner.get("/depositions").expect(200)["total"], 1);
    assert_eq!(other.get("/depositions").expect(200)["total"], 0);
    assert_eq!(
        curator.get("/depositions").expect(200)["items"][0]["file_count"],
        1
    );

    for (name, content, why) in [
        ("a.cif", &b"x"[..], ".txt"),
        ("big.txt", &[b'x'; 21], "20 bytes"),
        ("../a.txt", b"x", "plain file name"),
        ("..", b"x", "plain file name"),
    ] {
        let refused = upload(&owner, &files, name, content).problem(422, "VALIDATION_ERROR");
        assert!(refused["detail"].as_str().unwrap().contains(why), "{refused}");
    }
    upload(&owner, &files, "second.TXT", b"").expect(200);
    let refused = upload(&owner, &files, "third.txt", b"").problem(422, "VALIDATION_ERROR");
    assert!(
        refused["detail"].as_str().unwrap().contains("at most 2"),
        "{refused}"
    );
    assert_eq!(stored(), 2, "nothing of what was refused is stored");
    let wrong = form("upload", "a.txt", b"x");
    owner
        .send(
            "POST",
            &files,
            Some("multipart/form-data; boundary=XX"),
            wrong.as_slice(),
        )
        .unwrap()
        .problem(422, "VALIDATION_ERROR");
    owner
        .send(
            "POST",
            &files,
            Some("multipart/form-data; boundary=XX"),
            &b"no form"[..],
        )
        .unwrap()
        .problem(422, "VALIDATION_ERROR");
    owner
        .send("POST", &files, Some("application/json"), &b"{}"[..])
        .unwrap()
        .problem(415, "unsupported_media_type");
    // Content that never reaches its file is not buffered in memory until it ends.
    let endless = [
        b"--XX\r\nContent-Disposition: form-data; x=".to_vec(),
        vec![b'a'; 3 << 20],
    ]
    .concat();
    for path in [&files, &format!("{path}/spreadsheet")] {
        let refused = owner
            .send(
                "POST",
                path,
                Some("multipart/form-data; boundary=XX"),
                endless.as_slice(),
            )
            .unwrap()
            .problem(422, "VALIDATION_ERROR");
        assert!(
            refused["detail"].as_str().unwrap().contains("besides its file"),
            "{refused}"
        );
    }
    owner
        .delete(&format!("{files}/none.txt"))
        .problem(404, "NotFoundError");
    owner
        .get(&format!("{files}/none.txt"))
        .problem(404, "NotFoundError");
    owner
        .get("/depositions/urn:osa:localhost:dep:nothing")
        .problem(404, "NotFoundError");
    owner
        .get("/depositions/urn:osa:elsewhere.org:dep:nothing")
        .problem(404, "NotFoundError");
    owner
        .get("/depositions/nonsense")
        .problem(422, "VALIDATION_ERROR");
    owner
        .post("/depositions", &json!({"convention_id": "none-such"}))
        .problem(404, "NotFoundError");

    // Every fault of the metadata is reported with its field (WC-D24), and the draft stays one.
    let refused = submit(&owner, &srn).problem(422, "VALIDATION_ERROR");
    let errors = refused["errors"].to_string();
    for field in ["label", "mass", "odd"] {
        assert!(
            errors.contains(&format!("[\"body\",\"metadata\",\"{field}\"]")),
            "{field}: {errors}"
        );
    }
    assert_eq!(get(&owner, &srn)["status"], "draft");
    set(&owner, &srn, &json!({"label": "a"}));
    for name in ["mine.txt", "second.TXT"] {
        assert_eq!(owner.delete(&format!("{files}/{name}")).expect(200), json!({}));
    }
    assert_eq!(stored(), 0);
    let refused = submit(&owner, &srn).problem(422, "VALIDATION_ERROR");
    assert!(
        refused["detail"].as_str().unwrap().contains("at least 1"),
        "{refused}"
    );
}

// proves PIP-1, PIP-3
#[test]
fn what_hooks_reject_or_cannot_judge_comes_back_with_reasons_and_can_be_submitted_again() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, owner) = (server.admin(), world.person(&server, 1, "depositor").client);
    let curator = world.person(&server, 3, "curator").client;
    // Rejects the light as `osa emit` and `osa reject` do, crashes over the heavy, and leaves a stale progress line behind (WC-D30).
    let judge = world.script(
        "judge",
        r#"id=$(sed -e 's/^{"id":"\([^"]*\)".*/\1/' "$OSA_IN/records.jsonl")
if grep -q '"mass":1' "$OSA_IN/records.jsonl"; then echo "{\"id\":\"$id\",\"features\":[]}" > "$OSA_OUT/features.jsonl"; echo '{"status":"rejected","message":"too light"}' > "$OSA_OUT/progress.jsonl"; exit 0; fi
if grep -q '"mass":9' "$OSA_IN/records.jsonl"; then echo secret-words; exit 4; fi
echo "{\"id\":\"$id\",\"features\":[{\"note\":\"fine\"}]}" > "$OSA_OUT/features.jsonl""#,
    );
    let pass = world.script("pass", PASS);
    deploy(&admin, "Judged", &[("judge", &judge), ("pass", &pass)], None);
    let srn = draft(&owner, "judged", &json!({"label": "a", "mass": 1}));
    upload(&owner, &format!("/depositions/{srn}/files"), "a.txt", b"a").expect(200);

    submit(&owner, &srn).expect(200);
    let rejected = validated(&owner, &srn);
    assert_eq!(
        (&rejected["status"], &rejected["validation"]["status"]),
        (&json!("draft"), &json!("rejected"))
    );
    assert_eq!(
        rejected["validation"]["reasons"],
        json!(["hook judge: too light"])
    );

    set(&owner, &srn, &json!({"label": "a", "mass": 9}));
    submit(&owner, &srn).expect(200);
    let failed = validated(&owner, &srn);
    assert_eq!(
        (&failed["status"], &failed["validation"]["status"]),
        (&json!("draft"), &json!("failed"))
    );
    assert_eq!(
        failed["validation"]["reasons"],
        json!(["hook judge: the hook exited with status 4"])
    );
    // The log is for the owner, who asked for the work, and for admins.
    let run = failed["validation"]["run_id"].as_str().unwrap();
    let results = owner.get(&format!("/validation/runs/{run}")).expect(200)["results"].clone();
    let logs = format!("/hooks/runs/{}/logs", results[0]["run_id"].as_str().unwrap());
    assert!(owner.get(&logs).text.contains("secret-words"));
    // So the reason that they see ends with what the hook printed last.
    let judged = logs.trim_end_matches("/logs");
    for may in [&owner, &admin] {
        let failure = may.get(judged).expect(200)["failure"].to_string();
        assert!(
            failure.contains("status 4") && failure.contains("secret-words"),
            "{failure}"
        );
    }
    assert!(!curator.get(judged).text.contains("secret-words"));
    assert!(admin.get(&logs).text.contains("secret-words"));
    curator.get(&logs).problem(404, "NotFoundError");
    owner
        .get(&format!(
            "/hooks/runs/{}/logs",
            results[1]["run_id"].as_str().unwrap()
        ))
        .problem(404, "NotFoundError");
    assert!(!server.log().contains("secret-words"));
    world
        .person(&server, 2, "depositor")
        .client
        .get(&format!("/validation/runs/{run}"))
        .problem(404, "NotFoundError");
    curator.get(&format!("/validation/runs/{run}")).expect(200);

    set(&owner, &srn, &json!({"label": "a", "mass": 5}));
    submit(&owner, &srn).expect(200);
    assert_eq!(validated(&owner, &srn)["status"], "accepted");
    assert_eq!(server.anonymous().rows("judged-schema/judge", 10).len(), 1);
    let logged = events(&admin, &srn);
    let count = |kind: &str| logged.iter().filter(|entry| *entry == kind).count();
    assert_eq!(
        (
            count("ValidationFailed"),
            count("ValidationCompleted"),
            count("DepositionApproved")
        ),
        (2, 3, 1)
    );

    // An image that is not what was released: given back, with what is wrong.
    std::fs::write(&judge, "#!/bin/sh\nexit 0").unwrap();
    let srn = draft(&owner, "judged", &json!({"label": "b"}));
    upload(&owner, &format!("/depositions/{srn}/files"), "a.txt", b"a").expect(200);
    submit(&owner, &srn).expect(200);
    let failed = validated(&owner, &srn);
    assert_eq!(failed["validation"]["status"], "failed");
    assert!(
        failed["validation"]["reasons"][0]
            .as_str()
            .unwrap()
            .contains("its image cannot be run"),
        "{failed}"
    );
}

// proves EDG-1
#[test]
fn a_form_with_two_files_is_refused_because_one_would_be_lost() {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    deploy(&admin, "Two-files", &[("pass", &pass)], None);
    let srn = draft(&admin, "two-files", &json!({"label": "a"}));
    let files = format!("/depositions/{srn}/files");
    let mut two = form("file", "one.txt", b"one");
    two.truncate(two.len() - b"--XX--\r\n".len());
    two.extend(form("file", "two.txt", b"two"));
    let kind = Some("multipart/form-data; boundary=XX");
    let refused = admin
        .send("POST", &files, kind, two.as_slice())
        .unwrap()
        .problem(422, "VALIDATION_ERROR");
    assert!(
        refused["detail"].as_str().unwrap().contains("two files"),
        "{refused}"
    );
    admin
        .get(&format!("{files}/one.txt"))
        .problem(404, "NotFoundError");
    // Other fields after a file are no obstacle, nor is a form whose pieces are all there at once.
    let zeros = vec![b'0'; 1_000_000];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, &form("file", "zeros.txt", &zeros)).unwrap();
    let packed = gzip.finish().unwrap();
    let told = admin
        .send_with(
            "POST",
            &files,
            kind,
            Some(("content-encoding", "gzip")),
            packed.as_slice(),
        )
        .unwrap();
    // What is refused is the file's own size, after it was read so far.
    let told = told.problem(422, "VALIDATION_ERROR");
    assert!(
        !told["detail"].as_str().unwrap().contains("besides its file"),
        "{told}"
    );
    let mut one = form("file", "one.txt", b"one");
    one.truncate(one.len() - b"--XX--\r\n".len());
    one.extend(form("note", "x.txt", &vec![b'x'; 30_000]));
    admin
        .send("POST", &files, kind, one.as_slice())
        .unwrap()
        .expect(200);
    assert_eq!(admin.send_raw(&format!("{files}/one.txt")).1, b"one");
}
