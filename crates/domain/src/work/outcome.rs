//! Outcomes that a hook reports for records: parsing (WC-5.1) and merging its output files.
//!
//! The files are untrusted input: a hook may crash in the middle of a line, write bare `NaN`, name records that it
//! never received, or write nothing at all. Reading the files never fails as a whole.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::data::cell::Cell;
use crate::ingest::source_id::SourceId;
use crate::json::parse_exact;
use crate::registry::hook::{Cardinality, FeatureContract};
use crate::registry::schema::shortened;

/// Maximum length of a stored reason, in characters.
pub const MAX_REASON: usize = 2_000;
/// Maximum number of faulty lines that are named.
const MAX_LINE_FAULTS: usize = 3;

/// Outcome of one hook for one record.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordOutcome {
    /// The record passed. The hook computed these rows, in the order of the contract's columns.
    Passed(Vec<Vec<Cell>>),
    /// The hook rejected the record.
    Rejected(String),
    /// The hook could not judge the record.
    Errored(String),
}

/// The bytes of a hook's output files; a missing file is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookOutput {
    /// Content of `features.jsonl`.
    pub features: Vec<u8>,
    /// Content of `rejections.jsonl`.
    pub rejections: Vec<u8>,
    /// Content of `errors.jsonl`.
    pub errors: Vec<u8>,
    /// Content of `progress.jsonl`.
    pub progress: Vec<u8>,
}

impl HookOutput {
    /// Returns the message of the last `progress.jsonl` line with the status `rejected`; such a line rejects the whole
    /// run.
    pub fn whole_run_rejection(&self) -> Option<String> {
        let mut last = None;
        for value in json_lines(&self.progress).filter_map(|(_, line)| line.ok()) {
            if value.get("status").and_then(Value::as_str) == Some("rejected") {
                let message = value
                    .get("message")
                    .and_then(Value::as_str)
                    .unwrap_or("the hook rejected the whole run");
                last = Some(limited(message));
            }
        }
        last
    }

    /// Returns the outcome of each record of `asked` that the files mention. A later file overrides an earlier one for
    /// the same record (features < rejections < errors); within one file the last line counts. A line that cannot be
    /// read, or that belongs to no asked record, is a fault of the output, with its number. If only its values would
    /// be changed by reading them, it makes its record errored.
    pub fn outcomes(&self, contract: &FeatureContract, asked: &BTreeSet<SourceId>) -> ReadOutput {
        let mut read = ReadOutput::default();
        for (number, line) in json_lines(&self.features) {
            read.take("features.jsonl", number, line, asked, |value| {
                rows(value.get("features"), contract)
                    .map_or_else(RecordOutcome::Errored, RecordOutcome::Passed)
            });
        }
        for (number, line) in json_lines(&self.rejections) {
            read.take("rejections.jsonl", number, line, asked, |value| {
                RecordOutcome::Rejected(text_of(value, "reason", "the hook gave no reason"))
            });
        }
        for (number, line) in json_lines(&self.errors) {
            read.take("errors.jsonl", number, line, asked, |value| {
                RecordOutcome::Errored(text_of(value, "error", "the hook gave no error text"))
            });
        }
        read
    }
}

/// What a hook's output files say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOutput {
    /// Outcomes by record.
    pub outcomes: BTreeMap<SourceId, RecordOutcome>,
    /// The first faulty lines, each with file, number and reason.
    pub faults: Vec<String>,
}

impl ReadOutput {
    fn take(
        &mut self,
        file: &str,
        number: usize,
        line: Result<Value, BadLine>,
        asked: &BTreeSet<SourceId>,
        outcome: impl FnOnce(&Value) -> RecordOutcome,
    ) {
        let (value, altered) = match line {
            Ok(value) => (value, None),
            Err(BadLine {
                value: Some(value),
                why,
            }) => (value, Some(why)),
            Err(BadLine { value: None, why }) => {
                return self.fault(&format!("line {number} of {file} {why}"));
            }
        };
        let id = match value.get("id") {
            Some(Value::String(id)) => id,
            Some(_) => return self.fault(&format!("line {number} of {file}: id must be a string")),
            None => return self.fault(&format!("line {number} of {file} has no id")),
        };
        let Some(id) = id.parse::<SourceId>().ok().filter(|id| asked.contains(id)) else {
            let id = shortened(id);
            return self.fault(&format!(
                "line {number} of {file}: the hook was not given a record {id:?}"
            ));
        };
        let outcome = match altered {
            None => outcome(&value),
            Some(why) => RecordOutcome::Errored(limited(&format!("line {number} of {file}: {why}"))),
        };
        self.outcomes.insert(id, outcome);
    }

    fn fault(&mut self, fault: &str) {
        if self.faults.len() < MAX_LINE_FAULTS {
            self.faults.push(limited(fault));
        }
    }
}

fn text_of(value: &Value, key: &str, default: &str) -> String {
    limited(value.get(key).and_then(Value::as_str).unwrap_or(default))
}

fn limited(text: &str) -> String {
    // PostgreSQL cannot store NUL.
    text.chars().filter(|c| *c != '\0').take(MAX_REASON).collect()
}

/// A line that is no JSON object, or one whose values would be changed by reading them.
struct BadLine {
    /// The object, if there is one.
    value: Option<Value>,
    why: String,
}

/// Parses the lines of a JSON Lines file, each with its number from 1. Empty lines are skipped.
fn json_lines(bytes: &[u8]) -> impl Iterator<Item = (usize, Result<Value, BadLine>)> {
    bytes
        .split(|b| *b == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
        .map(|(index, line)| (index + 1, json_line(line)))
}

fn json_line(line: &[u8]) -> Result<Value, BadLine> {
    let bad = |value, why| Err(BadLine { value, why });
    let read = parse_exact(line).or_else(|first| parse_exact(&without_bare_numbers(line)).map_err(|_| first));
    match read {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => bad(None, "is not a JSON object".to_owned()),
        Err(invalid) => {
            let object = |text: &[u8]| serde_json::from_slice(text).ok().filter(Value::is_object);
            let value = object(line).or_else(|| object(&without_bare_numbers(line)));
            bad(value, invalid.to_string())
        }
    }
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

/// Returns the rows of a `features` value. `null` items are skipped (WC-D3). A scalar goes into the only column of a
/// one-column table (WC-D3).
fn rows(features: Option<&Value>, contract: &FeatureContract) -> Result<Vec<Vec<Cell>>, String> {
    let one;
    let items: &[Value] = match features {
        None => return Err("the line has no \"features\"".to_owned()),
        Some(Value::Null) => &[],
        Some(Value::Array(items)) => items,
        Some(other) => {
            one = [other.clone()];
            &one
        }
    };
    let rows = items
        .iter()
        .filter(|item| !item.is_null())
        .map(|item| row(item, contract))
        .collect::<Result<Vec<_>, _>>()?;
    if contract.cardinality == Cardinality::One && rows.len() > 1 {
        return Err(format!(
            "{} rows for one record, but the hook's cardinality is one",
            rows.len()
        ));
    }
    Ok(rows)
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
mod tests {
    use super::*;
    use crate::registry::hook::{ColumnDef, JsonType};
    use proptest::prelude::*;

    fn contract(columns: &[(&str, JsonType, bool)], cardinality: Cardinality) -> FeatureContract {
        let columns = columns.iter().map(|(name, json_type, required)| ColumnDef {
            name: name.parse().unwrap(),
            json_type: *json_type,
            format: None,
            required: *required,
            description: None,
            unit: None,
        });
        FeatureContract {
            cardinality,
            columns: columns.collect(),
        }
    }

    fn asked(ids: &[&str]) -> BTreeSet<SourceId> {
        ids.iter().map(|id| id.parse().unwrap()).collect()
    }

    fn features(text: &str) -> HookOutput {
        HookOutput {
            features: text.as_bytes().to_vec(),
            ..HookOutput::default()
        }
    }

    #[test]
    fn later_files_override_earlier_ones_and_unknown_ids_are_passed_over() {
        let contract = contract(&[("x", JsonType::Number, true)], Cardinality::One);
        let output = HookOutput {
            features: b"{\"id\":\"a\",\"features\":[{\"x\":1}]}\n{\"id\":\"b\",\"features\":[]}\n{\"id\":\"stranger\",\"features\":[]}\n{\"features\":[]}\n{\"id\":\"c\",\"feat".to_vec(),
            rejections: b"{\"id\":\"b\",\"reason\":\"no\"}\n".to_vec(),
            errors: b"{\"id\":\"a\",\"error\":\"boom\",\"retryable\":true}\n".to_vec(),
            progress: vec![],
        };
        let found = output.outcomes(&contract, &asked(&["a", "b", "c"]));
        assert_eq!(
            found.faults,
            [
                "line 3 of features.jsonl: the hook was not given a record \"stranger\"",
                "line 4 of features.jsonl has no id",
                "line 5 of features.jsonl is not valid JSON: EOF while parsing a string at line 1 column 15"
            ]
        );
        let found = found.outcomes;
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[&"a".parse::<SourceId>().unwrap()],
            RecordOutcome::Errored("boom".into())
        );
        assert_eq!(
            found[&"b".parse::<SourceId>().unwrap()],
            RecordOutcome::Rejected("no".into())
        );
    }

    #[test]
    fn null_is_no_row_and_a_scalar_fits_one_column_only() {
        let one = contract(&[("x", JsonType::Number, false)], Cardinality::One);
        let found = features("{\"id\":\"a\",\"features\":[null]}\n{\"id\":\"b\",\"features\":[3.5]}\n{\"id\":\"c\",\"features\":[NaN]}").outcomes(&one, &asked(&["a", "b", "c"])).outcomes;
        let of = |id: &str| found[&id.parse::<SourceId>().unwrap()].clone();
        assert_eq!(of("a"), RecordOutcome::Passed(vec![]));
        assert_eq!(of("b"), RecordOutcome::Passed(vec![vec![Cell::Number(3.5)]]));
        assert_eq!(of("c"), RecordOutcome::Passed(vec![]));
        let two = contract(
            &[("x", JsonType::Number, false), ("y", JsonType::Number, false)],
            Cardinality::One,
        );
        let found = features("{\"id\":\"b\",\"features\":[3.5]}")
            .outcomes(&two, &asked(&["b"]))
            .outcomes;
        assert!(
            matches!(&found[&"b".parse::<SourceId>().unwrap()], RecordOutcome::Errored(why) if why.contains("has 2"))
        );
    }

    #[test]
    fn rows_that_break_the_contract_make_the_record_errored_with_the_column() {
        let contract = contract(&[("x", JsonType::Integer, true)], Cardinality::One);
        for (row, why) in [
            ("[{}]", "required"),
            ("[{\"x\":\"1\"}]", "integer"),
            ("[{\"x\":1,\"z\":2}]", "not a column"),
            ("[{\"x\":1},{\"x\":2}]", "cardinality"),
        ] {
            let found = features(&format!("{{\"id\":\"a\",\"features\":{row}}}"))
                .outcomes(&contract, &asked(&["a"]))
                .outcomes;
            assert!(
                matches!(&found[&"a".parse::<SourceId>().unwrap()], RecordOutcome::Errored(text) if text.contains(why)),
                "{row}: {found:?}"
            );
        }
    }

    // proves EDG-1
    #[test]
    fn what_reading_would_change_makes_the_record_errored_with_the_line() {
        let contract = contract(&[("x", JsonType::Number, false)], Cardinality::Many);
        let text = "{\"id\":\"a\",\"features\":[{\"x\":123456789012345678901234567890}]}\n\
                    {\"id\":\"b\",\"features\":[{\"x\":1,\"x\":2}]}\n\
                    {\"id\":\"c\",\"features\":[{\"x\":1e400}]}\n\
                    {\"id\":\"d\",\"features\":[{\"x\":9007199254740993}]}\n";
        let read = features(text).outcomes(&contract, &asked(&["a", "b", "c", "d"]));
        let why = |id: &str| match &read.outcomes[&id.parse::<SourceId>().unwrap()] {
            RecordOutcome::Errored(why) => why.clone(),
            other => panic!("{other:?}"),
        };
        assert!(
            why("a").starts_with("line 1 of features.jsonl: features[0].x: must be a number"),
            "{}",
            why("a")
        );
        assert_eq!(
            why("b"),
            "line 2 of features.jsonl: features[0].x: is given twice in one object"
        );
        assert!(why("d").contains("holds exactly"), "{}", why("d"));
        // Nothing is known of a line that is not JSON, not even its record.
        assert_eq!(read.outcomes.len(), 3);
        assert!(
            read.faults[0].starts_with("line 3 of features.jsonl is not valid JSON: number out of range")
        );
    }

    #[test]
    fn bare_nan_inside_a_string_is_left_alone() {
        assert_eq!(
            without_bare_numbers(br#"{"a":"NaN \" NaN","b":-Infinity}"#),
            br#"{"a":"NaN \" NaN","b":null}"#
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic_and_only_asked_ids_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let contract = contract(&[("x", JsonType::Number, true)], Cardinality::Many);
            let output = HookOutput { features: bytes.clone(), rejections: bytes.clone(), errors: bytes.clone(), progress: bytes };
            let ids = asked(&["a"]);
            for id in output.outcomes(&contract, &ids).outcomes.keys() {
                prop_assert!(ids.contains(id));
            }
            let _ = output.whole_run_rejection();
        }
    }
}
