use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::kind::Coded as _;
use crate::{ColumnType, Loc};

fn scope() -> ColumnScope {
    let of = FilterColumnType::of;
    let term = FilterColumnType {
        column_type: ColumnType::Text,
        term: true,
    };
    let named = |list: &[(&str, FilterColumnType)]| {
        list.iter()
            .map(|(name, column)| ((*name).to_owned(), *column))
            .collect()
    };
    ColumnScope {
        implicit: named(&[("created_at", of(ColumnType::Timestamp))]),
        metadata: named(&[
            ("species", of(ColumnType::Text)),
            ("mass", of(ColumnType::Number)),
            ("found", of(ColumnType::Date)),
            ("alive", of(ColumnType::Boolean)),
            ("tissue", term),
        ]),
        features: [(
            "shape".parse().unwrap(),
            named(&[
                ("n", of(ColumnType::Integer)),
                ("at", of(ColumnType::Timestamp)),
                ("id2", of(ColumnType::Uuid)),
                ("extra", of(ColumnType::Json)),
            ]),
        )]
        .into(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "so that a call reads as JSON")]
fn predicate(field: &str, op: &str, value: Value) -> Value {
    json!({"kind": "predicate", "field": field, "op": op, "value": value})
}

fn checked(value: &Value) -> Result<Filter, QueryError> {
    RawFilter::parse(value, FilterLimits::default())?.check(&scope())
}

/// Returns the code of the error and the path to its place.
fn refusal(value: &Value) -> (&'static str, String) {
    let error = checked(value).unwrap_err();
    (error.code(), error.faults().first().unwrap().path())
}

// proves DAT-1
#[test]
fn every_operator_is_asked_of_the_types_that_have_it_and_of_no_other() {
    let columns = [
        ("metadata.species", "eq neq in contains is_null", json!("x")),
        ("metadata.tissue", "eq neq in is_null", json!("x")),
        ("metadata.mass", "eq neq gt gte lt lte in is_null", json!(1.5)),
        (
            "metadata.found",
            "eq neq gt gte lt lte in is_null",
            json!("2020-02-29"),
        ),
        ("metadata.alive", "eq is_null", json!(true)),
        ("features.shape.n", "eq neq gt gte lt lte in is_null", json!(3)),
        (
            "features.shape.at",
            "eq neq gt gte lt lte in is_null",
            json!("2020-01-01T00:00:00Z"),
        ),
        (
            "features.shape.id2",
            "eq neq in is_null",
            json!("018f4e2a-6b1c-7c3e-9d52-0a1b2c3d4e5f"),
        ),
        ("features.shape.extra", "eq is_null", json!({"a": [1]})),
        (
            "created_at",
            "eq neq gt gte lt lte in is_null",
            json!("2020-01-01"),
        ),
    ];
    for (field, may, value) in columns {
        for op in FilterOp::ALL {
            let sent = if op == FilterOp::In {
                json!([value])
            } else {
                value.clone()
            };
            let outcome = checked(&predicate(field, op.as_str(), sent));
            if may.split(' ').any(|name| name == op.as_str()) {
                assert!(outcome.is_ok(), "{field} {op:?}: {outcome:?}");
            } else {
                assert_eq!(
                    outcome.unwrap_err().code(),
                    "unsupported_operator",
                    "{field} {op:?}"
                );
            }
        }
    }
}

// proves DAT-1
#[test]
fn a_value_of_another_type_is_refused_at_its_place() {
    for (field, op, value) in [
        ("metadata.species", "eq", json!(5)),
        ("metadata.mass", "gt", json!("5")),
        ("metadata.mass", "gt", Value::Null),
        ("metadata.mass", "in", json!(5)),
        ("metadata.mass", "in", json!([1, null])),
        ("metadata.found", "eq", json!("29/02/2020")),
        ("metadata.found", "eq", json!("2021-02-29")),
        ("metadata.alive", "eq", json!("true")),
        ("features.shape.n", "eq", json!("1.5")),
        ("features.shape.n", "gt", json!(1e19)),
        ("features.shape.at", "lt", json!("2020-01-01T00:00:00")),
        ("features.shape.id2", "eq", json!("x")),
        ("metadata.species", "eq", json!("a\u{0}b")),
        ("metadata.species", "in", json!(vec!["x"; 1001])),
    ] {
        let filter = json!({"kind": "not", "operand": predicate(field, op, value.clone())});
        assert_eq!(
            refusal(&filter),
            ("invalid_value_for_op", "filter.operand.value".to_owned()),
            "{field} {op} {value}"
        );
    }
}

// proves DAT-1
#[test]
fn null_is_a_question_of_its_own() {
    let is_null = checked(&predicate("metadata.mass", "is_null", json!("anything"))).unwrap();
    assert_eq!(
        checked(&predicate("metadata.mass", "eq", Value::Null)).unwrap(),
        is_null
    );
    assert!(matches!(
        checked(&predicate("metadata.mass", "neq", Value::Null)).unwrap(),
        Filter::Predicate {
            op: FilterOp::IsNotNull,
            value: FilterValue::Nothing,
            ..
        }
    ));
}

// proves DAT-1
#[test]
fn dates_and_times_are_taken_as_they_are_written() {
    let value = |filter: &Value| match checked(filter).unwrap() {
        Filter::Predicate {
            value: FilterValue::One(cell),
            ..
        } => cell,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        value(&predicate("metadata.found", "eq", json!("2020-02-29T10:00:00Z"))),
        value(&predicate("metadata.found", "eq", json!("2020-02-29")))
    );
    assert_eq!(
        value(&predicate("features.shape.at", "gte", json!("2020-02-29"))),
        value(&predicate(
            "features.shape.at",
            "gte",
            json!("2020-02-29T01:00:00+01:00")
        ))
    );
}

#[test]
fn unknown_columns_are_distinguished() {
    let at = |name: &str| predicate(name, "eq", json!(1));
    assert_eq!(refusal(&at("metadata.nope")).0, "unknown_metadata_field");
    assert_eq!(refusal(&at("features.shape.nope")).0, "unknown_feature_column");
    assert_eq!(refusal(&at("features.other.n")).0, "unknown_feature_column");
    assert_eq!(
        refusal(&at("features.No Hook.n")),
        ("unknown_feature_column", "filter.field".into())
    );
    assert_eq!(refusal(&at("nope")).0, "unknown_column");
    assert_eq!(refusal(&at("a.b.c.d")).0, "VALIDATION_ERROR");
    let object = json!({"path": "features", "hook": "shape", "column": "n"});
    assert_eq!(
        checked(&json!({"kind": "predicate", "field": object, "op": "eq", "value": 1})).unwrap(),
        checked(&at("features.shape.n")).unwrap()
    );
}

#[test]
fn the_shape_is_checked_with_its_place() {
    let good = predicate("metadata.mass", "eq", json!(1));
    for (filter, place) in [
        (json!([]), "filter"),
        (json!({}), "filter.kind"),
        (json!({"kind": "xor"}), "filter.kind"),
        (json!({"kind": "and"}), "filter.operands"),
        (json!({"kind": "and", "operands": [good]}), "filter.operands"),
        (
            json!({"kind": "or", "operands": [good, {"kind": "not"}]}),
            "filter.operands[1].operand",
        ),
        (
            json!({"kind": "predicate", "field": "metadata.mass", "op": "like", "value": 1}),
            "filter.op",
        ),
        (
            json!({"kind": "predicate", "field": "metadata.mass", "op": "eq"}),
            "filter.value",
        ),
        (
            json!({"kind": "predicate", "field": 5, "op": "eq", "value": 1}),
            "filter.field",
        ),
        (
            json!({"kind": "not", "operand": good, "operands": []}),
            "filter.operands",
        ),
    ] {
        assert_eq!(
            refusal(&filter),
            ("VALIDATION_ERROR", place.to_owned()),
            "{filter}"
        );
    }
}

#[test]
fn a_filter_has_its_limits() {
    let one = predicate("metadata.mass", "eq", json!(1));
    let nested =
        |depth: usize| (1..depth).fold(one.clone(), |inner, _| json!({"kind": "not", "operand": inner}));
    assert!(checked(&nested(10)).is_ok());
    assert_eq!(refusal(&nested(11)).0, "filter_depth_exceeded");
    let wide = |n: usize| json!({"kind": "and", "operands": vec![one.clone(); n]});
    assert!(checked(&wide(200)).is_ok());
    assert_eq!(
        refusal(&wide(201)),
        ("filter_predicates_exceeded", "filter.operands[200]".into())
    );
    let hooks: Vec<Value> = (0..11)
        .map(|n| predicate(&format!("features.h{n}.x"), "eq", json!(1)))
        .collect();
    assert_eq!(
        refusal(&json!({"kind": "or", "operands": hooks})).0,
        "filter_joins_exceeded"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("kind".to_owned()),
        Just("and".to_owned()),
        Just("not".to_owned()),
        Just("predicate".to_owned()),
        Just("operands".to_owned()),
        Just("operand".to_owned()),
        Just("field".to_owned()),
        Just("op".to_owned()),
        Just("metadata.mass".to_owned()),
        ".{0,8}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<f64>().prop_map(|n| json!(n)),
        text.clone().prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_it_panic_and_every_refusal_has_a_place(value in any_json()) {
        if let Err(error) = checked(&value) {
            prop_assert_eq!(error.faults().first().unwrap().loc.first(), Some(&Loc::from("filter")));
        }
    }
}

// proves DAT-1: an integer column compares with numbers that have a fraction (WC-7.4).
#[test]
fn an_integer_column_takes_a_number_with_a_fraction() {
    let asked = |op: &str, value: Value| checked(&predicate("features.shape.n", op, value)).unwrap();
    let simple = |filter: Filter| match filter {
        Filter::Predicate { op, value, .. } => (op, value),
        other => panic!("{other:?}"),
    };
    let one = |n: i64| FilterValue::One(Cell::Integer(n));
    for (op, number, expected) in [
        ("gte", 4.5, (FilterOp::Gt, one(4))),
        ("gt", 4.5, (FilterOp::Gt, one(4))),
        ("lte", 4.5, (FilterOp::Lte, one(4))),
        ("lt", 4.5, (FilterOp::Lte, one(4))),
        ("gte", -4.5, (FilterOp::Gt, one(-5))),
        ("lt", -4.5, (FilterOp::Lte, one(-5))),
        ("eq", 4.5, (FilterOp::In, FilterValue::Many(Vec::new()))),
        ("gte", 4.0, (FilterOp::Gte, one(4))),
    ] {
        assert_eq!(simple(asked(op, json!(number))), expected, "{op} {number}");
    }
    let listed = simple(asked("in", json!([1, 4.5, 2])));
    let expected = FilterValue::Many(vec![Cell::Integer(1), Cell::Integer(2)]);
    assert_eq!(listed, (FilterOp::In, expected));
    assert!(matches!(asked("neq", json!(4.5)), Filter::Or(both) if both.len() == 2));
}

// proves ISO-5
#[test]
fn a_filter_by_key_lists_the_keys_of_what_may_match() {
    let of = |column: FilterColumn, op| Filter::Predicate {
        column,
        column_type: ColumnType::Text,
        op,
        value: FilterValue::One(Cell::Text("x".to_owned())),
    };
    let key = || of(FilterColumn::Implicit("record_srn".to_owned()), FilterOp::Eq);
    let other = || of(FilterColumn::Metadata("species".to_owned()), FilterOp::Eq);
    for by_key in [
        key(),
        Filter::And(vec![other(), key()]),
        Filter::Or(vec![key(), Filter::And(vec![key(), other()])]),
    ] {
        assert!(by_key.is_by_key(), "{by_key:?}");
    }
    for scan in [
        other(),
        Filter::Or(vec![key(), other()]),
        Filter::Or(vec![]),
        Filter::And(vec![]),
        Filter::Not(Box::new(key())),
        of(FilterColumn::Implicit("record_srn".to_owned()), FilterOp::Neq),
        of(FilterColumn::Implicit("created_at".to_owned()), FilterOp::Eq),
    ] {
        assert!(!scan.is_by_key(), "{scan:?}");
    }
}
