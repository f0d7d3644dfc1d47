//! `cargo xtask migrations lint`: squawk refuses DDL that would make a large, hot table wait.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{files, is_outside_transaction};
use crate::shell::root;
use crate::tools;

/// What a down migration is there for. It runs by hand, when nobody needs what it takes away.
const DOWN_MAY: &[&str] = &[
    "ban-drop-column",
    "ban-drop-constraint",
    "ban-drop-function",
    "ban-drop-schema",
    "ban-drop-table",
];

/// Findings in merged migrations, which are never edited: the file, the rule and how many there are. Nothing is added for a new
/// migration; it answers a rule itself, with `-- squawk-ignore <rule>` and the reason.
const BASELINE: &[(&str, &str, usize)] = &[
    // Versions, counters and limits, which stay small.
    ("0001_initial_schema.up.sql", "prefer-bigint-over-int", 17),
    ("0002_delegations.up.sql", "prefer-bigint-over-int", 1),
    ("0007_registry_history.up.sql", "prefer-bigint-over-int", 2),
    // The log gets a primary key of another type; the old column stays, empty for new rows, until servers of before are gone. Its down
    // migration runs while nobody writes.
    ("0009_activity_feed.up.sql", "ban-drop-not-null", 1),
    ("0009_activity_feed.down.sql", "adding-not-nullable-field", 1),
    // The indexes of a table that the same file drops.
    (
        "0002_delegations.down.sql",
        "require-concurrent-index-deletion",
        4,
    ),
];

/// One thing that squawk does not like.
#[derive(Debug)]
struct Finding {
    line: u64,
    rule: String,
    message: String,
}

/// Lints every migration.
pub(super) fn run() -> Result<()> {
    let Some(squawk) = squawk()? else {
        return tools::left_out("Python", "linting the migrations");
    };
    let all: Vec<PathBuf> = files(".up.sql")?.into_iter().chain(files(".down.sql")?).collect();
    let mut refused = String::new();
    for file in &all {
        for Finding { line, rule, message } in refused_in(&squawk, file)? {
            let shown = file.strip_prefix(root()).unwrap_or(file).display();
            writeln!(refused, "{shown}:{line}: {rule}: {message}")?;
        }
    }
    if !refused.is_empty() {
        bail!(
            "squawk refuses:\n{refused}CONTRIBUTING.md, \"Writing a migration\", says what to do instead; \
             https://squawkhq.com/docs/rules explains each rule"
        );
    }
    println!("migrations: squawk finds nothing in {} files", all.len());
    Ok(())
}

/// squawk's program; nothing where there is no Python to install it with.
fn squawk() -> Result<Option<PathBuf>> {
    let list = root().join("tests/migrations/requirements.txt");
    Ok(tools::python("squawk", &list)?.map(|bin| bin.join("squawk")))
}

/// What is wrong with a file, without what its kind may do and what is known of it.
fn refused_in(squawk: &Path, file: &Path) -> Result<Vec<Finding>> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut findings = findings(squawk, file)?;
    if name.ends_with(".down.sql") {
        findings.retain(|finding| !DOWN_MAY.contains(&finding.rule.as_str()));
    }
    for (_, rule, known) in BASELINE.iter().filter(|(known_in, ..)| *known_in == name) {
        if findings.iter().filter(|finding| finding.rule == *rule).count() == *known {
            findings.retain(|finding| finding.rule != *rule);
        }
    }
    Ok(findings)
}

/// All that squawk says of a file.
fn findings(squawk: &Path, file: &Path) -> Result<Vec<Finding>> {
    let text = std::fs::read_to_string(file)?;
    let mut command = Command::new(squawk);
    command.arg("--config").arg(root().join(".squawk.toml"));
    command.arg(if is_outside_transaction(&text) {
        "--no-assume-in-transaction"
    } else {
        "--assume-in-transaction"
    });
    let output = command.args(["--reporter", "json"]).arg(file).output()?;
    // It ends with 1 for findings and for failures alike; only with findings is there a list.
    let list: Vec<Value> = serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "squawk failed at {}: {}",
            file.display(),
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(list
        .iter()
        .map(|finding| Finding {
            line: finding["line"].as_u64().unwrap_or_default() + 1,
            rule: word(&finding["rule_name"]),
            message: word(&finding["message"]),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// squawk, or nothing where it cannot be had and nobody insists.
    fn program() -> Option<PathBuf> {
        match squawk() {
            Ok(program) => {
                if program.is_none() {
                    tools::left_out("Python", "this test").unwrap();
                }
                program
            }
            Err(error) if !tools::strict() => {
                println!("left out, because squawk cannot be installed: {error:#}");
                None
            }
            Err(error) => panic!("{error:#}"),
        }
    }

    // proves AUD-7
    #[test]
    fn unsafe_ddl_is_refused_and_its_safe_form_is_not() {
        let Some(squawk) = program() else { return };
        let place = tempfile::tempdir().unwrap();
        let rules = |name: &str, text: &str| -> Vec<String> {
            let file = place.path().join(name);
            std::fs::write(&file, text).unwrap();
            let refused = refused_in(&squawk, &file).unwrap();
            refused.into_iter().map(|finding| finding.rule).collect()
        };
        for (statement, rule) in [
            (
                "CREATE INDEX ix ON tasks (name);",
                "require-concurrent-index-creation",
            ),
            (
                "ALTER TABLE tasks ADD COLUMN x bigint NOT NULL;",
                "adding-required-field",
            ),
            (
                "ALTER TABLE tasks ALTER COLUMN name SET NOT NULL;",
                "adding-not-nullable-field",
            ),
            (
                "ALTER TABLE tasks ADD CONSTRAINT c CHECK (name <> '');",
                "constraint-missing-not-valid",
            ),
            (
                "ALTER TABLE tasks ALTER COLUMN name TYPE bytea USING NULL;",
                "changing-column-type",
            ),
            (
                "ALTER TABLE tasks RENAME COLUMN name TO title;",
                "renaming-column",
            ),
            ("DROP TABLE tasks;", "ban-drop-table"),
            ("CREATE INDEX IS ON;", "syntax-error"),
        ] {
            let found = rules("0009_bad.up.sql", statement);
            assert!(found.iter().any(|found| found == rule), "{statement}: {found:?}");
        }
        // A second run after an interruption must not fail at what the first one did.
        let outside = "-- no-transaction\nCREATE INDEX CONCURRENTLY ix ON tasks (name);";
        assert_eq!(rules("0009_bad.up.sql", outside), ["prefer-robust-stmts"]);
        for good in [
            "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON tasks (name);",
            "ALTER TABLE tasks ADD COLUMN x bigint;",
            "ALTER TABLE tasks ADD CONSTRAINT c CHECK (name <> '') NOT VALID;",
        ] {
            assert_eq!(rules("0009_good.up.sql", good), [""; 0], "{good}");
        }
        assert_eq!(
            rules("0009_good.down.sql", "ALTER TABLE tasks DROP COLUMN x;"),
            [""; 0]
        );
        // What is known of one merged file is no leave for another file, nor for more of it.
        let small = "CREATE TABLE t (a int PRIMARY KEY);";
        assert_eq!(rules("0002_delegations.up.sql", small), [""; 0]);
        assert_eq!(rules("0009_bad.up.sql", small), ["prefer-bigint-over-int"]);
        let more = "CREATE TABLE t (a int PRIMARY KEY, b int);";
        assert_eq!(rules("0002_delegations.up.sql", more).len(), 2);
    }
}
