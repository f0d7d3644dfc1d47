//! `cargo xtask migrations new NAME`: the next pair of files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell::root;

const UP: &str = "\
-- Why this change. It runs in one transaction while old and new servers use the tables (CONTRIBUTING.md, \"Writing a migration\"):
-- nullable columns, constraints NOT VALID here and VALIDATE in the next migration, and one hot table's lock at a time.
-- For CONCURRENTLY, this file's first line is `-- no-transaction`, and it has one statement, which may be run twice:
--   CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_table_column ON table (column);
";

const DOWN: &str = "\
-- Takes away all that the up migration made, and nothing else.
-- For CONCURRENTLY, this file's first line is `-- no-transaction`, and it has one statement:
--   DROP INDEX CONCURRENTLY IF EXISTS ix_table_column;
";

/// Makes them, and says what comes next.
pub(super) fn run(name: &str) -> Result<()> {
    for file in make(&root().join("migrations"), name)? {
        println!("{}", file.strip_prefix(root()).unwrap_or(&file).display());
    }
    println!("write both, then run `cargo xtask migrations --write`");
    Ok(())
}

/// Makes the pair in a directory, numbered after the last one there.
fn make(directory: &Path, name: &str) -> Result<[PathBuf; 2]> {
    let mut characters = name.chars();
    ensure!(
        characters.next().is_some_and(|first| first.is_ascii_lowercase())
            && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
        "{name:?} is not a name: it begins with a letter and has lower-case letters, digits and underscores only"
    );
    let mut last = 0;
    for entry in std::fs::read_dir(directory)? {
        let file = entry?.file_name();
        let file = file.to_string_lossy();
        let stem = file
            .strip_suffix(".up.sql")
            .or_else(|| file.strip_suffix(".down.sql"));
        let Some((number, other)) = stem.and_then(|stem| stem.split_once('_')) else {
            continue;
        };
        if other == name {
            bail!("there is a migration of this name: {file}");
        }
        let number: u32 = number.parse().with_context(|| format!("{file} has no number"))?;
        last = last.max(number);
    }
    let file = |direction: &str| directory.join(format!("{:04}_{name}.{direction}.sql", last + 1));
    let pair = [file("up"), file("down")];
    for (file, text) in pair.iter().zip([UP, DOWN]) {
        std::fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_migration_is_the_next_pair_and_no_name_is_taken_twice() {
        let place = tempfile::tempdir().unwrap();
        let names = |pair: [PathBuf; 2]| {
            pair.map(|file| file.strip_prefix(place.path()).unwrap().display().to_string())
        };
        let first = make(place.path(), "first").unwrap();
        assert_eq!(names(first), ["0001_first.up.sql", "0001_first.down.sql"]);
        // What is there beside migrations has no number.
        std::fs::write(place.path().join("schema.sql"), "").unwrap();
        std::fs::write(place.path().join("0041_only_up.up.sql"), "").unwrap();
        let next = make(place.path(), "task_names_2").unwrap();
        let up = std::fs::read_to_string(&next[0]).unwrap();
        assert!(up.contains("-- no-transaction") && !super::super::is_outside_transaction(&up));
        assert_eq!(
            names(next),
            ["0042_task_names_2.up.sql", "0042_task_names_2.down.sql"]
        );
        for taken in ["first", "only_up", "task_names_2"] {
            assert!(make(place.path(), taken).is_err(), "{taken}");
        }
        for bad in ["", "2nd", "_a", "Aa", "a-b", "a b", "a.b", "../a", "ä"] {
            assert!(make(place.path(), bad).is_err(), "{bad}");
        }
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 6);
    }
}
