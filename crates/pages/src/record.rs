//! A record's page.

use maud::{Markup, html};

use crate::base::BaseUrl;
use crate::model::{FieldValue, RecordFeature, RecordPage, Source};
use crate::parts::{code, column_name, page, rows, said, time, value, who};
use crate::paths;

/// Renders a record: its metadata, its source, and its computed features.
pub fn record_page(record: &RecordPage) -> String {
    let base = &record.node.base;
    let body = html! {
        h1 { "Record " (code(&record.id)) }
        dl class="facts" {
            dt { "Schema" }
            dd { (said(&record.title)) " " a href=(base.href(&paths::table(&record.schema, "records"))) { (code(&record.schema)) } }
            dt { "Version" } dd { (record.version) }
            dt { "Published" } dd { (time(record.created_at)) }
            dt { "SRN" } dd { (code(&record.srn)) }
        }
        p class="formats" { "The same as " a href=(base.href(&paths::record_data(&record.id))) { "JSON" } }
        section aria-labelledby="metadata" {
            h2 id="metadata" { "Metadata" }
            @if record.metadata.is_empty() { p class="nothing" { "There is no metadata." } }
            @else { (fields(&record.metadata)) }
        }
        section aria-labelledby="source" {
            h2 id="source" { "Source" }
            @match &record.source {
                Some(source) => dl class="facts" { (source_facts(base, source)) },
                None => p class="nothing" { "The source is unknown." },
            }
        }
        section aria-labelledby="computed" {
            h2 id="computed" { "Computed features" }
            @if record.features.is_empty() { p class="nothing" { "Nothing." } }
            @for feature in &record.features { (feature_rows(base, &record.schema, feature)) }
        }
    };
    let title = format!("Record {}", record.id);
    let crumbs = [
        (
            record.schema.as_str(),
            Some(paths::table(&record.schema, "records")),
        ),
        (record.id.as_str(), None),
    ];
    page(base, Some(&record.node), &title, &crumbs, &body)
}

/// Renders fields with their whole values.
pub(crate) fn fields(fields: &[FieldValue]) -> Markup {
    html! {
        dl class="facts" {
            @for field in fields {
                dt { (column_name(&field.column)) }
                dd {
                    (value(&field.value))
                    @if let Some(text) = &field.column.description { " " span class="meaning" { (said(text)) } }
                }
            }
        }
    }
}

/// Renders the source of a record as a list of terms.
pub(crate) fn source_facts(base: &BaseUrl, source: &Source) -> Markup {
    html! {
        @match source {
            Source::Deposition { srn, convention, submission, submitted_at, owner, curated_by } => {
                dt { "Deposition" } dd { (code(srn)) }
                dt { "Convention" } dd { a href=(base.href(&paths::convention(convention))) { (code(convention)) } }
                dt { "Submission" } dd { (submission) ", submitted " (time(*submitted_at)) }
                dt { "Submitted by" } dd { (who(owner)) }
                @if let Some(curator) = curated_by { dt { "Approved by" } dd { (who(curator)) } }
            },
            Source::Ingest { convention, ingest_run, source_id, upload, line, batch, opened_by, pushed_by } => {
                dt { "Ingest run" } dd { (code(ingest_run)) }
                dt { "Convention" } dd { a href=(base.href(&paths::convention(convention))) { (code(convention)) } }
                dt { "Id at the source" } dd { (code(source_id)) }
                dt { "Position in the run" }
                dd {
                    "upload " (upload) ", line " (line)
                    @if let Some(batch) = batch { ", batch " (batch) }
                }
                dt { "Opened by" } dd { (who(opened_by)) }
                dt { "Sent by" } dd { (who(pushed_by)) }
            },
        }
    }
}

fn feature_rows(base: &BaseUrl, schema: &str, feature: &RecordFeature) -> Markup {
    html! {
        h3 { a href=(base.href(&paths::table(schema, &feature.name))) { (code(&feature.name)) } }
        @if feature.rows.is_empty() { p class="nothing" { "No rows." } }
        @else { (rows(base, schema, &feature.name, &feature.columns, &feature.rows)) }
        @if feature.more { p class="note" { "There are more rows than these: they are in the table." } }
    }
}
