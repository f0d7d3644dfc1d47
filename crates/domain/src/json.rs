//! JSON: a canonical form, and reading without loss and in bounded memory.

mod exact;
mod saturate;
pub mod weight;

pub use exact::{MAX_WEIGHT, double_survives, number_survives, parse_exact};
pub use saturate::saturate;

use serde_json::{Number, Value};

/// Writes JSON with sorted keys and without spaces: the same text for the same value, independent of a client's key
/// order.
pub fn canonical_json(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<_> = map.keys().collect();
                keys.sort_unstable();
                out.push('{');
                for (n, key) in keys.into_iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    out.push_str(&Value::from(key.as_str()).to_string());
                    out.push(':');
                    write(&map[key], out);
                }
                out.push('}');
            }
            Value::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    write(item, out);
                }
                out.push(']');
            }
            other => out.push_str(&other.to_string()),
        }
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// Returns the one spelling of a number's value: an integer as an integer, however it was written.
pub fn canonical_number(number: &Number) -> Number {
    /// Up to here a double holds every integer exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(double) if number.is_f64() && double.fract() == 0.0 && double.abs() <= EXACT =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "an integer up to 2^53 is exact in both"
            )]
            Number::from(double as i64)
        }
        _ => number.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        for text in ["3750", "3750.0", "3.75e3", "375000e-2"] {
            let number: Number = serde_json::from_str(text).unwrap();
            assert_eq!(canonical_number(&number).to_string(), "3750", "{text}");
        }
        let zero: Number = serde_json::from_str("-0.0").unwrap();
        assert_eq!(canonical_number(&zero).to_string(), "0");
        let half: Number = serde_json::from_str("0.5").unwrap();
        assert_eq!(canonical_number(&half), half);
    }
}
