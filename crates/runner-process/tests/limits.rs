//! The limits, each against a hook that tries to pass it, also by a detached descendant.

mod common;

use std::time::{Duration, Instant};

use common::{
    Place, eventually, every_way, job, limited, once_more_as_an_ordinary_user, options, processes_with, run,
    text, unusual_seconds,
};
use domain::FailureKind;
use ports::Runner as _;
use runner_process::ProcessRunnerOptions;

const PASS_B: &str = r#"echo '{"id":"b","features":[]}' > "$OSA_OUT/features.jsonl""#;

#[tokio::test]
async fn the_wall_clock_ends_a_hook_and_its_detached_child() {
    let place = Place::new();
    for (way, runner) in every_way(&options(&place)) {
        let seconds = unusual_seconds();
        let image = place.script(&format!("{PASS_B}; setsid sleep {seconds} & sleep {seconds}"));
        let begun = Instant::now();
        let attempt = run(&runner, &limited(&image, 1, "512m", "1")).await;
        assert_eq!(attempt.failure, Some(FailureKind::Timeout(1)), "{way}");
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{way}: {:?}",
            begun.elapsed()
        );
        assert_eq!(
            text(&attempt.output.features.to_vec().unwrap()),
            "{\"id\":\"b\",\"features\":[]}\n"
        );
        assert!(text(&attempt.log).contains("[runner] ended: ran for its 1 s"));
        assert_eq!(processes_with(&seconds), 0, "{way}");
        assert_eq!(place.attempts_left(), 0, "{way}");
    }
}

#[tokio::test]
async fn processor_time_is_limited_over_the_whole_tree() {
    let place = Place::new();
    let image = place.script("(setsid sh -c 'while :; do :; done' &); while :; do :; done");
    for (way, runner) in every_way(&options(&place)) {
        let begun = Instant::now();
        let attempt = run(&runner, &limited(&image, 10, "512m", "0.15")).await;
        assert_eq!(
            attempt.failure,
            Some(FailureKind::Timeout(2)),
            "{way}: {}",
            text(&attempt.log)
        );
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{way}: {:?}",
            begun.elapsed()
        );
        assert!(
            text(&attempt.log).contains("processor time (10 s of 0.15 cores)"),
            "{way}: {}",
            text(&attempt.log)
        );
    }
}

#[tokio::test]
async fn a_memory_hog_is_ended_at_its_limit_and_what_it_wrote_is_read() {
    let place = Place::new();
    for hog in [
        "exec tail /dev/zero",
        "sh -c '(setsid tail /dev/zero &) ; sleep 30'",
    ] {
        let image = place.script(&format!("{PASS_B}; {hog}"));
        for (way, runner) in every_way(&options(&place)) {
            let attempt = run(&runner, &limited(&image, 20, "128m", "2")).await;
            assert_eq!(
                attempt.failure,
                Some(FailureKind::Oom(128 << 20)),
                "{way} {hog}: {}",
                text(&attempt.log)
            );
            assert_eq!(
                text(&attempt.output.features.to_vec().unwrap()),
                "{\"id\":\"b\",\"features\":[]}\n",
                "{way}"
            );
            let peak = attempt.peak_memory_bytes.unwrap();
            assert!((128 << 20..640 << 20).contains(&peak), "{way}: {peak}");
        }
    }
}

#[tokio::test]
async fn memory_that_processes_share_is_counted_once() {
    let place = Place::new();
    // 60 MB in one process, seen by eight forks of it.
    let image = place.script(r#"exec perl -e '$x = "x" x 60_000_000; for (1..8) { fork or do { sleep 1; exit } } 1 while wait > 0; print "ok\n"'"#);
    for (way, runner) in every_way(&options(&place)) {
        let attempt = run(&runner, &limited(&image, 20, "256m", "2")).await;
        assert_eq!(
            (attempt.failure, text(&attempt.log).as_str()),
            (None, "ok\n"),
            "{way}"
        );
    }
}

#[tokio::test]
async fn a_fork_bomb_is_ended_whole() {
    let place = Place::new();
    for (way, runner) in every_way(&options(&place)) {
        let seconds = unusual_seconds();
        let image = place.script(&format!(
            "while :; do (setsid sleep {seconds} &) ; sleep {seconds} & done"
        ));
        let attempt = run(&runner, &job(&image)).await;
        assert_eq!(attempt.failure, Some(FailureKind::Signalled(9)), "{way}");
        assert!(text(&attempt.log).contains("at most 256 are allowed"), "{way}");
        assert_eq!(processes_with(&seconds), 0, "{way}");
    }
}

#[tokio::test]
async fn a_hook_that_fills_the_disk_is_ended() {
    let place = Place::new();
    let options = ProcessRunnerOptions {
        most_disk_bytes: 20 << 20,
        most_files: 500,
        ..options(&place)
    };
    let bytes = place.script("while :; do head -c 1000000 /dev/urandom >> \"$TMPDIR/x\"; sleep 0.01; done");
    let files =
        place.script("i=0; while [ $i -lt 1000 ]; do i=$((i+1)); : > \"$OSA_OUT/$i\"; done; sleep 20");
    for (way, runner) in every_way(&options) {
        for (image, expected) in [(&bytes, "20971520"), (&files, "500 files")] {
            match run(&runner, &job(image)).await.failure {
                Some(FailureKind::Output(why)) => assert!(why.contains(expected), "{way}: {why}"),
                other => panic!("{way}: {other:?}"),
            }
        }
        assert_eq!(place.attempts_left(), 0, "{way}");
    }
}

#[tokio::test]
async fn a_background_child_that_holds_the_log_open_is_not_waited_for() {
    let place = Place::new();
    for (way, runner) in every_way(&options(&place)) {
        let seconds = unusual_seconds();
        let image = place.script(&format!(
            "{PASS_B}; setsid sleep {seconds} & sleep {seconds} & echo done"
        ));
        let begun = Instant::now();
        let attempt = run(&runner, &job(&image)).await;
        assert_eq!(
            (attempt.failure, text(&attempt.log).as_str()),
            (None, "done\n"),
            "{way}"
        );
        assert!(begun.elapsed() < Duration::from_secs(30), "{way}");
        assert_eq!(processes_with(&seconds), 0, "{way}");
    }
}

#[tokio::test]
async fn dropping_the_future_ends_the_hook_and_removes_its_directory() {
    let place = Place::new();
    for (way, runner) in every_way(&options(&place)) {
        let seconds = unusual_seconds();
        let image = place.script(&format!("(setsid sleep {seconds} &); sleep {seconds}"));
        let job = job(&image);
        {
            let run = runner.run(&job);
            let wait = eventually(30, "both sleeps run", || processes_with(&seconds) >= 2);
            tokio::select! { _ = run => panic!("{way}: it ended"), () = wait => {} }
        }
        eventually(30, "both sleeps are gone", || processes_with(&seconds) == 0).await;
        eventually(30, "the directory is gone", || place.attempts_left() == 0).await;
    }
}

#[test]
fn as_an_ordinary_user_too() {
    once_more_as_an_ordinary_user();
}
