//! An ingester in its container (WC-5.2).
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though not all of them functions with #[test]"
)]

mod common;

use common::{Place, eventually, pull_job, text};
use domain::FailureKind;
use futures::StreamExt as _;
use ports::{PullAttempt, PullJob, PulledFile, Runner as _};
use runner_docker::{DockerRunner, DockerRunnerOptions};
use serde_json::json;
use time::macros::datetime;

async fn content(file: PulledFile) -> Vec<u8> {
    let parts: Vec<_> = file.content.collect().await;
    parts
        .into_iter()
        .flat_map(|part| part.unwrap().to_vec())
        .collect()
}

async fn pull(place: &Place, script: &str) -> PullAttempt {
    let image = place.script(script).await;
    place.runner().await.pull(&pull_job(&image)).await.unwrap()
}

// proves PIP-4
#[tokio::test]
async fn an_ingesters_records_session_and_files_come_back() {
    let Some(place) = Place::new().await else { return };
    let image = place
        .script(
            r#"cat "$OSA_IN/session.json" "$OSA_IN/config.json"; echo
            echo "$OSA_LIMIT|$OSA_SINCE|$OSA_OFFSET|$OSA_IN|$OSA_OUT|$OSA_FILES|$OSA_HOOK_NAME"
            echo '{"source_id":"a:1@2"}' > "$OSA_OUT/records.jsonl"; echo '{"next":2}' > "$OSA_OUT/session.json"
            mkdir "$OSA_FILES/a:1@2"; echo content > "$OSA_FILES/a:1@2/data.txt"; ln -s /etc/passwd "$OSA_FILES/a:1@2/link"
            touch /bin/anywhere && echo "root writable"; touch "$OSA_IN/x" 2>/dev/null || echo "input readonly"
            id -u; sed -n 's/^CapEff:.//p;s/^NoNewPrivs:.//p' /proc/self/status"#,
        )
        .await;
    let runner = place.runner().await;
    let first = PullJob {
        session: json!({"next": 1}).as_object().cloned(),
        config: json!({"k": 1}).as_object().cloned().unwrap(),
        since: Some(datetime!(2026-01-02 03:04:05 UTC)),
        offset: 9,
        ..pull_job(&image)
    };
    let attempt = runner.pull(&first).await.unwrap();
    let log = text(&attempt.log);
    assert_eq!(attempt.failure, None, "{log}");
    let lines: Vec<&str> = log.lines().collect();
    let expected = [
        r#"{"next":1}{"k":1}"#,
        "7|2026-01-02T03:04:05Z|9|/osa/in|/osa/out|/osa/files|",
        "root writable",
        "input readonly",
        "0",
        "0000000000000000",
        "1",
    ];
    assert_eq!(lines, expected);
    assert_eq!(text(&attempt.records), "{\"source_id\":\"a:1@2\"}\n");
    assert_eq!(text(&attempt.session.unwrap()), "{\"next\":2}\n");
    let id = "a:1@2".parse().unwrap();
    let file = attempt
        .files
        .open(&id, &"data.txt".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (file.bytes, text(&content(file).await).as_str()),
        (8, "content\n")
    );
    for missing in ["link", "other"] {
        let found = attempt.files.open(&id, &missing.parse().unwrap()).await.unwrap();
        assert!(found.is_none(), "{missing}");
    }
    assert_eq!(place.containers().await, Vec::<String>::new());
    assert_eq!(place.attempts_left(), 1);
    drop(attempt.files);
    eventually(5, "no work directory", || place.attempts_left() == 0).await;
}

#[tokio::test]
async fn an_ingester_without_a_session_is_the_last() {
    let Some(place) = Place::new().await else { return };
    let attempt = pull(
        &place,
        r#"ls "$OSA_IN"; echo "$OSA_LIMIT|$OSA_SINCE|$OSA_OFFSET|""#,
    )
    .await;
    assert_eq!((attempt.failure, text(&attempt.log).as_str()), (None, "7|||\n"));
    assert!(attempt.session.is_none() && attempt.records.is_empty());
}

#[tokio::test]
async fn an_ingester_that_fails_is_upstreams_failure_in_words() {
    let Some(place) = Place::new().await else { return };
    let attempt = pull(
        &place,
        r#"echo '{"source_id":"a"}' > "$OSA_OUT/records.jsonl"; echo no answer >&2; exit 5"#,
    )
    .await;
    match &attempt.failure {
        Some(FailureKind::Upstream(why)) => assert!(why.contains("status 5"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(text(&attempt.log), "no answer\n");
    assert_eq!(text(&attempt.records), "{\"source_id\":\"a\"}\n");
}

#[tokio::test]
async fn an_ingester_has_the_network_that_the_options_name() {
    let Some(place) = Place::new().await else { return };
    let script = r"sed -n 's/^ *\([a-z0-9]*\):.*/\1/p' /proc/net/dev";
    let log = text(&pull(&place, script).await.log);
    assert!(log.lines().any(|interface| interface != "lo"), "{log}");
    let none = DockerRunnerOptions {
        ingester_network: "none".to_owned(),
        ..place.options()
    };
    let runner = DockerRunner::new(none).await.unwrap();
    let image = place.script(script).await;
    let log = text(&runner.pull(&pull_job(&image)).await.unwrap().log);
    assert_eq!(log, "lo\n");
}

#[tokio::test]
async fn an_ingester_that_fills_its_container_or_its_files_is_ended() {
    let Some(place) = Place::new().await else { return };
    let options = DockerRunnerOptions {
        most_disk_bytes: 20 << 20,
        ..place.options()
    };
    let runner = DockerRunner::new(options).await.unwrap();
    for target in ["/osa/files/big", "/osa/out/big", "/bin/big"] {
        let image = place
            .script(&format!("head -c 60000000 /dev/zero > {target}; sleep 1000"))
            .await;
        let attempt = runner.pull(&pull_job(&image)).await.unwrap();
        match &attempt.failure {
            Some(FailureKind::Output(why)) => assert!(why.contains("bytes to disk"), "{why}"),
            other => panic!("{target}: {other:?}"),
        }
    }
    assert_eq!(place.containers().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_hog_and_a_file_image_fail_differently() {
    let Some(place) = Place::new().await else { return };
    let image = place.script("tail /dev/zero").await;
    let runner = place.runner().await;
    let small = PullJob {
        limits: domain::Limits::parse(60, "32m", "1").unwrap(),
        ..pull_job(&image)
    };
    let attempt = runner.pull(&small).await.unwrap();
    assert_eq!(attempt.failure, Some(FailureKind::Oom(32 << 20)));
    let file = PullJob {
        image: "file:/opt/ingester".to_owned(),
        ..pull_job(&image)
    };
    let attempt = runner.pull(&file).await.unwrap();
    assert!(matches!(attempt.failure, Some(FailureKind::ImageUnusable(_))));
}
