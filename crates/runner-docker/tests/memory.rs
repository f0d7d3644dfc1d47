//! Whether memory ran out, where the engine says so late, or never: containerd loses that message when a container ends at
//! the wrong moment (containerd#8893).

mod common;

use std::time::Duration;

use common::fake::Fake;
use domain::FailureKind;

const OOM: FailureKind = FailureKind::Oom(256 << 20);
const SIGKILL: FailureKind = FailureKind::Signalled(9);

// proves PRV-5
#[tokio::test]
async fn an_engine_that_notices_late_is_asked_again() {
    for status in [137, 1] {
        let (hook, _, log) = Fake::ended(status).knows_late(3).run().await;
        assert_eq!(hook, Some(OOM), "{status}");
        assert!(log.contains("used more than its 268435456 bytes"), "{log}");
    }
}

// proves PRV-5
#[tokio::test]
async fn sigkill_that_the_engine_was_not_asked_for_is_memory_that_ran_out() {
    for events in [
        &[("start", "")][..],
        &[("start", ""), ("oom", "")],
        // A signal that ends nothing is no reason for an end.
        &[("start", ""), ("kill", "1")],
    ] {
        let (hook, ingester, log) = Fake::ended(137).tells(events).run().await;
        assert_eq!((hook, ingester), (Some(OOM), Some(OOM)), "{events:?}");
        assert!(log.contains("[runner] ended: SIGKILL"), "{log}");
    }
}

#[tokio::test]
async fn sigkill_that_the_engine_was_asked_for_is_a_signal() {
    for events in [
        &[("start", ""), ("kill", "9")][..],
        &[("start", ""), ("kill", "15"), ("kill", "SIGKILL")],
        // Podman tells no signal.
        &[("start", ""), ("kill", "")],
        &[("stop", "")],
    ] {
        let (hook, ingester, log) = Fake::ended(137).tells(events).run().await;
        assert_eq!((hook, ingester), (Some(SIGKILL), Some(SIGKILL)), "{events:?}");
        assert_eq!(log, "");
    }
}

// A hook that was killed for memory is run again, an ingester that was killed otherwise is.
// proves PRV-5
#[tokio::test]
async fn in_doubt_the_verdict_is_the_one_after_which_it_is_run_again() {
    // A proxy that does not let the question through, and an engine that was started meanwhile and remembers nothing.
    for fake in [Fake::ended(137), Fake::ended(137).tells(&[])] {
        let (hook, ingester, _) = fake.run().await;
        assert_eq!((hook, ingester), (Some(OOM), Some(SIGKILL)));
    }
}

#[tokio::test]
async fn a_container_whose_times_the_engine_does_not_say_ran_from_its_start_to_its_end() {
    // Reading its log is not part of it.
    let duration = Fake::ended(0).vague().duration().await;
    assert!(
        !duration.is_zero() && duration < Duration::from_secs(2),
        "{duration:?}"
    );
}

#[tokio::test]
async fn another_end_is_not_taken_for_memory() {
    for (status, failure) in [(1, FailureKind::HookExit(1)), (143, FailureKind::Signalled(15))] {
        let (hook, _, _) = Fake::ended(status).tells(&[("start", "")]).run().await;
        assert_eq!(hook, Some(failure));
    }
}
