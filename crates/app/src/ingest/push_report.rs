//! The result of a push: counts of its lines, and the refused ones.

use std::collections::HashMap;

use domain::Invalid;
use domain::ingest::refused::{RefusedLine, line_digest};
use domain::ingest::run::PushedRecord;
use ports::ingest::LineResult;

/// The maximum number of refused lines that are listed. All of them are counted.
pub const MAX_LISTED: usize = 1000;
/// The maximum number of new records of a dry run. They are remembered in about as much memory as the lines that a push
/// gathers before it writes them.
pub const MAX_TRIED_RECORDS: usize = 100_000;

/// The result of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushReport {
    /// Whether nothing was stored, because the push was a dry run.
    pub dry_run: bool,
    /// The number of this upload in its run; 0 in a dry run.
    pub upload: u32,
    /// Lines that are new in this run.
    pub accepted: u64,
    /// Lines that are new in this run and equal to what is published.
    pub unchanged: u64,
    /// Lines that came before in this run, with the same content.
    pub repeated: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// The first [`MAX_LISTED`] of them.
    pub refused_lines: Vec<RefusedLine>,
}

impl PushReport {
    /// Counts a line that was judged. A line that contradicts an earlier one is counted by [`Self::refuse`].
    pub(crate) fn count(&mut self, result: LineResult) {
        match result {
            LineResult::Accepted => self.accepted += 1,
            LineResult::Unchanged => self.unchanged += 1,
            LineResult::Repeated => self.repeated += 1,
            LineResult::Contradicts => {}
        }
    }

    /// Counts refused lines, and lists them while there is room.
    pub(crate) fn refuse(&mut self, lines: Vec<RefusedLine>) {
        self.refused += lines.len() as u64;
        let room = MAX_LISTED.saturating_sub(self.refused_lines.len());
        self.refused_lines.extend(lines.into_iter().take(room));
    }
}

/// Returns the refusal of a line that repeats an id of its run with other content.
pub(crate) fn contradiction(line: u64, record: &PushedRecord) -> RefusedLine {
    let id = record.source_id.as_str();
    let message =
        format!("{id:?} came before in this run with other content; a run holds one content per id");
    let digest = line_digest([id.as_bytes(), record.content_hash.as_slice()]);
    RefusedLine::new(
        line,
        Some(id),
        digest,
        Invalid::value(message).of_field("source_id"),
    )
}

/// What a dry run would have stored: the store forgets it with each part of the push, so later lines are compared with
/// it here.
#[derive(Debug, Default)]
pub(crate) struct Tried(HashMap<[u8; 16], [u8; 16]>);

impl Tried {
    /// Remembers a record that is new in its run.
    pub(crate) fn remember(&mut self, record: &PushedRecord) -> Result<(), Invalid> {
        if self.0.len() >= MAX_TRIED_RECORDS {
            return Err(Invalid::value(format!(
                "a dry run takes at most {MAX_TRIED_RECORDS} new records, and this push has more; try it in parts"
            )));
        }
        self.0.insert(key(record), short(record.content_hash));
        Ok(())
    }

    /// Returns the result for a record whose id was remembered.
    pub(crate) fn judge(&self, record: &PushedRecord) -> Option<LineResult> {
        let content = self.0.get(&key(record))?;
        Some(if *content == short(record.content_hash) {
            LineResult::Repeated
        } else {
            LineResult::Contradicts
        })
    }
}

fn key(record: &PushedRecord) -> [u8; 16] {
    short(line_digest([record.source_id.as_str().as_bytes()]))
}

/// Returns half of a hash, which is enough to tell the records of one push apart.
fn short(hash: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::registry::schema::MetadataChecker;

    fn record(id: &str, hash: u8) -> PushedRecord {
        let line = format!("{{\"id\":\"{id}\",\"metadata\":{{}}}}");
        let checker = MetadataChecker::new(&[]);
        let mut record = PushedRecord::from_json_line(line.as_bytes(), &checker).unwrap();
        record.content_hash = [hash; 32];
        record
    }

    // proves EDG-4
    #[test]
    fn a_dry_run_knows_its_own_records_again() {
        let mut tried = Tried::default();
        assert_eq!(tried.judge(&record("a", 1)), None);
        tried.remember(&record("a", 1)).unwrap();
        assert_eq!(tried.judge(&record("a", 1)), Some(LineResult::Repeated));
        assert_eq!(tried.judge(&record("a", 2)), Some(LineResult::Contradicts));
        assert_eq!(tried.judge(&record("b", 1)), None);
    }

    // proves EDG-4
    #[test]
    fn a_dry_run_remembers_no_more_than_its_limit() {
        let full = (1..MAX_TRIED_RECORDS).map(|n| ((n as u128).to_be_bytes(), [0; 16]));
        let mut tried = Tried(full.collect());
        tried.remember(&record("a", 1)).unwrap();
        let refused = tried.remember(&record("one more", 1)).unwrap_err();
        assert!(refused.to_string().contains("at most 100000"), "{refused}");
    }

    // proves EDG-3
    #[test]
    fn a_report_counts_every_refused_line_and_lists_the_first() {
        let mut report = PushReport::default();
        let lines = |n: u64| -> Vec<RefusedLine> {
            (1..=n).map(|line| contradiction(line, &record("a", 1))).collect()
        };
        report.refuse(lines(999));
        report.refuse(lines(3));
        assert_eq!((report.refused, report.refused_lines.len()), (1002, MAX_LISTED));
        assert_eq!(report.refused_lines[MAX_LISTED - 1].line, 1);
    }
}
