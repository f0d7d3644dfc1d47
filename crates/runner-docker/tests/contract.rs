//! The container contract as a hook finds it (WC-5.1), and what is made of what it leaves behind.

mod common;

use bytes::Bytes;
use common::{PASS_ALL, Place, job, record, run, text};
use domain::{FailureKind, TaskId};
use futures::StreamExt as _;
use ports::{Blobs as _, HookJob, RecordFile, Runner as _};
use serde_json::{Value, json};
use storage_adapter::BlobStore;

// proves PIP-4, PRV-3
#[tokio::test]
async fn a_hook_reads_its_records_and_its_four_files_come_back() {
    let Some(place) = Place::new().await else { return };
    let image = place
        .script(
            r#"cp "$OSA_IN/records.jsonl" "$OSA_OUT/features.jsonl"; echo '{"id":"b","reason":"r"}' > "$OSA_OUT/rejections.jsonl"
            echo e > "$OSA_OUT/errors.jsonl"; echo p > "$OSA_OUT/progress.jsonl"; ls "$OSA_IN" "$OSA_FILES" >&2
            echo "$OSA_HOOK_NAME $OSA_IN $OSA_OUT $OSA_FILES""#,
        )
        .await;
    let runner = place.runner().await;
    let job = job(&image);
    let attempt = run(&runner, &job).await;
    assert_eq!(attempt.failure, None, "{}", text(&attempt.log));
    let lines: Vec<Value> = text(&attempt.output.features.to_vec().unwrap())
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let first = json!({"id": "a:1@2", "metadata": {"x": 1}, "size_hint_mb": 0.5});
    let second = json!({"id": "b", "metadata": {"y": "ü"}, "size_hint_mb": 0.5});
    assert_eq!(lines, [first, second]);
    assert_eq!(
        text(&attempt.output.rejections.to_vec().unwrap()),
        "{\"id\":\"b\",\"reason\":\"r\"}\n"
    );
    assert_eq!(
        (
            text(&attempt.output.errors.to_vec().unwrap()).as_str(),
            text(&attempt.output.progress.to_vec().unwrap()).as_str()
        ),
        ("e\n", "p\n")
    );
    let stamp = attempt.stamp.unwrap();
    assert_eq!((stamp.run, stamp.release), (job.run, job.release));
    let log = text(&attempt.log);
    assert!(
        log.contains("records.jsonl") && !log.contains("config.json"),
        "{log}"
    );
    assert!(log.contains("the_hook /osa/in /osa/out /osa/files\n"), "{log}");
    assert!(!attempt.duration.is_zero());
    assert!(["docker", "podman"].contains(&runner.name(&image.reference)));
    assert!(runner.describe().contains(&place.host), "{}", runner.describe());
    place.assert_clean().await;
}

#[tokio::test]
async fn config_is_a_file_only_when_there_is_any() {
    let Some(place) = Place::new().await else { return };
    let image = place
        .script(r#"cat "$OSA_IN/config.json" 2>/dev/null || echo none"#)
        .await;
    let runner = place.runner().await;
    assert_eq!(text(&run(&runner, &job(&image)).await.log), "none\n");
    let mut with = job(&image);
    with.config.insert("k".into(), json!([1, null]));
    assert_eq!(text(&run(&runner, &with).await.log), r#"{"k":[1,null]}"#);
}

#[tokio::test]
async fn features_json_is_read_of_a_single_record() {
    let Some(place) = Place::new().await else { return };
    let image = place
        .script(r#"printf '[\n{"v": 1}\n]\n' > "$OSA_OUT/features.json""#)
        .await;
    let runner = place.runner().await;
    let alone = HookJob {
        records: vec![record("only", json!({}))],
        ..job(&image)
    };
    let features = text(&run(&runner, &alone).await.output.features.to_vec().unwrap());
    let line: Value = serde_json::from_str(&features).unwrap();
    assert_eq!(line, json!({"id": "only", "features": [{"v": 1}]}));
}

// The ids are directories under their exact names, colons and all (WC-D11).
#[tokio::test]
async fn files_are_found_under_exact_ids_and_cannot_be_changed() {
    let Some(place) = Place::new().await else { return };
    let image = place
        .script(r#"cat "$OSA_FILES/a:1@2/data.txt"; touch "$OSA_FILES/a:1@2/more" 2> /dev/null || echo refused; ls "$OSA_FILES""#)
        .await;
    let runner = place.runner().await;
    let blobs = BlobStore::in_memory();
    let content = futures::stream::iter([Ok(Bytes::from_static(b"content\n"))]).boxed();
    let stored = blobs.put_stream("the-key", content, u64::MAX).await.unwrap();
    let file = RecordFile {
        record: "a:1@2".parse().unwrap(),
        name: "data.txt".parse().unwrap(),
        key: "the-key".to_owned(),
        bytes: stored.bytes,
        sha256: stored.sha256,
    };
    let task = TaskId::from_uuid(uuid::Uuid::new_v4());
    // Content that is not what was stored is not staged.
    let other = RecordFile {
        sha256: [0; 32],
        ..file.clone()
    };
    let refused = runner.stage("image", task, &blobs, &[other]).await.unwrap_err();
    assert!(refused.source.to_string().contains("not what was stored"));
    let staged = runner.stage("image", task, &blobs, &[file]).await.unwrap();
    let with = HookJob {
        files: Some(staged),
        ..job(&image)
    };
    // The same files are there for each hook and each attempt.
    for _ in 0..2 {
        let attempt = run(&runner, &with).await;
        assert_eq!(text(&attempt.log), "content\nrefused\na:1@2\n");
    }
    drop(with);
    place.assert_clean().await;
}

// WC-D30: nothing of one attempt is seen by the next.
#[tokio::test]
async fn each_attempt_has_a_fresh_directory() {
    let Some(place) = Place::new().await else { return };
    let image = place.script(r#"ls "$OSA_OUT"; touch "$OSA_OUT/left""#).await;
    let runner = place.runner().await;
    let job = job(&image);
    for _ in 0..2 {
        let attempt = run(&runner, &job).await;
        assert_eq!((attempt.failure, text(&attempt.log).as_str()), (None, ""));
    }
    place.assert_clean().await;
}

// WC-D19: what a hook leaves is never followed.
#[tokio::test]
async fn a_link_or_a_fifo_in_place_of_output_is_refused() {
    let Some(place) = Place::new().await else { return };
    let runner = place.runner().await;
    for (script, expected) in [
        (r#"ln -s /etc/passwd "$OSA_OUT/features.jsonl""#, "symbolic link"),
        (r#"mkfifo "$OSA_OUT/errors.jsonl""#, "not a regular file"),
        (r#"mkdir "$OSA_OUT/progress.jsonl""#, "not a regular file"),
        (
            r#"echo x > "$OSA_OUT/a"; ln "$OSA_OUT/a" "$OSA_OUT/rejections.jsonl""#,
            "a link to a file",
        ),
    ] {
        let image = place.script(script).await;
        let attempt = run(&runner, &job(&image)).await;
        match &attempt.failure {
            Some(FailureKind::Output(why)) => assert!(why.contains(expected), "{why}"),
            other => panic!("{script}: {other:?}: {}", text(&attempt.log)),
        }
        assert!(attempt.output.features.is_empty());
    }
    place.assert_clean().await;
}

#[tokio::test]
async fn attempts_run_side_by_side() {
    let Some(place) = Place::new().await else { return };
    let image = place.script(&format!("sleep 1; {PASS_ALL}")).await;
    let runner = place.runner().await;
    let (first, second) = (job(&image), job(&image));
    let (a, b) = tokio::join!(runner.run(&first), runner.run(&second));
    for attempt in [a.unwrap(), b.unwrap()] {
        assert_eq!(attempt.failure, None, "{}", text(&attempt.log));
        assert_eq!(
            text(&attempt.output.features.to_vec().unwrap()).lines().count(),
            2
        );
    }
    place.assert_clean().await;
}
