//! `/metrics`, in Prometheus' text format 0.0.4 (wire contract 1.8).

use std::fmt::Write as _;
use std::sync::Arc;

use app::views::{FIGURES, Figure};
use poem::{Request, Response};

use crate::Services;
use crate::problem::Problem;
use crate::site::anyone;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A label's value: backslashes, quotes and line feeds are escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn line(out: &mut String, name: &str, labels: &[(&str, String)], value: f64) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    let labels = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", labels.join(","))
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{name}{labels} {value}");
}

fn text(figures: &[Figure], (used, size): (u32, u32)) -> String {
    let mut out = String::new();
    for family in FIGURES {
        let _ = writeln!(out, "# HELP {} {}", family.name, family.help);
        let _ = writeln!(out, "# TYPE {} {}", family.name, family.kind);
        for figure in figures.iter().filter(|figure| figure.family == family.name) {
            line(&mut out, family.name, &figure.labels, figure.value);
        }
    }
    for (name, help, value) in [
        (
            "osa_db_pool_checked_out",
            "Connections to the database that this server uses.",
            used,
        ),
        (
            "osa_db_pool_size",
            "Connections to the database that this server has.",
            size,
        ),
    ] {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        line(&mut out, name, &[], f64::from(value));
    }
    out
}

/// Answers a scraper.
pub(crate) async fn metrics(services: Arc<Services>, _: Request) -> Result<Response, Problem> {
    let (figures, pool) = services.read_stats.figures(anyone()?).await?;
    Ok(Response::builder()
        .content_type(CONTENT_TYPE)
        .body(text(&figures, pool)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_every_family_is_told() {
        let figures = [Figure {
            family: "osa_hook_runs_total",
            labels: vec![("hook", "a\"b\\c\nd".to_owned()), ("status", "passed".to_owned())],
            value: 3.0,
        }];
        let text = text(&figures, (1, 4));
        assert!(text.contains("osa_hook_runs_total{hook=\"a\\\"b\\\\c\\nd\",status=\"passed\"} 3\n"));
        assert!(text.contains("osa_db_pool_size 4\n"));
        assert_eq!(text.matches("# TYPE").count(), FIGURES.len() + 2);
    }
}
