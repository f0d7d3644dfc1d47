//! `GET /ingestions/{id}/refusals`: the refused lines of a run.

use app::ingest::read_ingest_detail::Refusals;
use app::views::RefusalView;
use poem_openapi::Object;

use crate::http::render::model_time;
use crate::ingest::push::LineFault;

/// A refused line of an ingest run.
#[derive(Debug, Object)]
#[oai(rename = "IngestRefusal")]
pub(crate) struct Refusal {
    /// Number of the upload with the line, from 1; `null` for a pulled line.
    upload: Option<u32>,
    /// Number of the pull that returned the line, from 0; `null` for a pushed line.
    pull: Option<u64>,
    /// Line number in the body of the push or in `records.jsonl`, from 1. For CSV: the line on which the row begins.
    line: u64,
    /// The source id that the line names; `null` if it cannot be read.
    source_id: Option<String>,
    /// What is wrong with it, at most 20 faults.
    errors: Vec<LineFault>,
    refused_at: String,
}

impl From<RefusalView> for Refusal {
    fn from(refusal: RefusalView) -> Self {
        Self {
            upload: refusal.upload,
            pull: refusal.pull,
            line: refusal.line,
            source_id: refusal.source_id,
            errors: refusal.faults.into_iter().map(Into::into).collect(),
            refused_at: model_time(refusal.refused_at),
        }
    }
}

/// A page of refused lines.
#[derive(Debug, Object)]
pub(crate) struct IngestRefusalList {
    items: Vec<Refusal>,
    next_cursor: Option<String>,
    /// Number of refused lines of the run.
    refused_count: u64,
    /// Number of them that are stored and listed: of pushes the first 10000 of the run, of each pull the first 1000.
    stored_count: u64,
    /// Whether some are counted only.
    truncated: bool,
}

impl From<Refusals> for IngestRefusalList {
    fn from(found: Refusals) -> Self {
        Self {
            items: found.page.items.into_iter().map(Into::into).collect(),
            next_cursor: found.page.next,
            refused_count: found.refused,
            stored_count: found.stored,
            truncated: found.refused > found.stored,
        }
    }
}
