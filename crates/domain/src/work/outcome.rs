//! Outcomes that a hook reports for records: parsing (WC-5.1) and merging its output files.
//!
//! The files are untrusted input: a hook may crash in the middle of a line, write bare `NaN`, name records that it
//! never received, write nothing at all, or write without end. So they are read piece by piece, rows are counted and
//! written down ([`RowStore`]) as they are read, and what is kept in memory is bounded for all files.

mod long_line;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use long_line::{LongLine, Unread};
use serde_json::Value;

use crate::data::cell::Cell;
use crate::ingest::source_id::SourceId;
use crate::json::parse_exact;
use crate::registry::hook::{Cardinality, FeatureContract};
use crate::registry::schema::shortened;
use crate::work::output_file::{Lines, MAX_HELD_LINE, OutputFile};
use crate::work::rows::{NotKept, RowStore, Rows};

/// Maximum length of a stored reason, in characters.
pub const MAX_REASON: usize = 2_000;
/// Maximum number of faulty lines that are named.
const MAX_LINE_FAULTS: usize = 3;

/// Outcome of one hook for one record.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordOutcome {
    /// The record passed. The hook computed these rows, in the order of the contract's columns.
    Passed(Rows),
    /// The hook rejected the record.
    Rejected(String),
    /// The hook could not judge the record.
    Errored(String),
}

/// A hook's output files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HookOutput {
    /// `features.jsonl`.
    pub features: OutputFile,
    /// `rejections.jsonl`.
    pub rejections: OutputFile,
    /// `errors.jsonl`.
    pub errors: OutputFile,
    /// `progress.jsonl`.
    pub progress: OutputFile,
}

impl HookOutput {
    /// Returns whether every file is empty.
    pub fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// Returns the size of all files together, in bytes.
    pub fn size(&self) -> u64 {
        let files = [&self.features, &self.rejections, &self.errors, &self.progress];
        files.iter().fold(0, |sum, file| file.size().saturating_add(sum))
    }

    /// Returns the message of the last `progress.jsonl` line with the status `rejected`; such a line rejects the whole
    /// run. An error comes from the file.
    pub fn whole_run_rejection(&self) -> io::Result<Option<String>> {
        let mut last = None;
        let mut lines = self.progress.lines();
        while let Some(found) = lines.next()? {
            let Some(held) = found.held else {
                lines.skip_line()?;
                continue;
            };
            let Ok(value) = json_line(lines.text(&held)) else {
                continue;
            };
            if value.get("status").and_then(Value::as_str) == Some("rejected") {
                let message = value
                    .get("message")
                    .and_then(Value::as_str)
                    .unwrap_or("the hook rejected the whole run");
                last = Some(limited(message));
            }
        }
        Ok(last)
    }

    /// Returns the outcome of each record of `asked` that the files mention. A later file overrides an earlier one for
    /// the same record (features < rejections < errors); within one file the last line counts. A line that cannot be
    /// read, or that belongs to no asked record, is a fault of the output, with its number. If only its values would
    /// be changed by reading them, it makes its record errored.
    ///
    /// The rows are kept in `keep`; if it takes no more of them, the output is refused whole. An error comes from a
    /// file, or from the spill of `keep`.
    pub fn outcomes(
        &self,
        contract: &FeatureContract,
        asked: &BTreeSet<SourceId>,
        keep: &mut RowStore<'_>,
    ) -> io::Result<ReadOutput> {
        let mut read = ReadOutput::default();
        match read.features(&self.features, contract, asked, keep) {
            Ok(()) => {}
            Err(Unread::Io(error)) => return Err(error),
            Err(Unread::Refused(why)) => {
                return Ok(ReadOutput {
                    refused: Some(limited(&why)),
                    ..ReadOutput::default()
                });
            }
        }
        read.texts("rejections.jsonl", &self.rejections, asked, |value| {
            RecordOutcome::Rejected(text_of(value, "reason", "the hook gave no reason"))
        })?;
        read.texts("errors.jsonl", &self.errors, asked, |value| {
            RecordOutcome::Errored(text_of(value, "error", "the hook gave no error text"))
        })?;
        Ok(read)
    }
}

/// What a hook's output files say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOutput {
    /// Outcomes by record.
    pub outcomes: BTreeMap<SourceId, RecordOutcome>,
    /// The first faulty lines, each with file, number and reason.
    pub faults: Vec<String>,
    /// Why nothing of it counts: the file, the line and the bound that it exceeds.
    pub refused: Option<String>,
}

impl ReadOutput {
    fn features(
        &mut self,
        file: &OutputFile,
        contract: &FeatureContract,
        asked: &BTreeSet<SourceId>,
        keep: &mut RowStore<'_>,
    ) -> Result<(), Unread> {
        const FILE: &str = "features.jsonl";
        let mut lines = file.lines();
        while let Some(found) = lines.next()? {
            let number = found.number;
            let refused = |why: NotKept| Unread::of(FILE, number, why);
            let Some(held) = found.held else {
                self.long_features(FILE, number, &mut lines, contract, asked, keep)
                    .map_err(refused)?;
                continue;
            };
            let line = json_line(lines.text(&held));
            let Some((id, value)) = self.of_record(FILE, number, line, asked) else {
                continue;
            };
            let outcome = match value {
                Ok(value) => features_of(value.get("features"), contract, keep).map_err(refused)?,
                Err(why) => RecordOutcome::Errored(why),
            };
            self.outcomes.insert(id, outcome);
        }
        Ok(())
    }

    /// Reads a line of features that is too long to be held.
    fn long_features(
        &mut self,
        file: &str,
        number: u64,
        lines: &mut Lines<'_>,
        contract: &FeatureContract,
        asked: &BTreeSet<SourceId>,
        keep: &mut RowStore<'_>,
    ) -> Result<(), NotKept> {
        match long_line::read(lines, contract, keep)? {
            LongLine::Bad(why) => {
                keep.abandon();
                self.fault(&format!("line {number} of {file} {why}"));
            }
            LongLine::Read { id, rows, altered } => {
                let Some(id) = self.known(file, number, id.as_ref(), asked) else {
                    keep.abandon();
                    return Ok(lines.skip_line()?);
                };
                let outcome = match altered {
                    None => rows.end(keep)?,
                    Some(why) => {
                        keep.abandon();
                        RecordOutcome::Errored(limited(&format!("line {number} of {file}: {why}")))
                    }
                };
                self.outcomes.insert(id, outcome);
            }
        }
        Ok(lines.skip_line()?)
    }

    /// Reads a file whose lines have texts only.
    fn texts(
        &mut self,
        name: &str,
        file: &OutputFile,
        asked: &BTreeSet<SourceId>,
        outcome: impl Fn(&Value) -> RecordOutcome,
    ) -> io::Result<()> {
        let mut lines = file.lines();
        while let Some(found) = lines.next()? {
            let number = found.number;
            let Some(held) = found.held else {
                self.fault(&format!(
                    "line {number} of {name} has more than {MAX_HELD_LINE} bytes"
                ));
                lines.skip_line()?;
                continue;
            };
            let line = json_line(lines.text(&held));
            if let Some((id, value)) = self.of_record(name, number, line, asked) {
                let outcome = match value {
                    Ok(value) => outcome(&value),
                    Err(why) => RecordOutcome::Errored(why),
                };
                self.outcomes.insert(id, outcome);
            }
        }
        Ok(())
    }

    /// Returns the asked record that a line is about, with the line's object, or with the reason why its values would
    /// be changed by reading them. Otherwise notes the fault.
    fn of_record(
        &mut self,
        file: &str,
        number: u64,
        line: Result<Value, BadLine>,
        asked: &BTreeSet<SourceId>,
    ) -> Option<(SourceId, Result<Value, String>)> {
        let (value, altered) = match line {
            Ok(value) => (value, None),
            Err(BadLine {
                value: Some(value),
                why,
            }) => (value, Some(why)),
            Err(BadLine { value: None, why }) => {
                self.fault(&format!("line {number} of {file} {why}"));
                return None;
            }
        };
        let id = self.known(file, number, value.get("id"), asked)?;
        let value = match altered {
            None => Ok(value),
            Some(why) => Err(limited(&format!("line {number} of {file}: {why}"))),
        };
        Some((id, value))
    }

    /// Returns the asked record that an `id` names. Otherwise notes the fault.
    fn known(
        &mut self,
        file: &str,
        number: u64,
        id: Option<&Value>,
        asked: &BTreeSet<SourceId>,
    ) -> Option<SourceId> {
        let id = match id {
            Some(Value::String(id)) => id,
            Some(_) => {
                self.fault(&format!("line {number} of {file}: id must be a string"));
                return None;
            }
            None => {
                self.fault(&format!("line {number} of {file} has no id"));
                return None;
            }
        };
        let known = id.parse::<SourceId>().ok().filter(|id| asked.contains(id));
        if known.is_none() {
            let id = shortened(id);
            self.fault(&format!(
                "line {number} of {file}: the hook was not given a record {id:?}"
            ));
        }
        known
    }

    fn fault(&mut self, fault: &str) {
        if self.faults.len() < MAX_LINE_FAULTS {
            self.faults.push(limited(fault));
        }
    }
}

/// Returns a reason as it is stored. One that is no text is kept as JSON.
fn text_of(value: &Value, key: &str, default: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => limited(default),
        Some(Value::String(text)) => limited(text),
        Some(other) => limited(&other.to_string()),
    }
}

fn limited(text: &str) -> String {
    crate::kind::limited(text, MAX_REASON)
}

/// A text that is not JSON, or not what it should be, or whose values would be changed by reading them.
struct BadLine {
    /// Its value, if it has one.
    value: Option<Value>,
    why: String,
}

fn json_line(line: &[u8]) -> Result<Value, BadLine> {
    match json_value(line) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(BadLine {
            value: None,
            why: "is not a JSON object".to_owned(),
        }),
        Err(bad) => Err(BadLine {
            value: bad.value.filter(Value::is_object),
            ..bad
        }),
    }
}

fn json_value(text: &[u8]) -> Result<Value, BadLine> {
    let read = parse_exact(text).or_else(|first| parse_exact(&without_bare_numbers(text)).map_err(|_| first));
    read.map_err(|invalid| {
        let any = |text: &[u8]| serde_json::from_slice(text).ok();
        BadLine {
            value: any(text).or_else(|| any(&without_bare_numbers(text))),
            why: invalid.to_string(),
        }
    })
}

/// Replaces bare `NaN`, `Infinity` and `-Infinity`, which Python writes although JSON does not allow them, by `null`
/// (WC-D22).
fn without_bare_numbers(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let (mut inside, mut at) = (false, 0);
    'next: while at < line.len() {
        let byte = line[at];
        if inside {
            if byte == b'\\' {
                out.extend_from_slice(&line[at..line.len().min(at + 2)]);
                at += 2;
                continue;
            }
            inside = byte != b'"';
        } else {
            for word in [&b"-Infinity"[..], b"Infinity", b"NaN"] {
                if line[at..].starts_with(word) {
                    out.extend_from_slice(b"null");
                    at += word.len();
                    continue 'next;
                }
            }
            inside = byte == b'"';
        }
        out.push(byte);
        at += 1;
    }
    out
}

/// Keeps the rows of a `features` value. `null` items are skipped (WC-D3). A scalar goes into the only column of a
/// one-column table (WC-D3).
fn features_of(
    features: Option<&Value>,
    contract: &FeatureContract,
    keep: &mut RowStore<'_>,
) -> Result<RecordOutcome, NotKept> {
    let one;
    let items: &[Value] = match features {
        None => return Ok(RecordOutcome::Errored(NO_FEATURES.to_owned())),
        Some(Value::Null) => &[],
        Some(Value::Array(items)) => items,
        Some(other) => {
            one = [other.clone()];
            &one
        }
    };
    let mut rows = LineRows::new(contract);
    for item in items {
        rows.item(item, keep)?;
    }
    Ok(rows.end(keep)?)
}

const NO_FEATURES: &str = "the line has no \"features\"";

/// The rows of one line, which is about one record.
struct LineRows<'a> {
    contract: &'a FeatureContract,
    count: u64,
    /// Why the record is errored. From then on its rows are not kept.
    fault: Option<String>,
}

impl<'a> LineRows<'a> {
    const fn new(contract: &'a FeatureContract) -> Self {
        Self {
            contract,
            count: 0,
            fault: None,
        }
    }

    fn item(&mut self, item: &Value, keep: &mut RowStore<'_>) -> Result<(), NotKept> {
        if self.fault.is_some() || item.is_null() {
            return Ok(());
        }
        match row(item, self.contract) {
            Ok(cells) => {
                self.count += 1;
                keep.push(&cells)
            }
            Err(why) => {
                self.fault = Some(why);
                Ok(())
            }
        }
    }

    fn end(self, keep: &mut RowStore<'_>) -> io::Result<RecordOutcome> {
        let too_many = self.contract.cardinality == Cardinality::One && self.count > 1;
        let fault = self.fault.or_else(|| {
            too_many.then(|| {
                format!(
                    "{} rows for one record, but the hook's cardinality is one",
                    self.count
                )
            })
        });
        match fault {
            Some(why) => {
                keep.abandon();
                Ok(RecordOutcome::Errored(why))
            }
            None => Ok(RecordOutcome::Passed(keep.end()?)),
        }
    }
}

fn row(item: &Value, contract: &FeatureContract) -> Result<Vec<Cell>, String> {
    let scalar;
    let map = match (item, contract.columns.as_slice()) {
        (Value::Object(map), _) => map,
        (other, [only]) => {
            scalar = serde_json::Map::from_iter([(only.name.to_string(), other.clone())]);
            &scalar
        }
        (_, columns) => {
            return Err(format!(
                "a row must be an object; only a table with one column accepts a bare value, this one has {}",
                columns.len()
            ));
        }
    };
    if let Some(unknown) = map
        .keys()
        .find(|key| !contract.columns.iter().any(|c| c.name.as_str() == *key))
    {
        return Err(format!(
            "{:?} is not a column of the hook's contract",
            shortened(unknown)
        ));
    }
    let mut cells = Vec::with_capacity(contract.columns.len());
    for column in &contract.columns {
        let name = column.name.as_str();
        let cell = map
            .get(name)
            .map_or(Ok(Cell::Null), |value| {
                Cell::from_json(value, column.column_type())
            })
            .map_err(|rule| format!("column {name:?} {rule}"))?;
        if column.required && cell == Cell::Null {
            return Err(format!("column {name:?} is required but has no value"));
        }
        cells.push(cell);
    }
    Ok(cells)
}

#[cfg(test)]
mod tests;
