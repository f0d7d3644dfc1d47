//! Reading what hooks wrote.

use std::fmt;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::registry::hook::{ColumnDef, JsonType};
use crate::work::rows::tests::OneSpill;
use crate::work::rows::{Content, HELD_BYTES};

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

fn id(text: &str) -> SourceId {
    text.parse().unwrap()
}

fn asked(ids: &[&str]) -> BTreeSet<SourceId> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

fn features(text: &str) -> HookOutput {
    HookOutput {
        features: text.as_bytes().to_vec().into(),
        ..HookOutput::default()
    }
}

/// Reads an output of at most `most_rows` rows.
fn read_some(
    output: &HookOutput,
    contract: &FeatureContract,
    asked: &BTreeSet<SourceId>,
    most_rows: u64,
) -> ReadOutput {
    let room = OneSpill::default();
    let mut keep = RowStore::new(&room, most_rows, HELD_BYTES);
    output.outcomes(contract, asked, &mut keep).unwrap()
}

fn read(output: &HookOutput, contract: &FeatureContract, asked: &BTreeSet<SourceId>) -> ReadOutput {
    read_some(output, contract, asked, u64::MAX)
}

fn passed(rows: &[Vec<Cell>]) -> RecordOutcome {
    RecordOutcome::Passed(Rows::of(rows))
}

#[test]
fn later_files_override_earlier_ones_and_unknown_ids_are_passed_over() {
    let contract = contract(&[("x", JsonType::Number, true)], Cardinality::One);
    let output = HookOutput {
        features: b"{\"id\":\"a\",\"features\":[{\"x\":1}]}\n{\"id\":\"b\",\"features\":[]}\n{\"id\":\"stranger\",\"features\":[]}\n{\"features\":[]}\n{\"id\":\"c\",\"feat".to_vec().into(),
        rejections: b"{\"id\":\"b\",\"reason\":\"no\"}\n".to_vec().into(),
        errors: b"{\"id\":\"a\",\"error\":\"boom\",\"retryable\":true}\n".to_vec().into(),
        progress: OutputFile::default(),
    };
    let found = read(&output, &contract, &asked(&["a", "b", "c"]));
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

// proves EDG-1
#[test]
fn a_reason_is_kept_or_shows_that_it_was_cut() {
    let lines = [
        json!({"id": "a", "reason": "x".repeat(MAX_REASON)}),
        json!({"id": "b", "reason": "x".repeat(MAX_REASON + 1)}),
        json!({"id": "c", "reason": {"code": 7}}),
        json!({"id": "d", "reason": null}),
    ]
    .map(|line| line.to_string());
    let output = HookOutput {
        rejections: lines.join("\n").into_bytes().into(),
        ..HookOutput::default()
    };
    let contract = contract(&[], Cardinality::Many);
    let found = read(&output, &contract, &asked(&["a", "b", "c", "d"])).outcomes;
    let of = |name: &str| found[&name.parse::<SourceId>().unwrap()].clone();
    assert_eq!(of("a"), RecordOutcome::Rejected("x".repeat(MAX_REASON)));
    assert_eq!(
        of("b"),
        RecordOutcome::Rejected(format!("{}…", "x".repeat(MAX_REASON - 1)))
    );
    assert_eq!(of("c"), RecordOutcome::Rejected("{\"code\":7}".into()));
    assert_eq!(of("d"), RecordOutcome::Rejected("the hook gave no reason".into()));
}

#[test]
fn null_is_no_row_and_a_scalar_fits_one_column_only() {
    let one = contract(&[("x", JsonType::Number, false)], Cardinality::One);
    let text = "{\"id\":\"a\",\"features\":[null]}\n{\"id\":\"b\",\"features\":[3.5]}\n{\"id\":\"c\",\"features\":[NaN]}";
    let found = read(&features(text), &one, &asked(&["a", "b", "c"])).outcomes;
    let of = |id: &str| found[&id.parse::<SourceId>().unwrap()].clone();
    assert_eq!(of("a"), passed(&[]));
    assert_eq!(of("b"), passed(&[vec![Cell::Number(3.5)]]));
    assert_eq!(of("c"), passed(&[]));
    let two = contract(
        &[("x", JsonType::Number, false), ("y", JsonType::Number, false)],
        Cardinality::One,
    );
    let found = read(
        &features("{\"id\":\"b\",\"features\":[3.5]}"),
        &two,
        &asked(&["b"]),
    )
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
        let line = format!("{{\"id\":\"a\",\"features\":{row}}}");
        let found = read(&features(&line), &contract, &asked(&["a"])).outcomes;
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
    let read = read(&features(text), &contract, &asked(&["a", "b", "c", "d"]));
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
    assert!(read.faults[0].starts_with("line 3 of features.jsonl is not valid JSON: number out of range"));
}

#[test]
fn bare_nan_inside_a_string_is_left_alone() {
    assert_eq!(
        without_bare_numbers(br#"{"a":"NaN \" NaN","b":-Infinity}"#),
        br#"{"a":"NaN \" NaN","b":null}"#
    );
}

/// A line that is too long to be held, with this between its braces.
fn long(members: &str) -> String {
    let pad = "x".repeat(MAX_HELD_LINE);
    format!("{{\"pad\":\"{pad}\",{members}}}")
}

// proves ISO-3
#[test]
fn a_long_line_says_what_a_short_one_says() {
    let contract = contract(
        &[("x", JsonType::Number, true), ("note", JsonType::Object, false)],
        Cardinality::Many,
    );
    let ids = asked(&["a"]);
    for members in [
        r#""id":"a","features":[]"#,
        r#""id":"a","features":null"#,
        r#""id":"a","features":{"x":1}"#,
        r#""features":[{"x":1}, null ,{"x":-2.5e3,"note":{"k":["]}\"",{"\\":"\\\""}]}}],"id":"a""#,
        r#" "id" : "a" , "features" : [ {"x":1} , {"x":2} ] , "more":{"a":[1,2]} "#,
        r#""id":"a","features":[NaN,{"x":1}]"#,
        r#""id":"a","features":[{"x":1},{}]"#,
        r#""id":"a","features":[{"x":1},{"y":1}]"#,
        r#""id":"a""#,
        r#""id":"b","features":[]"#,
        r#""id":1,"features":[]"#,
        r#""features":[]"#,
    ] {
        let short = read(&features(&format!("{{{members}}}")), &contract, &ids);
        let long = read(&features(&long(members)), &contract, &ids);
        assert_eq!(long, short, "{members}");
        // What comes after it is read.
        let two = format!("{}\n{{\"id\":\"a\",\"features\":[]}}\n", self::long(members));
        let two = read(&features(&two), &contract, &ids);
        assert_eq!(two.outcomes[&id("a")], passed(&[]), "{members}");
    }
}

// proves ISO-3, EDG-1
#[test]
fn a_long_line_that_is_no_good_is_a_fault_with_its_number() {
    let contract = contract(&[("x", JsonType::Number, false)], Cardinality::Many);
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5000), close.repeat(5000));
    for (members, why) in [
        (r#""id":"a","features":[1 2]"#.to_owned(), "comma"),
        (r#""id":"a","features":[1,]"#.to_owned(), "not valid JSON"),
        (r#""id":"a","features":[{]}"#.to_owned(), "not valid JSON"),
        (r#""id":"a","features":[tru]"#.to_owned(), "features[0]"),
        (r#""id":"a" "features":[]"#.to_owned(), "comma"),
        (r#""id":"a"},{"#.to_owned(), "more after the object"),
        (r#""id":"a","features":["#.to_owned(), "not valid JSON"),
        (
            format!("\"id\":\"a\",\"features\":[{}]", deep("[", "]")),
            "nested deeper",
        ),
        (
            format!("\"id\":\"a\",\"features\":[{}]", deep("{\"x\":", "}")),
            "nested deeper",
        ),
        (
            format!("\"id\":\"a\",\"features\":[[{}]]", "{},".repeat(200_000)),
            "bytes of memory",
        ),
        (
            format!("\"id\":\"a\",\"features\":[\"{}\"]", "x".repeat(17 << 20)),
            "has more than",
        ),
    ] {
        let read = read(&features(&long(&members)), &contract, &asked(&["a"]));
        assert!(read.outcomes.is_empty(), "{why}");
        let fault = &read.faults[0];
        assert!(
            fault.starts_with("line 1 of features.jsonl ") && fault.contains(why),
            "{fault}"
        );
    }
    let members = r#""id":"a","features":[{"x":1},{"x":1,"x":2}]"#;
    let read = read(&features(&long(members)), &contract, &asked(&["a"]));
    let outcome = &read.outcomes[&id("a")];
    assert!(
        matches!(outcome, RecordOutcome::Errored(why) if why.contains("features[1]: x: is given twice")),
        "{outcome:?}"
    );
}

/// The output of a hook that writes `begin` and then this line, or piece of a line, again and again.
#[derive(Clone)]
struct Again {
    begin: &'static [u8],
    again: &'static [u8],
    times: u64,
    /// How much of it was read.
    read: Arc<Mutex<u64>>,
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("again")
    }
}

impl Content for Again {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let begin = self.begin.len() as u64;
        let end = self.size();
        let mut length = 0;
        for (byte, at) in buffer.iter_mut().zip(offset..end) {
            *byte = match at.checked_sub(begin) {
                None => self.begin[usize::try_from(at).unwrap()],
                Some(at) => self.again[usize::try_from(at % self.again.len() as u64).unwrap()],
            };
            length += 1;
        }
        *self.read.lock().unwrap() += length as u64;
        Ok(length)
    }
    fn size(&self) -> u64 {
        (self.begin.len() + self.again.len() * usize::try_from(self.times).unwrap()) as u64
    }
}

fn again(begin: &'static str, again: &'static str, times: u64) -> Again {
    Again {
        begin: begin.as_bytes(),
        again: again.as_bytes(),
        times,
        read: Arc::default(),
    }
}

fn output_of(content: &Again) -> HookOutput {
    HookOutput {
        features: OutputFile::new(Arc::new(content.clone())),
        ..HookOutput::default()
    }
}

// proves ISO-3
#[test]
fn rows_without_end_are_refused_where_there_are_too_many() {
    let contract = contract(&[("x", JsonType::Number, false)], Cardinality::Many);
    let line = "{\"id\":\"a\",\"features\":[{},{},{}]}\n";
    for (content, place, most_read) in [
        (
            again("{\"id\":\"a\",\"features\":[{}", ",{}", 100_000_000),
            "line 1 of",
            2_000_000,
        ),
        (again("", line, 100_000_000), "line 33334 of", 2_000_000),
    ] {
        let read = read_some(&output_of(&content), &contract, &asked(&["a"]), 100_000);
        let why = read.refused.unwrap();
        assert!(
            why.starts_with(place) && why.contains("features.jsonl") && why.contains("more than 100000 rows"),
            "{why}"
        );
        assert!(read.outcomes.is_empty() && read.faults.is_empty());
        assert!(*content.read.lock().unwrap() < most_read);
    }
}

// proves ISO-3
#[test]
fn many_rows_of_one_record_are_in_the_spill_and_all_there() {
    let contract = contract(&[("x", JsonType::Number, false)], Cardinality::Many);
    let content = again("{\"id\":\"a\",\"features\":[{\"x\":0}", ",{\"x\":-1.5}", 300_000);
    let mut text = output_of(&content).features.to_vec().unwrap();
    text.extend_from_slice(b"]}");
    let output = HookOutput {
        features: text.into(),
        ..HookOutput::default()
    };
    let room = OneSpill::default();
    let mut keep = RowStore::new(&room, u64::MAX, 1000);
    let read = output.outcomes(&contract, &asked(&["a"]), &mut keep).unwrap();
    assert!(room.0.size() > 1_000_000, "its rows are in the spill");
    let RecordOutcome::Passed(rows) = &read.outcomes[&id("a")] else {
        panic!("{read:?}")
    };
    assert_eq!((rows.count(), keep.rows()), (300_001, 300_001));
    assert_eq!(rows.read().nth(300_000).unwrap().unwrap(), [Cell::Number(-1.5)]);
}

// proves ISO-3
#[test]
fn long_lines_of_texts_are_faults_and_what_follows_counts() {
    let contract = contract(&[], Cardinality::Many);
    let long = "x".repeat(MAX_HELD_LINE + 1);
    let line =
        |key: &str| format!("{{\"id\":\"a\",\"{key}\":\"{long}\"}}\n{{\"id\":\"a\",\"{key}\":\"no\"}}\n");
    let output = HookOutput {
        rejections: line("reason").into_bytes().into(),
        progress: format!("{long}\n{{\"status\":\"rejected\",\"message\":\"never\"}}")
            .into_bytes()
            .into(),
        ..HookOutput::default()
    };
    let found = read(&output, &contract, &asked(&["a"]));
    assert_eq!(found.outcomes[&id("a")], RecordOutcome::Rejected("no".into()));
    assert_eq!(
        found.faults,
        [format!(
            "line 1 of rejections.jsonl has more than {MAX_HELD_LINE} bytes"
        )]
    );
    assert_eq!(output.whole_run_rejection().unwrap().as_deref(), Some("never"));
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic_and_only_asked_ids_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let contract = contract(&[("x", JsonType::Number, true)], Cardinality::Many);
        let file = OutputFile::from(bytes);
        let output = HookOutput { features: file.clone(), rejections: file.clone(), errors: file.clone(), progress: file };
        let ids = asked(&["a"]);
        for id in read(&output, &contract, &ids).outcomes.keys() {
            prop_assert!(ids.contains(id));
        }
        output.whole_run_rejection().unwrap();
    }
}
