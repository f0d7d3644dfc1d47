//! The sandbox as a hook sees it from inside (WC-5.1).

mod common;

use std::collections::HashMap;

use common::{Place, job, run, text};
use ports::HookJob;

/// Prints facts, one `name=value` a line.
const FACTS: &str = r#"
say() { echo "$1=$(eval "$2" 2>/dev/null)"; }
say uid 'id -u'; say gid 'id -g'; say groups 'id -G'
say capabilities "sed -n 's/^CapEff:.//p' /proc/self/status"
say bounding "sed -n 's/^CapBnd:.//p' /proc/self/status"
say no_new_privileges "sed -n 's/^NoNewPrivs:.//p' /proc/self/status"
say interfaces "sed -n 's/^ *\([a-z0-9]*\):.*/\1/p' /proc/net/dev | tr '\n' ' '"
say root 'touch /x && echo writable || echo readonly'
say input 'touch /osa/in/x && echo writable || echo readonly'
say files 'touch /osa/files/x && echo writable || echo readonly'
say out 'touch /osa/out/x && echo writable || echo readonly'
say tmp 'touch /tmp/x && echo writable || echo readonly'
say tmp_options "sed -n 's|^tmpfs /tmp tmpfs \([^ ]*\).*|\1|p' /proc/mounts"
say tmp_run 'cp /bin/busybox /tmp/true && /tmp/true && echo runs || echo refused'
say volume "sed -n 's|^\([a-z]*\) /declared .*|\1|p' /proc/mounts"
say pid 'echo $PPID $$'
say pids 'cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max | head -n 1'
say memory 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max | head -n 1'
say server_environment 'echo $HALLMARK_TEST_DOCKER_HOST$CARGO'
say image_environment 'echo $OF_THE_IMAGE'
say entrypoint_arguments 'echo "$0"'
"#;

// proves PIP-4
#[tokio::test]
async fn a_hook_is_uid_65534_without_network_and_writes_only_where_it_may() {
    let Some(place) = Place::new().await else { return };
    let entrypoint = serde_json::json!(["/bin/sh", "-c", FACTS]);
    let changes = [
        format!("ENTRYPOINT {entrypoint}"),
        r#"CMD ["of the image"]"#.to_owned(),
        "USER 0".to_owned(),
        "ENV OF_THE_IMAGE=kept".to_owned(),
        "VOLUME /declared".to_owned(),
        "HEALTHCHECK --interval=1s CMD touch /osa/out/health".to_owned(),
    ];
    let image = place.image(&changes).await;
    let attempt = run(&place.runner().await, &job(&image)).await;
    let log = text(&attempt.log);
    assert_eq!(attempt.failure, None, "{log}");
    let facts: HashMap<&str, &str> = log.lines().filter_map(|line| line.split_once('=')).collect();
    for (name, value) in [
        ("uid", "65534"),
        ("gid", "65534"),
        ("groups", "65534"),
        ("capabilities", "0000000000000000"),
        ("bounding", "0000000000000000"),
        ("no_new_privileges", "1"),
        ("interfaces", "lo "),
        ("root", "readonly"),
        ("input", "readonly"),
        ("files", "readonly"),
        ("out", "writable"),
        ("tmp", "writable"),
        ("tmp_run", "refused"),
        ("volume", "tmpfs"),
        ("pids", "256"),
        ("memory", "268435456"),
        ("server_environment", ""),
        ("image_environment", "kept"),
        ("entrypoint_arguments", "of the image"),
    ] {
        assert_eq!(facts.get(name), Some(&value), "{name}: {log}");
    }
    let options: Vec<&str> = facts["tmp_options"].split(',').collect();
    for option in ["rw", "noexec", "nosuid", "size=102400k"] {
        assert!(options.contains(&option), "{options:?}");
    }
    assert!(facts["pid"].ends_with(" 1"), "the entrypoint is process 1: {log}");
    place.assert_clean().await;
}

#[tokio::test]
async fn no_more_than_256_processes_exist_at_once() {
    let Some(place) = Place::new().await else { return };
    let image = place
        .script(
            "i=0; while [ $i -lt 400 ]; do sleep 20 & i=$((i+1)); echo $i > /osa/out/features.jsonl; done",
        )
        .await;
    let attempt = run(&place.runner().await, &job(&image)).await;
    let count: u32 = text(&attempt.output.features.to_vec().unwrap())
        .trim()
        .parse()
        .unwrap();
    assert!((200..=256).contains(&count), "{count}: {}", text(&attempt.log));
    assert!(attempt.failure.is_some());
    place.assert_clean().await;
}

#[tokio::test]
async fn more_cores_than_the_machine_has_are_no_reason_not_to_run() {
    let Some(place) = Place::new().await else { return };
    let image = place.script("true").await;
    let many = HookJob {
        limits: domain::Limits::parse(60, "256m", "1000").unwrap(),
        ..job(&image)
    };
    assert_eq!(run(&place.runner().await, &many).await.failure, None);
}
