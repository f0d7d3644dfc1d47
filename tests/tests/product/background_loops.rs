//! Background loops that fail are reported by `/ready` and counted, and work again by themselves.

use std::time::{Duration, Instant};

use blackbox::fixtures::{PASS, small};
use blackbox::{Server, World};
use serde_json::Value;

fn wait_for_status(server: &Server, status: u16) -> Value {
    let begun = Instant::now();
    loop {
        let answer = server.anonymous().get("/ready");
        if answer.status == status {
            return answer.json();
        }
        assert!(
            begun.elapsed() < Duration::from_mins(2),
            "not {status}: {}",
            answer.text
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

// proves WC-1.8, LED-5
#[test]
fn a_sweep_that_fails_is_reported_and_goes_on_once_it_can() {
    let world = World::start();
    let silence = [("HALLMARK_WORKER__SILENCE_SECONDS", "2")];
    let first = world.serve_with("a", &silence);
    let slow = world.script("slow", &format!("sleep 1; {PASS}"));
    let admin = first.admin();
    admin
        .post("/conventions", &small("Swept", "swept", &[("slow", &slow)]))
        .expect(201);
    let ready = first.anonymous().get("/ready").expect(200);
    assert_eq!(ready["components"]["loops"]["status"], "ok", "{ready}");
    for name in [
        "sweep",
        "archive",
        "schedules",
        "withdrawals",
        "left_overs",
        "heartbeats",
        "claims",
        "notifications_sent",
        "notifications_received",
    ] {
        let restarts = first.metric(&format!("hallmark_loop_restarts_total{{loop=\"{name}\"}}"));
        assert!(restarts.abs() < f64::EPSILON, "{name}");
    }
    let run = admin.open("swept", 1);
    admin.push_lines(&run, "{\"id\":\"a\",\"metadata\":{\"label\":\"x\"}}\n");
    while world.query("select count(*)::text from delegation_leases") == "0" {
        std::thread::sleep(Duration::from_millis(20));
    }
    world.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
         create trigger refuse before update on delegations for each row when (new.status = 'stuck') execute function refuse();",
    );
    first.kill();
    let second = world.serve_with("b", &silence);
    let degraded = wait_for_status(&second, 503);
    let loops = &degraded["components"]["loops"];
    let detail = loops["detail"].as_str().unwrap();
    assert_eq!(loops["status"], "error", "{degraded}");
    assert!(
        detail.starts_with("sweep failed ") && detail.ends_with("times in a row: the store failed"),
        "{detail}"
    );
    assert!(second.metric("hallmark_loop_failures_total{loop=\"sweep\"}") >= 3.0);
    world.execute("drop trigger refuse on delegations");
    let ready = wait_for_status(&second, 200);
    let detail = ready["components"]["loops"]["detail"].as_str().unwrap();
    assert!(
        detail.contains("sweep") && detail.contains("the last error: the store failed"),
        "{detail}"
    );
    assert_eq!(second.admin().finish(&run)["published_count"], 1);
}
