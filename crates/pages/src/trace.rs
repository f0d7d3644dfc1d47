//! A row's trace: a picture, and the same in words.

use maud::{Markup, html};

use crate::base::BaseUrl;
use crate::graph::{graph, who_text};
use crate::parts::{code, linked, page, said, time, value, who, wide};
use crate::paths;
use crate::picture::picture;
use crate::provenance::{TracePage, TracedDelegation, TracedRelease, TracedRow, TracedRun, TracedTask};
use crate::record::{fields, source_facts};
use crate::text::{duration, people_time};

/// Renders the provenance of a row: run, release, record, source, task and creator, as a picture and in words.
pub fn trace_page(trace: &TracePage) -> String {
    let (row, base) = (&trace.row, &trace.node.base);
    let name = format!("Where row {} of {} comes from", row.id, trace.feature);
    let body = html! {
        h1 { "Where row " (row.id) " of " (code(&trace.feature)) " comes from" }
        @if !row.current {
            p class="warning" {
                "This row was superseded: the table no longer shows it."
                @if let Some(run) = &row.superseded_by { " Run " (code(run)) " replaced it." }
            }
        }
        @if let Some(yanked) = &trace.release.yanked {
            p class="warning" { "The release that computed it was withdrawn since: " (said(&yanked.reason)) }
        }
        p class="formats" { "The same as " a href=(base.href(&paths::trace_data(&trace.schema, &trace.feature, row.id))) { "JSON" } }
        figure class="picture" {
            (wide("The trace as a picture", &picture(&graph(trace), &name, &summary(trace))))
            figcaption { "Time runs downwards. Long texts are cut in the picture; the full texts are below." }
        }
        section aria-labelledby="words" {
            h2 id="words" { "In words" }
            h3 { "Row" } (row_facts(row))
            h3 { "Run" } (run_facts(&trace.run))
            h3 { "Release" } (release_facts(base, &trace.release))
            h3 { "Record" }
            dl class="facts" {
                dt { "Id" } dd { a href=(base.href(&paths::record(&trace.record.id))) { (code(&trace.record.id)) } }
                dt { "Version" } dd { (trace.record.version) }
                dt { "Schema" } dd { (code(&trace.record.schema)) }
                dt { "Published" } dd { (time(trace.record.created_at)) }
                dt { "SRN" } dd { (code(&trace.record.srn)) }
            }
            h3 { "Source of the record" }
            @match &trace.source {
                Some(source) => dl class="facts" { (source_facts(base, source)) },
                None => p class="nothing" { "The source is unknown." },
            }
            h3 { "Task" }
            @match &trace.task {
                Some(task) => (task_facts(task)),
                None => p class="nothing" { "Its task is unknown." },
            }
        }
    };
    let crumbs = [
        (
            trace.schema.as_str(),
            Some(paths::table(&trace.schema, "records")),
        ),
        (
            trace.feature.as_str(),
            Some(paths::table(&trace.schema, &trace.feature)),
        ),
        ("trace", None),
    ];
    page(base, Some(&trace.node), &name, &crumbs, &body)
}

/// Describes the picture in a few sentences.
fn summary(trace: &TracePage) -> String {
    let (run, release, record) = (&trace.run, &trace.release, &trace.record);
    let mut text = format!(
        "Row {} of {} was computed by run {}, on {}. The run executed release {} of hook {}, built from {} by {}, on version {} of record {}.",
        trace.row.id,
        trace.feature,
        run.id,
        people_time(run.started_at),
        release.version,
        release.hook,
        release.source_ref,
        who_text(&release.built_by),
        record.version,
        record.id
    );
    if let Some(task) = &trace.task {
        text.push_str(&format!(
            " {} created the task {}, which was delegated {} times.",
            who_text(&task.creator),
            task.name,
            task.delegations.len()
        ));
    }
    text
}

fn row_facts(row: &TracedRow) -> Markup {
    html! {
        dl class="facts" {
            dt { "Id" } dd { (row.id) }
            dt { "Inserted" } dd { (time(row.created_at)) }
            dt { "State" } dd { (if row.current { "current" } else { "superseded" }) }
        }
        (fields(&row.values))
    }
}

fn run_facts(run: &TracedRun) -> Markup {
    html! {
        dl class="facts" {
            dt { "Id" } dd { (code(&run.id)) }
            dt { "Status" } dd { (said(&run.status)) }
            dt { "Started" } dd { (time(run.started_at)) }
            dt { "Finished" } dd { (time(run.finished_at)) ", after " (duration(run.duration_s)) }
            dt { "Out-of-memory retries" } dd { (run.oom_retries) }
            dt { "Worker" } dd { (code(&run.worker)) }
            dt { "Image read from" } dd { (code(&run.image)) }
        }
    }
}

fn release_facts(base: &BaseUrl, release: &TracedRelease) -> Markup {
    html! {
        dl class="facts" {
            dt { "Hook" } dd { a href=(base.href(&paths::hook(&release.hook))) { (code(&release.hook)) } }
            dt { "Version" }
            dd {
                (release.version)
                @match release.live_version {
                    Some(live) if live == release.version => ", live now",
                    Some(live) => { ", version " (live) " is live now" },
                    None => ", none is live now",
                }
            }
            dt { "Image" } dd { (code(&release.image)) }
            @if release.locations.len() > 1 {
                dt { "Locations" }
                dd { ol class="links" { @for location in &release.locations {
                    li { (code(&location.image)) ", since " (time(location.at)) ", by " (code(&location.by)) }
                } } }
            }
            dt { "Digest" } dd { (code(&release.digest)) }
            dt { "Built from" } dd { (linked(&release.source_ref)) }
            dt { "Built by" } dd { (who(&release.built_by)) }
            dt { "Built at" } dd { (time(release.built_at)) }
            dt { "Config" } dd { (value(&release.config)) }
            dt { "Limits" }
            dd { @for (index, (name, limit)) in release.limits.iter().enumerate() {
                @if index > 0 { ", " }
                (said(name)) " " (said(limit))
            } }
            @if let Some(yanked) = &release.yanked {
                dt { "Withdrawn" }
                dd { (time(yanked.at)) " by " (code(&yanked.by)) ": " (said(&yanked.reason)) }
            }
            dt { "Id" } dd { (code(&release.id)) }
        }
    }
}

fn task_facts(task: &TracedTask) -> Markup {
    html! {
        dl class="facts" {
            dt { "Id" } dd { (code(&task.id)) }
            dt { "Name" } dd { (said(&task.name)) }
            dt { "Kind" } dd { (said(&task.kind)) }
            dt { "Status" } dd { (said(&task.status)) }
            dt { "Creator" } dd { (who(&task.creator)) }
            dt { "Created" } dd { (time(task.created_at)) }
        }
        h3 { "Delegations" }
        @if task.delegations.is_empty() { p class="nothing" { "It was not delegated." } }
        @else { ol class="delegations" { @for delegation in &task.delegations { li { (delegation_facts(delegation)) } } } }
    }
}

fn delegation_facts(delegation: &TracedDelegation) -> Markup {
    html! {
        dl class="facts" {
            dt { "Caller" } dd { (code(&delegation.caller)) }
            dt { "Callee" } dd { (code(&delegation.callee)) }
            dt { "Status" } dd { (said(&delegation.status)) ", attempt " (delegation.attempt) }
            dt { "Created" } dd { (time(delegation.created_at)) ", last changed " (time(delegation.updated_at)) }
            @if let Some(worker) = &delegation.worker { dt { "Worker" } dd { (code(worker)) } }
            dt { "Id" } dd { (code(&delegation.id)) }
        }
    }
}
