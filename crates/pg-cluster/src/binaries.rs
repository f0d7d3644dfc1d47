//! Finds the programs of PostgreSQL.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::error::Error;
use crate::options::BinarySearch;

/// Where packages put PostgreSQL: the parent directory, the prefix of the entry's name, and the path of the programs
/// below the entry.
const PLACES: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];

/// The programs of one installed PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    directory: PathBuf,
    major: u32,
}

impl Binaries {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn major(&self) -> u32 {
        self.major
    }

    /// Opens `directory` if it contains a whole PostgreSQL. Links are followed, since a link to `postgres` in
    /// `/usr/local/bin` need not have `psql` beside it.
    pub(crate) async fn open(directory: &Path) -> Option<Self> {
        let postgres = directory.join("postgres").canonicalize().ok()?;
        let directory = postgres.parent()?.to_path_buf();
        if !["initdb", "psql"]
            .iter()
            .all(|name| directory.join(name).is_file())
        {
            return None;
        }
        let output = Command::new(&postgres)
            .arg("--version")
            .env("LC_ALL", "C")
            .output()
            .await
            .ok()?;
        let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { directory, major })
    }

    /// Chooses the programs: those of the major version `needed`, or the first ones found. `data` is for the error.
    /// Returns `Ok(None)` if there are none, of any version.
    async fn choose(search: &BinarySearch, needed: Option<u32>, data: &Path) -> Result<Option<Self>, Error> {
        let mut others = Vec::new();
        for found in candidates(search).await {
            if needed.is_none_or(|major| major == found.major) {
                return Ok(Some(found));
            }
            others.push(format!("{} ({})", found.major, found.directory.display()));
        }
        match needed {
            Some(needed) if !others.is_empty() => {
                let found = others.join(", ");
                Err(Error::VersionMissing {
                    directory: data.to_path_buf(),
                    needed,
                    found,
                })
            }
            _ => Ok(None),
        }
    }

    /// Finds the installed programs for the data directory `data`, which may not exist yet.
    pub(crate) async fn find(search: &BinarySearch, data: &Path) -> Result<Self, Error> {
        match Self::choose(search, version_of(data)?, data).await? {
            Some(found) => Ok(found),
            None => Err(Error::BinariesMissing {
                looked: places(search),
            }),
        }
    }
}

/// Returns all that is installed, the best first.
async fn candidates(search: &BinarySearch) -> Vec<Binaries> {
    let mut found = Vec::new();
    match search {
        BinarySearch::Only(directories) => collect(directories, &mut found).await,
        BinarySearch::System => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            // A relative entry means another directory for each process, so it is skipped.
            let path: Vec<PathBuf> = std::env::split_paths(&path)
                .filter(|entry| entry.is_absolute())
                .collect();
            collect(&path, &mut found).await;
            let mut installed = Vec::new();
            for place in PLACES {
                collect(&entries(place), &mut installed).await;
            }
            installed.sort_by_key(|one| std::cmp::Reverse(one.major));
            found.extend(installed);
        }
    }
    found
}

async fn collect(directories: &[PathBuf], found: &mut Vec<Binaries>) {
    for directory in directories {
        if let Some(one) = Binaries::open(directory).await {
            found.push(one);
        }
    }
}

fn entries((parent, begin, below): &(&str, &str, &str)) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(begin))
        .map(|entry| entry.path().join(below))
        .collect()
}

/// Lists the searched places, for people.
fn places(search: &BinarySearch) -> String {
    match search {
        BinarySearch::System => {
            let known = PLACES
                .iter()
                .map(|(parent, begin, below)| format!("{parent}/{begin}*/{below}"));
            std::iter::once("PATH".to_owned())
                .chain(known)
                .collect::<Vec<_>>()
                .join(", ")
        }
        BinarySearch::Only(directories) if directories.is_empty() => "no directory at all".to_owned(),
        BinarySearch::Only(directories) => directories
            .iter()
            .map(|one| one.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Returns the major version that created a data directory; `None` if there is none yet.
pub(crate) fn version_of(data: &Path) -> Result<Option<u32>, Error> {
    if !data.exists() {
        return Ok(None);
    }
    let wrong = |problem: String| Error::NotADataDirectory {
        directory: data.to_path_buf(),
        problem,
    };
    let text = fs::read_to_string(data.join("PG_VERSION"))
        .map_err(|error| wrong(format!("cannot be read ({error})")))?;
    let major = text.trim().split('.').next().and_then(|part| part.parse().ok());
    major
        .map(Some)
        .ok_or_else(|| wrong(format!("holds {:?}", text.trim())))
}

/// Parses the major version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` or `… 18beta1`.
fn major_of(version: &str) -> Option<u32> {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let digits = number.split(|one: char| !one.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{major_of, places};
    use crate::options::BinarySearch;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_of("nothing of the kind"), None);
    }

    #[test]
    fn the_searched_places_are_reported() {
        assert!(
            places(&BinarySearch::System).starts_with("PATH, /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin")
        );
    }
}
