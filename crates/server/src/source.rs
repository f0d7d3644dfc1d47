//! Sources of the configuration: a TOML file, then the environment, then arguments; later sources override earlier
//! ones. Every value keeps its origin, and every fault is collected, so that all of them are reported at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use serde_json::Value;

use crate::commands::{SERVER, TOKEN};

/// Prefix of the environment's names; `__` nests.
const PREFIX: &str = "HALLMARK_";
/// Prefix of test variables, which are not configuration.
const TEST_PREFIX: &str = "HALLMARK_TEST_";

/// Environment variable that names the YAML file of the Open Science Archive server.
pub(crate) const OSA_CONFIG_FILE: &str = "OSA_CONFIG_FILE";

/// Names of the Open Science Archive server (WC-8) and the corresponding keys here.
const ALIASES: &[(&str, &str)] = &[
    ("OSA_DATABASE__URL", "database.url"),
    ("OSA_DATA_DIR", "data_dir"),
    ("OSA_HOST_DATA_DIR", "host_data_dir"),
    ("OSA_RUNNER__BACKEND", "runner.backend"),
    ("OSA_NAME", "name"),
    ("OSA_DESCRIPTION", "description"),
    ("OSA_DOMAIN", "domain"),
    ("OSA_BASE_URL", "base_url"),
    ("OSA_DEV_MODE", "dev_mode"),
    ("OSA_LOGGING__LEVEL", "log.level"),
    ("OSA_AUTH__JWT__SECRET", "auth.jwt.secret"),
    ("OSA_AUTH__EXTRA_ISSUER__ISSUER", "auth.issuers.osa.issuer"),
    (
        "OSA_AUTH__EXTRA_ISSUER__PUBLIC_KEY",
        "auth.issuers.osa.public_key",
    ),
    ("OSA_AUTH__EXTRA_ISSUER__AUDIENCE", "auth.issuers.osa.audience"),
    (
        "OSA_AUTH__EXTRA_ISSUER__SCOPE_CLAIM",
        "auth.issuers.osa.scope_claim",
    ),
    (
        "OSA_AUTH__JWT__ACCESS_TOKEN_EXPIRE_MINUTES",
        "auth.jwt.access_token_expire_minutes",
    ),
    (
        "OSA_AUTH__JWT__REFRESH_TOKEN_EXPIRE_DAYS",
        "auth.jwt.refresh_token_expire_days",
    ),
    ("OSA_AUTH__PROVIDERS__ORCID__CLIENT_ID", "auth.orcid.client_id"),
    (
        "OSA_AUTH__PROVIDERS__ORCID__CLIENT_SECRET",
        "auth.orcid.client_secret",
    ),
    ("OSA_AUTH__PROVIDERS__ORCID__SANDBOX", "auth.orcid.sandbox"),
    ("OSA_AUTH__ADMINS__ORCID", "auth.admins"),
    ("OSA_AUTH__BASE_ROLE", "auth.base_role"),
    ("OSA_AUTH__CALLBACK_URL", "auth.callback_url"),
    ("OSA_FRONTEND__URL", "frontend_url"),
    ("OSA_SEED_LOCAL_ADMIN", "seed_local_admin"),
    ("OSA_WORKER__HOOK_CONCURRENCY", "worker.concurrency"),
];

/// Values by key, each with its origin.
#[derive(Debug, Default)]
pub(crate) struct Source {
    values: BTreeMap<String, (String, String)>,
    faults: Vec<String>,
    without_effect: Vec<String>,
    files: Vec<PathBuf>,
}

/// All faults of a configuration.
#[derive(Debug)]
pub(crate) struct ConfigFaults(Vec<String>);

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for ConfigFaults {}

impl Source {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets a value.
    pub(crate) fn set(&mut self, key: &str, value: &str, origin: &str) {
        self.values
            .insert(key.to_owned(), (value.to_owned(), origin.to_owned()));
    }

    /// Reads a TOML file.
    pub(crate) fn read_file(&mut self, file: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the configuration file {}", file.display()))?;
        let value: Value = toml::from_str(&text)
            .with_context(|| format!("the configuration file {} is not valid TOML", file.display()))?;
        self.flatten("", &value, &file.display().to_string());
        self.files.push(file.to_owned());
        Ok(())
    }

    /// Reads the YAML file of the Open Science Archive server (WC-8, `OSA_CONFIG_FILE`). Variables in it are not
    /// expanded. Every environment variable overrides the file. Settings without effect here are reported, not refused.
    pub(crate) fn read_osa_file(&mut self, file: &Path) -> anyhow::Result<()> {
        let shown = file.display();
        let text =
            std::fs::read_to_string(file).with_context(|| format!("OSA_CONFIG_FILE: cannot read {shown}"))?;
        let value: Value = serde_saphyr::from_str(&text)
            .with_context(|| format!("OSA_CONFIG_FILE: {shown} is not valid YAML"))?;
        self.files.push(file.to_owned());
        let mut read = Self::new();
        read.flatten("", &value, &format!("OSA_CONFIG_FILE {shown}"));
        for (key, (value, origin)) in read.values {
            let name = format!("OSA_{}", key.to_ascii_uppercase().replace('.', "__"));
            // The name of a list entry ends with its number.
            let (name, number) = match name.rsplit_once("__") {
                Some((list, number)) if number.bytes().all(|b| b.is_ascii_digit()) => {
                    (list.to_owned(), Some(number))
                }
                _ => (name.clone(), None),
            };
            match ALIASES.iter().find(|(alias, _)| *alias == name) {
                Some((_, key)) => {
                    let key = number.map_or_else(|| (*key).to_owned(), |n| format!("{key}.{n}"));
                    self.set(&key, &value, &origin);
                }
                None => self.without_effect.push(format!("{key} in {shown}")),
            }
        }
        Ok(())
    }

    pub(crate) fn flatten(&mut self, key: &str, value: &Value, origin: &str) {
        let inner = |name: &str| {
            if key.is_empty() {
                name.to_owned()
            } else {
                format!("{key}.{name}")
            }
        };
        match value {
            Value::Object(table) => table
                .iter()
                .for_each(|(name, value)| self.flatten(&inner(name), value, origin)),
            // An explicitly empty list differs from an absent one.
            Value::Array(items) if items.is_empty() => self.set(key, "[]", origin),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(index, value)| self.flatten(&inner(&index.to_string()), value, origin)),
            Value::String(text) => self.set(key, text, origin),
            Value::Null => {}
            other => self.set(key, &other.to_string(), origin),
        }
    }

    /// Reads the environment: our own names first, then `OSA_...` aliases, then `DATABASE_URL`.
    pub(crate) fn read_environment(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        let mut own = Vec::new();
        let mut aliased = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let alias = ALIASES
                .iter()
                .find(|(alias, _)| *alias == name)
                .map(|(_, key)| (*key).to_owned());
            let key = if name.starts_with(TEST_PREFIX) || [TOKEN, SERVER].contains(&name) {
                None
            } else {
                name.strip_prefix(PREFIX)
                    .map(|rest| rest.to_ascii_lowercase().replace("__", "."))
            };
            let plain = (name == "DATABASE_URL").then(|| "database.url".to_owned());
            let (Some(key), list) = (match (&key, &alias, &plain) {
                (Some(_), ..) => (key, &mut own),
                (_, Some(_), _) => (alias, &mut aliased),
                _ => (plain, &mut aliased),
            }) else {
                // An operator who migrates must notice every setting that this server does not know.
                if name.starts_with("OSA_") && ![OSA_CONFIG_FILE, "OSA_TOKEN", "OSA_SERVER"].contains(&name) {
                    self.without_effect.push(name.to_owned());
                }
                continue;
            };
            match value.to_str() {
                Some(value) => list.push((key, value.to_owned(), name.to_owned())),
                None => self
                    .faults
                    .push(format!("{key} (from {name}): is not valid UTF-8")),
            }
        }
        // `DATABASE_URL` sorts before `OSA_...`, so the more specific name wins.
        aliased.sort_by(|a, b| a.2.cmp(&b.2));
        for (key, value, origin) in aliased.into_iter().chain(own) {
            self.set(&key, &value, &origin);
        }
    }

    /// Takes a value as text.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        self.values.remove(key).map(|(value, _)| value)
    }

    /// Takes and parses a value. A fault names the key, its origin and the rule.
    pub(crate) fn parsed<T: FromStr>(&mut self, key: &str, rule: &str) -> Option<T> {
        let (value, origin) = self.values.remove(key)?;
        let parsed = value.trim().parse().ok();
        if parsed.is_none() {
            self.faults.push(format!("{key} (from {origin}): {rule}"));
        }
        parsed
    }

    /// Takes a list from a file, or from a variable as JSON or separated by commas or spaces; a variable replaces the
    /// whole list.
    pub(crate) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let mut numbered = self.below(key);
        numbered.sort_by_key(|n| n.parse::<u32>().unwrap_or(u32::MAX));
        let entries: Vec<String> = numbered
            .iter()
            .filter_map(|n| self.text(&format!("{key}.{n}")))
            .collect();
        let Some((text, origin)) = self.values.remove(key) else {
            return (!numbered.is_empty()).then_some(entries);
        };
        if text.trim_start().starts_with('[') {
            let parsed = serde_json::from_str(&text).ok();
            if parsed.is_none() {
                self.faults
                    .push(format!("{key} (from {origin}): is not a JSON list of strings"));
            }
            return parsed;
        }
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        Some(words.map(str::to_owned).collect())
    }

    /// Returns the names directly below a key.
    pub(crate) fn below(&self, key: &str) -> Vec<String> {
        let prefix = format!("{key}.");
        let mut names: Vec<String> = self
            .values
            .keys()
            .filter_map(|k| k.strip_prefix(&prefix)?.split('.').next().map(str::to_owned))
            .collect();
        names.dedup();
        names
    }

    /// Returns the settings of the Open Science Archive server that were given but have no effect here.
    pub(crate) fn without_effect(&mut self) -> Vec<String> {
        self.without_effect.sort();
        std::mem::take(&mut self.without_effect)
    }

    /// Returns the files that were read.
    pub(crate) fn files(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.files)
    }

    /// Adds a fault.
    pub(crate) fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// Returns every fault, including unknown keys.
    pub(crate) fn finish(mut self) -> Result<(), ConfigFaults> {
        let unknown = self
            .values
            .iter()
            .map(|(key, (_, origin))| format!("{key} (from {origin}): is not a configuration key"));
        self.faults.extend(unknown);
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(ConfigFaults(self.faults))
        }
    }
}
