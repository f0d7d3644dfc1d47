//! Tests of the rules of `ingest`.

use proptest::prelude::*;

use super::*;
use crate::ingest::csv::{CsvMapping, CsvOptions, field_name_of_header};
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

#[test]
fn source_ids_cannot_leave_their_directory() {
    for bad in [
        "",
        ".",
        "..",
        "a/b",
        "../x",
        "a\\b",
        "a\n",
        " a",
        &"x".repeat(201),
    ] {
        assert!(bad.parse::<SourceId>().is_err(), "{bad:?}");
    }
    assert!(
        "Adelie Penguin (Pygoscelis adeliae):1@2"
            .parse::<SourceId>()
            .is_ok()
    );
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
