//! Cursors: a page's end as text, bound to the table and the order that gave it (wire contract 7.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use domain::cell::parse_timestamp;
use domain::page::PageScope;
use domain::record::DataError;
use ports::queries::PageKey;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

/// The longest cursor that is looked at.
const MOST_BYTES: usize = 2048;

pub(crate) fn encode(scope: &PageScope, key: &PageKey) -> String {
    let (sort, id) = match key {
        PageKey::Record(at, srn) => (json!(at.format(&Rfc3339).unwrap_or_default()), json!(srn)),
        PageKey::Row(id) => (json!(id), json!(id)),
    };
    URL_SAFE.encode(json!({"s": sort, "id": id, "t": scope.as_str()}).to_string())
}

pub(crate) fn decode(scope: &PageScope, records: bool, text: &str) -> Result<PageKey, DataError> {
    const MALFORMED: DataError = DataError::Cursor("is none that this server gave");
    if text.len() > MOST_BYTES {
        return Err(MALFORMED);
    }
    let bytes = URL_SAFE.decode(text).map_err(|_| MALFORMED)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| MALFORMED)?;
    if value.get("t").and_then(Value::as_str) != Some(scope.as_str()) {
        return Err(DataError::Cursor("belongs to another table or order"));
    }
    if records {
        let at = value.get("s").and_then(Value::as_str).and_then(parse_timestamp);
        let srn = value
            .get("id")
            .and_then(Value::as_str)
            .filter(|s| !s.contains('\0'));
        at.zip(srn)
            .map(|(at, srn)| PageKey::Record(at, srn.to_owned()))
            .ok_or(MALFORMED)
    } else {
        value
            .get("id")
            .and_then(Value::as_i64)
            .map(PageKey::Row)
            .ok_or(MALFORMED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::OffsetDateTime;

    #[test]
    fn a_cursor_that_no_clock_ever_showed_is_refused() {
        let scope = PageScope::of(&["a"]);
        for at in [
            "9999-12-31T23:59:59-15:00",
            "0001-01-01T00:00:00+20:00",
            "yesterday",
        ] {
            let text = URL_SAFE.encode(json!({"s": at, "id": "urn:x", "t": scope.as_str()}).to_string());
            assert!(decode(&scope, true, &text).is_err(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went_and_fits_its_own_table_only(id in any::<i64>(), nanos in 0_i64..4_000_000_000_000_000) {
            let (own, other) = (PageScope::of(&["a"]), PageScope::of(&["b"]));
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos) * 1000).unwrap();
            for (records, key) in [(false, PageKey::Row(id)), (true, PageKey::Record(at, "urn:x".into()))] {
                let text = encode(&own, &key);
                prop_assert_eq!(decode(&own, records, &text).unwrap(), key);
                prop_assert!(decode(&other, records, &text).is_err());
                prop_assert!(decode(&own, !records, &text).is_err());
            }
        }

        #[test]
        fn no_text_makes_decoding_panic(text in ".{0,80}") {
            let _ = decode(&PageScope::of(&["a"]), true, &text);
        }
    }
}
