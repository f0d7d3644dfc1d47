//! The markdown documents, read back by parsers of markdown and YAML.
#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

#[path = "../samples/mod.rs"]
#[expect(dead_code, reason = "the pages are for the other tests")]
mod samples;

use proptest::prelude::*;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use samples::{documents, filled};

const OPTIONS: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_TASKLISTS)
    .union(Options::ENABLE_FOOTNOTES)
    .union(Options::ENABLE_MATH)
    .union(Options::ENABLE_GFM);

/// The front matter of a document, and the rest.
fn split(document: &str) -> (&str, &str) {
    let rest = document.strip_prefix("---\n").unwrap();
    rest.split_once("\n---\n").unwrap()
}

/// A document's structure: its blocks and how they nest, without its texts.
fn structure(markdown: &str) -> Vec<String> {
    Parser::new_ext(markdown, OPTIONS)
        .filter_map(|event| match event {
            Event::Start(tag) => Some(match tag {
                Tag::CodeBlock(CodeBlockKind::Fenced(language)) => format!("fence {language}"),
                Tag::Heading { level, .. } => format!("{level}"),
                other => format!("{other:?}"),
            }),
            Event::End(TagEnd::TableCell) => Some("end of cell".to_owned()),
            Event::Html(text) | Event::InlineHtml(text) => Some(format!("html {text}")),
            Event::Rule
            | Event::HardBreak
            | Event::TaskListMarker(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_) => Some(format!("{event:?}")),
            _ => None,
        })
        .collect()
}

/// The texts of what is between the start and the end of some tag.
fn within(markdown: &str, tag: fn(&Tag<'_>) -> bool) -> Vec<String> {
    let (mut out, mut depth) = (Vec::new(), 0);
    for event in Parser::new_ext(markdown, OPTIONS) {
        match event {
            Event::Start(start) if depth > 0 || tag(&start) => {
                if depth == 0 {
                    out.push(String::new());
                }
                depth += 1;
            }
            Event::End(_) if depth > 0 => depth -= 1,
            Event::Text(text) | Event::Code(text) if depth > 0 => {
                if let Some(last) = out.last_mut() {
                    last.push_str(&text);
                }
            }
            _ => {}
        }
    }
    out
}

fn forbidden(c: char) -> bool {
    let low = u32::from(c) & 0xffff;
    c.is_control() || ('\u{fdd0}'..='\u{fdef}').contains(&c) || low >= 0xfffe
}

/// On one line, and without what a document may not hold.
fn normal(text: &str) -> String {
    let words: Vec<_> = text
        .split(char::is_whitespace)
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ").replace(forbidden, "\u{fffd}")
}

#[derive(serde::Deserialize)]
struct Front {
    name: String,
    description: String,
}

fn stays_in_its_place(text: &str) {
    let (skill, like) = (
        pages::skill_md(&filled::skill(text)),
        pages::skill_md(&filled::skill("plain")),
    );
    let (front, body) = split(&skill);
    let front: Front = serde_saphyr::from_str(front).unwrap_or_else(|e| panic!("{e}: {front}"));
    assert!(front.name.starts_with("osa-data-"));
    assert!(
        front.description.ends_with("What else?") && front.description.contains(&*said_in_yaml(text)),
        "{text:?}"
    );
    let empty = normal(text).is_empty();
    if !empty {
        assert_eq!(structure(body), structure(split(&like).1), "{text:?}:\n{body}");
        assert_eq!(
            within(body, |t| matches!(t, Tag::Heading { .. }))[0],
            normal(text)
        );
    }
    let (schema, like) = (
        pages::schema_md(&filled::schema_doc(text)),
        pages::schema_md(&filled::schema_doc("plain")),
    );
    if !empty {
        assert_eq!(structure(&schema), structure(&like), "{text:?}:\n{schema}");
        let cells = within(&schema, |t| matches!(t, Tag::TableCell));
        assert!(cells.contains(&normal(text)), "{text:?}: {cells:?}");
    }
    // Examples are reproduced verbatim.
    let fences = within(&schema, |t| matches!(t, Tag::CodeBlock(_)));
    let letters = text.replace("\r\n", "\n");
    let verbatim = letters.replace(|c: char| !"\t\n\r\u{c}".contains(c) && forbidden(c), "\u{fffd}");
    let got = fences.last().unwrap().replace('\r', "\n");
    assert_eq!(
        got.trim_end_matches('\n'),
        verbatim.replace('\r', "\n").trim_end_matches('\n')
    );
}

/// YAML holds every character, so that there only line ends are spaces.
fn said_in_yaml(text: &str) -> std::borrow::Cow<'static, str> {
    let words: Vec<_> = text
        .split(char::is_whitespace)
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ").into()
}

// proves DAT-1: no text makes a heading, a cell, a link, a tag or a fence of its own.
#[test]
fn hostile_texts_stay_in_their_place() {
    for text in samples::HOSTILE {
        stays_in_its_place(text);
    }
    for text in [
        "C #", "#", "1) x", "2.", "- - -", "===", "a\\", "\\", "````", "` `", "~~~\n", "<!--", "a|b\\|c",
        "&lt;",
    ] {
        stays_in_its_place(text);
    }
    stays_in_its_place(&"|`*_~".repeat(2000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    // proves DAT-1: no text at all makes markup of its own.
    #[test]
    fn any_text_stays_in_its_place(text in "(\\PC|[\\x00-\\x9f]|[|`\\\\*_#<>~&$:.+-]|\\[|\\]|[0-9]){0,40}") {
        stays_in_its_place(&text);
    }
}

// proves DAT-1: the skill's document has the parts of WC-1.11.
#[test]
fn the_skill_is_as_the_contract_has_it() {
    let document = pages::skill_md(&documents::skill());
    let (front, body) = split(&document);
    let front: Front = serde_saphyr::from_str(front).unwrap();
    assert_eq!(front.name, "osa-data-quakes-example-org");
    assert!(
        front
            .description
            .starts_with("Earthquakes of the last fifty years")
    );
    assert!(
        front
            .description
            .ends_with("How much more energy has magnitude 8 than magnitude 7?")
    );
    let headings = within(body, |t| matches!(t, Tag::Heading { .. }));
    assert_eq!(
        headings,
        [
            "Quake Archive",
            "Earthquakes",
            "Datasets",
            "Access",
            "When not to use",
            "See also"
        ]
    );
    let cells = within(body, |t| matches!(t, Tag::TableCell));
    assert_eq!(cells[..4], ["Schema", "Title", "Records", "Reference"]);
    let reference = "https://quakes.example.org/api/v1/data/earthquakes@1.0.0.md";
    assert_eq!(
        cells[4..],
        ["earthquakes@1.0.0", "Earthquakes", "about 1,234,500", reference]
    );
    assert!(
        body.contains("`quake_energy`: about 1,234,480 rows, for about 1,234,480 of about 1,234,500 records")
    );
}

// proves DAT-1: a schema's document names every column, how to filter by it, and what Hallmark adds.
#[test]
fn a_schema_is_as_the_contract_has_it() {
    let document = pages::schema_md(&documents::schema_doc());
    let headings = within(&document, |t| matches!(t, Tag::Heading { .. }));
    assert_eq!(
        headings[..3],
        [
            "Earthquakes (earthquakes@1.0.0)",
            "Table records",
            "Feature table quake_energy"
        ]
    );
    let head = within(&document, |t| matches!(t, Tag::TableHead));
    assert_eq!(head.len(), 2);
    let cells = within(&document, |t| matches!(t, Tag::TableCell));
    for cell in [
        "id",
        "srn",
        "record_srn",
        "run_id",
        "metadata.magnitude",
        "features.quake_energy.energy_j",
    ] {
        assert!(cells.iter().any(|c| c == cell), "{cell}");
    }
    // Both tables take filters of both kinds, and their common columns by name (WC-7.4).
    assert!(document.contains("`metadata.<field>`, `features.<hook>.<col>` of every hook"));
    assert!(!document.contains("names only"));
    assert!(document.contains("| `created_at` | date |  | `created_at` |"));
    let fences = within(&document, |t| matches!(t, Tag::CodeBlock(_)));
    for part in [
        "records.csv'",
        "records.csv.gz'",
        "records.parquet'",
        "as_of=",
        "/quake_energy/rows/1/trace'",
        "Devil'\\''s coast",
        "features.quake_energy.depth_class",
    ] {
        assert!(fences[0].contains(part), "{part}: {}", fences[0]);
    }
    assert_eq!(
        fences[1],
        "select energy_j from quake_energy\nwhere depth_class = 'deep' -- ```not the end```\n"
    );
    let empty = pages::schema_md(&documents::empty_schema_doc());
    assert!(
        empty.contains("\"value\":\"<place>\"") && empty.contains("rows/<id>/trace"),
        "{empty}"
    );
    assert!(empty.contains("No convention documents this schema"));
    assert!(
        empty.starts_with("# Empty (empty@1.0.0)\n"),
        "the title names the version also where the path does not"
    );
}
