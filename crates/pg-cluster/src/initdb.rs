//! Creates the data directory, whole or not at all.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::account::Account;
use crate::binaries::Binaries;
use crate::directory::{self, Directory};
use crate::endpoint::ROLE;
use crate::error::{Error, io};
use crate::occupants;
use crate::options::Durability;

/// Creates the data directory unless it exists. `wait` is for an `initdb` that a killed earlier owner left running.
pub(crate) async fn ensure(
    directory: &Directory,
    account: &Account,
    binaries: &Binaries,
    durability: Durability,
    password: &str,
    wait: Duration,
) -> Result<(), Error> {
    let unfinished = directory.unfinished();
    let password_file = directory.root().join("password.initdb");
    if unfinished.exists() {
        occupants::wait_gone(&unfinished, wait).await?;
        directory::remove_tree(&unfinished).await?;
    }
    remove_file(&password_file)?;
    let data = directory.data();
    if data.exists() {
        return Ok(());
    }
    tracing::info!(directory = %data.display(), major = binaries.major(), "creating a PostgreSQL cluster");
    // Its user must read it, and may not be the current user.
    directory::write_private(&password_file, password)?;
    account.own(&password_file)?;
    let made = make(&unfinished, account, binaries, durability, &password_file).await;
    remove_file(&password_file)?;
    made?;
    fs::rename(&unfinished, &data).map_err(io("put in place", &data))?;
    directory::sync(directory.root())
}

/// Runs `initdb`, with the locale C if the system has no C.UTF-8.
async fn make(
    target: &Path,
    account: &Account,
    binaries: &Binaries,
    durability: Durability,
    password_file: &Path,
) -> Result<(), Error> {
    let first = run(target, "C.UTF-8", account, binaries, durability, password_file).await;
    match first {
        Err(Error::Initdb { output, .. }) if output.contains("locale") => {
            run(target, "C", account, binaries, durability, password_file).await
        }
        other => other,
    }
}

async fn run(
    target: &Path,
    locale: &str,
    account: &Account,
    binaries: &Binaries,
    durability: Durability,
    password_file: &Path,
) -> Result<(), Error> {
    directory::remove_tree(target).await?;
    // Created here, as its user may not create anything in the cluster's directory. As the working directory, it
    // shows a later owner that this initdb still runs in it.
    account.private_directory(target)?;
    let program = binaries.program("initdb");
    let mut command = account.command(&program, target);
    command
        .arg("--encoding=UTF8")
        .arg(format!("--locale={locale}"))
        .arg(format!("--username={ROLE}"))
        .arg("--auth=scram-sha-256")
        .arg("--pwfile")
        .arg(password_file)
        .arg("--pgdata")
        .arg(target)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if durability == Durability::Throwaway {
        command.arg("--no-sync");
    }
    let output = command.output().await.map_err(io("run", &program))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let output = directory::last_lines(&String::from_utf8_lossy(&text));
    Err(Error::Initdb {
        directory: target.to_path_buf(),
        output,
    })
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}
