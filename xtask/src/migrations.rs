//! `cargo xtask migrations`: linted, then run on a real PostgreSQL: up, down, up again; the dump after `up` is the committed one, and
//! so is the history.

mod lint;
mod new;

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use pg_cluster::{Cluster, Durability, Options};
use sha2::{Digest as _, Sha384};
use tempfile::TempDir;

use crate::shell::{output, postgres_program, root, run as run_command};

/// One part of it.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Part {
    /// Refuse DDL that is unsafe on a large, hot table (squawk).
    Lint,
    /// Migrate a throwaway database up, down and up again, and compare it with migrations/schema.sql and migrations/HISTORY.
    Check,
    /// Make the next migration: two files that say what is expected of them.
    New {
        /// What it does: a letter, then letters, digits and underscores, all lower-case.
        name: String,
    },
}

/// Runs one part; lints and checks where none is named, which also can write the dump and the history anew.
pub(crate) fn run(part: Option<&Part>, write: bool) -> Result<()> {
    match part {
        Some(Part::Lint) => lint::run(),
        Some(Part::Check) => check(false),
        Some(Part::New { name }) => new::run(name),
        None => {
            lint::run()?;
            check(write)
        }
    }
}

/// Whether the migrator runs this text outside a transaction; sqlx looks for these words at its very beginning.
fn is_outside_transaction(text: &str) -> bool {
    text.starts_with("-- no-transaction")
}

/// How clients of a throwaway cluster prove who they are: with the password as it is, on a socket that only its owner can reach. With
/// SCRAM every connection costs its client 4096 rounds of HMAC, which is most of what a small test of a debug build computes.
const ACCESS: &str = "local all all password\n";

/// A throwaway cluster that lives as long as this value, with its runtime.
pub(crate) struct Throwaway {
    runtime: tokio::runtime::Runtime,
    cluster: Option<Cluster>,
    /// The directory of its `pg_hba.conf`, if that is not its own.
    _access: Option<TempDir>,
}

impl Throwaway {
    /// Starts one, for hundreds of small databases with many short connections.
    pub(crate) fn start() -> Result<Self> {
        let access = tempfile::Builder::new().prefix("hallmark-access-").tempdir()?;
        let file = access.path().join("pg_hba.conf");
        std::fs::write(&file, ACCESS)?;
        // PostgreSQL is another user where this is root, and the mask of new files may leave nothing to others.
        std::fs::set_permissions(access.path(), Permissions::from_mode(0o755))?;
        std::fs::set_permissions(&file, Permissions::from_mode(0o644))?;
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options = Options {
            settings: vec![
                setting("hba_file", &file.to_string_lossy()),
                // How often each database is looked at: of hundreds of them and with the usual minute, several in a second.
                setting("autovacuum_naptime", "30min"),
            ],
            ..Options::temporary()?
        };
        Self::with(options, Some(access))
    }

    /// Starts one that flushes to disk as a lasting one does, to measure it.
    pub(crate) fn durable() -> Result<Self> {
        let options = Options {
            durability: Durability::Durable,
            ..Options::temporary()?
        };
        Self::with(options, None)
    }

    fn with(options: Options, access: Option<TempDir>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let options = Options {
            max_connections: 400,
            ..options
        };
        let cluster = runtime
            .block_on(Cluster::start(options))
            .context("a throwaway PostgreSQL could not start")?;
        Ok(Self {
            runtime,
            cluster: Some(cluster),
            _access: access,
        })
    }

    /// The URL of a database of it, which is made.
    pub(crate) fn database(&self, name: &str) -> Result<String> {
        let cluster = self.cluster.as_ref().context("the cluster is stopped")?;
        self.runtime.block_on(cluster.ensure_database(name))?;
        Ok(cluster.url(name))
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.take() {
            // What does not stop here is stopped by its supervisor when this process ends.
            let _ = self.runtime.block_on(cluster.stop());
        }
    }
}

/// Runs a migration file as the server's migrator does: one transaction, or none where the file says so.
fn apply(url: &str, file: &std::path::Path) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let mut psql = Command::new(postgres_program("psql")?);
    psql.args([
        "--no-psqlrc",
        "--quiet",
        "--output=/dev/null",
        "--set=ON_ERROR_STOP=1",
        "--dbname",
        url,
    ]);
    if is_outside_transaction(&text) {
        // In one message, as the migrator sends it: there a second statement would make a transaction of the two.
        psql.arg("--command").arg(text);
    } else {
        psql.arg("--single-transaction").arg("--file").arg(file);
    }
    run_command(&mut psql).with_context(|| file.display().to_string())
}

fn files(ending: &str) -> Result<Vec<std::path::PathBuf>> {
    let mut files: Vec<_> = std::fs::read_dir(root().join("migrations"))?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|e| e.path())
        .collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    Ok(files)
}

fn dump(url: &str) -> Result<String> {
    let text = output(Command::new(postgres_program("pg_dump")?).args([
        "--schema-only",
        "--no-owner",
        "--no-privileges",
        "--no-comments",
        url,
    ]))?;
    // What differs between versions and runs is no part of the schema.
    let kept = text.lines().filter(|line| {
        !line.starts_with("--")
            && !line.starts_with("SET ")
            && !line.starts_with("SELECT pg_catalog.set_config")
            && !line.starts_with('\\')
    });
    let mut dump = String::new();
    for line in kept {
        if !(line.is_empty() && dump.ends_with("\n\n")) {
            dump.push_str(line);
            dump.push('\n');
        }
    }
    Ok(dump.trim().to_owned() + "\n")
}

/// One line per migration: its name and the SHA-384 of its text. A merged migration is never edited, so a line never changes.
fn history() -> Result<String> {
    let mut text = String::new();
    for file in files(".sql")?
        .iter()
        .filter(|file| file.file_name().is_some_and(|name| name != "schema.sql"))
    {
        let digest: String = Sha384::digest(std::fs::read(file)?)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        writeln!(
            text,
            "{digest}  {}",
            file.file_name().unwrap_or_default().to_string_lossy()
        )?;
    }
    Ok(text)
}

/// Checks everything that PostgreSQL can tell, or writes the dump and the history anew.
fn check(write: bool) -> Result<()> {
    let (schema, kept_history) = (
        root().join("migrations/schema.sql"),
        root().join("migrations/HISTORY"),
    );
    let server = Throwaway::start()?;
    let url = server.database("migrations")?;
    let empty = dump(&url)?;
    let up = files(".up.sql")?;
    for file in &up {
        apply(&url, file)?;
    }
    let first = dump(&url)?;
    for file in files(".down.sql")?.iter().rev() {
        apply(&url, file)?;
    }
    if dump(&url)? != empty {
        bail!("the down migrations leave something behind:\n{}", dump(&url)?);
    }
    for file in &up {
        apply(&url, file)?;
    }
    ensure!(
        dump(&url)? == first,
        "up, down and up again gives another schema than up"
    );
    if write {
        std::fs::write(schema, first)?;
        std::fs::write(kept_history, history()?)?;
    } else {
        ensure!(
            std::fs::read_to_string(schema).unwrap_or_default() == first,
            "migrations/schema.sql is not what `up` gives; run `cargo xtask migrations --write`"
        );
        ensure!(
            std::fs::read_to_string(kept_history).unwrap_or_default() == history()?,
            "migrations/HISTORY is not what the files are: a merged migration is never edited; for a new one run `cargo xtask migrations --write`"
        );
    }
    println!(
        "migrations: {} go up, down and up again; schema.sql and HISTORY agree",
        up.len()
    );
    Ok(())
}
