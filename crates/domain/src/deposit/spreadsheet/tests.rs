use serde_json::json;

use super::cell::{Place, SheetCell};
use super::*;

mod values;

fn fields() -> Vec<FieldDefinition> {
    let field = |name: &str, kind: &str, required: bool| json!({"name": name, "type": kind, "required": required, "cardinality": "exactly_one", "examples": []});
    serde_json::from_value(json!([
        field("label", "text", true),
        field("mass", "number", false),
        field("born", "date", false),
        field("alive", "boolean", false),
    ]))
    .unwrap()
}

fn text(text: &str) -> SheetValue {
    SheetValue::Text(text.to_owned())
}

fn number(raw: &str) -> (SheetValue, &'static str) {
    (SheetValue::Number(raw.to_owned()), "General")
}

/// A sheet of headers, and values with their formats.
fn sheet(columns: &[(&str, (SheetValue, &str))]) -> Sheet {
    let columns = columns
        .iter()
        .enumerate()
        .map(|(column, (header, (value, format)))| {
            let place = |row| Place {
                row,
                column: u32::try_from(column).unwrap(),
            };
            let header = if header.is_empty() {
                SheetValue::Empty
            } else {
                text(header)
            };
            let mut data = SheetCell::new(place(2), value.clone());
            data.format = (*format).to_owned();
            SheetColumn {
                header: SheetCell::new(place(0), header),
                data,
            }
        });
    Sheet {
        columns: columns.collect(),
        ..Sheet::default()
    }
}

fn plain(value: SheetValue) -> (SheetValue, &'static str) {
    (value, "General")
}

/// Reads one value for a field; B is its column, because A has the required label.
fn one(name: &str, value: (SheetValue, &str)) -> (Option<Value>, Vec<String>, Vec<(String, String)>) {
    let columns = [("label", plain(text("x"))), (name, value)];
    // A label is read from its own column.
    let skipped = usize::from(name == "label");
    let mut read = read(&fields(), &sheet(&columns[skipped..]));
    (read.metadata.remove(name), read.warnings, read.errors)
}

/// Asserts that a value is taken, and what the only warning about it contains; an empty text means no warning.
#[track_caller]
fn takes(name: &str, value: (SheetValue, &str), taken: &Value, told: &str) {
    let shown = format!("{value:?}");
    let (found, warnings, errors) = one(name, value);
    assert_eq!(
        (found.as_ref(), errors.as_slice()),
        (Some(taken), &[][..]),
        "{shown}: {warnings:?}"
    );
    if told.is_empty() {
        assert_eq!(warnings, [""; 0], "{shown}");
    } else {
        assert_eq!(warnings.len(), 1, "{shown}: {warnings:?}");
        let place = if name == "label" { "A3 " } else { "B3 " };
        assert!(warnings[0].starts_with(place), "{shown}: {warnings:?}");
        assert!(warnings[0].contains(told), "{shown}: {warnings:?}");
    }
}

/// Asserts that a value is refused with a message that contains the cell and this text.
#[track_caller]
fn refuses(name: &str, value: (SheetValue, &str), told: &str) {
    let shown = format!("{value:?}");
    let (found, _, errors) = one(name, value);
    assert_eq!((found, errors.len()), (None, 1), "{shown}: {errors:?}");
    let place = if name == "label" { "A3" } else { "B3" };
    assert!(
        errors[0].0 == name && errors[0].1.contains(place) && errors[0].1.contains(told),
        "{shown}: {errors:?}"
    );
}

// proves PIP-1
#[test]
fn a_row_becomes_metadata_by_the_fields_types() {
    let read = read(
        &fields(),
        &sheet(&[
            ("label", number("7")),
            (" mass ", plain(text("3.5"))),
            ("born", (number("43890").0, "yyyy-mm-dd")),
            ("alive", plain(text("TRUE"))),
            ("colour", plain(text("red"))),
        ]),
    );
    assert_eq!(
        Value::Object(read.metadata),
        json!({"label": "7", "mass": 3.5, "born": "2020-02-29", "alive": true})
    );
    assert_eq!((read.errors.len(), read.warnings.len()), (0, 1));
    assert_eq!(
        read.warnings[0],
        "E1 has \"colour\", which is not a field of the schema; E3 holds the text \"red\" and was not read"
    );
}

#[test]
fn every_fault_is_told_with_its_field_and_once() {
    let read = read(
        &fields(),
        &sheet(&[
            ("mass", plain(text("heavy"))),
            ("born", number("4")),
            ("alive", plain(SheetValue::Error("#REF!".into()))),
        ]),
    );
    let fields: Vec<&str> = read.errors.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["mass", "born", "alive", "label"]);
    assert_eq!(
        read.errors[0].1,
        "must be a number, but A3 holds the text \"heavy\""
    );
}

// proves EDG-1
#[test]
fn columns_without_a_field_and_second_columns_are_told() {
    let both = read(
        &fields(),
        &sheet(&[("label", plain(text("a"))), ("label ", plain(text("b")))]),
    );
    assert_eq!(both.errors.len(), 1);
    assert!(both.errors[0].1.contains("A3, B3"), "{:?}", both.errors);
    let second = read(
        &fields(),
        &sheet(&[("label", plain(SheetValue::Empty)), ("label", plain(text("b")))]),
    );
    assert_eq!(
        (second.metadata["label"].as_str(), second.errors.len()),
        (Some("b"), 0)
    );
    assert!(second.warnings[0].contains("A, B") && second.warnings[0].contains("B3"));
    let none = read(
        &fields(),
        &sheet(&[
            ("label", plain(text("a"))),
            ("", number("5")),
            ("", plain(SheetValue::Empty)),
            ("mess", plain(SheetValue::Empty)),
        ]),
    );
    assert_eq!(
        none.warnings,
        [
            "B1 has no header; B3 holds the number 5 and was not read",
            "D1 has \"mess\", which is not a field of the schema",
        ]
    );
    let mut odd = sheet(&[("label", plain(text("a"))), ("x", number("5"))]);
    odd.columns[1].header.value = SheetValue::Error("#NAME?".into());
    assert!(read(&fields(), &odd).warnings[0].starts_with("B1 holds the error #NAME?"));
}

#[test]
fn faults_of_the_schema_name_the_cell_and_warnings_are_bounded_and_counted() {
    let mut fields = fields();
    fields[0].constraints = serde_json::from_value(json!({"max_length": 2})).unwrap();
    let long = read(&fields, &sheet(&[("label", plain(text("abc")))]));
    assert!(long.errors[0].1.ends_with("characters (A3)"), "{:?}", long.errors);
    let mut many = sheet(&[("label", plain(text("a")))]);
    many.warnings = vec!["w".to_owned(); 150];
    let read = read(&fields, &many);
    assert_eq!(read.warnings.len(), MAX_WARNINGS);
    assert_eq!(read.warnings[99], "51 further warnings are not listed");
}
