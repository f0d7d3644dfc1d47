//! A server that is the first process of its container is given the orphans; none may stay as a zombie.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though not all of them functions with #[test]"
)]

mod common;

use common::{Place, every_way, job, limited, options, run, text};
use domain::FailureKind;
use rustix::process::{getpid, set_child_subreaper};

fn zombies_of_this_process() -> usize {
    let own = getpid().as_raw_pid().to_string();
    let stats = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok());
    stats
        .filter_map(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()))
        .filter(|rest| rest.starts_with(&format!("Z {own} ")))
        .count()
}

#[tokio::test]
async fn no_zombie_is_left_by_a_hook_that_ended_or_was_ended() {
    // Orphans come to a subreaper as they would to process 1.
    set_child_subreaper(Some(getpid())).unwrap();
    let place = Place::new();
    let ends = place.script("(setsid sleep 60 &); sleep 60 & sleep 0.3");
    let goes_on = place.script("(setsid sleep 60 &); sleep 60");
    let runners = every_way(&options(&place));
    // Trying out bubblewrap, once per runner, may leave one.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let before = zombies_of_this_process();
    for (way, runner) in runners {
        let attempt = run(&runner, &job(&ends)).await;
        assert_eq!(attempt.failure, None, "{way}: {}", text(&attempt.log));
        assert_eq!(zombies_of_this_process(), before, "{way}");
        assert_eq!(
            run(&runner, &limited(&goes_on, 1, "512m", "1")).await.failure,
            Some(FailureKind::Timeout(1))
        );
        assert_eq!(zombies_of_this_process(), before, "{way}");
    }
}
