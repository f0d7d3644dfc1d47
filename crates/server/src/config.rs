//! Typed configuration. `docs/configuration.md` lists every key.

pub(crate) mod auth;
mod bounds;
mod http;
mod limits;
mod runner;
pub(crate) mod value;

use crate::config::value::LenientBool;
use crate::config::value::{Secret, seconds, url};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use api::{BaseUrl, NotABaseUrl};
use domain::NodeDomain;

pub(crate) use crate::config::auth::AuthConfig;
use crate::config::auth::Key;
use crate::config::bounds::Bounds;
pub(crate) use crate::config::http::ConnectionConfig;
use crate::config::runner::RunnerConfig;
pub(crate) use crate::config::runner::{LocalNetwork, Sandbox};
use crate::source::{ConfigFaults, Source};

/// The secret with which osa-py signs local tokens (WC-3). It is public, so it is accepted in dev mode and on loopback
/// only.
pub(crate) const WELL_KNOWN_SECRET: &str =
    "osa-local-dev-jwt-secret-CHANGE-IN-PRODUCTION-not-suitable-for-real-use";

/// The whole configuration.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    /// Directory of the blob store (files and logs), which every server of the node can reach.
    pub(crate) storage: Option<PathBuf>,
    pub(crate) domain: NodeDomain,
    /// Display name of the archive.
    pub(crate) name: String,
    /// Description of the archive, for people.
    pub(crate) description: String,
    pub(crate) dev_mode: bool,
    /// `None`: the server starts its own PostgreSQL in its data directory.
    pub(crate) database_url: Option<Secret>,
    /// The role that owns the tables and migrates. `None`: that of `database_url` migrates, if it may.
    pub(crate) database_owner_url: Option<Secret>,
    pub(crate) max_connections: u32,
    /// Public base URL. `None`: `https://<domain>`, or the listening address while the domain is localhost.
    pub(crate) base_url: Option<BaseUrl>,
    /// Whether the local administrator exists outside dev mode too (`OSA_SEED_LOCAL_ADMIN`).
    pub(crate) seed_local_admin: bool,
    /// Settings of the HTTP middleware.
    pub(crate) http: api::HttpOptions,
    /// Limits of connections.
    pub(crate) connections: ConnectionConfig,
    pub(crate) auth: AuthConfig,
    /// How much each caller may ask for.
    pub(crate) limits: app::CallerLimits,
    pub(crate) worker: WorkerConfig,
    pub(crate) runner: RunnerConfig,
    /// Bounds on what hooks and callers may make the server hold.
    pub(crate) bounds: Bounds,
    /// Selection of the runners for hooks and ingesters.
    pub(crate) backend: Backend,
    /// Path of the data directory as the container engine sees it.
    pub(crate) host_data_dir: Option<PathBuf>,
    /// Network of ingesters in containers.
    pub(crate) ingester_network: String,
    pub(crate) log: Log,
    /// Settings that were given but have no effect here.
    pub(crate) without_effect: Vec<String>,
    /// The files that the configuration was read from.
    files: Vec<PathBuf>,
}

/// Settings of this process's worker.
#[derive(Debug)]
pub(crate) struct WorkerConfig {
    pub(crate) concurrency: u32,
    pub(crate) silence: Duration,
    pub(crate) poll: Duration,
    pub(crate) drain: Duration,
    /// How long a final delegation stays in the hot table.
    pub(crate) retention: Duration,
}

/// Selection of the runners for hooks and ingesters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Local processes for `file:` images, and a container engine, if one responds, for others.
    Auto,
    /// Local processes only.
    Process,
    /// A container engine only.
    Oci,
}

/// Settings of logging.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Human,
    Json,
}

macro_rules! word {
    ($name:ident { $($text:literal => $variant:ident),+ }) => {
        impl std::str::FromStr for $name {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}
word!(Backend { "auto" => Auto, "process" => Process, "oci" => Oci });
word!(LogFormat { "human" => Human, "json" => Json });

impl Config {
    /// Reads the configuration, or returns every fault in it.
    pub(crate) fn read(mut source: Source) -> Result<Self, ConfigFaults> {
        let s = &mut source;
        let worker = WorkerConfig {
            concurrency: s
                .parsed("worker.concurrency", "must be a number from 1 to 256")
                .unwrap_or(2),
            silence: seconds(s, "worker.silence_seconds", 600.0),
            poll: seconds(s, "worker.poll_seconds", 1.0),
            drain: seconds(s, "worker.drain_seconds", 30.0),
            retention: retention(s),
        };
        let loopback = SocketAddr::from(([127, 0, 0, 1], 8000));
        let localhost = || "localhost".parse::<NodeDomain>();
        let domain = s
            .parsed(
                "domain",
                "must be a lower-case host name such as archive.example.org",
            )
            .map_or_else(localhost, Ok);
        let config = Self {
            listen: s
                .parsed("listen", "must be an address and a port such as 127.0.0.1:8000")
                .unwrap_or(loopback),
            storage: s.text("storage").map(PathBuf::from),
            data_dir: s
                .text("data_dir")
                .map_or_else(|| PathBuf::from("hallmark-data"), PathBuf::from),
            domain: domain.unwrap_or_else(|_| unreachable!("localhost is a domain")),
            name: s
                .text("name")
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "Hallmark".to_owned()),
            description: s.text("description").unwrap_or_default(),
            dev_mode: s
                .parsed::<LenientBool>("dev_mode", "must be true or false")
                .is_some_and(|t| t.0),
            database_url: s.text("database.url").map(|url| Secret(plain_url(&url))),
            database_owner_url: s
                .text("database.owner_url")
                .filter(|url| !url.is_empty())
                .map(|url| Secret(plain_url(&url))),
            max_connections: s
                .parsed("database.max_connections", "must be a number from 2 to 1000")
                .unwrap_or(20),
            base_url: base_url(s),
            seed_local_admin: s
                .parsed::<LenientBool>("seed_local_admin", "must be true or false")
                .is_some_and(|t| t.0),
            http: crate::config::http::read(s),
            connections: ConnectionConfig::read(s),
            auth: AuthConfig::read(s),
            limits: crate::config::limits::read(s),
            worker,
            runner: RunnerConfig::read(s),
            bounds: Bounds::read(s),
            backend: s
                .parsed("runner.backend", "must be auto, process or oci")
                .unwrap_or(Backend::Auto),
            host_data_dir: s
                .text("host_data_dir")
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from),
            ingester_network: s
                .text("runner.ingester_network")
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "bridge".to_owned()),
            log: Log {
                level: s
                    .text("log.level")
                    .filter(|level| !level.is_empty())
                    .unwrap_or_else(|| "info".to_owned())
                    .to_ascii_lowercase(),
                format: s
                    .parsed("log.format", "must be human or json")
                    .unwrap_or(LogFormat::Human),
            },
            without_effect: s.without_effect(),
            files: s.files(),
        };
        config.check(s);
        source.finish().map(|()| config)
    }

    fn check(&self, s: &mut Source) {
        if !(1..=256).contains(&self.worker.concurrency) {
            s.fault("worker.concurrency: must be a number from 1 to 256");
        }
        if !(2..=1000).contains(&self.max_connections) {
            s.fault("database.max_connections: must be a number from 2 to 1000");
        }
        if self.database_owner_url.is_some() && self.database_url.is_none() {
            s.fault(
                "database.owner_url: requires database.url, the URL of the role that the server works with",
            );
        }
        if self.data_dir.as_os_str().is_empty() {
            s.fault("data_dir: must not be empty");
        }
        if let Some(secret) = &self.auth.jwt_secret {
            if secret.reveal().len() < 32 {
                s.fault("auth.jwt.secret: must have at least 32 bytes");
            }
            if secret.reveal() == WELL_KNOWN_SECRET && !self.dev_mode {
                s.fault(
                    "auth.jwt.secret: is the well-known development secret, which is public; \
                     it is accepted only with dev_mode = true",
                );
            }
        }
        let well_known = self
            .auth
            .jwt_secret
            .as_ref()
            .map_or(self.dev_mode, |secret| secret.reveal() == WELL_KNOWN_SECRET);
        if well_known && !self.listen.ip().is_loopback() {
            s.fault(format!(
                "listen: {} is not a loopback address; \
                 with the well-known secret the server listens on loopback only",
                self.listen
            ));
        }
        if !self.dev_mode && self.listen.ip().is_unspecified() && self.domain.as_str() == "localhost" {
            s.fault(
                "domain: is localhost, but listen accepts connections from everywhere; \
                 SRNs contain the domain permanently, so set it first",
            );
        }
    }

    /// Returns the audience of machine tokens that every node accepts.
    pub(crate) fn own_audience(&self) -> String {
        format!("https://{}", self.domain)
    }

    /// Returns whether hooks run in a sandbox. In dev mode a machine without one is good enough.
    pub(crate) fn sandbox(&self) -> Sandbox {
        self.runner.sandbox.unwrap_or(if self.dev_mode {
            Sandbox::Auto
        } else {
            Sandbox::Required
        })
    }

    /// Returns the files and directories besides the data directory that no hook may see: those of the configuration,
    /// of keys and of blobs.
    pub(crate) fn secret_files(&self) -> Vec<PathBuf> {
        let keys = self.auth.issuers.iter().flat_map(|issuer| &issuer.keys);
        let key_files = keys.filter_map(|key| match key {
            Key::PemFile { path, .. } | Key::JwksFile(path) => Some(path),
            Key::Pem { .. } | Key::JwksUrl(_) => None,
        });
        let all = self.files.iter().chain(key_files).chain(&self.storage);
        all.cloned().collect()
    }

    /// Returns the node's public address, given the address it listens on.
    pub(crate) fn base_url(&self, listening: SocketAddr) -> Result<BaseUrl, NotABaseUrl> {
        match &self.base_url {
            Some(base) => Ok(base.clone()),
            None if self.domain.as_str() == "localhost" => format!("http://{listening}").parse(),
            None => format!("https://{}", self.domain).parse(),
        }
    }
}

/// Reads the public address. The path of it is in every link, so it is checked more closely than other URLs.
fn base_url(s: &mut Source) -> Option<BaseUrl> {
    const KEY: &str = "base_url";
    let base = url(s, KEY)?.as_str().parse();
    base.map_err(|why: NotABaseUrl| s.fault(format!("{KEY}: {why}")))
        .ok()
}

/// Rewrites `postgresql+asyncpg://` and similar schemes to `postgresql://` (WC-8).
fn plain_url(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.split('+').next().unwrap_or(scheme)),
        None => url.to_owned(),
    }
}

/// Returns how long final delegations stay in the hot table: 30 days by default.
fn retention(s: &mut Source) -> Duration {
    let key = "worker.retention_days";
    let rule = "must be a number of days, more than 0 and at most 3650";
    let days: f64 = s.parsed(key, rule).unwrap_or(30.0);
    if days > 0.0 && days <= 3650.0 {
        Duration::from_secs_f64(days * 86_400.0)
    } else {
        s.fault(format!("{key}: {rule}"));
        Duration::from_hours(24)
    }
}

#[cfg(test)]
mod tests;
