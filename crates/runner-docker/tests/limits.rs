//! The limits, each against a hook that passes it, and the ways in which a hook may end.

mod common;

use std::time::{Duration, Instant};

use common::{B_PASSED, PASS_B, Place, job, limited, run, text};
use domain::FailureKind;
use ports::Runner as _;
use runner_docker::{DockerRunner, DockerRunnerOptions};

// proves PRV-5
#[tokio::test]
async fn memory_that_runs_out_is_the_engines_verdict_and_what_was_written_is_read() {
    let Some(place) = Place::new().await else { return };
    let runner = place.runner().await;
    for hog in [
        "exec tail /dev/zero",
        // A child is killed, and its parent ends as if nothing had been. The pauses let the engine notice: it loses what happens while
        // it still starts the container, or already removes it.
        "sleep 1; tail /dev/zero; echo survived; sleep 1; exit 3",
        // Files in /tmp are memory.
        "cat /dev/zero > /dev/shm/x & cat /dev/zero > /tmp/x; wait; tail /dev/zero",
    ] {
        let image = place.script(&format!("{PASS_B}; echo begun; {hog}")).await;
        let attempt = run(&runner, &limited(&image, 60, "32m")).await;
        let log = text(&attempt.log);
        assert_eq!(attempt.failure, Some(FailureKind::Oom(32 << 20)), "{hog}: {log}");
        assert_eq!(
            text(&attempt.output.features.to_vec().unwrap()),
            B_PASSED,
            "{hog}"
        );
        assert!(attempt.stamp.is_some());
        assert!(
            log.starts_with("begun\n") && log.contains("[runner] ended"),
            "{log}"
        );
    }
    place.assert_clean().await;
}

// proves PIP-4
#[tokio::test]
async fn the_wall_clock_ends_a_hook_and_its_log_and_output_are_read() {
    let Some(place) = Place::new().await else { return };
    let image = place
        .script(&format!("{PASS_B}; echo begun; setsid sleep 1000 & sleep 1000"))
        .await;
    let begun = Instant::now();
    let attempt = run(&place.runner().await, &limited(&image, 2, "64m")).await;
    assert_eq!(attempt.failure, Some(FailureKind::Timeout(2)));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(text(&attempt.output.features.to_vec().unwrap()), B_PASSED);
    assert_eq!(text(&attempt.log), "begun\n\n[runner] ended: ran for its 2 s\n");
    let ran = attempt.duration;
    assert!(
        ran > Duration::from_secs(1) && ran < Duration::from_secs(4),
        "{ran:?}"
    );
    place.assert_clean().await;
}

#[tokio::test]
async fn the_status_tells_how_a_hook_ended() {
    let Some(place) = Place::new().await else { return };
    let runner = place.runner().await;
    for (ending, failure) in [
        ("exit 3", FailureKind::HookExit(3)),
        ("exit 127", FailureKind::HookExit(127)),
        // Not as its last command, in whose place the shell would put itself: process 1 gets no signals from within.
        ("sh -c 'kill -SEGV $$'; exit $?", FailureKind::Signalled(11)),
        // A process of its own that ended so looks like one that the kernel killed for memory.
        ("sh -c 'kill -KILL $$'; exit $?", FailureKind::Oom(256 << 20)),
        ("exit 255", FailureKind::HookExit(255)),
    ] {
        let image = place.script(&format!("{PASS_B}; {ending}")).await;
        let attempt = run(&runner, &job(&image)).await;
        assert_eq!(attempt.failure, Some(failure), "{ending}: {}", text(&attempt.log));
        assert_eq!(text(&attempt.output.features.to_vec().unwrap()), B_PASSED);
        assert!(attempt.stamp.is_some());
    }
    place.assert_clean().await;
}

#[tokio::test]
async fn a_hook_that_is_killed_from_outside_was_signalled() {
    let Some(place) = Place::new().await else { return };
    let image = place.script("sleep 1000").await;
    let (runner, job) = (place.runner().await, job(&image));
    let attempt = tokio::spawn(async move { runner.run(&job).await });
    let id = place.until_containers(1).await.remove(0);
    // Not yet started, it cannot be killed.
    let patience = Instant::now() + Duration::from_secs(20);
    while place.docker.kill_container(&id, None).await.is_err() {
        assert!(Instant::now() < patience && !attempt.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let attempt = attempt.await.unwrap().unwrap();
    assert_eq!(attempt.failure, Some(FailureKind::Signalled(9)));
    place.assert_clean().await;
}

#[tokio::test]
async fn a_container_that_is_removed_from_outside_is_the_runners_failure() {
    let Some(place) = Place::new().await else { return };
    let image = place.script("sleep 1000").await;
    let (runner, job) = (place.runner().await, job(&image));
    let attempt = tokio::spawn(async move { runner.run(&job).await });
    let id = place.until_containers(1).await.remove(0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let force = bollard::query_parameters::RemoveContainerOptionsBuilder::new()
        .force(true)
        .build();
    place.docker.remove_container(&id, Some(force)).await.unwrap();
    assert!(attempt.await.unwrap().is_err());
    place.assert_clean().await;
}

#[tokio::test]
async fn the_whole_log_is_returned_and_of_a_long_one_the_end() {
    let Some(place) = Place::new().await else { return };
    let image = place
        .script("i=0; while [ $i -lt 5000 ]; do echo line $i; echo error $i >&2; i=$((i+1)); done; printf end; exit 1")
        .await;
    let attempt = run(&place.runner().await, &job(&image)).await;
    let log = text(&attempt.log);
    assert_eq!(log.lines().filter(|line| line.starts_with("line ")).count(), 5000);
    // Each stream is in order; the engine reads the two side by side.
    for (stream, last) in [("line", "end"), ("error", "error 4999")] {
        let found: Vec<&str> = log.lines().filter(|line| line.starts_with(stream)).collect();
        let expected: Vec<String> = (0..5000).map(|i| format!("{stream} {i}")).collect();
        assert_eq!(found, expected);
        assert!(log.contains(last));
    }
    let image = place.script("seq 5000; exit 1").await;
    let short = DockerRunner::new(DockerRunnerOptions {
        most_log_bytes: 1000,
        ..place.options()
    });
    let attempt = run(&short.await.unwrap(), &job(&image)).await;
    let log = text(&attempt.log);
    assert!(
        log.starts_with('[') && log.contains("earlier bytes are not kept]\n"),
        "{log}"
    );
    assert!(log.len() < 1100 && log.ends_with("\n4999\n5000\n"), "{log}");
    // More than the engine keeps, without a line break, and not in UTF-8.
    let image = place
        .script("yes | tr -d '\\n' | tr y '\\377' | head -c 3000000; echo last; exit 1")
        .await;
    let short = DockerRunner::new(DockerRunnerOptions {
        most_log_bytes: 1000,
        ..place.options()
    });
    let attempt = run(&short.await.unwrap(), &job(&image)).await;
    assert!(text(&attempt.log).ends_with("last\n"), "{}", attempt.log.len());
    assert!(attempt.log.len() < 1100);
    place.assert_clean().await;
}

#[tokio::test]
async fn a_hook_that_fills_the_disk_is_ended() {
    let Some(place) = Place::new().await else { return };
    let options = DockerRunnerOptions {
        most_disk_bytes: 20 << 20,
        most_files: 200,
        ..place.options()
    };
    let runner = DockerRunner::new(options).await.unwrap();
    for (script, expected) in [
        (
            "cat /dev/zero | head -c 100000000 > /osa/out/big; sleep 1000",
            "bytes to disk",
        ),
        (
            "i=0; while [ $i -lt 400 ]; do echo > /osa/out/$i; i=$((i+1)); done; sleep 1000",
            "more than 200 files",
        ),
    ] {
        let image = place.script(script).await;
        let attempt = run(&runner, &job(&image)).await;
        match &attempt.failure {
            Some(FailureKind::Output(why)) => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?}: {}", text(&attempt.log)),
        }
        assert!(
            text(&attempt.log).contains("[runner] ended"),
            "{}",
            text(&attempt.log)
        );
    }
    place.assert_clean().await;
}

#[tokio::test]
async fn output_that_is_too_large_is_not_read() {
    let Some(place) = Place::new().await else { return };
    let options = DockerRunnerOptions {
        most_output_bytes: 1000,
        ..place.options()
    };
    let runner = DockerRunner::new(options).await.unwrap();
    let image = place
        .script("head -c 2000 /dev/zero > /osa/out/features.jsonl")
        .await;
    let attempt = run(&runner, &job(&image)).await;
    let Some(FailureKind::Output(why)) = attempt.failure else {
        panic!("{:?}", attempt.failure)
    };
    assert!(why.contains("2000 bytes"), "{why}");
}
