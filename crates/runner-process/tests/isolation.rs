//! What a sandbox keeps a hook from, and what a server says that has none.

mod common;

use std::net::TcpListener;

use common::{Place, every_sandbox, every_way, job, once_more_as_an_ordinary_user, options, run, text};
use domain::FailureKind;
use ports::Runner as _;
use runner_process::{ProcessRunner, ProcessRunnerOptions, UseSandbox};

#[test]
fn the_description_says_what_isolates_hooks() {
    let place = Place::new();
    let never = ProcessRunner::new(ProcessRunnerOptions {
        sandbox: UseSandbox::None,
        ..options(&place)
    })
    .unwrap();
    assert!(never.describe().contains("NO SANDBOX") && !never.is_sandboxed());
    for (way, runner) in every_way(&options(&place)) {
        assert_eq!(
            runner.describe().contains("no network"),
            runner.is_sandboxed(),
            "{way}: {}",
            runner.describe()
        );
        // As provenance shows it.
        let expected = match way {
            "bwrap" => "process+bubblewrap",
            "landlock" => "process+landlock",
            _ => "process+no-sandbox",
        };
        assert_eq!(runner.name("file:/hook"), expected);
        assert_eq!(
            runner.summary().contains("WITHOUT A SANDBOX"),
            !runner.is_sandboxed()
        );
    }
}

// proves ISO-1
#[tokio::test]
async fn a_bubblewrap_that_does_not_work_is_a_refusal() {
    let place = Place::new();
    let broken = place.script("echo broken >&2; exit 1");
    std::fs::set_permissions(&broken.path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let image = place.script("true");
    for sandbox in [UseSandbox::Auto, UseSandbox::Required, UseSandbox::None] {
        let runner = ProcessRunner::new(ProcessRunnerOptions {
            sandbox,
            bwrap: Some(broken.path.clone()),
            supervisor: Some(common::supervisor()),
            ..options(&place)
        })
        .unwrap();
        let job = job(&image);
        let found = runner.examine(&job.image, &job.digest).await.unwrap();
        let failure = run(&runner, &job).await.failure;
        if sandbox == UseSandbox::None {
            assert_eq!((found, failure), (None, None));
            continue;
        }
        assert!(runner.is_refusing() && runner.describe().contains("REFUSED"));
        assert!(found.unwrap().contains("runner.sandbox = none"));
        match failure {
            Some(FailureKind::Misconfigured(why)) => assert!(why.contains("bubblewrap"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(place.attempts_left(), 0);
}

// proves ISO-1
#[tokio::test]
async fn without_any_sandbox_hooks_are_refused_unless_that_is_allowed() {
    let place = Place::new();
    let image = place.script("true");
    for (sandbox, refuses) in [
        (UseSandbox::Required, true),
        (UseSandbox::Auto, false),
        (UseSandbox::None, false),
    ] {
        let runner = ProcessRunner::new(ProcessRunnerOptions {
            sandbox,
            kinds: Vec::new(),
            ..options(&place)
        })
        .unwrap();
        assert_eq!(runner.is_refusing(), refuses);
        match run(&runner, &job(&image)).await.failure {
            Some(FailureKind::Misconfigured(why)) if refuses => {
                assert!(why.contains("install bubblewrap"), "{why}");
            }
            None if !refuses => {}
            other => panic!("{sandbox:?}: {other:?}"),
        }
    }
}

#[test]
fn a_work_root_that_hooks_cannot_reach_is_refused_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt as _;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = ProcessRunner::new(options(&place)).unwrap_err();
    assert!(
        std::error::Error::source(&error)
            .unwrap()
            .to_string()
            .contains("chmod o+x"),
        "{error:?}"
    );
}

#[tokio::test]
async fn in_a_sandbox_there_is_no_network_nothing_to_write_elsewhere_and_no_other_process() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let outside = place.writable("outside");
    let image = place.script(&format!(
        r#"/usr/bin/perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(PeerAddr => "127.0.0.1:{port}", Timeout => 2) ? "connected\n" : "no network\n"'
        (echo x > {outside}/x) 2>/dev/null && echo wrote outside
        for d in / /etc /usr /osa /dev /osa/in /osa/files /osa/image; do (echo x > $d/x) 2>/dev/null && echo wrote $d; done
        [ -e /run ] || [ -e /root ] || [ -e /var ] || [ -e /sys ] || echo only the system
        ls /proc | grep -c '^[0-9]' | xargs test 12 -gt && echo alone
        echo y > /dev/shm/y && cat /dev/shm/y; echo z > /tmp/z && cat /tmp/z; echo $OSA_IN $OSA_OUT $OSA_FILES; mkdir /osa/out/made && echo made"#,
        outside = outside.display()
    ));
    for (way, runner) in every_way(&options(&place)) {
        let log = text(&run(&runner, &job(&image)).await.log);
        if runner.is_sandboxed() {
            assert_eq!(
                log, "no network\nonly the system\nalone\ny\nz\n/osa/in /osa/out /osa/files\nmade\n",
                "{way}"
            );
            assert!(!outside.join("x").exists());
        } else {
            // The same hook without a sandbox: the test can tell the difference.
            assert!(log.contains("connected\nwrote outside\n"), "{way}: {log}");
            std::fs::remove_file(outside.join("x")).unwrap();
        }
    }
}

// proves ISO-1
#[tokio::test]
async fn what_the_server_hides_is_empty_wherever_it_is() {
    let place = Place::new();
    // Below directories that hooks see, and where any user may hide them.
    let image = place.script(
        "ls -A /usr/share | wc -l; cat /usr/bin/env 2>/dev/null | wc -c; (echo x > /usr/share/x) 2>/dev/null && echo wrote; ls /usr | grep -c bin",
    );
    let hidden = ProcessRunnerOptions {
        hidden: vec!["/usr/share".into(), "/usr/bin/env".into(), "/nowhere".into()],
        ..options(&place)
    };
    for (way, runner) in every_sandbox(&hidden) {
        let log = text(&run(&runner, &job(&image)).await.log);
        let lines: Vec<&str> = log.lines().collect();
        let ["0", "0", bins] = lines[..] else {
            panic!("{way}: {log}")
        };
        assert_ne!(bins, "0", "{way}");
    }
}

#[test]
fn as_an_ordinary_user_too() {
    once_more_as_an_ordinary_user();
}
