//! What the types promise: no principal, permit, grant or receipt can be made but by the way that checks it.
//!
//! Each program in `forged/` must fail to compile for the one reason that is written here. `honest.rs` uses the same types without
//! forging and must compile: what fails beside it fails for nothing but its own reason. The compiler is asked directly, with the
//! libraries that this test was built from; trybuild would build all of them once more, which takes minutes.

#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The programs, with the error that each must fail with, and what its message names.
const FORGED: [(&str, &str, &str); 4] = [
    (
        "principal",
        "E0451",
        "field `who` of struct `Principal` is private",
    ),
    (
        "permit",
        "E0451",
        "fields `principal` and `_action` of struct `Permit` are private",
    ),
    (
        "grant",
        "E0451",
        "fields `hook` and `actor` of struct `HookGrant` are private",
    ),
    (
        "receipt",
        "E0423",
        "cannot initialize a tuple struct which contains private fields",
    ),
];

/// The directory of the libraries that this test was linked with.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// The newest build of a library.
fn library(directory: &Path, name: &str) -> PathBuf {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let file = path.file_name().unwrap().to_string_lossy();
            file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
        })
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .unwrap()
}

/// The errors of compiling a program: code and message of each.
fn errors(program: &str) -> Vec<(String, String)> {
    let libraries = libraries();
    let out = tempfile::tempdir().unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .args([
            "--edition=2024",
            "--emit=metadata",
            "--error-format=json",
            "--out-dir",
        ])
        .arg(out.path())
        .arg("-L")
        .arg(format!("dependency={}", libraries.display()));
    for name in ["auth", "domain", "ports"] {
        rustc
            .arg("--extern")
            .arg(format!("{name}={}", library(&libraries, name).display()));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/forged/{program}.rs"));
    let output = rustc.arg(path).output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    let found: Vec<(String, String)> = messages
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .filter(|message| message["level"] == "error" && !message["code"].is_null())
        .map(|message| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&message["code"]["code"]), text(&message["message"]))
        })
        .collect();
    assert_eq!(output.status.success(), found.is_empty(), "{messages}");
    found
}

// proves AUT-5
#[test]
fn what_is_forged_does_not_compile_for_the_very_reason() {
    assert_eq!(errors("honest"), []);
    for (program, code, message) in FORGED {
        assert_eq!(
            errors(program),
            [(code.to_owned(), message.to_owned())],
            "{program}"
        );
    }
}
