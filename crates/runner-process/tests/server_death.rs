//! A server that is killed with SIGKILL takes its hooks with it.

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Image, Place, eventually, every_way, job, options, processes_with, unusual_seconds};
use ports::Runner as _;

/// The server of the next test, which starts this test binary again to be killed.
#[tokio::test]
async fn a_server_that_waits_to_be_killed() {
    let Ok(order) = std::env::var("HALLMARK_TEST_SERVER") else {
        return;
    };
    let (way, image) = order.split_once(' ').unwrap();
    let place = Place::new();
    println!("{}", place.path().display());
    let (_, runner) = every_way(&options(&place))
        .into_iter()
        .find(|(name, _)| *name == way)
        .unwrap();
    let attempt = runner.run(&job(&Image::of(&PathBuf::from(image)))).await;
    panic!("the hook ended: {attempt:?}");
}

#[tokio::test]
async fn when_the_server_is_killed_its_hooks_are_gone_within_two_seconds() {
    let place = Place::new();
    for (way, _) in every_way(&options(&place)) {
        let (own, detached) = (unusual_seconds(), unusual_seconds());
        let image = place.script(&format!(
            "(setsid sh -c 'sleep {detached} & wait' &); exec sleep {own}"
        ));
        let mut server = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_server_that_waits_to_be_killed", "--nocapture"])
            .env("HALLMARK_TEST_SERVER", format!("{way} {}", image.path.display()))
            .env("TMPDIR", place.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually(30, "the hook runs", || {
            processes_with(&own) > 0 && processes_with(&detached) > 0
        })
        .await;
        server.kill().unwrap();
        server.wait().unwrap();
        eventually(30, &format!("{way}: the hook is gone"), || {
            processes_with(&own) == 0
        })
        .await;
        if way == "direct" {
            // Only the hook's own process is promised then, and the description says so.
            Command::new("/bin/sh").args(["-c", &format!("for p in /proc/[0-9]*; do grep -qs {detached} $p/cmdline && kill -9 ${{p#/proc/}}; done; true")]).status().unwrap();
        } else {
            eventually(30, &format!("{way}: what it started is gone"), || {
                processes_with(&detached) == 0
            })
            .await;
        }
    }
}
