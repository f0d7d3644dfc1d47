//! HTTP middleware: request ids, HEAD, conditional requests, compression, CORS, rate limits.

use std::io::Read as _;

use blackbox::World;
use blackbox::fixtures::{PASS, small};
use serde_json::{Value, json};

/// A server with one record of `small-things` and options.
fn with_record(options: &[(&str, &str)]) -> (World, blackbox::Server, String) {
    let world = World::start();
    let server = world.serve_with("a", options);
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    admin
        .post(
            "/conventions",
            &small("Small things", "small", &[("pass", &pass)]),
        )
        .expect(201);
    let run = admin.open("small-things", 10);
    admin.push_lines(
        &run,
        "{\"source_id\": \"a\", \"metadata\": {\"label\": \"a\", \"mass\": 1}}\n",
    );
    admin.finish(&run);
    let page = server.anonymous().get("/data/small/records").expect(200);
    let id = page["rows"][0]["id"].as_str().unwrap().to_owned();
    (world, server, id)
}

// proves DAT-1
#[test]
fn what_a_client_has_is_not_sent_again() {
    let (world, server, id) = with_record(&[]);
    let anonymous = server.anonymous();
    for path in [
        format!("/api/v1/data/records/{id}@1"),
        format!("/api/v1/data/records/{id}"),
        "/api/v1/hooks/pass/releases/1".to_owned(),
        "/api/v1/data/small".to_owned(),
    ] {
        let first = anonymous.fetch("GET", &path, &[], "").unwrap();
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{path} {tag}");
        // Also of a version of a record: it may be withdrawn.
        assert_eq!(first.header("cache-control"), "no-cache", "{path}");
        let again = anonymous
            .fetch("GET", &path, &[("if-none-match", &tag)], "")
            .unwrap();
        if path.ends_with("/small") && again.status == 200 {
            // Counted again meanwhile: the time of the count is part of it.
            continue;
        }
        assert_eq!((again.status, again.bytes.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), tag);
        let other = anonymous
            .fetch("GET", &path, &[("if-none-match", "\"other\"")], "")
            .unwrap();
        assert_eq!(other.status, 200, "{path}");
        // A manifest may have been counted anew between the two.
        if !path.ends_with("/small") {
            assert_eq!(other.bytes, first.bytes, "{path}");
        }
    }
    // A yank is seen at once.
    let path = "/api/v1/hooks/pass/releases/1";
    let before = anonymous.fetch("GET", path, &[], "").unwrap();
    let admin = server.admin();
    let other = world.script("other", &format!("{PASS} # two"));
    admin
        .post(
            "/hooks/pass/releases",
            &json!({"image": format!("file:{}", other.display()), "digest": blackbox::world::digest(&other), "config": {}, "source_ref": "git:2"}),
        )
        .expect(201);
    let after = anonymous
        .fetch("GET", path, &[("if-none-match", before.header("etag"))], "")
        .unwrap();
    assert_eq!(after.status, 200);
    assert!(after.text().contains("\"live\":false"));
}

// proves DAT-1
#[test]
fn head_is_get_without_the_content() {
    let (_world, server, id) = with_record(&[]);
    let anonymous = server.anonymous();
    for path in [
        format!("/api/v1/data/records/{id}@1"),
        "/api/v1/data/small/records".to_owned(),
        "/api/v1/data/small/records.csv".to_owned(),
        "/api/v1/health".to_owned(),
        "/".to_owned(),
        "/openapi.json".to_owned(),
    ] {
        let plain = [("accept-encoding", "identity")];
        let get = anonymous.fetch("GET", &path, &plain, "").unwrap();
        let head = anonymous.fetch("HEAD", &path, &plain, "").unwrap();
        assert_eq!((head.status, head.bytes.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert_eq!(head.header("etag"), get.header("etag"), "{path}");
        if !get.header("content-type").starts_with("text/csv") {
            assert_eq!(
                head.header("content-length"),
                get.bytes.len().to_string(),
                "{path}"
            );
        }
    }
    assert_eq!(
        anonymous
            .fetch("HEAD", "/api/v1/nothing", &[], "")
            .unwrap()
            .status,
        404
    );
    assert_eq!(
        anonymous
            .fetch("HEAD", "/api/v1/conventions/nothing-here", &[], "")
            .unwrap()
            .status,
        404
    );
}

// proves DAT-1
#[test]
fn answers_are_compressed_as_the_client_likes() {
    let (_world, server, _) = with_record(&[]);
    let anonymous = server.anonymous();
    for path in [
        "/openapi.json",
        "/api/v1/data/small/records.csv",
        "/api/v1/data/small",
    ] {
        let plain = anonymous
            .fetch("GET", path, &[("accept-encoding", "identity")], "")
            .unwrap();
        assert_eq!(plain.header("content-encoding"), "");
        assert!(
            plain.header("vary").to_lowercase().contains("accept-encoding"),
            "{path}"
        );
        let gzip = anonymous
            .fetch("GET", path, &[("accept-encoding", "gzip")], "")
            .unwrap();
        assert_eq!(gzip.header("content-encoding"), "gzip");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&gzip.bytes[..])
            .read_to_string(&mut text)
            .unwrap();
        let zstd = anonymous
            .fetch("GET", path, &[("accept-encoding", "gzip;q=0.5, zstd")], "")
            .unwrap();
        assert_eq!(zstd.header("content-encoding"), "zstd");
        // The magic number of a frame (RFC 8878 3.1.1).
        assert_eq!(zstd.bytes[..4], [0x28, 0xb5, 0x2f, 0xfd]);
        if path != "/api/v1/data/small" {
            assert_eq!(text, plain.text(), "{path}");
        }
    }
    // A table that is compressed already is not compressed again.
    let twice = anonymous
        .fetch(
            "GET",
            "/api/v1/data/small/records.csv.gz",
            &[("accept-encoding", "gzip")],
            "",
        )
        .unwrap();
    assert_eq!(twice.header("content-encoding"), "");
}

// proves DAT-1
#[test]
fn pages_of_named_origins_may_read_and_nothing_else() {
    let (_world, server, _) =
        with_record(&[("HALLMARK_HTTP__CORS_ORIGINS", "[\"https://lab.example.org\"]")]);
    let anonymous = server.anonymous();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        anonymous.fetch(method, path, headers, "").unwrap()
    };
    let lab = ("origin", "https://lab.example.org");
    let read = ask("GET", "/api/v1/data/small/records", &[lab]);
    assert_eq!(read.header("access-control-allow-origin"), lab.1);
    assert!(read.header("vary").contains("Origin"), "{:?}", read.headers);
    assert!(read.header("access-control-allow-credentials").is_empty());
    let stranger = ask(
        "GET",
        "/api/v1/data/small/records",
        &[("origin", "https://evil.example")],
    );
    assert_eq!(
        (stranger.status, stranger.header("access-control-allow-origin")),
        (200, "")
    );
    let preflight = |path: &str, method: &str| {
        ask(
            "OPTIONS",
            path,
            &[
                lab,
                ("access-control-request-method", method),
                ("access-control-request-headers", "content-type"),
            ],
        )
    };
    let query = preflight("/api/v1/data/small/records", "POST");
    assert_eq!(
        (query.status, query.header("access-control-allow-origin")),
        (204, lab.1)
    );
    for (path, method) in [
        ("/api/v1/conventions", "POST"),
        ("/api/v1/hooks/pass/live", "PUT"),
        ("/api/v1/data/small/records", "DELETE"),
    ] {
        let refused = preflight(path, method);
        assert_eq!(
            refused.header("access-control-allow-origin"),
            "",
            "{method} {path}"
        );
        assert_eq!(refused.status, 405, "{method} {path}");
    }
    // Without configuration there is no such header.
    let world = World::start();
    let closed = world.serve("b");
    let answer = closed
        .anonymous()
        .fetch("GET", "/api/v1/data", &[lab], "")
        .unwrap();
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

// proves DAT-1
#[test]
fn too_many_requests_are_refused_with_a_time_to_retry() {
    let (_world, server, _) = with_record(&[
        ("HALLMARK_HTTP__TABLE_POSTS_PER_MINUTE", "3"),
        ("HALLMARK_HTTP__CLIENT_HEADER", "X-Forwarded-For"),
    ]);
    let anonymous = server.anonymous();
    let post = |table: &str, client: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("x-forwarded-for", client),
            ("x-request-id", "mine-1"),
        ];
        anonymous
            .fetch("POST", &format!("/api/v1/data/small/{table}"), &headers, "{}")
            .unwrap()
    };
    for _ in 0..3 {
        assert_eq!(post("records", "10.0.0.1").status, 200);
    }
    let full = post("records", "10.0.0.1");
    assert_eq!(full.status, 429);
    let wait: u64 = full.header("retry-after").parse().unwrap();
    assert!((1..=21).contains(&wait), "{wait}");
    let body: Value = serde_json::from_slice(&full.bytes).unwrap();
    assert_eq!(body["code"], "rate_limited");
    assert_eq!(full.header("content-type"), "application/problem+json");
    assert_eq!(full.header("x-request-id"), "mine-1");
    // A filter costs the same by GET.
    let get = |path: &str| {
        let client = [("x-forwarded-for", "10.0.0.1")];
        anonymous.fetch("GET", path, &client, "").unwrap().status
    };
    let filter = "filter=%7B%22kind%22%3A%22predicate%22%2C%22field%22%3A%22metadata.label%22%2C%22op%22%3A%22eq%22%2C%22value%22%3A%22a%22%7D";
    assert_eq!(get(&format!("/api/v1/data/small/records?{filter}")), 429);
    assert_eq!(get(&format!("/data/small/records?{filter}")), 200);
    // Another table, another client, and reads are not held up by it. What a client writes before the proxy's entry does not count.
    assert_eq!(post("pass", "10.0.0.1").status, 200);
    assert_eq!(post("records", "10.0.0.2").status, 200);
    assert_eq!(post("records", "10.9.9.9, 10.0.0.1").status, 429);
    assert_eq!(
        anonymous
            .fetch(
                "GET",
                "/api/v1/data/small/records",
                &[("x-forwarded-for", "10.0.0.1")],
                ""
            )
            .unwrap()
            .status,
        200
    );
}

#[test]
fn every_answer_has_its_request_id() {
    let world = World::start();
    let server = world.serve("a");
    let anonymous = server.anonymous();
    let id = |path: &str, given: &str| {
        let answer = anonymous
            .fetch("GET", path, &[("x-request-id", given)], "")
            .unwrap();
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(id("/api/v1/health", "abc-123.X_y"), "abc-123.X_y");
    for bad in ["", "a b", "<script>", &"x".repeat(200)] {
        let new = id("/api/v1/nothing", bad);
        assert_eq!(new.len(), 36, "{new}");
        assert_ne!(new, id("/api/v1/nothing", bad));
    }
    assert!(server.log().contains("abc-123.X_y"));
}
