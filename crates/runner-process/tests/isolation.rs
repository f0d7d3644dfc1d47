//! What bubblewrap keeps a hook from, and what a server says that has none.

mod common;

use std::net::TcpListener;

use common::{Place, every_way, job, options, run, text};
use runner_process::{ProcessRunner, ProcessRunnerOptions, UseBwrap};

#[test]
fn the_description_says_what_isolates_hooks() {
    let place = Place::new();
    let never = ProcessRunner::new(ProcessRunnerOptions {
        use_bwrap: UseBwrap::Never,
        ..options(&place)
    })
    .unwrap();
    assert!(never.describe().contains("NO SANDBOX") && !never.is_sandboxed());
    for (way, runner) in every_way(&options(&place)) {
        assert_eq!(
            runner.describe().contains("no network"),
            way == "bwrap",
            "{}",
            runner.describe()
        );
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
async fn in_bubblewrap_there_is_no_network_nothing_to_write_elsewhere_and_no_other_process() {
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
        if way == "bwrap" {
            assert_eq!(
                log,
                "no network\nonly the system\nalone\ny\nz\n/osa/in /osa/out /osa/files\nmade\n"
            );
            assert!(!outside.join("x").exists());
        } else {
            // The same hook without bubblewrap: the test can tell the difference.
            assert!(log.contains("connected\nwrote outside\n"), "{way}: {log}");
            std::fs::remove_file(outside.join("x")).unwrap();
        }
    }
}

#[tokio::test]
async fn a_hidden_directory_is_empty_in_bubblewrap() {
    let place = Place::new();
    let hidden = ProcessRunnerOptions {
        hidden: vec!["/etc/ssl".into(), "/nowhere".into(), "/srv".into()],
        ..options(&place)
    };
    let image = place.script("ls -A /etc/ssl | wc -l; ls /etc | wc -l | xargs test 3 -lt && echo others; (touch /etc/ssl/x) 2>/dev/null && echo wrote");
    let runner = ProcessRunner::new(hidden).unwrap();
    if runner.is_sandboxed() {
        assert_eq!(text(&run(&runner, &job(&image)).await.log), "0\nothers\n");
    }
}
