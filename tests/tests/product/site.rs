//! What people and agents read: pages, `/`, `/SKILL.md`, and the description of a schema.

use blackbox::fixtures::{penguins, push_penguins};
use blackbox::{Client, World};
use serde_json::{Value, json};

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

fn page(client: &Client, path: &str) -> (u16, String) {
    let answer = client.fetch("GET", path, &[HTML], "").unwrap();
    assert_eq!(
        answer.header("content-type"),
        "text/html; charset=utf-8",
        "{path}"
    );
    assert!(
        answer
            .header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    (answer.status, answer.text())
}

/// Every address on a page that is the server's own.
fn links(html: &str) -> Vec<String> {
    html.split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"))
        .filter(|link| link.starts_with('/'))
        .collect()
}

// proves DAT-1, PRV-6
#[test]
fn people_can_walk_from_the_front_page_to_every_trace() {
    let world = World::start();
    let server = world.serve_with(
        "a",
        &[
            ("OSA_NAME", "Birds & <more>"),
            ("OSA_DESCRIPTION", "Measured \"birds\"."),
        ],
    );
    let admin = server.admin();
    // An archive without anything has a front page, too.
    let anonymous = server.anonymous();
    assert_eq!(page(&anonymous, "/").0, 200);
    admin.post("/conventions", &penguins()).expect(201);
    let run = admin.open("palmer-penguins", 100);
    push_penguins(&admin, &run).expect(200);
    admin.finish(&run);

    let (status, front) = page(&anonymous, "/");
    assert_eq!(status, 200);
    for said in [
        "Birds &amp; &lt;more&gt;",
        "Palmer penguins",
        "penguin_shape",
        "333",
        "/docs",
        "/SKILL.md",
    ] {
        assert!(front.contains(said), "{said}");
    }
    // Every link of ours leads somewhere: pages, tables, traces, documents.
    let mut seen = std::collections::BTreeSet::new();
    let mut waiting = vec!["/".to_owned()];
    let (mut traces, mut records) = (0, 0);
    while let Some(path) = waiting.pop() {
        if seen.len() > 120 || !seen.insert(path.clone()) || path.contains("/events") {
            continue;
        }
        let answer = anonymous.fetch("GET", &path, &[HTML], "").unwrap();
        assert_eq!(answer.status, 200, "{path}");
        let kind = answer.header("content-type").to_owned();
        if kind.starts_with("text/html") && path != "/docs" {
            let html = answer.text();
            if path.contains("/rows/") {
                traces += 1;
                assert!(html.contains("<svg") && html.contains("git:0123abc"), "{path}");
                assert!(!html.contains("Local Admin"), "a name of a person in {path}");
            }
            records += usize::from(path.starts_with("/data/records/"));
            let mut found = links(&html);
            found.truncate(40);
            waiting.extend(found);
        }
    }
    assert!(traces > 5 && records > 5, "{traces} {records} of {seen:?}");

    let (status, missing) = page(&anonymous, "/data/palmer-penguins/%3Cb%3Enothing");
    assert_eq!(status, 404);
    assert!(!missing.contains("<b>"), "{missing}");
    assert_eq!(page(&anonymous, "/data/palmer-penguins/records?limit=x").0, 422);
    let sorted = page(
        &anonymous,
        "/data/palmer-penguins/records?sort=body_mass_g:desc&limit=5",
    )
    .1;
    let next = links(&sorted)
        .into_iter()
        .find(|link| link.contains("cursor="))
        .unwrap();
    assert!(next.contains("sort=") && next.contains("limit=5"), "{next}");
    assert_eq!(page(&anonymous, &next).0, 200);
}

// proves DAT-1
#[test]
fn programs_and_agents_get_what_the_contract_says() {
    let world = World::start();
    let server = world.serve_with("a", &[("OSA_NAME", "Birds"), ("OSA_DESCRIPTION", "Of birds")]);
    let (admin, anonymous) = (server.admin(), server.anonymous());
    admin.post("/conventions", &penguins()).expect(201);
    let run = admin.open("palmer-penguins", 400);
    push_penguins(&admin, &run).expect(200);
    admin.finish(&run);

    let root = anonymous.fetch("GET", "/", &[], "").unwrap();
    let root: Value = serde_json::from_slice(&root.bytes).unwrap();
    let base = root["reference_base"]
        .as_str()
        .unwrap()
        .strip_suffix("/api/v1/data/")
        .unwrap();
    assert_eq!(
        root,
        json!({
            "node": {"name": "Birds", "domain": "localhost", "description": "Of birds", "osa_version": env!("CARGO_PKG_VERSION")},
            "skill_url": format!("{base}/SKILL.md"), "reference_base": format!("{base}/api/v1/data/"),
            "data_url": format!("{base}/api/v1/data"), "openapi_url": format!("{base}/openapi.json"),
            "schemas": ["palmer-penguins@1.0.0"],
        })
    );
    let skill = anonymous.fetch("GET", "/SKILL.md", &[], "").unwrap();
    assert_eq!(skill.header("content-type"), "text/markdown; charset=utf-8");
    let skill = skill.text();
    for said in [
        "name: osa-data-localhost",
        "# Birds",
        "palmer-penguins",
        "333",
        "penguin_shape",
        "/api/v1/data/palmer-penguins",
    ] {
        assert!(skill.contains(said), "{said} in {skill}");
    }
    let described = anonymous
        .fetch("GET", "/api/v1/data/palmer-penguins.md", &[], "")
        .unwrap();
    assert_eq!(described.header("content-type"), "text/markdown; charset=utf-8");
    let described = described.text();
    for said in [
        "features.penguin_shape.body_mass_index",
        "body_mass_g",
        "```",
        "333",
        "/trace",
    ] {
        assert!(described.contains(said), "{said} in {described}");
    }
    anonymous
        .get("/data/no-such-schema.md")
        .problem(404, "schema_not_found");
}

// proves DAT-1
#[test]
fn statistics_and_metrics_of_the_archive_are_served() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, anonymous) = (server.admin(), server.anonymous());
    admin.post("/conventions", &penguins()).expect(201);
    let run = admin.open("palmer-penguins", 100);
    push_penguins(&admin, &run).expect(200);
    admin.finish(&run);
    let stats = anonymous.get("/stats").expect(200);
    assert_eq!(
        [
            &stats["records"],
            &stats["records_this_month"],
            &stats["features_per_record"],
            &stats["storage_bytes"]
        ],
        [&json!(333), &json!(333), &json!(2.0), &json!(0)]
    );
    let metrics = anonymous.fetch("GET", "/metrics", &[], "").unwrap();
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = metrics.text();
    for line in [
        "osa_hook_runs_total{hook=\"penguin_shape\",status=\"passed\"} 4",
        "osa_ingest_batches_total{outcome=\"completed\",kind=\"\"} 4",
        "osa_records_published_total 333",
        "# TYPE osa_db_pool_size gauge",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
}
