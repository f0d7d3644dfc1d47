//! Decodes a stream of bytes into records, one line at a time and in bounded memory.

mod delimited;
mod refusal;
mod table;

use domain::ingest::csv::CsvOptions;
use domain::ingest::refused::line_digest;
use domain::ingest::run::{MAX_LINE_BYTES, PushedRecord};
use domain::json::MAX_WEIGHT;
use domain::json::weight::Weigher;
use domain::registry::schema::MetadataChecker;
use domain::{FieldDefinition, Invalid};

pub use self::refusal::{DecodedLine, Refusal};
use self::table::Table;

/// The form of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushFormat {
    /// `application/x-ndjson`: one JSON object per line.
    JsonLines,
    /// `text/csv` (RFC 4180) or `text/tab-separated-values`.
    Csv(CsvOptions),
}

fn too_long() -> Invalid {
    Invalid::value(format!("is longer than {MAX_LINE_BYTES} bytes"))
}

/// Decodes a push.
#[derive(Debug)]
pub struct PushDecoder {
    checker: MetadataChecker,
    form: Form,
}

#[derive(Debug)]
enum Form {
    JsonLines(JsonLines),
    Table(Box<Table>),
}

impl PushDecoder {
    /// Creates a decoder of a push for a schema with these fields.
    pub fn new(format: PushFormat, fields: &[FieldDefinition]) -> Self {
        let form = match format {
            PushFormat::JsonLines => Form::JsonLines(JsonLines::default()),
            PushFormat::Csv(options) => Form::Table(Box::new(Table::new(options))),
        };
        Self {
            checker: MetadataChecker::new(fields),
            form,
        }
    }

    /// Returns about how much memory, in bytes, decoding the next chunk takes, or the end of the stream if there is none.
    /// Call it once for each.
    pub fn weigh(&mut self, chunk: Option<&[u8]>) -> usize {
        match &mut self.form {
            Form::JsonLines(lines) => lines.weigh(chunk.unwrap_or(&b"\n"[..])),
            // A row has as many values as the schema has fields, and little besides.
            Form::Table(_) => 0,
        }
    }

    /// Decodes a chunk. Returns the lines that it completes. An error is about the CSV header, and ends the push.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Vec<DecodedLine>, Invalid> {
        match &mut self.form {
            Form::JsonLines(lines) => Ok(lines.feed(chunk, &self.checker)),
            Form::Table(table) => table.feed(chunk, &self.checker),
        }
    }

    /// Ends the stream. Returns a last line that has no line break.
    pub fn finish(&mut self) -> Result<Vec<DecodedLine>, Invalid> {
        match &mut self.form {
            Form::JsonLines(lines) => Ok(lines.feed(b"\n", &self.checker)),
            Form::Table(table) => table.finish(&self.checker),
        }
    }
}

/// JSON Lines.
#[derive(Debug, Default)]
struct JsonLines {
    line: Vec<u8>,
    number: u64,
    /// The hash of the beginning of a line that is too long.
    oversized: Option<[u8; 32]>,
    weigher: Weigher,
}

impl JsonLines {
    fn weigh(&mut self, chunk: &[u8]) -> usize {
        let weight = self.weigher.add(chunk);
        if self.oversized.is_some() && !chunk.contains(&b'\n') {
            // Nothing of it is read.
            return 0;
        }
        // A line that weighs more is refused before it is read.
        weight.min(2 * MAX_WEIGHT)
    }

    fn feed(&mut self, chunk: &[u8], checker: &MetadataChecker) -> Vec<DecodedLine> {
        let mut found = Vec::new();
        for part in chunk.split_inclusive(|b| *b == b'\n') {
            let (text, ends) = part
                .strip_suffix(b"\n")
                .map_or((part, false), |text| (text, true));
            if self.oversized.is_none() {
                let room = MAX_LINE_BYTES - self.line.len();
                self.line.extend_from_slice(&text[..room.min(text.len())]);
                if text.len() > room {
                    self.oversized = Some(line_digest([self.line.as_slice()]));
                    self.line.clear();
                }
            }
            if ends {
                self.number += 1;
                let text = if self.number == 1 {
                    self.line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.line)
                } else {
                    &self.line
                };
                if let Some(digest) = self.oversized.take() {
                    let refusal = Refusal {
                        source_id: None,
                        digest,
                        reason: too_long(),
                    };
                    found.push((self.number, Err(refusal)));
                } else if !text.iter().all(u8::is_ascii_whitespace) {
                    let record = PushedRecord::from_json_line(text, checker).map_err(|reason| Refusal {
                        source_id: PushedRecord::id_in_json_line(text),
                        digest: line_digest([text]),
                        reason,
                    });
                    found.push((self.number, record));
                }
                self.line.clear();
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
