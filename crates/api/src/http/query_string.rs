//! Query strings and forms as they were sent. The framework takes the first of two values, other servers the last, and it
//! replaces what is no UTF-8; here, both are faults.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::registry::schema::shortened;
use domain::{Fault, Invalid};
use serde_json::Value;

use crate::http::problem::MAX_FAULTS;

/// Operations that refuse unknown parameters. A push with `?dry_runn=true` would store its records.
const STRICT: &[&str] = &["pushRecords"];

/// Decodes a name or a value (URL standard, `application/x-www-form-urlencoded`). `None` if it is no UTF-8.
pub(crate) fn decoded(raw: &[u8]) -> Option<String> {
    let digit = |at: usize| char::from(*raw.get(at)?).to_digit(16);
    let mut bytes = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        at += 1;
        match (byte, digit(at), digit(at + 1)) {
            (b'+', ..) => bytes.push(b' '),
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).ok()?);
                at += 2;
            }
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Splits a query or a form at `&` into names and values, still encoded.
pub(crate) fn pairs(raw: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = raw.split(|b| *b == b'&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| match pair.iter().position(|b| *b == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => pair.split_at(pair.len()),
    })
}

/// The query parameters of an operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownQuery {
    /// Names, and whether a parameter may be repeated.
    params: Arc<Vec<(String, bool)>>,
    strict: bool,
}

impl KnownQuery {
    /// Collects the parameters of an operation of the OpenAPI document.
    pub(crate) fn of(operation: &Value) -> Self {
        let params = operation["parameters"].as_array().into_iter().flatten();
        let params = params.filter(|param| param["in"] == "query").map(|param| {
            let name = param["name"].as_str().unwrap_or_default();
            (name.to_owned(), param["schema"]["type"] == "array")
        });
        let id = operation["operationId"].as_str().unwrap_or_default();
        Self {
            params: Arc::new(params.collect()),
            strict: STRICT.contains(&id),
        }
    }

    /// Returns every known parameter that comes twice or is no UTF-8 as a fault. Unknown ones are ignored, except for
    /// operations that refuse them (WC-1).
    pub(crate) fn check(&self, query: &str) -> Result<(), Invalid> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for (name, value) in pairs(query.as_bytes()) {
            let name = decoded(name);
            let known = self.params.iter().find(|(known, _)| name.as_ref() == Some(known));
            let (message, rule) = match known {
                Some(_) if decoded(value).is_none() => ("is not valid UTF-8", "value_error"),
                Some((known, false)) if !seen.insert(known) => ("is given twice", "duplicate_key"),
                None if self.strict => ("is not a parameter of this operation", "extra_forbidden"),
                _ => continue,
            };
            let name = name.unwrap_or_default();
            faults.push(Fault::typed(rule, [shortened(&name).into()], message));
            if faults.len() == MAX_FAULTS {
                break;
            }
        }
        Invalid::unless_empty(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn operation(id: &str) -> KnownQuery {
        KnownQuery::of(&json!({"operationId": id, "parameters": [
            {"name": "limit", "in": "query", "schema": {"type": "integer"}},
            {"name": "side", "in": "query", "schema": {"$ref": "#/components/schemas/Side"}},
            {"name": "kind", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
            {"name": "id", "in": "path", "schema": {"type": "string"}},
        ]}))
    }

    fn faults(known: &KnownQuery, query: &str) -> Vec<(String, &'static str)> {
        let faults = known.check(query).map_or_else(|e| e.faults, |()| Vec::new());
        faults.iter().map(|fault| (fault.path(), fault.rule)).collect()
    }

    // proves EDG-1
    #[test]
    fn a_parameter_has_one_reading_or_is_refused() {
        let list = operation("list");
        for fine in [
            "",
            "limit=1",
            "kind=a&kind=b&limit=1&side=%C3%BC",
            "x=1&x=2&y=%ff&%ff",
            "id=1&id=2",
            "LIMIT=1&limit=2",
            "&&limit",
        ] {
            assert_eq!(faults(&list, fine), [], "{fine}");
        }
        for (query, (name, rule)) in [
            ("limit=1&limit=1", ("limit", "duplicate_key")),
            ("limit=1&l%69mit=2", ("limit", "duplicate_key")),
            ("side=a&x=1&side", ("side", "duplicate_key")),
            ("kind=a&kind=%E4", ("kind", "value_error")),
        ] {
            assert_eq!(faults(&list, query), [(name.to_owned(), rule)], "{query}");
        }
        assert_eq!(faults(&list, &"limit&".repeat(10_000)).len(), MAX_FAULTS);
        assert_eq!(
            faults(&operation("pushRecords"), "limit=1&limitt=1"),
            [("limitt".to_owned(), "extra_forbidden")]
        );
    }

    #[test]
    fn names_and_values_are_decoded_as_browsers_encode_them() {
        for (raw, text) in [
            ("a+b%2b%C3%BC", Some("a b+ü")),
            ("100%", Some("100%")),
            ("%4", Some("%4")),
            ("%+f", Some("% f")),
            ("%zz", Some("%zz")),
            ("%E4", None),
        ] {
            assert_eq!(decoded(raw.as_bytes()).as_deref(), text, "{raw}");
        }
    }
}
