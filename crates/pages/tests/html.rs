//! The HTML pages, read back by a browser's parser.
#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

#[path = "../samples/mod.rs"]
mod samples;

use html5ever::driver::ParseOpts;
use html5ever::tendril::TendrilSink;
use html5ever::tokenizer::TokenizerOpts;
use proptest::prelude::*;
use scraper::{ElementRef, Html, HtmlTreeSink, Selector};

/// The page as a browser sees it. A parse error of any kind fails the test.
fn parsed(name: &str, page: &str) -> Html {
    let opts = ParseOpts {
        tokenizer: TokenizerOpts {
            exact_errors: true,
            ..TokenizerOpts::default()
        },
        ..ParseOpts::default()
    };
    let html = html5ever::parse_document(HtmlTreeSink::new(Html::new_document()), opts).one(page);
    assert!(html.errors.is_empty(), "{name}: {:?}", html.errors);
    html
}

fn all<'a>(html: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    let selector = Selector::parse(selector).unwrap();
    html.select(&selector).collect()
}

fn texts(html: &Html, selector: &str) -> Vec<String> {
    all(html, selector).iter().map(|e| e.text().collect()).collect()
}

fn html_samples() -> Vec<(String, String)> {
    let all = samples::all().into_iter();
    all.filter(|(_, media, _)| *media == pages::HTML)
        .map(|(path, _, text)| (path, text))
        .collect()
}

fn sample(path: &str) -> Html {
    let (_, text) = html_samples().into_iter().find(|(at, _)| at == path).unwrap();
    parsed(path, &text)
}

/// A page's elements in order, each with its attributes' names, and the values of those that no text may reach.
fn structure(html: &Html) -> Vec<String> {
    let describe = |e: ElementRef<'_>| {
        let mut attributes: Vec<String> = e
            .value()
            .attrs()
            .map(|(name, value)| match name {
                // A cell is set on one line or in lines, as its text is short or long.
                "class" if value == "word" => "class=text".to_owned(),
                "class" | "id" | "rel" | "role" | "scope" | "dir" | "lang" => format!("{name}={value}"),
                _ => name.to_owned(),
            })
            .collect();
        attributes.sort();
        format!("{} {}", e.value().name(), attributes.join(" "))
    };
    all(html, "*").into_iter().map(describe).collect()
}

/// What a parser gives back of a text: one kind of line end, and no character that a page may not hold.
fn normal(text: &str) -> String {
    let forbidden = |c: char| {
        let low = u32::from(c) & 0xffff;
        (c.is_control() && !"\t\n\r\u{c}".contains(c))
            || ('\u{fdd0}'..='\u{fdef}').contains(&c)
            || low >= 0xfffe
    };
    text.replace("\r\n", "\n")
        .replace('\r', "\n")
        .replace(forbidden, "\u{fffd}")
}

fn stays_in_its_place(text: &str) {
    let plain = samples::filled::every_page("plain");
    for ((name, media, page), (_, _, like)) in samples::filled::every_page(text).iter().zip(&plain) {
        if *media != pages::HTML {
            continue;
        }
        let (html, like) = (parsed(name, page), parsed(name, like));
        if pages::paths::external(text).is_none() {
            assert_eq!(structure(&html), structure(&like), "{name}: {text:?}");
        }
        assert!(
            all(&html, "script, img, style, iframe, object, form, base").is_empty(),
            "{name}"
        );
        assert!(
            all(&html, "[style], [onclick], [onerror], [onload], [onmouseover]").is_empty(),
            "{name}"
        );
        let said = normal(text);
        for (got, meant) in texts(&html, "bdi, p.prose")
            .iter()
            .zip(texts(&like, "bdi, p.prose"))
        {
            if meant == "plain" {
                // Whole, or the beginning of it with an ellipsis where there is no room for all.
                let begins = got.strip_suffix('…').is_some_and(|start| said.starts_with(start));
                assert!(*got == said || begins, "{name}: {got:?} is not {said:?}");
            }
        }
        for link in all(&html, "[href]") {
            let href = link.attr("href").unwrap();
            let ours = href.starts_with('#') || (href.starts_with('/') && !href.starts_with("//"));
            let theirs = href.starts_with("http://") || href.starts_with("https://");
            assert!(ours || theirs, "{name}: {href}");
            assert!(
                !theirs || link.attr("rel").is_some_and(|rel| rel.contains("noopener")),
                "{href}"
            );
            assert!(href.is_ascii() || theirs, "{name}: {href}");
        }
    }
}

// proves DAT-1, PRV-6: what comes from outside stays text, in its element, on every page.
#[test]
fn hostile_texts_stay_in_their_place() {
    for text in samples::HOSTILE {
        stays_in_its_place(text);
    }
    stays_in_its_place(&"<b>long ".repeat(300));
    stays_in_its_place("https://example.org/<script>?a=\"b\"&c='d'");
    stays_in_its_place("plain");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    // proves DAT-1, PRV-6: no text at all gets out of its place.
    #[test]
    fn any_text_stays_in_its_place(text in "(\\PC|[\\x00-\\x9f]|[<>&\"'/`=;!-]|\\p{Bidi_Control}){0,60}") {
        stays_in_its_place(&text);
    }

    // proves DAT-1: nothing but http and https is ever linked to.
    #[test]
    fn only_web_addresses_are_linked(scheme in "[a-zA-Z\\x00-\\x20]{0,12}", rest in "\\PC{0,20}") {
        let text = format!("{scheme}:{rest}");
        if let Some(href) = pages::paths::external(&text) {
            prop_assert!(href.starts_with("http://") || href.starts_with("https://"), "{}", href);
        }
        stays_in_its_place(&text);
    }
}

// proves EDG-7: of an archive below a path, every link and address carries the path.
#[test]
fn no_page_leads_out_of_the_path_that_the_archive_lies_below() {
    const HOST: &str = "https://archive.example.org";
    let below = format!("{HOST}/labs/archive");
    let roots = samples::filled::every_page_of(HOST, "a text");
    for ((name, media, page), (_, _, root)) in samples::filled::every_page_of(&below, "a text")
        .iter()
        .zip(&roots)
    {
        let moved = root.replace(HOST, &below);
        if *media != pages::HTML {
            assert_eq!(*page, moved, "{name}");
            continue;
        }
        let targets = |page: &str| -> Vec<String> {
            let html = parsed(name, page);
            ["href", "src", "action", "poster", "data", "srcset"]
                .iter()
                .flat_map(|attribute| {
                    all(&html, &format!("[{attribute}]"))
                        .iter()
                        .map(|e| e.attr(attribute).unwrap().to_owned())
                        .collect::<Vec<_>>()
                })
                .collect()
        };
        let (links, at_root) = (targets(page), targets(root));
        assert!(links.len() > 5 && links.len() == at_root.len(), "{name}");
        for (link, at_root) in links.iter().zip(&at_root) {
            let expected = match at_root.strip_prefix('/') {
                Some(rest) => format!("/labs/archive/{rest}"),
                None => at_root.clone(),
            };
            assert_eq!(*link, expected, "{name}");
        }
        assert_eq!(
            texts(&parsed(name, page), "pre"),
            texts(&parsed(name, &moved), "pre"),
            "{name}"
        );
    }
}

// proves DAT-1: every page is well-formed and can be read without seeing it.
#[test]
fn every_page_is_well_formed_and_accessible() {
    for (path, page) in html_samples() {
        let html = parsed(&path, &page);
        assert_eq!(all(&html, "html[lang=en]").len(), 1, "{path}");
        assert_eq!(all(&html, "h1").len(), 1, "{path}");
        assert_eq!(all(&html, "head > title").len(), 1, "{path}");
        assert_eq!(all(&html, "main#main").len(), 1, "{path}");
        assert_eq!(
            all(&html, "link[rel=stylesheet][href='/style.css']").len(),
            1,
            "{path}"
        );
        assert_eq!(all(&html, "th").len(), all(&html, "th[scope]").len(), "{path}");
        assert_eq!(
            all(&html, "table").len(),
            all(&html, "table > caption").len(),
            "{path}"
        );
        assert!(!page.contains("style="), "{path}");
        let levels: Vec<u8> = all(&html, "h1, h2, h3")
            .iter()
            .map(|e| e.value().name().as_bytes()[1])
            .collect();
        assert!(
            levels.windows(2).all(|two| two[1] <= two[0] + 1),
            "{path}: {levels:?}"
        );
        let mut ids: Vec<_> = all(&html, "[id]").iter().filter_map(|e| e.attr("id")).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{path}: an id twice");
        for labelled in all(&html, "[aria-labelledby]") {
            let names = labelled.attr("aria-labelledby").unwrap_or_default();
            assert!(
                names.split(' ').all(|name| ids.binary_search(&name).is_ok()),
                "{path}: {names}"
            );
        }
        // No link in a link: a parser would have reported it, except across foreign content.
        assert!(all(&html, "a a").is_empty(), "{path}");
    }
}

// proves PRV-6: each feature row leads to its trace and to its record, and each record to its page.
#[test]
fn rows_link_to_what_they_are() {
    let table = sample("/data/earthquakes@1.0.0/quake_energy");
    assert_eq!(all(&table, "table.rows tbody tr").len(), 6);
    let traces = all(&table, "tbody th[scope=row] a");
    assert_eq!(
        traces[0].attr("href"),
        Some("/data/earthquakes@1.0.0/quake_energy/rows/1")
    );
    assert_eq!(traces.len(), 6);
    let records = all(&table, "tbody td a[href='/data/records/us7000abcd']");
    assert_eq!(records.len(), 1);
    let next = all(&table, "a[rel=next]");
    assert!(
        next[0]
            .attr("href")
            .unwrap()
            .starts_with("/data/earthquakes@1.0.0/quake_energy?limit=6&cursor=eyJ")
    );
    let formats: Vec<_> = all(&table, "p.formats a")
        .iter()
        .filter_map(|a| a.attr("href").map(str::to_owned))
        .collect();
    let base = "/api/v1/data/earthquakes@1.0.0/quake_energy";
    assert_eq!(
        formats,
        ["?limit=6", ".csv", ".csv.gz", ".parquet"].map(|end| format!("{base}{end}"))
    );
    let record = sample("/data/records/us7000abcd");
    assert_eq!(
        all(&record, "a[href='/data/earthquakes@1.0.0/quake_energy/rows/1']").len(),
        1
    );
}

// proves PRV-6: the trace names release, source, task, creator and delegations, in words and in whole.
#[test]
fn a_trace_is_shown_in_full() {
    let html = sample("/data/earthquakes@1.0.0/quake_energy/rows/2");
    let words = texts(&html, "section[aria-labelledby=words]").concat();
    for whole in [
        "sha256:4c9f1ad2b07e6f3f0c5e3d6b7e21a9d8f55a0f3e9b6c47d1807c2b1a6ff0e913",
        "https://github.com/quakes/hooks/commit/0123abc",
        "service_account:0190f3c2-0000-7c55-8a55-0d3c1d1f2b00",
        "urn:osa:quakes.example.org:dep:0190f3c2-9c01-7d21-b1f0-3a2a0a7b6c10",
        "Ana Ruiz",
        "Björk Jónsdóttir",
        "The constant of the relation was wrong.",
    ] {
        assert!(words.contains(whole), "{whole}");
    }
    assert_eq!(all(&html, "ol.delegations > li").len(), 6);
    assert_eq!(all(&html, "svg.trace > title").len(), 1);
    assert_eq!(all(&html, "svg.trace > desc").len(), 1);
    assert_eq!(all(&html, ".warning").len(), 2);
}

// proves DAT-1: the front page tells totals with their time, conventions with their purpose, tables, hooks and where to go on.
#[test]
fn the_front_page_tells_what_there_is() {
    let html = sample("/");
    let text = texts(&html, "main").concat();
    for part in [
        "about 1,234,500",
        "as of 2026-11-25 15:40 UTC",
        "To compare earthquakes by what they released",
        "sha256:4c9f1ad2b07e…",
        "curl 'https://quakes.example.org/api/v1/data/earthquakes@1.0.0/records.csv'",
    ] {
        assert!(text.contains(part), "{part}");
    }
    for href in [
        "/docs",
        "/openapi.json",
        "/SKILL.md",
        "/api/v1/data",
        "/api/v1/events",
        "/api/v1/hooks/quake_energy/releases",
    ] {
        assert!(
            !all(&html, &format!("main a[href='{href}']")).is_empty(),
            "{href}"
        );
    }
    let empty = texts(&sample("/empty"), "main").concat();
    assert!(
        empty.contains("There are no schemas yet.") && empty.contains("not counted yet"),
        "{empty}"
    );
}

/// A colour's share of light (WCAG 2.2).
fn luminance(hex: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

// proves DAT-1: every text can be read on its background, in light and in dark.
#[test]
fn colours_have_contrast() {
    let schemes: Vec<_> = pages::STYLESHEET.split(":root {").skip(1).collect();
    assert_eq!(schemes.len(), 2);
    for scheme in schemes {
        let colour = |name: &str| scheme.split_once(&format!("--{name}: ")).unwrap().1[..7].to_owned();
        for (text, on) in [
            ("ink", "paper"),
            ("ink", "sheet"),
            ("ink", "tint"),
            ("ink", "mark-tint"),
            ("ink", "past-tint"),
            ("soft", "paper"),
            ("soft", "sheet"),
            ("soft", "tint"),
            ("soft", "mark-tint"),
            ("soft", "past-tint"),
            ("mark", "paper"),
            ("mark", "sheet"),
            ("mark", "tint"),
        ] {
            let (a, b) = (luminance(&colour(text)), luminance(&colour(on)));
            let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(ratio >= 4.5, "{text} on {on}: {ratio:.2}");
        }
    }
}
