//! The container contract as a hook finds it (WC-5.1), and what is made of what it leaves behind.

mod common;

use common::{Image, Place, every_way, job, options, record, run, text};
use domain::FailureKind;
use ports::{HookJob, Runner as _};
use runner_process::{ProcessRunner, ProcessRunnerOptions, SupervisorProgram, UidRange, UseSandbox};
use serde_json::{Value, json};

const PASS_ALL: &str = r#"sed 's/.*"id":"\([^"]*\)".*/{"id":"\1","features":[]}/' "$OSA_IN/records.jsonl" > "$OSA_OUT/features.jsonl"; echo out; echo err >&2"#;

#[tokio::test]
async fn a_hook_reads_its_records_and_its_four_files_come_back() {
    let place = Place::new();
    let image = place.script(
        r#"cp "$OSA_IN/records.jsonl" "$OSA_OUT/features.jsonl"; echo '{"id":"b","reason":"r"}' > "$OSA_OUT/rejections.jsonl"
        echo e > "$OSA_OUT/errors.jsonl"; echo p > "$OSA_OUT/progress.jsonl"; ls "$OSA_IN" "$OSA_FILES" >&2; echo "$OSA_HOOK_NAME""#,
    );
    for (way, runner) in every_way(&options(&place)) {
        let attempt = run(&runner, &job(&image)).await;
        assert_eq!(attempt.failure, None, "{way}: {}", text(&attempt.log));
        let lines: Vec<Value> = text(&attempt.output.features.to_vec().unwrap())
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        let first = json!({"id": "a:1@2", "metadata": {"x": 1}, "size_hint_mb": 0.5});
        assert_eq!(
            lines,
            [
                first,
                json!({"id": "b", "metadata": {"y": "ü"}, "size_hint_mb": 0.5})
            ],
            "{way}"
        );
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
        let log = text(&attempt.log);
        assert!(
            log.contains("records.jsonl") && log.contains("the_hook") && !log.contains("config.json"),
            "{way}: {log}"
        );
        assert!(attempt.peak_memory_bytes.is_some());
        assert_eq!(place.attempts_left(), 0, "{way}");
    }
}

#[tokio::test]
async fn config_is_a_file_only_when_there_is_any() {
    let place = Place::new();
    let image = place.script(r#"cat "$OSA_IN/config.json" 2>/dev/null || echo none"#);
    for (way, runner) in every_way(&options(&place)) {
        assert_eq!(text(&run(&runner, &job(&image)).await.log), "none\n", "{way}");
        let mut with = job(&image);
        with.config.insert("k".into(), json!([1, null]));
        assert_eq!(text(&run(&runner, &with).await.log), r#"{"k":[1,null]}"#, "{way}");
    }
}

// proves PIP-5
#[tokio::test]
async fn bytes_that_are_not_the_releases_never_run() {
    let place = Place::new();
    let marks = place.writable("marks");
    let image = place.script("true");
    // Replaced after it was registered.
    std::fs::write(&image.path, format!("#!/bin/sh\ntouch {}/ran\n", marks.display())).unwrap();
    for (way, runner) in every_way(&options(&place)) {
        let attempt = run(&runner, &job(&image)).await;
        let Some(FailureKind::ImageUnusable(why)) = attempt.failure else {
            panic!("{way}: {:?}", attempt.failure)
        };
        assert!(
            why.contains(image.digest.as_str()) && why.contains("release"),
            "{why}"
        );
        assert!(!marks.join("ran").exists(), "{way}");
    }
    // The check is no accident: with its true digest the same file runs.
    let runner = ProcessRunner::new(ProcessRunnerOptions {
        sandbox: UseSandbox::None,
        ..options(&place)
    })
    .unwrap();
    assert_eq!(run(&runner, &job(&Image::of(&image.path))).await.failure, None);
    assert!(marks.join("ran").exists());
}

#[tokio::test]
async fn an_image_that_cannot_be_run_says_what_to_do() {
    let place = Place::new();
    let good = place.script("true");
    let text_file = place.path().join("notes.txt");
    std::fs::write(&text_file, "no program").unwrap();
    let no_interpreter = place.path().join("odd");
    std::fs::write(&no_interpreter, "#!/no/such/shell\n").unwrap();
    let fifo = place.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let of = |image: String| HookJob { image, ..job(&good) };
    let blake = HookJob {
        digest: format!("blake3:{}", "a".repeat(64)).parse().unwrap(),
        ..job(&good)
    };
    let cases = [
        (of("ghcr.io/lab/hook:1".into()), "file:/absolute/path"),
        (of("file:relative".into()), "absolute"),
        (
            of(format!("file:{}/missing", place.path().display())),
            "put the released file there",
        ),
        (
            of(format!("file:{}", place.path().display())),
            "put the released file there",
        ),
        (
            of(format!("file:{}", fifo.display())),
            "put the released file there",
        ),
        (job(&Image::of(&text_file)), "neither an ELF program nor a script"),
        (job(&Image::of(&no_interpreter)), "\"/no/such/shell\""),
        (blake, "sha256"),
    ];
    let runner = ProcessRunner::new(options(&place)).unwrap();
    for (job, expected) in cases {
        match run(&runner, &job).await.failure {
            Some(FailureKind::ImageUnusable(why)) => assert!(why.contains(expected), "{why}"),
            other => panic!("{:?}: {other:?}", job.image),
        }
    }
    assert_eq!(place.attempts_left(), 0);
}

#[tokio::test]
async fn a_status_and_a_signal_are_distinguished_and_what_was_written_is_read() {
    let place = Place::new();
    let exits =
        place.script(r#"echo '{"id":"b","features":[]}' > "$OSA_OUT/features.jsonl"; echo why >&2; exit 3"#);
    let dies = place.script("kill -SEGV $$");
    for (way, runner) in every_way(&options(&place)) {
        let attempt = run(&runner, &job(&exits)).await;
        assert_eq!(attempt.failure, Some(FailureKind::HookExit(3)), "{way}");
        assert_eq!(
            text(&attempt.output.features.to_vec().unwrap()),
            "{\"id\":\"b\",\"features\":[]}\n"
        );
        assert_eq!(text(&attempt.log), "why\n");
        assert_eq!(
            run(&runner, &job(&dies)).await.failure,
            Some(FailureKind::Signalled(11)),
            "{way}"
        );
    }
}

#[tokio::test]
async fn outputs_that_are_no_plain_files_of_the_hooks_own_are_refused_without_hanging() {
    let place = Place::new();
    let secret = place.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let cases = [
        (
            format!("ln -s {} \"$OSA_OUT/features.jsonl\"", secret.display()),
            "symbolic link",
        ),
        (
            "mkfifo \"$OSA_OUT/rejections.jsonl\"".to_owned(),
            "not a regular file",
        ),
        ("mkdir \"$OSA_OUT/errors.jsonl\"".to_owned(), "not a regular file"),
        (
            "echo x > \"$OSA_OUT/x\"; ln \"$OSA_OUT/x\" \"$OSA_OUT/progress.jsonl\"".to_owned(),
            "a link",
        ),
        (
            "truncate -s 65M \"$OSA_OUT/errors.jsonl\"".to_owned(),
            "at most 67108864",
        ),
    ];
    for (way, runner) in every_way(&options(&place)) {
        for (body, expected) in &cases {
            match run(&runner, &job(&place.script(body))).await {
                attempt if !text(&attempt.output.features.to_vec().unwrap()).is_empty() => {
                    panic!("{way}: a link was followed")
                }
                attempt => match attempt.failure {
                    Some(FailureKind::Output(why)) => assert!(why.contains(expected), "{way}: {why}"),
                    other => panic!("{way} {body}: {other:?}"),
                },
            }
        }
    }
}

#[tokio::test]
async fn an_interpreter_that_cannot_be_executed_is_the_images_fault() {
    let place = Place::new();
    let odd = place.path().join("odd");
    std::fs::write(&odd, "#!/etc/passwd\n").unwrap();
    let runners = every_way(&options(&place));
    let (_, runner) = runners.iter().find(|(way, _)| *way == "supervised").unwrap();
    match run(runner, &job(&Image::of(&odd))).await.failure {
        Some(FailureKind::ImageUnusable(why)) => assert!(why.contains("not executable"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_supervisor_that_is_none_is_the_runners_error_and_not_the_hooks() {
    let place = Place::new();
    let image = place.script("true");
    let supervised_by = |path: &str| {
        let supervisor = Some(SupervisorProgram {
            path: path.into(),
            arguments: vec![],
        });
        ProcessRunner::new(ProcessRunnerOptions {
            sandbox: UseSandbox::None,
            supervisor,
            ..options(&place)
        })
    };
    assert!(supervised_by("/no/such/program").is_err());
    let error = supervised_by("/bin/true")
        .unwrap()
        .run(&job(&image))
        .await
        .unwrap_err();
    assert_eq!(error.what, "supervise the hook");
}

// proves WC-D4
#[tokio::test]
async fn features_json_stands_in_for_the_only_record_of_a_run() {
    let place = Place::new();
    let image = place
        .script("printf '[\\n{\"x\": 1}]\\n' > \"$OSA_OUT/features.json\"; : > \"$OSA_OUT/features.jsonl\"");
    let runner = ProcessRunner::new(options(&place)).unwrap();
    let one = HookJob {
        records: vec![record("only", json!({}))],
        ..job(&image)
    };
    assert_eq!(
        text(&run(&runner, &one).await.output.features.to_vec().unwrap()),
        "{\"id\":\"only\",\"features\":[ {\"x\": 1}] }\n"
    );
    assert_eq!(
        text(&run(&runner, &job(&image)).await.output.features.to_vec().unwrap()),
        ""
    );
}

#[tokio::test]
async fn the_environment_is_the_contracts_and_nothing_of_the_servers() {
    let place = Place::new();
    let image = place
        .script("tr '\\0' '\\n' < /proc/$$/environ | cut -d= -f1 | sort | tr '\\n' ' '; echo; id -u; id -G");
    for (way, runner) in every_way(&options(&place)) {
        let log = text(&run(&runner, &job(&image)).await.log);
        let mut lines = log.lines();
        let names: Vec<&str> = lines
            .next()
            .unwrap()
            .split(' ')
            .filter(|n| !matches!(*n, "" | "PWD" | "OLDPWD" | "_" | "SHLVL"))
            .collect();
        assert_eq!(
            names,
            [
                "HOME",
                "LANG",
                "OSA_FILES",
                "OSA_HOOK_NAME",
                "OSA_IN",
                "OSA_OUT",
                "PATH",
                "TMPDIR"
            ],
            "{way}"
        );
        if rustix::process::geteuid().is_root() {
            let ids: Vec<u32> = lines.map(|line| line.parse().unwrap()).collect();
            let [user, group] = ids[..] else {
                panic!("{way}: {ids:?}")
            };
            assert_eq!(user, group, "{way}");
            assert!(UidRange::of_this_machine().contains(user), "{way}: {user}");
        }
    }
}

#[tokio::test]
async fn the_input_cannot_be_written_and_the_temporary_directory_can() {
    let place = Place::new();
    let image = place.script("(echo x >> \"$OSA_IN/records.jsonl\") 2>/dev/null && echo wrote; (touch \"$OSA_IN/x\") 2>/dev/null && echo made; echo ok > \"$TMPDIR/x\" && cat \"$HOME/x\"; echo y > \"$TMPDIR/y\" && pwd | xargs test \"$TMPDIR\" = && echo here");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (way, runner) in every_way(&options(&place)) {
        assert_eq!(text(&run(&runner, &job(&image)).await.log), "ok\nhere\n", "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_runs_at_once_do_not_disturb_each_other() {
    let place = Place::new();
    let image = place.script(PASS_ALL);
    for (way, runner) in every_way(&options(&place)) {
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let (runner, job) = (
                    runner.clone(),
                    HookJob {
                        records: vec![record(&format!("r{n}"), json!({}))],
                        ..job(&image)
                    },
                );
                tokio::spawn(async move { runner.run(&job).await.unwrap() })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            let attempt = task.await.unwrap();
            assert_eq!(attempt.failure, None, "{way}: {}", text(&attempt.log));
            assert_eq!(
                text(&attempt.output.features.to_vec().unwrap()),
                format!("{{\"id\":\"r{n}\",\"features\":[]}}\n"),
                "{way}"
            );
        }
        assert_eq!(place.attempts_left(), 0, "{way}");
    }
}

#[tokio::test]
async fn only_the_last_part_of_what_a_hook_prints_is_returned() {
    let place = Place::new();
    let image = place.script("head -c 50000000 /dev/zero | tr '\\0' x; echo; echo the end >&2");
    for (way, runner) in every_way(&options(&place)) {
        let attempt = run(&runner, &job(&image)).await;
        assert_eq!(attempt.failure, None, "{way}");
        let log = text(&attempt.log);
        assert!(
            log.starts_with("[48951433 earlier bytes are not kept]\nxxx") && log.ends_with("x\nthe end\n"),
            "{way}: {} {}",
            log.len(),
            &log[..50]
        );
        assert!(log.len() < 1_100_000);
    }
}

#[tokio::test]
async fn stale_work_directories_are_removed_and_nothing_else() {
    let place = Place::new();
    let runner = ProcessRunner::new(options(&place)).unwrap();
    let stale = place.work_root().join(format!(
        "{}-{}",
        uuid::Uuid::new_v4(),
        uuid::Uuid::new_v4().simple()
    ));
    std::fs::create_dir_all(stale.join("in/x")).unwrap();
    std::fs::create_dir(place.work_root().join("mine")).unwrap();
    assert_eq!(runner.clean_stale().unwrap(), 1);
    assert!(!stale.exists() && place.work_root().join("mine").exists());
}
