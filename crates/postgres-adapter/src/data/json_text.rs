//! JSON as the database holds it, without a tree in between.

use sqlx::Postgres;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgValueFormat, PgValueRef};

/// The version of `jsonb`'s binary format, which is a byte before the text (`jsonb_send`, PostgreSQL 9.4 and later).
const VERSION: u8 = 1;

/// A `jsonb` value as compact JSON text. Numbers keep their digits.
pub(crate) struct JsonText(pub(crate) String);

impl<'r> sqlx::Decode<'r, Postgres> for JsonText {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = value.as_bytes()?;
        let text = match value.format() {
            PgValueFormat::Text => bytes,
            PgValueFormat::Binary => bytes.strip_prefix(&[VERSION]).ok_or("not a jsonb of version 1")?,
        };
        Ok(Self(String::from_utf8(compact(text))?))
    }
}

/// Returns JSON without the spaces that `jsonb`'s text has after `,` and `:`.
fn compact(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    loop {
        let outside = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
        let (between, after) = rest.split_at(outside);
        out.extend(between.iter().filter(|byte| **byte != b' '));
        if after.is_empty() {
            return out;
        }
        let (text, after) = after.split_at(end_of_string(after));
        out.extend_from_slice(text);
        rest = after;
    }
}

/// Returns the length of the string that JSON starts with, quotes included.
fn end_of_string(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            // The next byte is escaped, a quote too.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn compacted(json: &str) -> String {
        String::from_utf8(compact(json.as_bytes())).unwrap()
    }

    #[test]
    fn only_spaces_between_values_go() {
        assert_eq!(
            compacted(r#"{"a b": [1, 2.50, "x, \" y: \\"], "c": null}"#),
            r#"{"a b":[1,2.50,"x, \" y: \\"],"c":null}"#
        );
        for same in ["", " ", "1e400", r#""open"#, r#""a\"#] {
            assert_eq!(compacted(same), same.trim(), "{same}");
        }
    }

    proptest! {
        #[test]
        fn it_means_the_same(text in ".{0,20}", key in ".{0,8}", number in any::<i64>()) {
            let value = serde_json::json!({key: [text, number, {"z": true}]});
            // As `jsonb` writes it.
            let compact_form = value.to_string();
            let spaced = compact_form.replace("\":", "\": ").replace(",{", ", {");
            let read: Value = serde_json::from_str(&spaced).unwrap();
            let again: Value = serde_json::from_str(&compacted(&spaced)).unwrap();
            prop_assert_eq!(again, read);
        }
    }
}
