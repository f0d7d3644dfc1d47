//! The layers: which crate may depend on which. A crate that is missing here fails the check.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::shell::{cargo, output};

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
    ("blackbox", &[]),
    ("xtask", &["pg-cluster"]),
];

/// Fails when a crate crosses its layer.
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
    if !wrong.is_empty() {
        bail!("layers crossed:\n  {}", wrong.join("\n  "));
    }
    println!("layers: {} crates keep them", packages.len());
    Ok(())
}
