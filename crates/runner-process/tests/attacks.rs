//! Attacks of a hook on the server, on the machine and on other attempts, in every kind of sandbox that this machine has.

mod common;

use std::process::{Command, Stdio};

use common::{
    Place, eventually, every_sandbox, every_way, job, limited, once_more_as_an_ordinary_user, options,
    pull_job, run, text, unusual_seconds,
};
use domain::FailureKind;
use ports::Runner as _;
use runner_process::ProcessRunnerOptions;
use runner_workdir::attacks::{
    END, For, REACHED, Succeeds, Target, fills_removed_files, fills_unmapped_memory,
};

// proves ISO-1
#[tokio::test]
async fn no_attack_gets_out_of_a_sandbox() {
    let place = Place::new();
    let is_root = rustix::process::geteuid().is_root();
    for (way, runner) in every_way(&options(&place)) {
        let mut target = Target::new(&place.path().join(way));
        for attack in target.attacks() {
            let Some(image) = place.perl(&attack.program) else {
                return;
            };
            let attempt = run(&runner, &job(&image)).await;
            let log = text(&attempt.log);
            assert!(
                attempt.failure.is_none() && log.ends_with(END),
                "{way} {}: {log}",
                attack.name
            );
            if runner.is_sandboxed() {
                assert!(!log.contains(REACHED), "{way} {}: {log}", attack.name);
                continue;
            }
            let succeeds = match attack.succeeds {
                Succeeds::AsAnyUser => true,
                Succeeds::AsTheServersUser => !is_root,
                Succeeds::Never => continue,
            };
            // Without a sandbox: the test can tell the difference.
            assert_eq!(log.contains(REACHED), succeeds, "{way} {}: {log}", attack.name);
        }
        if runner.is_sandboxed() {
            target.assert_untouched(way);
        }
    }
}

// proves ISO-1
#[tokio::test]
async fn an_ingester_gets_out_of_its_sandbox_only_by_the_network() {
    let place = Place::new();
    for (way, runner) in every_sandbox(&options(&place)) {
        let mut target = Target::new(&place.path().join(way));
        for attack in target
            .attacks()
            .into_iter()
            .filter(|attack| attack.whom == For::All)
        {
            let Some(image) = place.perl(&attack.program) else {
                return;
            };
            let attempt = runner.pull(&pull_job(&image)).await.unwrap();
            let log = text(&attempt.log);
            assert!(
                log.ends_with(END) && !log.contains(REACHED),
                "{way} {}: {log}",
                attack.name
            );
        }
        target.assert_untouched(way);
    }
}

#[test]
fn as_an_ordinary_user_too() {
    once_more_as_an_ordinary_user();
}

// proves ISO-1
#[tokio::test]
async fn a_hook_finds_no_settings_of_the_machine_in_etc() {
    const ALLOWED: [&str; 13] = [
        "alternatives",
        "ca-certificates",
        "group",
        "hosts",
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "localtime",
        "nsswitch.conf",
        "passwd",
        "pki",
        "resolv.conf",
        "ssl",
    ];
    let place = Place::new();
    let image =
        place.script("ls -A /etc; cat /etc/shadow /etc/hostname /etc/hallmark/config.toml 2>/dev/null");
    for (way, runner) in every_sandbox(&options(&place)) {
        let log = text(&run(&runner, &job(&image)).await.log);
        assert!(log.contains("passwd"), "{way}: {log}");
        for name in log.lines().filter(|name| !name.starts_with("ld-musl-")) {
            assert!(ALLOWED.contains(&name) && name != "resolv.conf", "{way}: {name}");
        }
    }
}

// proves ISO-1
#[tokio::test]
async fn a_hook_reaches_neither_the_databases_password_nor_its_socket() {
    let place = Place::new();
    let database = place.path().join("postgres");
    std::fs::create_dir(&database).unwrap();
    std::fs::write(database.join("password"), "secret").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(database.join("socket")).unwrap();
    let image = place.script(&format!(
        "cat {0}/password; ls {0}; test -e {0}/socket && echo socket; echo end",
        database.display()
    ));
    for (way, runner) in every_sandbox(&options(&place)) {
        let log = text(&run(&runner, &job(&image)).await.log);
        let found = log
            .lines()
            .any(|line| matches!(line, "secret" | "password" | "socket"));
        assert!(!found && log.ends_with("end\n"), "{way}: {log}");
    }
}

// proves ISO-1
#[tokio::test]
async fn a_hook_reaches_no_other_attempt() {
    let place = Place::new();
    let victim = place.script("echo mine > \"$OSA_OUT/features.jsonl\"; while [ ! -e \"$OSA_OUT/../tmp/end\" ] && [ ! -e /tmp/end ]; do sleep 0.05; done");
    let is_root = rustix::process::geteuid().is_root();
    for (way, runner) in every_way(&options(&place)) {
        if !runner.is_sandboxed() && !is_root {
            // One user has all attempts then, and the description says so.
            continue;
        }
        let waiting = job(&victim);
        let running = runner.run(&waiting);
        let attack = async {
            eventually(30, "the victim runs", || {
                std::fs::read_dir(place.work_root()).is_ok_and(|mut dirs| {
                    dirs.any(|dir| dir.unwrap().path().join("out/features.jsonl").exists())
                })
            })
            .await;
            let dir = std::fs::read_dir(place.work_root())
                .unwrap()
                .next()
                .unwrap()
                .unwrap()
                .path();
            let image = place.script(&format!(
                "cd {0} && echo entered; cat {0}/in/records.jsonl; ls {0}/out; echo forged > {0}/out/features.jsonl; rm -rf {0}/out/features.jsonl; echo end",
                dir.display()
            ));
            let attempt = run(&runner, &job(&image)).await;
            std::fs::write(dir.join("tmp/end"), "").unwrap();
            text(&attempt.log)
        };
        let (of_victim, log) = tokio::join!(running, attack);
        let of_victim = of_victim.unwrap();
        assert_eq!(
            text(&of_victim.output.features.to_vec().unwrap()),
            "mine\n",
            "{way}: {log}"
        );
        let found = ["entered", "metadata", "features.jsonl\nend"]
            .iter()
            .any(|part| log.contains(part));
        assert!(!found && log.ends_with("end\n"), "{way}: {log}");
    }
}

// proves ISO-1
#[tokio::test]
async fn a_hook_signals_no_process_outside() {
    let place = Place::new();
    for (way, runner) in every_sandbox(&options(&place)) {
        let mut outside = Command::new("sleep")
            .arg(unusual_seconds())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let image = place.script(&format!("kill -9 {}; kill -9 -1; echo end", outside.id()));
        let attempt = run(&runner, &job(&image)).await;
        assert!(
            outside.try_wait().unwrap().is_none(),
            "{way}: {}",
            text(&attempt.log)
        );
        outside.kill().unwrap();
        outside.wait().unwrap();
    }
}

// proves ISO-3
#[tokio::test]
async fn memory_that_no_process_maps_counts() {
    let place = Place::new();
    let Some(program) = fills_unmapped_memory(1500) else {
        test_needs::left_out("a machine whose system calls have known numbers");
        return;
    };
    let Some(image) = place.perl(&program) else { return };
    for (way, runner) in every_way(&options(&place)) {
        let attempt = run(&runner, &limited(&image, 60, "256m", "2")).await;
        assert_eq!(
            attempt.failure,
            Some(FailureKind::Oom(256 << 20)),
            "{way}: {}",
            text(&attempt.log)
        );
    }
}

// proves ISO-3
#[tokio::test]
async fn files_that_were_removed_count_while_they_are_open() {
    let place = Place::new();
    let options = ProcessRunnerOptions {
        most_disk_bytes: 100 << 20,
        ..options(&place)
    };
    // None of them is too large by itself.
    let Some(image) = place.perl(&fills_removed_files(4, 60)) else {
        return;
    };
    for (way, runner) in every_way(&options) {
        match run(&runner, &limited(&image, 60, "512m", "2")).await.failure {
            Some(FailureKind::Output(why)) => assert!(why.contains("104857600"), "{way}: {why}"),
            other => panic!("{way}: {other:?}"),
        }
    }
}

// proves ISO-3
#[tokio::test]
async fn no_file_is_larger_than_the_disk_limit() {
    let place = Place::new();
    let options = ProcessRunnerOptions {
        most_disk_bytes: 20 << 20,
        ..options(&place)
    };
    // Too fast for the watchdog.
    let image = place.script("(truncate -s 30M \"$TMPDIR/x\") 2>/dev/null; wc -c < \"$TMPDIR/x\"");
    for (way, runner) in every_way(&options) {
        // Without a supervisor, a hook may begin before its limits hold.
        if way == "direct" {
            continue;
        }
        let log = text(&run(&runner, &job(&image)).await.log);
        // The shell may report the signal before.
        assert_eq!(log.lines().last(), Some("0"), "{way}: {log}");
    }
}
