//! Samples of every page and document: earthquakes, an empty archive, and texts that mean harm.

pub(crate) mod documents;
pub(crate) mod filled;
pub(crate) mod quakes;
pub(crate) mod traces;

use pages::{
    BaseUrl, ErrorPage, error_page, front_page, record_page, schema_md, skill_md, table_page, trace_page,
};

/// Texts that have broken pages before.
pub(crate) const HOSTILE: [&str; 10] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=\"alert(1)\"> ' onmouseover='x",
    "</title></svg></pre></code><script>1</script><!-- -->&lt;&amp;&#0;",
    "javascript:alert(1)",
    "\u{202e}txet tfel-ot-thgir\u{202c} مرحبا بالعالم \u{2066}x",
    "a\0b\u{1b}[31m\u{85}\u{2028}\u{fffe}\r\nc\td",
    "| a | b |\n| --- | --- |\n```\n~~~\n# not a heading\n- [x] (y)[z](javascript:x) ![i](j) `t` $$ \\",
    "---\nname: \"other\"\n---\n: {a: [b, *c]} & !tag %x @y",
    "漢字かな交じり文 🦀👩‍🔬 Z̷̢̛a̸l̵g̶o̷",
    "",
];

/// The address of an archive.
pub(crate) fn base(text: &str) -> BaseUrl {
    match text.parse() {
        Ok(base) => base,
        Err(why) => unreachable!("{text} {why}"),
    }
}

/// Every sample: the path that it would be served at, its media type, its text.
pub(crate) fn all() -> Vec<(String, &'static str, String)> {
    let html = |path: &str, text: String| (path.to_owned(), pages::HTML, text);
    let markdown = |path: &str, text: String| (path.to_owned(), pages::MARKDOWN, text);
    let mut all = vec![
        (
            pages::paths::STYLE.route().to_owned(),
            "text/css; charset=utf-8",
            pages::STYLESHEET.to_owned(),
        ),
        html("/", front_page(&quakes::front())),
        html("/empty", front_page(&quakes::empty_front())),
        html(
            "/data/earthquakes@1.0.0/records",
            table_page(&quakes::records_table()),
        ),
        html(
            "/data/earthquakes@1.0.0/quake_energy",
            table_page(&quakes::feature_table()),
        ),
        html(
            "/data/earthquakes@1.0.0/quake_energy/rows/1",
            trace_page(&traces::ingest_trace()),
        ),
        html(
            "/data/earthquakes@1.0.0/quake_energy/rows/2",
            trace_page(&traces::deposition_trace()),
        ),
        html(
            "/data/earthquakes@1.0.0/quake_energy/rows/3",
            trace_page(&traces::bare_trace()),
        ),
        html("/data/records/us7000abcd", record_page(&quakes::record())),
        html(
            "/404",
            error_page(&ErrorPage {
                base: base("https://quakes.example.org"),
                status: 404,
                title: "There is no such record".to_owned(),
                detail: "No record has the id \"us7000zzzz\".".to_owned(),
            }),
        ),
        markdown(pages::paths::SKILL.route(), skill_md(&documents::skill())),
        markdown(
            "/api/v1/data/earthquakes@1.0.0.md",
            schema_md(&documents::schema_doc()),
        ),
        markdown(
            "/api/v1/data/empty@1.0.0.md",
            schema_md(&documents::empty_schema_doc()),
        ),
    ];
    for (index, text) in HOSTILE.iter().enumerate() {
        for (name, media, page) in filled::every_page(text) {
            all.push((format!("/hostile/{index}/{name}"), media, page));
        }
    }
    let huge = "Verylongwordwithoutanyspaceinit and then some more, ".repeat(60);
    for (name, media, page) in filled::every_page(&huge) {
        all.push((format!("/huge/{name}"), media, page));
    }
    all
}
