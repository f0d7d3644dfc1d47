//! Tests of the rules of `ingest`.

use proptest::prelude::*;

use super::*;
use crate::ingest::csv::{CsvMapping, CsvOptions, Dialect, field_name_of_header};
use crate::registry::schema::{FieldCardinality, FieldDefinition, FieldType};

fn fields() -> Vec<FieldDefinition> {
    let field = |name: &str, field_type, required| FieldDefinition {
        name: name.parse().unwrap(),
        field_type,
        required,
        cardinality: FieldCardinality::ExactlyOne,
        description: None,
        constraints: None,
        examples: vec![],
    };
    vec![
        field("species", FieldType::Text, true),
        field("culmen_length_mm", FieldType::Number, false),
        field("date_egg", FieldType::Date, false),
    ]
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn a_real_header_maps_to_field_names() {
    assert_eq!(field_name_of_header("Culmen Length (mm)"), "culmen_length_mm");
    assert_eq!(field_name_of_header("Delta 15 N (o/oo)"), "delta_15_n_o_oo");
    assert_eq!(field_name_of_header("studyName"), "studyname");
}

#[test]
fn csv_rows_become_typed_records_and_null_values_are_left_out() {
    let fields = fields();
    let checker = MetadataChecker::new(&fields);
    let options = CsvOptions {
        id_columns: header(&["Species", "Sample"]),
        null_values: header(&["NA"]),
        ..CsvOptions::default()
    };
    let refs: Vec<_> = fields.iter().collect();
    let mapping = CsvMapping::new(
        &header(&["Species", "Sample", "Culmen Length (mm)", "Date Egg"]),
        &refs,
        &options,
    )
    .unwrap();
    let record = mapping
        .record(&["Gentoo", "7", "NA", "2007-11-11"], &checker)
        .unwrap();
    assert_eq!(record.source_id.as_str(), "Gentoo:7");
    assert_eq!(
        Value::Object(record.metadata),
        serde_json::json!({"species": "Gentoo", "date_egg": "2007-11-11"})
    );
    let fault = mapping
        .record(&["Gentoo", "7", "long", "2007-11-11"], &checker)
        .unwrap_err();
    assert_eq!(
        fault.to_string(),
        "metadata.culmen_length_mm: must be a number, not \"long\""
    );
    assert!(mapping.record(&["Gentoo", "7"], &checker).is_err());
}

// proves EDG-3
#[test]
fn a_refused_line_names_its_id_if_that_can_be_read() {
    for (line, id) in [
        (r#"{"source_id": "a", "metadata": {"x": 1e-400}}"#, Some("a")),
        (r#"{"id": "a", "more": [{}]}"#, Some("a")),
        (r#"{"source_id": "..", "id": "a"}"#, Some("..")),
        (r#"{"source_id": "a", "source_id": "b"}"#, None),
        (r#"{"source_id": 3}"#, None),
        (r#"{"source_id": "a""#, None),
        ("[]", None),
    ] {
        assert_eq!(
            PushedRecord::id_in_json_line(line.as_bytes()).as_deref(),
            id,
            "{line}"
        );
    }
    let fields = fields();
    let refs: Vec<_> = fields.iter().collect();
    let mapping = CsvMapping::new(&header(&["id", "species"]), &refs, &CsvOptions::default()).unwrap();
    let id = |row: &[&str]| mapping.id_in_row(row).map(|id| id.to_string());
    assert_eq!(id(&["a", ""]).as_deref(), Some("a"));
    assert_eq!(id(&["", "x"]), None);
    assert_eq!(id(&["a"]), None, "its columns are not those of the header");
}

#[test]
fn a_header_names_every_column_that_cannot_be_placed() {
    let fields = fields();
    let refs: Vec<_> = fields.iter().collect();
    let faults = CsvMapping::new(
        &header(&["Date Egg", "Colour", "date_egg"]),
        &refs,
        &CsvOptions::default(),
    )
    .unwrap_err()
    .faults;
    let paths: Vec<_> = faults.iter().map(Fault::path).collect();
    assert_eq!(paths, ["Colour", "date_egg", "source_id", "species"]);
}

#[test]
fn a_line_nested_a_thousand_deep_is_a_fault() {
    let deep = format!(
        "{{\"source_id\":\"a\",\"metadata\":{{\"species\":{}{}}}}}",
        "[".repeat(1000),
        "]".repeat(1000)
    );
    let checker = MetadataChecker::new(&fields());
    assert!(
        PushedRecord::from_json_line(deep.as_bytes(), &checker)
            .unwrap_err()
            .to_string()
            .contains("recursion")
    );
}

// proves EDG-2
#[test]
fn a_number_counts_by_its_value_and_a_text_by_its_spelling() {
    let checker = MetadataChecker::new(&fields());
    let hash = |species: &str, number: &str| {
        let line = format!(
            "{{\"source_id\":\"x\",\"metadata\":{{\"species\":{species},\"culmen_length_mm\":{number}}}}}"
        );
        PushedRecord::from_json_line(line.as_bytes(), &checker)
            .unwrap()
            .content_hash
    };
    let one = hash("\"a\"", "3750");
    for same in ["3750.0", "3.75e3", "37500e-1"] {
        assert_eq!(hash("\"a\"", same), one, "{same}");
    }
    assert_ne!(hash("\"a\"", "3750.5"), one);
    assert_ne!(hash("\"3750\"", "1"), hash("\"3750.0\"", "1"));
}

// proves EDG-1
#[test]
fn ids_of_several_columns_are_equal_only_for_equal_columns() {
    let fields = fields();
    let refs: Vec<_> = fields.iter().collect();
    let checker = MetadataChecker::new(&fields);
    let options = CsvOptions {
        id_columns: header(&["a", "b"]),
        null_values: header(&["NA"]),
        ..CsvOptions::default()
    };
    let mapping = CsvMapping::new(&header(&["a", "b", "species"]), &refs, &options).unwrap();
    let read = |a: &str, b: &str| {
        mapping
            .record(&[a, b, "x"], &checker)
            .map(|r| r.source_id.to_string())
    };
    assert_eq!(read("a", "b:c").unwrap(), "a:b:c");
    for (a, b, why) in [
        ("a:b", "c", "part 1 of the id contains a colon"),
        ("", "c", "part 1 of the id is empty"),
        ("a", "NA", "part 2 of the id is empty"),
        ("a", " c", "part 2 of the id has a blank"),
    ] {
        let error = read(a, b).unwrap_err().to_string();
        assert!(error.contains(why), "{a} {b}: {error}");
    }
    let twice = header(&["id", "id", "species"]);
    let error = CsvMapping::new(&twice, &refs, &CsvOptions::default()).unwrap_err();
    assert!(
        error.to_string().contains("second column of this name"),
        "{error}"
    );
}

#[test]
fn a_header_with_another_delimiter_gets_a_hint() {
    let hint = |line: &str| Dialect::CSV.other_delimiter(&header(&[line])).unwrap_or_default();
    assert_eq!(
        hint("a\tb\tc"),
        "the header has 2 tabs and no comma: send the file with Content-Type: text/tab-separated-values, or ?delimiter=tab if cells are quoted"
    );
    assert_eq!(
        hint("a;b"),
        "the header has 1 semicolon and no comma: send the file with ?delimiter=semicolon"
    );
    assert!(hint("sep=;").contains("remove it"));
    assert_eq!(hint("id"), "");
    assert_eq!(Dialect::CSV.other_delimiter(&header(&["a;b", "c"])), None);
    let of = |text: &str| {
        Dialect::CSV
            .delimited_by(text)
            .map(|d| char::from(d.delimiter))
            .ok()
    };
    for (text, delimiter) in [
        ("tab", '\t'),
        ("\t", '\t'),
        ("\\t", '\t'),
        ("Semicolon", ';'),
        (";", ';'),
        ("|", '|'),
        ("comma", ','),
    ] {
        assert_eq!(of(text), Some(delimiter), "{text:?}");
    }
    assert_eq!(of("x"), None);
}

proptest! {
    // proves PIP-6
    #[test]
    fn the_hash_does_not_depend_on_the_order_of_keys(a in "[a-z]{1,5}", number in any::<i32>()) {
        let checker = MetadataChecker::new(&fields());
        let one = format!("{{\"source_id\":\"x\",\"metadata\":{{\"species\":\"{a}\",\"culmen_length_mm\":{number}}}}}");
        let two = format!("{{\"metadata\":{{\"culmen_length_mm\":{number},\"species\":\"{a}\"}},\"id\":\"x\"}}");
        let hash = |line: &str| PushedRecord::from_json_line(line.as_bytes(), &checker).unwrap().content_hash;
        prop_assert_eq!(hash(&one), hash(&two));
    }

    #[test]
    fn no_line_makes_parsing_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = PushedRecord::from_json_line(&line, &MetadataChecker::new(&fields()));
    }
}
