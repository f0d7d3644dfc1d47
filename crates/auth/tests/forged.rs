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

/// The builds of a library, the newest first. With several sets of features there are several.
fn builds(directory: &Path, name: &str) -> Vec<PathBuf> {
    let mut builds: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let file = path.file_name().unwrap().to_string_lossy();
            file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
        })
        .collect();
    builds.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().modified().unwrap()));
    builds
}

/// The newest build of `auth`, and those of the others with which it was built: with no others does the honest program
/// compile.
fn libraries_of_auth() -> [PathBuf; 3] {
    let directory = libraries();
    let auth = builds(&directory, "auth").swap_remove(0);
    for domain in builds(&directory, "domain") {
        for ports in builds(&directory, "ports") {
            let these = [auth.clone(), domain.clone(), ports];
            if errors("honest", &these).is_empty() {
                return these;
            }
        }
    }
    panic!("the honest program does not compile");
}

/// The errors of compiling a program: code and message of each.
fn errors(program: &str, these: &[PathBuf; 3]) -> Vec<(String, String)> {
    let directory = libraries();
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
        .arg(format!("dependency={}", directory.display()));
    for (name, library) in ["auth", "domain", "ports"].iter().zip(these) {
        rustc.arg("--extern").arg(format!("{name}={}", library.display()));
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
    let these = libraries_of_auth();
    for (program, code, message) in FORGED {
        assert_eq!(
            errors(program, &these),
            [(code.to_owned(), message.to_owned())],
            "{program}"
        );
    }
}
