//! `docs/api/openapi.json`: written by the server itself.

use anyhow::{Result, ensure};

use crate::shell::{cargo, output, root};

/// Whether every operation of the API is in the document: of two that lie on one path in different parts of the API, the framework
/// writes only one.
fn complete(document: &str) -> Result<()> {
    let mut lost = Vec::new();
    for entry in std::fs::read_dir(root().join("crates/api/src"))? {
        let path = entry?.path();
        // Operations lie in the files of the crate's root; what is below them has none.
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(path)?;
        let named = text
            .split("operation_id = \"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        lost.extend(
            named
                .filter(|id| !document.contains(&format!("\"operationId\": \"{id}\"")))
                .map(str::to_owned),
        );
    }
    ensure!(
        lost.is_empty(),
        "these operations are not in the document; put those of one path into one part of the API: {}",
        lost.join(", ")
    );
    Ok(())
}

/// Writes the document, or says whether the committed one is up to date.
pub(crate) fn run(check: bool) -> Result<()> {
    let document = output(&mut cargo(&[
        "run",
        "--locked",
        "--quiet",
        "--package",
        "server",
        "--",
        "openapi",
    ]))?;
    complete(&document)?;
    let file = root().join("docs/api/openapi.json");
    if check {
        ensure!(
            std::fs::read_to_string(&file).unwrap_or_default() == document,
            "docs/api/openapi.json is not up to date; run `cargo xtask openapi`"
        );
        println!("openapi: docs/api/openapi.json is up to date");
        return Ok(());
    }
    std::fs::write(&file, document)?;
    println!("wrote {}", file.display());
    Ok(())
}
