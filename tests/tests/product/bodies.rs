//! Bodies of requests that become much larger in memory than they are: they share one budget.

use blackbox::World;
use blackbox::fixtures::{PASS, small};
use serde_json::json;

/// A line whose value takes about 56 MB of memory while it is read, and a fraction of a MiB otherwise.
fn heavy(id: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"metadata\":{{\"label\":[{}{{}}]}}}}\n",
        "{},".repeat(80_000)
    )
}

// proves ISO-3
#[test]
fn pushes_of_heavy_lines_wait_for_each_other_and_all_are_taken() {
    let world = World::start();
    let server = world.serve("a");
    for n in 0..8 {
        let name = format!("pass{n}");
        let pass = world.script(&name, PASS);
        let hooks = [(name.as_str(), pass.as_path())];
        server
            .admin()
            .post(
                "/conventions",
                &small(&format!("Heavy{n}"), &format!("heavy{n}-of"), &hooks),
            )
            .expect(201);
    }
    let reports: Vec<_> = std::thread::scope(|scope| {
        let pushes: Vec<_> = (0..8)
            .map(|n| {
                let client = server.admin();
                scope.spawn(move || {
                    let run = client.open(&format!("heavy{n}"), 10);
                    client.push_lines(&run, &heavy("a"))
                })
            })
            .collect();
        pushes.into_iter().map(|push| push.join().unwrap()).collect()
    });
    for report in &reports {
        assert_eq!(report["accepted"], 1, "{report}");
    }
    let peak = server.peak_memory();
    assert!(peak < 512 << 20, "the server took {} MiB", peak >> 20);
}

// proves ISO-3
#[test]
fn what_would_take_more_memory_than_a_text_may_is_refused_with_its_line_and_the_limit() {
    let world = World::start();
    let server = world.serve("a");
    let pass = world.script("pass", PASS);
    let admin = server.admin();
    admin
        .post("/conventions", &small("Heavy", "heavy-of", &[("pass", &pass)]))
        .expect(201);
    let run = admin.open("heavy", 10);
    let many = "{},".repeat(120_000);
    let line = format!(
        "{{\"id\":\"a\",\"metadata\":{{\"label\":[{many}1]}}}}\n{{\"id\":\"b\",\"metadata\":{{\"label\":\"x\"}}}}\n"
    );
    let report = admin.push_lines(&run, &line);
    assert_eq!((&report["accepted"], &report["refused"]), (&json!(1), &json!(1)));
    let refused = &report["refused_lines"][0];
    assert_eq!(refused["line"], 1);
    let why = refused["errors"][0]["msg"].as_str().unwrap();
    assert!(why.contains("67108864 bytes of memory"), "{why}");
    let body = format!("{{\"kind\":\"k\",\"name\":\"n\",\"params\":{{\"a\":[{many}1]}}}}");
    let told = admin
        .push("/tasks", "application/json", &body)
        .problem(422, "VALIDATION_ERROR");
    assert!(
        told["message"].as_str().unwrap().contains("bytes of memory"),
        "{told}"
    );
    let peak = server.peak_memory();
    assert!(peak < 512 << 20, "the server took {} MiB", peak >> 20);
}
