//! `docs/api/openapi.json`: written by the server itself.

use anyhow::{Result, ensure};

use crate::shell::{cargo, output, root};

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
