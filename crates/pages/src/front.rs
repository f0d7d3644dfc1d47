//! The front page: the content of the archive.

use maud::{Markup, html};

use crate::base::BaseUrl;
use crate::model::{
    ConventionEntry, Count, FrontPage, HookEntry, SchemaEntry, TableEntry, TableKind, Totals,
};
use crate::parts::{as_of, code, linked, page, paragraph, said, time, wide};
use crate::paths::{self, Format, Path};
use crate::text::{counted, counted_of, short_digest};

/// Renders the content of the archive: its totals, conventions, tables and hooks, and how to start.
pub fn front_page(front: &FrontPage) -> String {
    let (node, base) = (&front.node, &front.node.base);
    let body = html! {
        h1 { (said(&node.name)) }
        p class="domain" { (said(&node.domain)) }
        (paragraph(&node.description))
        (totals(&front.totals))
        section aria-labelledby="data" {
            h2 id="data" { "Data" }
            @if front.schemas.is_empty() { p class="nothing" { "There are no schemas yet." } }
            @for schema in &front.schemas { (schema_tables(base, schema)) }
        }
        section aria-labelledby="conventions" {
            h2 id="conventions" { "Conventions" }
            @if front.conventions.is_empty() { p class="nothing" { "There are no conventions yet." } }
            @for convention in &front.conventions { (convention_part(base, convention)) }
        }
        section aria-labelledby="hooks" {
            h2 id="hooks" { "Hooks" }
            @if front.hooks.is_empty() { p class="nothing" { "There are no hooks yet." } }
            @else { (hook_table(base, &front.hooks)) }
        }
        (start(front))
    };
    page(base, Some(node), &node.name, &[], &body)
}

fn totals(totals: &Totals) -> Markup {
    let one = |count: Count, one: &str, many: &str| {
        html! { div { dt { (if count.value == 1 { one } else { many }) } dd { (counted(count)) } } }
    };
    html! {
        dl class="totals" {
            (one(totals.records, "record", "records"))
            (one(totals.feature_rows, "feature row", "feature rows"))
            (one(totals.conventions, "convention", "conventions"))
            (one(totals.hooks, "hook", "hooks"))
        }
        p class="note" { "Records and rows: " (as_of(totals.as_of)) "." }
    }
}

fn table_row(base: &BaseUrl, schema: &str, table: &TableEntry) -> Markup {
    let covered = table
        .records_covered
        .map(|count| counted_of(count, "record", "records"));
    html! {
        tr {
            th scope="row" { a href=(base.href(&paths::table(schema, &table.name))) { (said(&table.name)) } }
            td { (match table.kind { TableKind::Records => "records", TableKind::Feature => "feature" }) }
            td class="number" { (counted(table.rows)) }
            td class="number" { @if let Some(covered) = covered { (covered) } }
            td {
                span class="formats" {
                    @for format in Format::ALL {
                        a href=(base.href(&paths::table_data(schema, &table.name, format, &[]))) { (format.name()) }
                        " "
                    }
                }
            }
        }
    }
}

fn schema_tables(base: &BaseUrl, schema: &SchemaEntry) -> Markup {
    let table = html! {
        table {
            caption class="hidden" { "Tables of " (code(&schema.schema)) }
            thead { tr {
                th scope="col" { "Table" }
                th scope="col" { "Kind" }
                th scope="col" class="number" { "Rows" }
                th scope="col" class="number" { "Covering" }
                th scope="col" { "Also as" }
            } }
            tbody { @for table in &schema.tables { (table_row(base, &schema.schema, table)) } }
        }
    };
    html! {
        h3 { (said(&schema.title)) " " (code(&schema.schema)) }
        (wide(&format!("Tables of {}", schema.schema), &table))
        p class="note" {
            a href=(base.href(&paths::schema_doc(&schema.schema))) { "How to read it" } " · "
            a href=(base.href(&paths::manifest(&schema.schema))) { "manifest (JSON)" }
        }
    }
}

fn convention_part(base: &BaseUrl, convention: &ConventionEntry) -> Markup {
    html! {
        article class="convention" {
            h3 { a href=(base.href(&paths::convention(&convention.slug))) { (said(&convention.title)) } }
            (paragraph(&convention.description))
            @if let Some(purpose) = &convention.purpose { (paragraph(purpose)) }
            p class="note" {
                "Schema " (code(&convention.schema))
                @if !convention.hooks.is_empty() {
                    " · hooks "
                    @for (index, hook) in convention.hooks.iter().enumerate() {
                        @if index > 0 { ", " }
                        a href=(base.href(&paths::hook(hook))) { (code(hook)) }
                    }
                }
            }
        }
    }
}

fn hook_table(base: &BaseUrl, hooks: &[HookEntry]) -> Markup {
    let table = html! {
        table {
            caption class="hidden" { "Hooks and their live releases" }
            thead { tr {
                th scope="col" { "Hook" }
                th scope="col" class="number" { "Live release" }
                th scope="col" { "Digest" }
                th scope="col" { "Built from" }
                th scope="col" { "Built at" }
            } }
            tbody { @for hook in hooks { tr {
                th scope="row" { a href=(base.href(&paths::hook(&hook.name))) { (code(&hook.name)) } }
                @match &hook.live {
                    Some(live) => {
                        td class="number" { (live.version) }
                        td { (code(&short_digest(&live.digest))) }
                        td { (linked(&live.source_ref)) }
                        td { (time(live.built_at)) }
                    },
                    None => td colspan="4" class="none" { "none is live" },
                }
            } } }
        }
    };
    wide("Hooks and their live releases", &table)
}

/// Quotes any text as one word of a shell.
pub(crate) fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn start(front: &FrontPage) -> Markup {
    let base = &front.node.base;
    let curl = |path: &Path| format!("curl {}", shell_word(&base.url(path)));
    let first = front.schemas.first();
    let feature = first.and_then(|schema| {
        let table = schema
            .tables
            .iter()
            .find(|table| table.kind == TableKind::Feature)?;
        Some((schema, table))
    });
    html! {
        section aria-labelledby="start" {
            h2 id="start" { "How to start" }
            p { "Everything here can be read without an account. What there is, in JSON:" }
            pre { code { (curl(&paths::CATALOGUE)) } }
            @if let Some(schema) = first {
                p { "A whole table:" }
                pre { code { (curl(&paths::table_data(&schema.schema, "records", Format::Csv, &[]))) } }
            }
            @if let Some((schema, table)) = feature {
                p { "Where a row comes from, with the id of any row in place of 1:" }
                pre { code { (curl(&paths::trace_data(&schema.schema, &table.name, 1))) } }
            }
            ul class="links" {
                li { a href=(base.href(&paths::API_DOCS)) { "API documentation" } ", to read and to try" }
                li { a href=(base.href(&paths::OPENAPI)) { "openapi.json" } ", for generators" }
                li { a href=(base.href(&paths::SKILL)) { "SKILL.md" } ", for agents" }
                li { a href=(base.href(&paths::CATALOGUE)) { "The catalogue" } ", every schema and its tables" }
                li { a href=(base.href(&paths::EVENTS)) { "The events feed" } ", what happened, in order" }
            }
        }
    }
}
