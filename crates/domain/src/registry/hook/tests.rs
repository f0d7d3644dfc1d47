//! Tests of the rules of `hook`.

use serde_json::json;

use super::*;

fn column(name: &str, json_type: JsonType) -> ColumnDef {
    ColumnDef {
        name: name.parse().unwrap(),
        json_type,
        format: None,
        required: true,
        description: None,
        unit: None,
    }
}

fn content(config: Value, memory: &str) -> ReleaseContent {
    let Value::Object(config) = config else {
        panic!("an object")
    };
    ReleaseContent {
        digest: format!("sha256:{}", "a".repeat(64)).parse().unwrap(),
        config,
        limits: Limits::parse(300, memory, "0.5").unwrap(),
    }
}

// proves REG-1
#[test]
fn a_contract_differs_by_type_and_order_but_not_by_words_about_it() {
    let existing = FeatureContract {
        cardinality: Cardinality::One,
        columns: vec![column("a", JsonType::Number), column("b", JsonType::String)],
    };
    let mut same = existing.clone();
    same.columns[0].description = Some("new words".into());
    same.columns[0].unit = Some("mm".into());
    assert!(existing.differences(&same).is_empty());
    let mut other = existing.clone();
    other.columns.swap(0, 1);
    assert_eq!(
        existing.differences(&other),
        ["column 1 is \"a\", not \"b\"", "column 2 is \"b\", not \"a\""]
    );
    other = existing.clone();
    other.columns[0].json_type = JsonType::Integer;
    other.cardinality = Cardinality::Many;
    assert_eq!(
        existing.differences(&other),
        [
            "cardinality is one, not many",
            "column \"a\" is of type number, not integer"
        ]
    );
}

// proves REG-3
#[test]
fn content_is_digest_config_and_limits_in_any_order_of_keys() {
    let a = content(json!({"x": 1, "y": {"p": [1, 2], "q": null}}), "1g");
    let b = content(json!({"y": {"q": null, "p": [1, 2]}, "x": 1}), "1024m");
    assert_eq!(a.key(), b.key());
    assert_ne!(a.key(), content(json!({"x": 1}), "1g").key());
    assert_ne!(
        a.key(),
        content(json!({"x": 1, "y": {"p": [1, 2], "q": null}}), "2g").key()
    );
    assert_ne!(
        content(json!({"a": "b"}), "1g").key(),
        content(json!({"a": ["b"]}), "1g").key()
    );
}
