//! What tests need of the machine: a container engine, a static busybox, a browser, PgBouncer, Python. For tests only.
//!
//! A test that lacks something calls [`left_out`]. Under `HALLMARK_CI_STRICT=1` that fails the test. Otherwise, and for
//! what the kernel lacks ([`left_out_by_kernel`]), the test ends early, and `cargo xtask` lists it at the end of its run:
//! each is written down in the file that `HALLMARK_TEST_LEFT_OUT` names.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

/// Set to `1`, what is missing fails instead of being left out.
pub const STRICT: &str = "HALLMARK_CI_STRICT";
/// Names the file in which tests write down that they were left out, a line each.
pub const LEFT_OUT: &str = "HALLMARK_TEST_LEFT_OUT";
/// Where the container engine for tests listens.
pub const ENGINE: &str = "HALLMARK_TEST_DOCKER_HOST";

/// Whether what is missing fails a test.
pub fn is_strict() -> bool {
    std::env::var_os(STRICT).is_some_and(|strict| strict == "1")
}

/// Says that this test, or a part of it, does not run, because `missing` is not there.
///
/// # Panics
/// Under `HALLMARK_CI_STRICT=1`.
#[track_caller]
pub fn left_out(missing: &str) {
    assert!(
        !is_strict(),
        "{missing} is missing, and HALLMARK_CI_STRICT=1 asks for every test"
    );
    write_down(missing);
}

/// Says the same of what the machine's kernel does not have, which no package brings. It fails no test, and is listed.
///
/// # Panics
/// If the list cannot be written.
pub fn left_out_by_kernel(missing: &str) {
    write_down(missing);
}

fn write_down(missing: &str) {
    let test = test_name();
    println!("{test} was left out: {missing} is missing");
    if let Some(file) = std::env::var_os(LEFT_OUT) {
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .and_then(|mut list| writeln!(list, "{test}: {missing} is missing"));
        assert!(
            written.is_ok(),
            "{} cannot be written: {written:?}",
            file.display()
        );
    }
}

/// The test's own name: nextest says it, and otherwise the harness names the thread after it.
fn test_name() -> String {
    std::env::var("NEXTEST_TEST_NAME")
        .ok()
        .or_else(|| std::thread::current().name().map(str::to_owned))
        .unwrap_or_else(|| "a test".to_owned())
}

/// Where the container engine for tests may be, whether or not it answers.
pub fn engine_host() -> String {
    let named = |name: &str| std::env::var(name).ok().filter(|host| !host.is_empty());
    named(ENGINE)
        .or_else(|| named("DOCKER_HOST"))
        .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

/// The first of these programs that is in `PATH`, or in one of the directories where Debian puts programs.
pub fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"].map(PathBuf::from);
    let directories: Vec<PathBuf> = std::env::split_paths(&path).chain(usual).collect();
    names.iter().find_map(|name| {
        directories
            .iter()
            .map(|directory| directory.join(name))
            .find(|path| path.is_file())
    })
}

/// A static busybox, of which images are made.
pub fn busybox() -> Option<PathBuf> {
    program(&["busybox"])
}
