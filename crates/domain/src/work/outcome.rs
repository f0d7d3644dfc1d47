//! Outcomes that a hook reports for records: parsing (WC-5.1) and merging its output files.
//!
//! The files are untrusted input: a hook may crash in the middle of a line, write bare `NaN`, name records that it
//! never received, or write nothing at all. Reading the files never fails as a whole.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::data::cell::Cell;
use crate::ingest::run::SourceId;
use crate::registry::hook::{Cardinality, FeatureContract};
use crate::registry::schema::shortened;

/// Maximum length of a stored reason, in characters.
pub const MAX_REASON: usize = 2_000;

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
        for value in json_lines(&self.progress) {
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
    /// the same record (features < rejections < errors); within one file the last line counts. Lines without an id and
    /// lines with unknown ids are ignored.
    pub fn outcomes(
        &self,
        contract: &FeatureContract,
        asked: &BTreeSet<SourceId>,
    ) -> BTreeMap<SourceId, RecordOutcome> {
        let mut found = BTreeMap::new();
        let mut put = |value: &Value, outcome: RecordOutcome| {
            let id = value
                .get("id")
                .and_then(Value::as_str)
                .and_then(|id| id.parse::<SourceId>().ok());
            if let Some(id) = id.filter(|id| asked.contains(id)) {
                found.insert(id, outcome);
            }
        };
        for value in json_lines(&self.features) {
            let outcome = match rows(value.get("features"), contract) {
                Ok(rows) => RecordOutcome::Passed(rows),
                Err(why) => RecordOutcome::Errored(why),
            };
            put(&value, outcome);
        }
        for value in json_lines(&self.rejections) {
            let reason = value
                .get("reason")
                .and_then(Value::as_str)
                .unwrap_or("the hook gave no reason");
            put(&value, RecordOutcome::Rejected(limited(reason)));
        }
        for value in json_lines(&self.errors) {
            let error = value
                .get("error")
                .and_then(Value::as_str)
                .unwrap_or("the hook gave no error text");
            put(&value, RecordOutcome::Errored(limited(error)));
        }
        found
    }
}

fn limited(text: &str) -> String {
    // PostgreSQL cannot store NUL.
    text.chars().filter(|c| *c != '\0').take(MAX_REASON).collect()
}

/// Parses the objects of a JSON Lines file and skips other lines, such as a truncated last one.
fn json_lines(bytes: &[u8]) -> impl Iterator<Item = Value> {
    bytes
        .split(|b| *b == b'\n')
        .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
        .filter_map(|line| {
            serde_json::from_slice::<Value>(line)
                .ok()
                .or_else(|| serde_json::from_slice(&without_bare_numbers(line)).ok())
                .filter(Value::is_object)
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
        let found = features("{\"id\":\"a\",\"features\":[null]}\n{\"id\":\"b\",\"features\":[3.5]}\n{\"id\":\"c\",\"features\":[NaN]}").outcomes(&one, &asked(&["a", "b", "c"]));
        let of = |id: &str| found[&id.parse::<SourceId>().unwrap()].clone();
        assert_eq!(of("a"), RecordOutcome::Passed(vec![]));
        assert_eq!(of("b"), RecordOutcome::Passed(vec![vec![Cell::Number(3.5)]]));
        assert_eq!(of("c"), RecordOutcome::Passed(vec![]));
        let two = contract(
            &[("x", JsonType::Number, false), ("y", JsonType::Number, false)],
            Cardinality::One,
        );
        let found = features("{\"id\":\"b\",\"features\":[3.5]}").outcomes(&two, &asked(&["b"]));
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
            let found =
                features(&format!("{{\"id\":\"a\",\"features\":{row}}}")).outcomes(&contract, &asked(&["a"]));
            assert!(
                matches!(&found[&"a".parse::<SourceId>().unwrap()], RecordOutcome::Errored(text) if text.contains(why)),
                "{row}: {found:?}"
            );
        }
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
            for id in output.outcomes(&contract, &ids).keys() {
                prop_assert!(ids.contains(id));
            }
            let _ = output.whole_run_rejection();
        }
    }
}
