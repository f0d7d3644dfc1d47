//! A page of a table.

use maud::{Markup, html};

use crate::model::{TableKind, TablePage};
use crate::parts::{as_of, code, column_table, page, rows, said};
use crate::paths::{self, Format};
use crate::text::counted_of;

/// Renders a page of a table: its rows, the link to the next page, and the descriptions of the columns.
pub fn table_page(table: &TablePage) -> String {
    let base = &table.node.base;
    let kind = match table.kind {
        TableKind::Records => "The records",
        TableKind::Feature => {
            "A feature table: what the hook of the same name computed. Each row links to its trace"
        }
    };
    let body = html! {
        h1 { (code(&table.table)) " of " (said(&table.title)) }
        p class="lead" {
            (kind) ". Schema " (code(&table.schema)) "."
            @if let Some(total) = table.total {
                " It has " (counted_of(total, "row", "rows")) ", " (as_of(table.as_of)) "."
            }
        }
        p class="formats" { "The same as " (formats(table)) }
        section aria-labelledby="rows" {
            h2 id="rows" { "Rows" }
            @if table.rows.is_empty() { p class="nothing" { "There are no rows here." } }
            @else { (rows(base, &table.schema, &table.table, &table.columns, &table.rows)) }
            (pager(table))
        }
        section aria-labelledby="columns" {
            h2 id="columns" { "Columns" }
            (column_table(&table.columns))
        }
        p class="note" { a href=(base.href(&paths::schema_doc(&table.schema))) { "How to read this schema's tables" } }
    };
    let title = format!("{} of {}", table.table, table.schema);
    // The step of a schema is its records page, so the records page has no step below it.
    let schema = table.schema.as_str();
    let crumbs = match table.kind {
        TableKind::Records => vec![(schema, None)],
        TableKind::Feature => vec![
            (schema, Some(paths::table(schema, "records"))),
            (table.table.as_str(), None),
        ],
    };
    page(base, Some(&table.node), &title, &crumbs, &body)
}

fn formats(table: &TablePage) -> Markup {
    // A page's `limit` does not apply to a whole table.
    let whole: Vec<_> = table
        .query
        .iter()
        .filter(|(name, _)| name != "limit")
        .cloned()
        .collect();
    html! {
        @for (index, format) in Format::ALL.into_iter().enumerate() {
            @let asked = if format == Format::Json { &table.query } else { &whole };
            @if index > 0 { " · " }
            a href=(table.node.base.href(&paths::table_data(&table.schema, &table.table, format, asked))) { (format.name()) }
        }
    }
}

fn pager(table: &TablePage) -> Markup {
    let at = |cursor| {
        let path = paths::table_page(&table.schema, &table.table, &table.query, cursor);
        table.node.base.href(&path)
    };
    html! {
        @if table.continued || table.next_cursor.is_some() {
            nav class="pager" aria-label="Pages" {
                @if table.continued { a href=(at(None)) { "First page" } }
                @if let Some(cursor) = &table.next_cursor { a rel="next" href=(at(Some(cursor.as_str()))) { "Next page" } }
            }
        }
    }
}
