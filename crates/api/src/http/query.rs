//! Query parameters that several lists share.

use std::borrow::Cow;
use std::num::IntErrorKind;
use std::time::Duration;

use domain::{Actor, Invalid, ServiceAccountId, UserId};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type};
use serde_json::Value;

use crate::http::problem::Problem;

/// Creates a problem for an invalid query parameter.
pub(crate) fn refused(field: &str, invalid: Invalid) -> Problem {
    Problem::invalid(&invalid.of_field(field), "query")
}

/// Creates a problem for an invalid field of the body.
pub(crate) fn refused_body(field: &str, invalid: Invalid) -> Problem {
    Problem::invalid(&invalid.of_field(field), "body")
}

/// A page size, or the seconds of a long poll: an integer with any number of digits, saturated to 64 bits. In a body, too,
/// which [`super::body`] knows by the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) i64);

impl Type for Limit {
    const IS_REQUIRED: bool = true;
    type RawValueType = i64;
    type RawElementValueType = i64;

    fn name() -> Cow<'static, str> {
        i64::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        // Without a format: `int64` would say that larger numbers are refused.
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("integer")))
    }

    fn as_raw_value(&self) -> Option<&i64> {
        Some(&self.0)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a i64> + 'a> {
        Box::new(std::iter::once(&self.0))
    }
}

impl ParseFromParameter for Limit {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        match value.parse::<i64>() {
            Ok(number) => Ok(Self(number)),
            Err(error) => match error.kind() {
                IntErrorKind::PosOverflow => Ok(Self(i64::MAX)),
                IntErrorKind::NegOverflow => Ok(Self(i64::MIN)),
                _ => Err(ParseError::custom(error)),
            },
        }
    }
}

impl ParseFromJSON for Limit {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let value = value.unwrap_or_default();
        let number = value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX));
        number
            .map(Self)
            .ok_or_else(|| ParseError::custom("must be an integer"))
    }
}

impl ToJSON for Limit {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.into())
    }
}

/// Returns the page size of a list whose limit must be between 1 and the maximum (WC-1.7).
pub(crate) fn strict_page_size(limit: Option<Limit>, (usual, most): (u32, u32)) -> Result<u32, Problem> {
    let Some(Limit(number)) = limit else {
        return Ok(usual);
    };
    let size = u32::try_from(number.clamp(0, i64::from(u32::MAX))).unwrap_or(0);
    if size < 1 {
        let rule = Invalid::typed("greater_than_equal", "must be at least 1");
        return Err(refused("limit", rule));
    }
    if size > most {
        let rule = Invalid::typed("less_than_equal", format!("must be at most {most}"));
        return Err(refused("limit", rule));
    }
    Ok(size)
}

/// Returns the page size: the default without a limit, and at most the maximum.
pub(crate) fn page_size(limit: Option<Limit>, (usual, most): (u32, u32)) -> u32 {
    limit.map_or(usual, |Limit(n)| {
        u32::try_from(n.clamp(1, i64::from(most))).unwrap_or(most)
    })
}

/// Returns the duration of a long poll: 0 by default, at most 30 s.
pub(crate) fn wait(seconds: Option<Limit>) -> Duration {
    let seconds = seconds.map_or(0, |Limit(seconds)| seconds);
    Duration::from_secs(seconds.clamp(0, 30).unsigned_abs())
}

/// Parses `user:<id>` or `service_account:<id>`.
pub(crate) fn actor(text: &str) -> Result<Actor, Invalid> {
    let rule = || Invalid::value("must be user:<id> or service_account:<id>, with a UUID as id");
    match text.split_once(':') {
        Some(("user", id)) => id.parse::<UserId>().map(Actor::User).map_err(|_| rule()),
        Some(("service_account", id)) => id
            .parse::<ServiceAccountId>()
            .map(Actor::ServiceAccount)
            .map_err(|_| rule()),
        _ => Err(rule()),
    }
}

/// Checks that a text of the body has at most `most` bytes and is not empty.
pub(crate) fn bounded(field: &str, text: Option<String>, most: usize) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.is_empty() || text.len() > most => Err(refused_body(
            field,
            Invalid::value(format!("must have 1 to {most} bytes")),
        )),
        other => Ok(other),
    }
}

/// Returns the size of a value as JSON in bytes, with every number written out as PostgreSQL stores and returns it:
/// `1e308` has 309 digits.
fn size(value: &Value) -> usize {
    match value {
        Value::Number(number) => {
            let text = number.to_string();
            let exponent = text.split_once(['e', 'E']).map_or(0, |(_, exponent)| {
                exponent
                    .trim_start_matches(['+', '-'])
                    .parse()
                    .unwrap_or(usize::MAX)
            });
            text.len().saturating_add(exponent)
        }
        Value::Array(items) => items
            .iter()
            .map(size)
            .fold(2, |all, one| all.saturating_add(one).saturating_add(1)),
        Value::Object(map) => map.iter().fold(2, |all, (key, item)| {
            all.saturating_add(key.len() + 4).saturating_add(size(item))
        }),
        other => other.to_string().len(),
    }
}

/// Checks that a JSON value of the body has at most `most` bytes.
pub(crate) fn bounded_json(field: &str, value: &Value, most: usize) -> Result<(), Problem> {
    let size = size(value);
    if size > most {
        return Err(refused_body(
            field,
            Invalid::value(format!("must have at most {most} bytes as JSON, and has {size}")),
        ));
    }
    Ok(())
}

/// Parses a row id of a path.
pub(crate) fn row_id(text: &str) -> Result<i64, Problem> {
    text.parse::<i64>().map_err(|_| {
        let invalid = Invalid::typed("int_parsing", "must be a whole number").of_field("row_id");
        Problem::invalid(&invalid, "path")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_limit_of_any_length_is_clamped_unless_its_range_is_strict() {
        let limit = |text: &str| Limit::parse_from_parameter(text).ok();
        for (text, size) in [
            ("7", 7),
            ("0", 1),
            ("-1", 1),
            ("999999999999999999999999999999", 1000),
            ("-999999999999999999999999999999", 1),
        ] {
            assert_eq!(page_size(Some(limit(text).unwrap()), (50, 1000)), size, "{text}");
        }
        assert_eq!(page_size(None, (50, 1000)), 50);
        for text in ["", "x", "1.5", "1e3"] {
            assert!(limit(text).is_none(), "{text}");
        }
        assert_eq!(strict_page_size(None, (50, 500)).unwrap(), 50);
        assert_eq!(strict_page_size(limit("500"), (50, 500)).unwrap(), 500);
        for text in ["0", "-3", "501", "999999999999999999999999999999"] {
            assert!(strict_page_size(limit(text), (50, 500)).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_count_as_long_as_they_are_written_out() {
        assert!(size(&json!([1e308, 1e-308])) > 600);
        assert!(bounded_json("f", &json!(vec![1e308; 100]), 20_000).is_err());
        assert!(bounded_json("f", &json!(vec![1.5; 100]), 1000).is_ok());
        let value = json!({"a": [1, "x", null], "b": {"c": true}});
        assert!(size(&value) >= value.to_string().len());
    }
}
