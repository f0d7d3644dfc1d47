//! The common parts of the HTML pages: their frame, and the display of texts, values, times and people.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;
use time::OffsetDateTime;

use crate::base::BaseUrl;
use crate::model::{Column, Node, RowOf, TableRow, Who};
use crate::paths::{self, Path};
use crate::text::{cut, finished, machine_time, people_time, value_text};

/// The stylesheet of every page, to be served as [`paths::STYLE`].
pub const STYLESHEET: &str = include_str!("style.css");
/// The policy that the pages need, and no more.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The media type of the pages.
pub const HTML: &str = "text/html; charset=utf-8";
/// The media type of the markdown documents.
pub const MARKDOWN: &str = "text/markdown; charset=utf-8";

/// The maximum number of characters of a text in a table cell; the whole is on the page that its row links to.
const CELL: usize = 160;
/// The maximum length of a cell without spaces that is kept on one line: ids, names and times.
const WORD: usize = 48;
/// The maximum number of characters of a name outside the content.
const NAME: usize = 60;

/// A step on the way from the front page to here: its label and, unless it is this page, its path.
pub(crate) type Crumb<'a> = (&'a str, Option<Path>);

/// Renders a whole page. Its title is the page's own, then the node's.
pub(crate) fn page(
    base: &BaseUrl,
    node: Option<&Node>,
    title: &str,
    crumbs: &[Crumb<'_>],
    body: &Markup,
) -> String {
    let site = node.map_or("Hallmark", |node| node.name.as_str());
    let whole = if title == site {
        title.to_owned()
    } else {
        format!("{title} · {site}")
    };
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (whole) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="stylesheet" href=(base.href(&paths::STYLE));
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header class="site" {
                    a class="name" href=(base.href(&paths::FRONT)) { (said(site)) }
                    nav aria-label="Site" {
                        a href=(base.href(&paths::API_DOCS)) { "API docs" }
                        a href=(base.href(&paths::SKILL)) { "For agents" }
                        a href=(base.href(&paths::CATALOGUE)) { "Catalogue (JSON)" }
                    }
                }
                main id="main" {
                    @if !crumbs.is_empty() { (crumb_list(base, crumbs)) }
                    (body)
                }
                footer {
                    p {
                        @if let Some(node) = node { (said(&cut(&node.domain, NAME))) " · " }
                        "served by Hallmark"
                        @if let Some(node) = node { " " (said(&cut(&node.version, NAME))) }
                    }
                }
            }
        }
    };
    finished(markup.into_string())
}

fn crumb_list(base: &BaseUrl, crumbs: &[Crumb<'_>]) -> Markup {
    html! {
        nav class="crumbs" aria-label="Where you are" {
            ol {
                li { a href=(base.href(&paths::FRONT)) { "Archive" } }
                @for (name, path) in crumbs {
                    @match path {
                        Some(path) => li { a href=(base.href(path)) { (said(&cut(name, NAME))) } },
                        None => li { span aria-current="page" { (said(&cut(name, NAME))) } },
                    }
                }
            }
        }
    }
}

/// Isolates a foreign text: its writing direction and its marks end where it ends.
pub(crate) fn said(text: &str) -> Markup {
    html! { bdi { (text) } }
}

/// Renders a name or an id, which a machine would read.
pub(crate) fn code(text: &str) -> Markup {
    html! { code { bdi { (text) } } }
}

/// Renders a foreign text; as a link, if all of it is a web address.
pub(crate) fn linked(text: &str) -> Markup {
    match paths::external(text) {
        Some(href) => html! { a href=(href) rel="noopener noreferrer nofollow" { (said(text)) } },
        None => said(text),
    }
}

/// Renders a foreign paragraph, with its own writing direction.
pub(crate) fn paragraph(text: &str) -> Markup {
    html! { p dir="auto" class="prose" { (text) } }
}

/// Renders a time.
pub(crate) fn time(at: OffsetDateTime) -> Markup {
    html! { time datetime=(machine_time(at)) { (people_time(at)) } }
}

/// Renders the time of a count.
pub(crate) fn as_of(at: Option<OffsetDateTime>) -> Markup {
    html! {
        @match at {
            Some(at) => { "as of " (time(at)) },
            None => "not counted yet",
        }
    }
}

/// Renders a principal: the name if it is known, its authority, and the id.
pub(crate) fn who(who: &Who) -> Markup {
    html! {
        @if let Some(name) = &who.name { (said(name)) " " }
        @if let Some(authority) = &who.authority { "of " (linked(authority)) " " }
        (code(&who.id))
    }
}

/// Renders a whole value.
pub(crate) fn value(value: &Value) -> Markup {
    html! {
        @match value {
            Value::Null => span class="none" { "none" },
            Value::String(text) => (linked(text)),
            Value::Array(_) | Value::Object(_) => (code(&value.to_string())),
            other => span class="number" { (other.to_string()) },
        }
    }
}

/// Renders a value cut to the size of a cell.
fn cell(value: &Value) -> Markup {
    html! {
        @match value {
            Value::Null => span class="none" { "–" },
            // A link keeps its whole address, even if its text is cut.
            Value::String(text) => @match paths::external(text) {
                Some(href) => a href=(href) rel="noopener noreferrer nofollow" { (said(&cut(text, CELL))) },
                None => (said(&cut(text, CELL))),
            },
            other => (said(&cut(&value_text(other), CELL))),
        }
    }
}

/// Renders a column's heading: its name and its unit.
pub(crate) fn column_name(column: &Column) -> Markup {
    html! {
        (said(&column.name))
        @if let Some(unit) = &column.unit { " " span class="unit" { "(" (said(unit)) ")" } }
    }
}

/// Wraps wide content so that it scrolls sideways, by keyboard too.
pub(crate) fn wide(label: &str, inside: &Markup) -> Markup {
    html! { div class="wide" role="region" aria-label=(label) tabindex="0" { (inside) } }
}

/// Renders rows under their columns. The first cell heads its row and links to the row's object.
pub(crate) fn rows(
    base: &BaseUrl,
    schema: &str,
    table: &str,
    columns: &[Column],
    rows: &[TableRow],
) -> Markup {
    let caption = format!("Rows of {table}");
    let body = html! {
        table class="rows" {
            caption class="hidden" { "Rows of " (code(table)) }
            thead { tr { @for column in columns { th scope="col" class=(class(column, &Value::Null)) { (column_name(column)) } } } }
            tbody { @for row in rows { tr { @for (index, column) in columns.iter().enumerate() {
                (row_cell(base, schema, table, row, index, column))
            } } } }
        }
    };
    wide(&caption, &body)
}

/// Returns the style of a cell: numbers to the right, words on one line, texts in lines.
fn class(column: &Column, value: &Value) -> &'static str {
    let numeric = matches!(column.column_type.as_str(), "number" | "integer");
    match value {
        Value::Number(_) => "number",
        Value::Null if numeric => "number",
        Value::Null | Value::Bool(_) => "word",
        Value::String(text) if text.len() <= WORD && !text.contains(char::is_whitespace) => "word",
        _ => "text",
    }
}

/// Returns the part that distinguishes an SRN from the node's others: `<id>@<version>`.
fn last_part(srn: &str) -> &str {
    srn.rsplit(':').next().unwrap_or(srn)
}

fn row_cell(
    base: &BaseUrl,
    schema: &str,
    table: &str,
    row: &TableRow,
    index: usize,
    column: &Column,
) -> Markup {
    let given = row.cells.get(index).unwrap_or(&Value::Null);
    let class = class(column, given);
    html! {
        @match (&row.of, index, column.name.as_str()) {
            (RowOf::Record { id }, 0, _) => {
                th scope="row" class=(class) { a href=(base.href(&paths::record(id))) { (said(&cut(id, CELL))) } }
            },
            (RowOf::Feature { row_id, .. }, 0, _) => {
                th scope="row" class="number" {
                    a href=(base.href(&paths::trace(schema, table, *row_id))) aria-label={ "Trace of row " (row_id) } { (row_id) }
                }
            },
            (RowOf::Feature { record_id, .. }, _, "record_srn") => {
                td class=(class) { a href=(base.href(&paths::record(record_id))) { (said(&cut(last_part(given.as_str().unwrap_or(record_id)), CELL))) } }
            },
            _ => td class=(class) { (cell(given)) },
        }
    }
}

/// Renders the descriptions of the columns.
pub(crate) fn column_table(columns: &[Column]) -> Markup {
    let body = html! {
        table class="columns" {
            caption class="hidden" { "Columns" }
            thead { tr {
                th scope="col" { "Column" }
                th scope="col" { "Type" }
                th scope="col" { "Unit" }
                th scope="col" { "Meaning" }
            } }
            tbody { @for column in columns { tr {
                th scope="row" { (code(&column.name)) }
                td { (said(&column.column_type)) }
                td { @if let Some(unit) = &column.unit { (said(unit)) } }
                td { @if let Some(text) = &column.description { (said(text)) } }
            } } }
        }
    };
    wide("Columns", &body)
}
