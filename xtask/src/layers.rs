//! The layers: which crate may depend on which, which context of `app` may use which other one, and that no files of a crate name each
//! other in a circle. A crate or context that is missing here fails the check.

mod modules;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::layers::modules::Modules;
use crate::shell::{cargo, output, root};

/// Normal dependencies within the workspace, each crate's allowed ones.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("auth", &["domain"]),
    ("ports", &["domain"]),
    ("app", &["domain", "auth", "ports"]),
    // `pg-cluster` only for its feature `testing`.
    ("postgres-adapter", &["domain", "ports", "pg-cluster"]),
    ("storage-adapter", &["domain", "ports"]),
    // What the runners have in common.
    ("runner-workdir", &["domain", "ports"]),
    ("runner-process", &["domain", "ports", "runner-workdir"]),
    ("runner-docker", &["domain", "ports", "runner-workdir"]),
    ("identity-adapter", &["domain", "ports"]),
    ("api", &["domain", "auth", "app", "lineage", "pages"]),
    ("hook-sdk", &[]),
    ("lineage", &["domain"]),
    ("pages", &[]),
    ("pg-cluster", &[]),
    ("test-needs", &[]),
    (
        "server",
        &[
            "api",
            "app",
            "auth",
            "domain",
            "identity-adapter",
            "ports",
            "pg-cluster",
            "postgres-adapter",
            "storage-adapter",
            "runner-docker",
            "runner-process",
        ],
    ),
    ("penguins-hooks", &["hook-sdk"]),
    ("blackbox", &["pg-cluster", "postgres-adapter", "test-needs"]),
    ("xtask", &["pg-cluster"]),
];

/// The contexts of `app`, and the other contexts that each may use. What is in files at the root, all may use.
const CONTEXTS: &[(&str, &[&str])] = &[
    ("access", &[]),
    ("data", &["access"]),
    ("deposit", &["access"]),
    ("identity", &[]),
    ("ingest", &["access"]),
    ("ledger", &["access", "deposit", "ingest"]),
    // A deploy may open an ingest run.
    ("registry", &["ingest"]),
    ("work", &["deposit", "ingest"]),
];

/// Fails when a crate or a context crosses its layer, or files name each other in a circle.
pub(crate) fn check() -> Result<()> {
    let text = output(&mut cargo(&[
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--locked",
    ]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("name")?;
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            wrong.push(format!("{name} has no row in LAYERS (xtask/src/layers.rs)"));
            continue;
        };
        for edge in package["dependencies"].as_array().context("dependencies")? {
            let to = edge["name"].as_str().context("dependency name")?;
            let (ours, normal) = (edge["path"].is_string(), edge["kind"].is_null());
            if ours && normal && !allowed.contains(&to) {
                wrong.push(format!("{name} must not depend on {to}"));
            }
        }
    }
    wrong.extend(crossed_contexts()?);
    for entry in std::fs::read_dir(root().join("crates"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        for circle in Modules::of(&format!("crates/{name}"))?.circles() {
            wrong.push(format!(
                "these files of {name} name each other in a circle: {}",
                circle.join(", ")
            ));
        }
    }
    if !wrong.is_empty() {
        bail!("layers crossed:\n  {}", wrong.join("\n  "));
    }
    println!(
        "layers: {} crates and {} contexts keep them; no circles",
        packages.len(),
        CONTEXTS.len()
    );
    Ok(())
}

/// What is wrong between the contexts of `app`.
fn crossed_contexts() -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (from, to) in Modules::of("crates/app")?.edges() {
        let context = |module: &str| {
            let (first, below) = module.split_once("::").unwrap_or((module, ""));
            let is_context = !below.is_empty() || CONTEXTS.iter().any(|(name, _)| *name == first);
            is_context.then(|| first.to_owned())
        };
        let Some(target) = context(to) else { continue };
        match context(from) {
            Some(from) if from == target => {}
            Some(name) => match CONTEXTS.iter().find(|(known, _)| *known == name) {
                None => wrong.push(format!("{name} has no row in CONTEXTS (xtask/src/layers.rs)")),
                Some((_, allowed)) if !allowed.contains(&target.as_str()) => {
                    wrong.push(format!("app::{from} must not use {target} ({to})"));
                }
                Some(_) => {}
            },
            // The crate's root puts the contexts together.
            None if from.is_empty() => {}
            None => wrong.push(format!(
                "app::{from} is for all contexts and must not use {target}"
            )),
        }
    }
    Ok(wrong)
}
