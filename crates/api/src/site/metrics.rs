//! `/metrics`, in Prometheus' text format 0.0.4 (WC-1.8).

use std::fmt::Write as _;
use std::sync::Arc;

use app::metrics::SERVER_FAMILIES;
use app::views::{FAMILIES, Family, Sample};
use poem::{Request, Response};

use crate::http::gate::anyone;
use crate::http::problem::Problem;
use crate::services::Services;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Escapes a label's value: backslashes, quotes and line feeds.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn line(out: &mut String, sample: &Sample) {
    let labels: Vec<String> = sample
        .labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    let labels = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", labels.join(","))
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{}{}{labels} {}",
        sample.family,
        sample.part.suffix(),
        sample.value
    );
}

/// Returns every family: those of the archive, and those of this server.
fn families() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().chain(SERVER_FAMILIES)
}

fn text(samples: &[Sample]) -> String {
    let mut out = String::new();
    for family in families() {
        let _ = writeln!(out, "# HELP {} {}", family.name, family.help);
        let _ = writeln!(out, "# TYPE {} {}", family.name, family.kind);
        for sample in samples.iter().filter(|sample| sample.family == family.name) {
            line(&mut out, sample);
        }
    }
    out
}

/// Responds to a scrape.
pub(crate) async fn metrics(services: Arc<Services>, _: Request) -> Result<Response, Problem> {
    let samples = services.data.read_stats.samples(anyone()?).await;
    Ok(Response::builder()
        .content_type(CONTENT_TYPE)
        .body(text(&samples)))
}

#[cfg(test)]
mod tests {
    use app::views::Part;

    use super::*;

    #[test]
    fn labels_are_escaped_and_every_family_is_listed() {
        let samples = [
            Sample {
                family: "osa_hook_runs_total",
                part: Part::Whole,
                labels: vec![("hook", "a\"b\\c\nd".to_owned()), ("status", "passed".to_owned())],
                value: 3.0,
            },
            Sample {
                family: "osa_dispatch_duration_seconds",
                part: Part::Sum,
                labels: Vec::new(),
                value: 0.5,
            },
        ];
        let text = text(&samples);
        assert!(text.contains("osa_hook_runs_total{hook=\"a\\\"b\\\\c\\nd\",status=\"passed\"} 3\n"));
        assert!(text.contains("osa_dispatch_duration_seconds_sum 0.5\n"));
        // Every family of WC-1.8.
        for name in [
            "osa_hook_runs_total",
            "osa_hook_run_duration_seconds",
            "osa_hook_failures_total",
            "osa_hook_oom_retries_total",
            "osa_ingest_batches_total",
            "osa_ingest_runs_total",
            "osa_records_published_total",
            "osa_workflow_stages_total",
            "osa_deliveries_total",
            "osa_dispatch_duration_seconds",
            "osa_outbox_lag_seconds",
            "osa_outbox_pending",
            "osa_outbox_failed",
            "osa_db_pool_checked_out",
            "osa_db_pool_size",
            "osa_db_pool_overflow",
            "osa_workers_busy",
            "osa_workers_total",
            "osa_unhandled_errors_total",
        ] {
            assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
        }
        assert_eq!(text.matches("# TYPE").count(), families().count());
    }
}
