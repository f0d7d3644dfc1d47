//! The environment of a hook: the paths of its input and output, and its configuration.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The directories and the name that the server passes to a hook (WC-5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The directory with `records.jsonl` and `config.json` (`OSA_IN`).
    pub input: PathBuf,
    /// The directory for the outcomes (`OSA_OUT`).
    pub output: PathBuf,
    /// The directory with the records' files, one directory per id (`OSA_FILES`).
    pub files: PathBuf,
    /// Which hook of the image is to run (`OSA_HOOK_NAME`).
    pub hook_name: Option<String>,
}

impl Environment {
    /// Reads the process's environment variables. Fails if one of the three directories is not set.
    pub fn from_variables() -> Result<Self, RunError> {
        let dir = |name| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
                .ok_or(RunError::MissingVariable(name))
        };
        let hook_name = std::env::var("OSA_HOOK_NAME").ok();
        Ok(Self {
            input: dir("OSA_IN")?,
            output: dir("OSA_OUT")?,
            files: dir("OSA_FILES")?,
            hook_name,
        })
    }
}

/// The part that is the same for every record of a batch.
#[derive(Clone, Debug)]
pub struct Context {
    hook_name: Option<String>,
    config: Value,
}

impl Context {
    /// Reads `config.json`, which the server writes only if the release has a config.
    pub(crate) fn read(environment: &Environment) -> Result<Self, RunError> {
        let path = environment.input.join("config.json");
        let config = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| RunError::Input(path, e.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Value::Object(serde_json::Map::new()),
            Err(error) => return Err(RunError::Input(path, error)),
        };
        Ok(Self {
            hook_name: environment.hook_name.clone(),
            config,
        })
    }

    /// Creates a context for testing a hook's function, with this config.
    pub const fn for_test(config: Value) -> Self {
        Self {
            hook_name: None,
            config,
        }
    }

    /// Returns the release's config as your type; a release without one has the config `{}`. Fails if it does not
    /// match.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        T::deserialize(&self.config).map_err(ConfigError)
    }

    /// Returns the name under which the server runs the hook.
    pub fn hook_name(&self) -> Option<&str> {
        self.hook_name.as_deref()
    }
}

/// The release's config does not match the hook's type.
#[derive(Debug)]
pub struct ConfigError(serde_json::Error);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the hook's config does not fit: {}", self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Returns the name of the directory below `OSA_FILES` with the files of the record `id` (WC-D11): the id, in which
/// `%`, `/` and `\` are `%25`, `%2F` and `%5C`. If that has more than 200 bytes, the name is its longest beginning of
/// at most 150 bytes that ends between two characters, `~`, and the SHA-256 of the id in hexadecimal digits.
///
/// [`Record::files`] has it already.
///
/// ```
/// assert_eq!(hook_sdk::directory_name("10.5061/dryad.8515"), "10.5061%2Fdryad.8515");
/// ```
pub fn directory_name(id: &str) -> String {
    let mut name = id.replace('%', "%25").replace('/', "%2F").replace('\\', "%5C");
    if name.len() > 200 {
        let mut end = 150;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        name.push('~');
        for byte in Sha256::digest(id.as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
    }
    name
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<M> {
    /// Its id; the outcome is written under it.
    pub id: String,
    /// Its metadata, as your type. A field that the record lacks is absent: use `Option` for those, and
    /// `#[serde(deny_unknown_fields)]` if you want to be informed of others.
    pub metadata: M,
    /// The size of its files in MiB, as far as the server knows.
    pub size_hint_mb: Option<f64>,
    files: PathBuf,
}

impl<M> Record<M> {
    /// Creates a record whose files are in the directory `files`, for testing a hook's function.
    pub fn new(id: impl Into<String>, metadata: M, files: impl Into<PathBuf>) -> Self {
        Self {
            id: id.into(),
            metadata,
            size_hint_mb: None,
            files: files.into(),
        }
    }

    pub(crate) const fn with_size_hint(mut self, size_hint_mb: Option<f64>) -> Self {
        self.size_hint_mb = size_hint_mb;
        self
    }

    /// Returns the directory of its files. It does not exist if the record has none.
    pub fn files(&self) -> &Path {
        &self.files
    }

    /// Returns the paths of its files, by name. Fails if the directory exists and cannot be read.
    pub fn file_paths(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.files) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut paths = entries
            .map(|entry| entry.map(|e| e.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }
}

/// Why a hook could not run at all. A fault of one record is never one of these.
#[derive(Debug)]
pub enum RunError {
    /// The server did not set this environment variable, or the program was not started by one.
    MissingVariable(&'static str),
    /// This input file cannot be read.
    Input(PathBuf, io::Error),
    /// This output file cannot be written.
    Output(PathBuf, io::Error),
    /// The image has no hook of the requested name.
    UnknownHook {
        /// The name in `OSA_HOOK_NAME`, if there was one.
        asked: Option<String>,
        /// The names of the image's hooks.
        known: Vec<String>,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingVariable(name) => write!(
                f,
                "the environment variable {name} is not set; a hook is started by the server, which sets it"
            ),
            Self::Input(path, error) => write!(f, "{} cannot be read: {error}", path.display()),
            Self::Output(path, error) => write!(f, "{} cannot be written: {error}", path.display()),
            Self::UnknownHook { asked: None, known } => write!(
                f,
                "OSA_HOOK_NAME is not set; this image has the hooks {}",
                known.join(", ")
            ),
            Self::UnknownHook {
                asked: Some(asked),
                known,
            } => write!(
                f,
                "there is no hook {asked:?}; this image has the hooks {}",
                known.join(", ")
            ),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(_, error) | Self::Output(_, error) => Some(error),
            Self::MissingVariable(_) | Self::UnknownHook { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The same example is in the test of the server's `SourceId::directory_name`.
    #[test]
    fn directories_are_named_as_the_server_names_them() {
        assert_eq!(directory_name("Gentoo:7 ä"), "Gentoo:7 ä");
        assert_eq!(directory_name("a%2F/\\"), "a%252F%2F%5C");
        let hash = "471d40e12c184cf348f59976e491e3990f23e3824ec2b711be8bc348f9a4bde7";
        assert_eq!(
            directory_name(&"é/".repeat(300)),
            format!("{}~{hash}", "é%2F".repeat(30))
        );
    }
}
