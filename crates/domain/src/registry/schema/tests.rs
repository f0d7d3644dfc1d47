//! Tests of the rules of `schema`.

use serde_json::json;

use super::*;

fn field(name: &str, field_type: FieldType, required: bool) -> FieldDefinition {
    FieldDefinition {
        name: name.parse().unwrap(),
        field_type,
        required,
        cardinality: FieldCardinality::ExactlyOne,
        description: None,
        constraints: None,
        examples: vec![],
    }
}

fn schema(version: &str, fields: Vec<FieldDefinition>) -> Schema {
    Schema {
        reference: format!("s-s@{version}").parse().unwrap(),
        title: "S".into(),
        fields,
    }
}

#[test]
fn a_minor_version_may_only_add_optional_fields() {
    let old = schema(
        "1.0.0",
        vec![
            field("a", FieldType::Number, true),
            field("b", FieldType::Text, false),
        ],
    );
    let grown = schema(
        "1.1.0",
        vec![
            field("a", FieldType::Number, false),
            field("b", FieldType::Url, false),
            field("c", FieldType::Date, false),
        ],
    );
    assert_eq!(grown.check_extends(&old), Ok(()));
    let bad = schema(
        "1.1.0",
        vec![
            field("a", FieldType::Text, true),
            field("c", FieldType::Date, true),
        ],
    );
    let faults = bad.check_extends(&old).unwrap_err().faults;
    assert_eq!(
        faults.iter().map(Fault::path).collect::<Vec<_>>(),
        ["fields.a.type", "fields.b", "fields.c.required"]
    );
    assert_eq!(
        faults.iter().map(Fault::field).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
}

#[test]
fn metadata_is_checked_whole_and_every_fault_names_its_field() {
    let mut mass = field("mass", FieldType::Number, true);
    mass.constraints = Some(FieldConstraints {
        min_value: Some(0.0),
        integer_only: Some(true),
        ..FieldConstraints::default()
    });
    let mut code = field("code", FieldType::Text, false);
    code.constraints = Some(FieldConstraints {
        pattern: Some("^[A-Z]+$".into()),
        ..FieldConstraints::default()
    });
    let checker = MetadataChecker::new(&[mass, code, field("seen", FieldType::Date, true)]);
    let wrong = json!({"mass": -1, "code": "abc", "extra": 1});
    let faults = checker.check(wrong.as_object().unwrap()).unwrap_err().faults;
    assert_eq!(
        faults.iter().map(Fault::path).collect::<Vec<_>>(),
        ["mass", "code", "seen", "extra"]
    );
    let right = json!({"mass": 3750, "code": null, "seen": "2007-11-11"});
    assert_eq!(checker.check(right.as_object().unwrap()).unwrap().len(), 3);
}

// proves ISO-3
#[test]
fn all_patterns_of_a_schema_together_are_bounded() {
    let fields = |count: usize, pattern: &dyn Fn(usize) -> String| {
        (0..count)
            .map(|n| FieldDefinition {
                constraints: Some(FieldConstraints {
                    pattern: Some(pattern(n)),
                    ..FieldConstraints::default()
                }),
                ..field(&format!("f{n}"), FieldType::Text, false)
            })
            .collect::<Vec<_>>()
    };
    let usual = schema("1.0.0", fields(500, &|n| format!("^[A-Z]{{2,4}}-{n}-[0-9]+$")));
    usual.check().unwrap();
    let large = schema("1.0.0", fields(500, &|n| format!(r"^{n}\w{{12}}$")));
    let faults = large.check().unwrap_err().faults;
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].message.contains("bytes of memory") && faults[0].path().ends_with("constraints.pattern"),
        "{:?}",
        faults[0]
    );
}

#[test]
fn differences_name_fields_both_ways_and_order() {
    let (a, b) = (
        field("a", FieldType::Text, true),
        field("b", FieldType::Text, true),
    );
    let one = schema("1.0.0", vec![a.clone(), b.clone()]);
    assert_eq!(one.differences(&schema("1.0.0", vec![b, a.clone()])), ["(order)"]);
    assert_eq!(one.differences(&schema("1.0.0", vec![a])), ["b"]);
}

// proves ISO-5
#[test]
fn a_url_is_no_program() {
    let links = schema("1.0.0", vec![field("link", FieldType::Url, false)]);
    let checked = |value: &str| {
        let metadata = json!({"link": value}).as_object().unwrap().clone();
        MetadataChecker::new(&links.fields).check(&metadata).map(|_| ())
    };
    assert_eq!(checked("https://example.org"), Ok(()));
    let fault = &checked("javascript:alert(1)").unwrap_err().faults[0];
    assert_eq!(fault.field(), "link");
}
