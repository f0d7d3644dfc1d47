//! Typed values of table columns, and their conversion from JSON (WC-4.1, WC-4.2).

use serde_json::Value;
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};
use uuid::Uuid;

use crate::json::double_survives;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// Text; any other JSON value is stored as its JSON text (WC-D10).
    Text,
    /// A 64-bit float.
    Number,
    /// A 64-bit integer.
    Integer,
    /// True or false.
    Boolean,
    /// A calendar date.
    Date,
    /// A point in time.
    Timestamp,
    /// A UUID.
    Uuid,
    /// Any JSON, stored unchanged (WC-D22).
    Json,
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// A value of [`ColumnType::Text`].
    Text(String),
    /// A value of [`ColumnType::Number`]; always finite.
    Number(f64),
    /// A value of [`ColumnType::Integer`].
    Integer(i64),
    /// A value of [`ColumnType::Boolean`].
    Boolean(bool),
    /// A value of [`ColumnType::Date`].
    Date(Date),
    /// A value of [`ColumnType::Timestamp`].
    Timestamp(OffsetDateTime),
    /// A value of [`ColumnType::Uuid`].
    Uuid(Uuid),
    /// A value of [`ColumnType::Json`].
    Json(Value),
}

impl Cell {
    /// Converts a JSON value to a cell of this column type; `Err` is the violated rule.
    pub fn from_json(value: &Value, column: ColumnType) -> Result<Self, &'static str> {
        if value.is_null() {
            return Ok(Self::Null);
        }
        match (column, value) {
            // PostgreSQL can store the character NUL neither in text nor in jsonb.
            (ColumnType::Text, Value::String(text)) if text.contains('\0') => {
                Err("must not contain the character NUL")
            }
            (ColumnType::Text, Value::String(text)) => Ok(Self::Text(text.clone())),
            (ColumnType::Text | ColumnType::Json, other) if has_nul(other) => {
                Err("must not contain the character NUL")
            }
            (ColumnType::Text, other) => Ok(Self::Text(other.to_string())),
            (ColumnType::Json, other) => Ok(Self::Json(other.clone())),
            (ColumnType::Number, Value::Number(number)) => double(number).map(Self::Number),
            (ColumnType::Number, _) => Err("must be a number"),
            (ColumnType::Integer, Value::Number(number)) => integer(number)
                .map(Self::Integer)
                .ok_or("must be an integer of at most 64 bits"),
            (ColumnType::Integer, _) => Err("must be an integer"),
            (ColumnType::Boolean, Value::Bool(truth)) => Ok(Self::Boolean(*truth)),
            (ColumnType::Boolean, _) => Err("must be true or false"),
            (ColumnType::Date, Value::String(text)) => parse_date(text)
                .map(Self::Date)
                .ok_or("must be a date, YYYY-MM-DD"),
            (ColumnType::Date, _) => Err("must be a date, YYYY-MM-DD"),
            (ColumnType::Timestamp, Value::String(text)) => parse_timestamp(text)
                .map(Self::Timestamp)
                .ok_or("must be a date and time with an offset (RFC 3339)"),
            (ColumnType::Timestamp, _) => Err("must be a date and time with an offset (RFC 3339)"),
            (ColumnType::Uuid, Value::String(text)) => Uuid::parse_str(text)
                .map(Self::Uuid)
                .map_err(|_| "must be a UUID"),
            (ColumnType::Uuid, _) => Err("must be a UUID"),
        }
    }
}

impl Cell {
    /// Converts to JSON from which [`Cell::from_json`] creates the same cell again.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text(text) => Value::String(text.clone()),
            Self::Number(number) => serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number),
            Self::Integer(number) => Value::from(*number),
            Self::Boolean(truth) => Value::Bool(*truth),
            Self::Date(date) => Value::String(date.to_string()),
            Self::Timestamp(at) => at.format(&Rfc3339).map_or(Value::Null, Value::String),
            Self::Uuid(id) => Value::String(id.to_string()),
            Self::Json(value) => value.clone(),
        }
    }
}

/// Returns whether any text inside contains the character NUL.
pub fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Returns the number as a double, unless it is an integer that a double would round.
fn double(number: &serde_json::Number) -> Result<f64, &'static str> {
    let double = number
        .as_f64()
        .filter(|n| n.is_finite())
        .ok_or("must be a finite number")?;
    if number.is_f64() || double_survives(&number.to_string()) {
        Ok(double)
    } else {
        Err("must be a number that a 64-bit float holds exactly; integers above 2^53 may need a text field")
    }
}

fn integer(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        // Many languages write 3 as 3.0. Below 2^53 a float represents its integer exactly.
        let float = number.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an integer below 2^53 is exact in both"
        )]
        (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
    })
}

/// Returns the date if PostgreSQL and every client can represent its year.
fn sane(date: Date) -> Option<Date> {
    (1..=9999).contains(&date.year()).then_some(date)
}

/// Parses `YYYY-MM-DD`, or the date of a date-time (WC-D10).
pub fn parse_date(text: &str) -> Option<Date> {
    let plain = format_description!("[year]-[month]-[day]");
    let date = match text.get(10..11) {
        None if text.len() == 10 => Date::parse(text, plain).ok()?,
        Some("T" | "t" | " ") => {
            // The rest must be a time. Otherwise a slip such as "2007-11-11 or 12" would pass as a date.
            let rest = text.replacen(' ', "T", 1);
            let whole = OffsetDateTime::parse(&rest, &Rfc3339).is_ok()
                || time::PrimitiveDateTime::parse(&rest, &Iso8601::DEFAULT).is_ok();
            if !whole {
                return None;
            }
            Date::parse(text.get(..10)?, plain).ok()?
        }
        _ => return None,
    };
    sane(date)
}

/// Parses an RFC 3339 time, with `T` or a space between date and time.
pub fn parse_timestamp(text: &str) -> Option<OffsetDateTime> {
    let normal = if text.as_bytes().get(10) == Some(&b' ') {
        text.replacen(' ', "T", 1)
    } else {
        text.to_owned()
    };
    // In UTC, because PostgreSQL accepts no offset of 16 hours or more, and because the year may differ there.
    let at = OffsetDateTime::parse(&normal, &Rfc3339)
        .ok()?
        .checked_to_offset(UtcOffset::UTC)?;
    sane(at.date()).map(|_| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_text_column_keeps_any_value_as_json_text() {
        assert_eq!(
            Cell::from_json(&json!(3.5), ColumnType::Text),
            Ok(Cell::Text("3.5".into()))
        );
        assert_eq!(
            Cell::from_json(&json!(["a"]), ColumnType::Text),
            Ok(Cell::Text("[\"a\"]".into()))
        );
        assert!(Cell::from_json(&json!("a\0b"), ColumnType::Text).is_err());
        assert!(Cell::from_json(&json!({"k": ["a\0"]}), ColumnType::Json).is_err());
    }

    #[test]
    fn integers_are_64_bits_and_may_be_written_as_floats() {
        assert_eq!(
            Cell::from_json(&json!(3.0), ColumnType::Integer),
            Ok(Cell::Integer(3))
        );
        let huge: Value = serde_json::from_str("123456789012345678901234567890").unwrap();
        assert!(Cell::from_json(&huge, ColumnType::Integer).is_err());
        assert!(Cell::from_json(&json!(3.5), ColumnType::Integer).is_err());
        assert!(Cell::from_json(&json!(true), ColumnType::Integer).is_err());
    }

    #[test]
    fn timestamps_are_in_utc_and_in_a_year_that_everybody_can_hold() {
        let at = parse_timestamp("2020-01-01T00:00:00+16:00").unwrap();
        assert_eq!(
            (at.offset(), at.date().to_string().as_str()),
            (UtcOffset::UTC, "2019-12-31")
        );
        for bad in [
            "9999-12-31T23:59:59-15:00",
            "0001-01-01T00:00:00+01:00",
            "2020-01-01T00:00:00",
            "2020-01-01",
        ] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_dates_or_the_dates_of_date_times() {
        assert!(parse_date("2007-11-11").is_some());
        assert_eq!(parse_date("2007-11-11T10:00:00Z"), parse_date("2007-11-11"));
        assert_eq!(parse_date("2007-11-11 10:00:00"), parse_date("2007-11-11"));
        for bad in [
            "2007-13-01",
            "2007-02-30",
            "11/11/2007",
            "2007-11-11 or 12",
            "2007-11-11T",
            "",
            "0000-01-01",
            "2007-1-1",
        ] {
            assert_eq!(parse_date(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_cell_panic(text in ".{0,40}") {
            for column in [ColumnType::Text, ColumnType::Date, ColumnType::Timestamp, ColumnType::Uuid, ColumnType::Number] {
                let _ = Cell::from_json(&Value::String(text.clone()), column);
            }
        }
    }
}
