//! `hallmark hooks`, `release`, `live`, `yank` and `unyank`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Remote;
use super::client::{Client, escaped, shown, table};

/// List hooks, or the releases of one hook.
#[derive(Debug, Args)]
pub(crate) struct Hooks {
    /// Name of the hook whose releases are listed.
    name: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Hooks {
    pub(crate) fn run(&self) -> Result<()> {
        let client = Client::new(&self.remote);
        let Some(name) = &self.name else {
            let answer = client.call("GET", "/hooks", None)?;
            return client.print(&answer, |answer| {
                let rows = answer["items"].as_array().into_iter().flatten().map(|hook| {
                    let live = &hook["live_release"];
                    let columns = hook["feature"]["columns"].as_array().map_or(0, Vec::len);
                    [
                        shown(&hook["name"]),
                        shown(&live["version"]),
                        short(&live["digest"]),
                        shown(&live["source_ref"]),
                        shown(&live["built_at"]),
                        format!("{columns}, {}", shown(&hook["feature"]["cardinality"])),
                    ]
                });
                table(["hook", "live", "digest", "source", "built at", "columns"], rows)
            });
        };
        let answer = client.call("GET", &format!("/hooks/{}/releases", escaped(name)), None)?;
        client.print(&answer, |answer| {
            let live = &answer["live_version"];
            let rows = answer["releases"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|release| {
                    let state = if release["version"] == *live {
                        "live".to_owned()
                    } else if release["yanked"].is_null() {
                        String::new()
                    } else {
                        format!("yanked: {}", shown(&release["yanked"]["reason"]))
                    };
                    [
                        shown(&release["version"]),
                        state,
                        short(&release["digest"]),
                        shown(&release["image"]),
                        shown(&release["source_ref"]),
                        shown(&release["built_by"]),
                        shown(&release["built_at"]),
                    ]
                });
            table(
                [
                    "version", "state", "digest", "image", "source", "built by", "built at",
                ],
                rows,
            )
        })
    }
}

/// Release a hook. New content becomes live at once; existing content at another location is used from there.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Name of the hook.
    name: String,
    /// Location of the image; with --file: the program's location on the server (default `file:<path>`).
    #[arg(long, required_unless_present = "file")]
    image: Option<String>,
    /// Digest of the image, such as sha256:...
    #[arg(long, required_unless_present = "file")]
    digest: Option<String>,
    /// Program for the process runner. Its digest is computed here.
    #[arg(long, conflicts_with = "digest")]
    file: Option<PathBuf>,
    /// Commit that the image was built from, such as git:0123abc.
    #[arg(long)]
    source_ref: String,
    /// Configuration that the hook receives as config.json: JSON, or @FILE.
    #[arg(long, default_value = "{}")]
    config: String,
    /// Wall-clock time limit in seconds (1-86400).
    #[arg(long)]
    timeout_seconds: Option<u32>,
    /// Limit of resident memory, such as 512m or 1g.
    #[arg(long)]
    memory: Option<String>,
    /// Limit of CPU cores, such as 0.5.
    #[arg(long)]
    cpu: Option<String>,
    /// Release the hook even if the image cannot be run here or on the server.
    #[arg(long)]
    no_check: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Release {
    pub(crate) fn run(&self) -> Result<()> {
        let (image, digest) = match (&self.file, &self.image, &self.digest) {
            (Some(file), image, _) => {
                let path = file
                    .canonicalize()
                    .with_context(|| format!("--file: cannot find {}", file.display()))?;
                if !self.no_check {
                    runner_process::look_at(&path).map_err(|why| anyhow!("--file: {why}"))?;
                }
                let own = || format!("file:{}", path.display());
                (image.clone().unwrap_or_else(own), digest_of(&path)?)
            }
            (None, Some(image), Some(digest)) => (image.clone(), digest.clone()),
            _ => bail!("specify --file, or --image and --digest"),
        };
        let text = match self.config.strip_prefix('@') {
            Some(file) => {
                std::fs::read_to_string(file).with_context(|| format!("--config: cannot read {file}"))?
            }
            None => self.config.clone(),
        };
        let config: Map<String, Value> =
            serde_json::from_str(&text).context("--config: is not a JSON object")?;
        let mut limits = Map::new();
        if let Some(seconds) = self.timeout_seconds {
            limits.insert("timeout_seconds".to_owned(), json!(seconds));
        }
        for (name, value) in [("memory", &self.memory), ("cpu", &self.cpu)] {
            if let Some(value) = value {
                limits.insert(name.to_owned(), json!(value));
            }
        }
        let mut body =
            json!({"image": image, "digest": digest, "config": config, "source_ref": self.source_ref});
        if !limits.is_empty() {
            body["limits"] = Value::Object(limits);
        }
        let client = Client::new(&self.remote);
        let check = if self.no_check { "?check=false" } else { "" };
        let path = format!("/hooks/{}/releases{check}", escaped(&self.name));
        let answer = client.call("POST", &path, Some(&body))?;
        client.print(&answer, |answer| {
            let live = if answer["live"] == true {
                "live"
            } else {
                "not live"
            };
            let mut text = format!(
                "{} release {}, {live}: {} from {}",
                shown(&answer["hook_name"]),
                shown(&answer["version"]),
                shown(&answer["digest"]),
                shown(&answer["source_ref"])
            );
            if answer["location_added"] == true {
                text.push_str(&format!("; location added: {}", shown(&answer["image"])));
            }
            text
        })
    }
}

/// Show the live release, or make a release live.
#[derive(Debug, Args)]
pub(crate) struct Live {
    /// Name of the hook.
    name: String,
    /// Version of the release to make live.
    version: Option<u32>,
    /// Reason, recorded in the history.
    #[arg(long, requires = "version")]
    reason: Option<String>,
    /// Show the release that was live at this time (RFC 3339).
    #[arg(long, conflicts_with = "version")]
    at: Option<String>,
    /// Show all moves of the live pointer, newest first.
    #[arg(long, conflicts_with_all = ["version", "at"])]
    history: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Live {
    pub(crate) fn run(&self) -> Result<()> {
        let client = Client::new(&self.remote);
        let path = format!("/hooks/{}/live", escaped(&self.name));
        if let Some(version) = self.version {
            let mut body = json!({"version": version});
            if let Some(reason) = &self.reason {
                body["reason"] = json!(reason);
            }
            let answer = client.call("PUT", &path, Some(&body))?;
            return client.print(&answer, |answer| {
                format!(
                    "{} release {} is live",
                    shown(&answer["hook_name"]),
                    shown(&answer["live_version"])
                )
            });
        }
        if self.history {
            return self.print_history(&client, &path);
        }
        let path = match &self.at {
            Some(at) => format!("{path}?at={}", escaped(at)),
            None => path,
        };
        let answer = client.call("GET", &path, None)?;
        client.print(&answer, |answer| {
            if answer["live_version"].is_null() {
                return format!("{}: no release was live at {}", self.name, shown(&answer["at"]));
            }
            let mut text = format!(
                "{} release {} since {}, by {}",
                shown(&answer["hook_name"]),
                shown(&answer["live_version"]),
                shown(&answer["since"]),
                shown(&answer["moved_by"])
            );
            if let Some(reason) = answer["reason"].as_str() {
                text.push_str(&format!(": {reason}"));
            }
            text
        })
    }

    /// Prints the history, across all pages.
    fn print_history(&self, client: &Client, path: &str) -> Result<()> {
        let mut moves = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = client.call("GET", &format!("{path}/history?limit=1000{cursor}"), None)?;
            moves.extend(page["moves"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let all = json!({"hook_name": self.name, "moves": moves});
        client.print(&all, |all| {
            let rows = all["moves"].as_array().into_iter().flatten().map(|m| {
                [
                    shown(&m["move"]),
                    shown(&m["from_version"]),
                    shown(&m["to_version"]),
                    shown(&m["moved_at"]),
                    shown(&m["moved_by"]),
                    shown(&m["reason"]),
                ]
            });
            table(["move", "from", "to", "at", "by", "why"], rows)
        })
    }
}

/// Yank a release. It stays readable but cannot become live.
#[derive(Debug, Args)]
pub(crate) struct Yank {
    /// Name of the hook.
    name: String,
    /// Version of the release.
    version: u32,
    /// Reason, shown to readers of the release's rows.
    #[arg(long)]
    reason: String,
    /// Version that becomes live instead; required if the yanked release is live.
    #[arg(long)]
    fallback: Option<u32>,
    #[command(flatten)]
    remote: Remote,
}

impl Yank {
    pub(crate) fn run(&self) -> Result<()> {
        let mut body = json!({"reason": self.reason});
        if let Some(fallback) = self.fallback {
            body["fallback_version"] = json!(fallback);
        }
        change(&self.remote, &self.name, self.version, "yank", &body)
    }
}

/// Unyank a release.
#[derive(Debug, Args)]
pub(crate) struct Unyank {
    /// Name of the hook.
    name: String,
    /// Version of the release.
    version: u32,
    /// Reason, recorded in the activity log.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Unyank {
    pub(crate) fn run(&self) -> Result<()> {
        let body = self
            .reason
            .as_ref()
            .map_or_else(|| json!({}), |reason| json!({"reason": reason}));
        change(&self.remote, &self.name, self.version, "unyank", &body)
    }
}

fn change(remote: &Remote, name: &str, version: u32, what: &str, body: &Value) -> Result<()> {
    let client = Client::new(remote);
    let path = format!("/hooks/{}/releases/{version}/{what}", escaped(name));
    let answer = client.call("POST", &path, Some(body))?;
    client.print(&answer, |answer| {
        let state = match answer["yanked"]["reason"].as_str() {
            Some(reason) => format!("is yanked: {reason}"),
            None => "is not yanked".to_owned(),
        };
        format!(
            "{} release {} {state}; release {} is live",
            shown(&answer["hook_name"]),
            shown(&answer["version"]),
            shown(&answer["live_version"])
        )
    })
}

/// Shortens a digest for a table.
fn short(digest: &Value) -> String {
    digest
        .as_str()
        .map_or_else(String::new, |text| text.chars().take(19).collect())
}

fn digest_of(path: &Path) -> Result<String> {
    let mut file =
        std::fs::File::open(path).with_context(|| format!("--file: cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).with_context(|| format!("--file: cannot read {}", path.display()))?;
    Ok(domain::Digest::from_sha256(hash.finalize().into()).to_string())
}
