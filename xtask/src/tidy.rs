//! `cargo xtask tidy`: texts. References to requirements, contracts and files lead somewhere; public text has the words of its field;
//! decisions have one form.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use regex::Regex;

use crate::shell::{output, root};

/// Words that the field does not use, in public text: who or what does it is named instead.
const WORDS: &str = r"(?i)\b(whoever|whatever|somebody|nobody|anybody|what became of|comes of it|(is|are) told|is good (for|once)|to be had)\b";
/// Ids that are anchors in `docs/reference`.
const IDS: &str = r"\b((?:REG|DEP|PRV|AUT|AUD|LED|PIP|DAT|EDG|ISO)-\d+|(?:WC|LEDGER)-D?\d+(?:\.\d+)*)\b";
/// What only the founders' notes have, and a deviation without its prefix.
const FOREIGN: &str = r"shared/[a-z]|\bstyle\.md\b|\bhouse\.md\b|(?:^|[^-\w])D[1-9]\d?\b[^\w(]";
/// The longest line of docs/ARCHITECTURE.md that is no row of a table.
const MAX_LINE: usize = 120;

/// Fails with every fault, each with its place.
pub(crate) fn check() -> Result<()> {
    let files = output(Command::new("git").current_dir(root()).args(["ls-files"]))?;
    let files: BTreeSet<&str> = files.lines().filter(|file| root().join(file).is_file()).collect();
    let mut faults = Vec::new();
    let anchors = anchors(&files)?;
    for file in &files {
        if let Ok(text) = std::fs::read_to_string(root().join(file)) {
            references(file, &text, &anchors, &mut faults)?;
            paths(file, &text, &files, &mut faults)?;
            words(file, &text, &mut faults)?;
        }
    }
    form(&files, &mut faults)?;
    if !faults.is_empty() {
        bail!("{} faults:\n  {}", faults.len(), faults.join("\n  "));
    }
    println!("tidy: {} files, {} anchors", files.len(), anchors.len());
    Ok(())
}

/// Whether a file has an ending of these.
fn is(file: &str, endings: &[&str]) -> bool {
    Path::new(file)
        .extension()
        .is_some_and(|ending| endings.iter().any(|known| ending == *known))
}

fn anchors(files: &BTreeSet<&str>) -> Result<BTreeSet<String>> {
    let anchor = Regex::new(r#"<a id="([^"]+)">"#)?;
    let mut all = BTreeSet::new();
    for file in files.iter().filter(|file| file.starts_with("docs/reference/")) {
        let text = std::fs::read_to_string(root().join(file))?;
        for found in anchor.captures_iter(&text) {
            if !all.insert(found[1].to_owned()) {
                bail!("{file}: the anchor {} is there twice", &found[1]);
            }
        }
    }
    Ok(all)
}

/// Ids that are no anchor, and references to what is not in this repository.
fn references(file: &str, text: &str, anchors: &BTreeSet<String>, faults: &mut Vec<String>) -> Result<()> {
    // A merged migration is never edited, and this file names what it looks for.
    if file.starts_with("migrations/")
        || file == "xtask/src/tidy.rs"
        || !is(
            file,
            &["rs", "md", "toml", "sql", "py", "sh", "ts", "yml", "yaml"],
        )
    {
        return Ok(());
    }
    let (ids, foreign) = (Regex::new(IDS)?, Regex::new(FOREIGN)?);
    for (number, line) in (1..).zip(text.lines()) {
        for id in ids.find_iter(line) {
            if !anchors.contains(id.as_str()) {
                faults.push(format!(
                    "{file}:{number}: {} is no anchor in docs/reference",
                    id.as_str()
                ));
            }
        }
        if let Some(found) = foreign.find(line) {
            faults.push(format!(
                "{file}:{number}: {:?} leads nowhere",
                found.as_str().trim()
            ));
        }
    }
    Ok(())
}

/// Paths in Markdown, and in the comments of our code, that are no file.
fn paths(file: &str, text: &str, files: &BTreeSet<&str>, faults: &mut Vec<String>) -> Result<()> {
    if !is(file, &["rs", "md"]) || file == "CHANGELOG.md" || file == "xtask/src/tidy.rs" {
        return Ok(());
    }
    let link = Regex::new(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")?;
    let quoted = Regex::new(r"`((?:[A-Za-z0-9_.-]+/)*[a-z0-9_-]+\.(?:rs|md|sh))(?::\d+)?`")?;
    let code = Regex::new("`[^`]*`")?;
    let here = Path::new(file).parent().unwrap_or(Path::new(""));
    for (number, line) in (1..).zip(text.lines()) {
        if is(file, &["rs"]) && !line.trim_start().starts_with("//") {
            continue;
        }
        let prose = code.replace_all(line, "``");
        for found in link.captures_iter(&prose).filter(|_| is(file, &["md"])) {
            if !root().join(here).join(&found[1]).exists() {
                faults.push(format!("{file}:{number}: {} is not there", &found[1]));
            }
        }
        for found in quoted.captures_iter(line) {
            let named = &found[1];
            // `app/work/worker.rs` is a file of the crate `app`; a name alone may be anywhere.
            let in_crate = named
                .split_once('/')
                .map(|(first, rest)| format!("crates/{first}/src/{rest}"));
            let known = files.contains(named)
                || root().join(here).join(named).exists()
                || in_crate.is_some_and(|path| files.contains(path.as_str()))
                || files.iter().any(|known| known.ends_with(&format!("/{named}")));
            if !known {
                faults.push(format!("{file}:{number}: there is no file {named}"));
            }
        }
    }
    Ok(())
}

/// Words that the field does not use: in Markdown outside of code, in the API's document, in error texts.
fn words(file: &str, text: &str, faults: &mut Vec<String>) -> Result<()> {
    let words = Regex::new(WORDS)?;
    let code = Regex::new("`[^`]*`")?;
    let error = Regex::new(r#"#\[error\("|Invalid::value\("|#\[command\(|about = ""#)?;
    let described = Regex::new(r#""(description|summary)": "#)?;
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        let public = match file {
            "docs/api/openapi.json" => described.is_match(line),
            _ if is(file, &["md"]) => {
                fenced ^= line.trim_start().starts_with("```");
                !fenced
            }
            _ if is(file, &["rs"]) && file.starts_with("crates/") => error.is_match(line),
            _ => false,
        };
        if let Some(word) = words.find(&code.replace_all(line, "``")).filter(|_| public) {
            faults.push(format!(
                "{file}:{number}: {:?} is no word of the field",
                word.as_str()
            ));
        }
    }
    Ok(())
}

/// The form of ADRs and of docs/ARCHITECTURE.md.
fn form(files: &BTreeSet<&str>, faults: &mut Vec<String>) -> Result<()> {
    for file in files.iter().filter(|file| file.starts_with("docs/adr/")) {
        let text = std::fs::read_to_string(root().join(file))?;
        for part in [
            "- Status: ",
            "- Date: ",
            "## Context",
            "## Decision",
            "## Consequences",
        ] {
            if !text.lines().any(|line| line.starts_with(part)) {
                faults.push(format!("{file}: has no {:?}", part.trim()));
            }
        }
    }
    let architecture = "docs/ARCHITECTURE.md";
    let text = std::fs::read_to_string(root().join(architecture)).context(architecture)?;
    for (number, line) in (1..).zip(text.lines()) {
        if !line.starts_with('|') && line.chars().count() > MAX_LINE {
            faults.push(format!(
                "{architecture}:{number}: has more than {MAX_LINE} characters"
            ));
        }
    }
    Ok(())
}
