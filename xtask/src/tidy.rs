//! `cargo xtask tidy`: texts. References to requirements, contracts and files lead somewhere; public text has the words of its field;
//! decisions have one form.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context as _, Result, bail};
use regex::Regex;

use crate::shell::{output, root};

/// An expression that is compiled once.
type Pattern = LazyLock<Regex>;

macro_rules! pattern {
    ($text:expr) => {
        LazyLock::new(|| Regex::new($text).expect("a valid expression"))
    };
}

/// Words that the field does not use, in public text: who or what does it is named instead.
static WORD: Pattern = pattern!(
    r"(?i)\b(whoever|whatever|somebody|nobody|anybody|what became of|comes of it|(is|are) told|is good (for|once)|to be had)\b"
);
/// Ids that are anchors in `docs/reference`.
static ID: Pattern =
    pattern!(r"\b((?:REG|DEP|PRV|AUT|AUD|LED|PIP|DAT|EDG|ISO)-\d+|(?:WC|LEDGER)-D?\d+(?:\.\d+)*)\b");
/// How ids begin.
const ID_BEGINS: [&str; 12] = [
    "REG-", "DEP-", "PRV-", "AUT-", "AUD-", "LED-", "PIP-", "DAT-", "EDG-", "ISO-", "WC-", "LEDGER-",
];
/// What only the founders' notes have, and a deviation without its prefix.
static FOREIGN: Pattern = pattern!(r"shared/[a-z]|\bstyle\.md\b|\bhouse\.md\b|(?:^|[^-\w])D[1-9]\d?\b[^\w(]");
/// A link in Markdown.
static LINK: Pattern = pattern!(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)");
/// A file in backticks.
static QUOTED: Pattern = pattern!(r"`((?:[A-Za-z0-9_.-]+/)*[a-z0-9_-]+\.(?:rs|md|sh))(?::\d+)?`");
/// Code in a line of Markdown.
static CODE: Pattern = pattern!("`[^`]*`");
/// A line of ours with a text that users read.
static ERROR_TEXT: Pattern = pattern!(r#"#\[error\("|Invalid::value\("|#\[command\(|about = ""#);
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
            references(file, &text, &anchors, &mut faults);
            paths(file, &text, &files, &mut faults);
            words(file, &text, &mut faults);
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
fn references(file: &str, text: &str, anchors: &BTreeSet<String>, faults: &mut Vec<String>) {
    // A merged migration is never edited, and this file names what it looks for.
    if file.starts_with("migrations/")
        || file == "xtask/src/tidy.rs"
        || !is(
            file,
            &["rs", "md", "toml", "sql", "py", "sh", "ts", "yml", "yaml"],
        )
    {
        return;
    }
    for (number, line) in (1..).zip(text.lines()) {
        // Expressions are slow here, for dependencies of xtask are not optimised: most lines are done with before.
        let has_id = ID_BEGINS.iter().any(|begin| line.contains(begin));
        for id in ID.find_iter(if has_id { line } else { "" }) {
            if !anchors.contains(id.as_str()) {
                faults.push(format!(
                    "{file}:{number}: {} is no anchor in docs/reference",
                    id.as_str()
                ));
            }
        }
        let deviation = |pair: &[u8]| pair[0] == b'D' && pair[1].is_ascii_digit();
        let may_be_foreign = ["shared/", "style.md", "house.md"]
            .iter()
            .any(|name| line.contains(name))
            || line.as_bytes().windows(2).any(deviation);
        // Cells of a spreadsheet have such names too.
        let names_cells = file.contains("/spreadsheet/") || file.contains("/sheet/");
        if may_be_foreign
            && !names_cells
            && let Some(found) = FOREIGN.find(line)
        {
            faults.push(format!(
                "{file}:{number}: {:?} leads nowhere",
                found.as_str().trim()
            ));
        }
    }
}

/// Paths in Markdown, and in the comments of our code, that are no file.
fn paths(file: &str, text: &str, files: &BTreeSet<&str>, faults: &mut Vec<String>) {
    if !is(file, &["rs", "md"]) || file == "CHANGELOG.md" || file == "xtask/src/tidy.rs" {
        return;
    }
    let here = Path::new(file).parent().unwrap_or(Path::new(""));
    for (number, line) in (1..).zip(text.lines()) {
        if is(file, &["rs"]) && !line.trim_start().starts_with("//") {
            continue;
        }
        if !line.contains('`') && !line.contains("](") {
            continue;
        }
        let prose = CODE.replace_all(line, "``");
        for found in LINK.captures_iter(&prose).filter(|_| is(file, &["md"])) {
            if !root().join(here).join(&found[1]).exists() {
                faults.push(format!("{file}:{number}: {} is not there", &found[1]));
            }
        }
        for found in QUOTED.captures_iter(line) {
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
}

/// Words that the field does not use: in Markdown outside of code, in the API's document, in error texts.
fn words(file: &str, text: &str, faults: &mut Vec<String>) {
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        let public = match file {
            "docs/api/openapi.json" => line.contains("description") || line.contains("summary"),
            _ if is(file, &["md"]) => {
                fenced ^= line.trim_start().starts_with("```");
                !fenced
            }
            _ if is(file, &["rs"]) && file.starts_with("crates/") => {
                line.contains('"') && ERROR_TEXT.is_match(line)
            }
            _ => false,
        };
        if public && let Some(word) = WORD.find(&CODE.replace_all(line, "``")) {
            faults.push(format!(
                "{file}:{number}: {:?} is no word of the field",
                word.as_str()
            ));
        }
    }
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
