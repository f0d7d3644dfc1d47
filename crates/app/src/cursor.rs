//! Cursors: the end of a page as text, bound to the table and the order that created it (WC-7.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use domain::RunId;
use domain::data::cell::parse_timestamp;
use domain::data::page::PageScope;
use domain::data::record::DataError;
use ports::data::PageKey;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

/// The maximum length of a cursor, in bytes.
const MAX_BYTES: usize = 2048;

/// The list that a cursor belongs to: each has its own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    Records,
    Rows,
    RowsOfRuns,
    RecordsOfRuns,
}

pub(crate) fn encode(scope: &PageScope, key: &PageKey) -> String {
    let (sort, id) = match key {
        PageKey::OfRun(run, id) => (json!(run.to_string()), json!(id)),
        PageKey::RecordOfRun(run, srn) => (json!(run.to_string()), json!(srn)),
        PageKey::Record(at, srn) => (json!(at.format(&Rfc3339).unwrap_or_default()), json!(srn)),
        PageKey::Row(id) => (json!(id), json!(id)),
    };
    URL_SAFE.encode(json!({"s": sort, "id": id, "t": scope.as_str()}).to_string())
}

pub(crate) fn decode(scope: &PageScope, listed: Listed, text: &str) -> Result<PageKey, DataError> {
    let malformed = || DataError::cursor("was not issued by this server");
    if text.len() > MAX_BYTES {
        return Err(malformed());
    }
    let bytes = URL_SAFE.decode(text).map_err(|_| malformed())?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    if value.get("t").and_then(Value::as_str) != Some(scope.as_str()) {
        return Err(DataError::cursor("belongs to another table, filter or order"));
    }
    let sort = value.get("s").and_then(Value::as_str);
    let run = || sort.and_then(|text| text.parse::<RunId>().ok());
    let number = || value.get("id").and_then(Value::as_i64);
    let srn = || {
        let text = value.get("id").and_then(Value::as_str);
        text.filter(|s| !s.contains('\0')).map(str::to_owned)
    };
    let key = match listed {
        Listed::Records => sort
            .and_then(parse_timestamp)
            .zip(srn())
            .map(|(at, srn)| PageKey::Record(at, srn)),
        Listed::Rows => number().map(PageKey::Row),
        Listed::RowsOfRuns => run().zip(number()).map(|(run, id)| PageKey::OfRun(run, id)),
        Listed::RecordsOfRuns => run().zip(srn()).map(|(run, srn)| PageKey::RecordOfRun(run, srn)),
    };
    key.ok_or_else(malformed)
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
            assert!(decode(&scope, Listed::Records, &text).is_err(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went_and_fits_its_own_table_only(id in any::<i64>(), nanos in 0_i64..4_000_000_000_000_000) {
            let (own, other) = (PageScope::of(&["a"]), PageScope::of(&["b"]));
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos) * 1000).unwrap();
            let run = RunId::from_uuid(uuid::Uuid::from_u64_pair(id.cast_unsigned(), 7));
            let keys = [
                (Listed::Rows, PageKey::Row(id)),
                (Listed::Records, PageKey::Record(at, "urn:x".into())),
                (Listed::RowsOfRuns, PageKey::OfRun(run, id)),
                (Listed::RecordsOfRuns, PageKey::RecordOfRun(run, "urn:x".into())),
            ];
            for (listed, key) in &keys {
                let text = encode(&own, key);
                prop_assert_eq!(&decode(&own, *listed, &text).unwrap(), key);
                prop_assert!(decode(&other, *listed, &text).is_err());
                for (wrong, _) in keys.iter().filter(|(l, _)| l != listed && !(*l == Listed::Rows && *listed == Listed::RowsOfRuns)) {
                    prop_assert!(decode(&own, *wrong, &text).is_err());
                }
            }
        }

        #[test]
        fn no_text_makes_decoding_panic(text in ".{0,80}") {
            let _ = decode(&PageScope::of(&["a"]), Listed::Records, &text);
        }
    }
}
