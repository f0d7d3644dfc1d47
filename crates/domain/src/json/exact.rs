//! Reading JSON without loss: what two readers would read differently, or what our numbers cannot hold, is refused
//! where it is.
//!
//! RFC 8259 leaves open what a repeated key means (section 4) and how exact a number is (section 6). A reader that
//! takes the last key and the nearest double changes what was sent without a word, so both are faults here.

use std::collections::HashSet;

use serde_json::Value;

use crate::json::weight::weight;
use crate::kind::{Fault, Invalid, Loc, shortened};

/// Maximum number of faults reported for one text.
const MAX_FAULTS: usize = 20;
/// Maximum memory of the value of a text, in bytes, as [`weight`] estimates it.
pub const MAX_WEIGHT: usize = 64 * 1024 * 1024;
/// A shorter text cannot weigh as much, in bytes.
const LIGHT: usize = 64 * 1024;
/// Number of significant digits that the exact value of a double can have (IEEE 754, binary64).
const MAX_DIGITS: usize = 767;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses JSON, and returns every repeated key and every number that would be rounded as a fault with its path.
///
/// A byte order mark at the start is skipped, as RFC 8259 section 8.1 allows. A number is kept if it is an integer of
/// 64 bits, or if its nearest double, written with as many digits, reads the same. A text whose value would take more
/// memory than [`MAX_WEIGHT`] is refused before it is read.
pub fn parse_exact(bytes: &[u8]) -> Result<Value, Invalid> {
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if text.len() > LIGHT && weight(text) > MAX_WEIGHT {
        return Err(Invalid::value(format!(
            "has so many values that they take more than {MAX_WEIGHT} bytes of memory"
        )));
    }
    // serde_json rejects nesting deeper than 128, so neither it nor the scan below can exhaust the stack.
    let value: Value = serde_json::from_slice(text).map_err(|e| Invalid::one(not_json(text, &e)))?;
    check_exact(text)?;
    Ok(value)
}

/// Returns the faults of [`parse_exact`] in a text that is valid JSON.
fn check_exact(text: &[u8]) -> Result<(), Invalid> {
    let mut scan = Scan {
        text,
        at: 0,
        path: Vec::new(),
        faults: Vec::new(),
    };
    scan.value();
    Invalid::unless_empty(scan.faults)
}

fn not_json(text: &[u8], error: &serde_json::Error) -> Fault {
    let place = text
        .split(|b| *b == b'\n')
        .nth(error.line().saturating_sub(1))
        .and_then(|line| line.get(error.column().saturating_sub(1)..))
        .unwrap_or_default();
    let bare = [&b"NaN"[..], b"aN", b"Infinity", b"nfinity", b"-Infinity"]
        .iter()
        .any(|word| place.starts_with(word));
    let hint = if bare {
        "; JSON has no NaN and no Infinity, write null"
    } else {
        ""
    };
    Fault {
        loc: vec![],
        message: format!("is not valid JSON: {error}{hint}"),
        rule: "json_invalid",
    }
}

/// Walks over a text that `serde_json` has accepted, so every token is well-formed.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    path: Vec<Loc>,
    faults: Vec<Fault>,
}

impl Scan<'_> {
    fn fault(&mut self, message: String, rule: &'static str) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault {
                loc: self.path.clone(),
                message,
                rule,
            });
        }
    }

    /// Skips white space and separators, and returns the next byte.
    fn next(&mut self) -> u8 {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':') {
                return *byte;
            }
            self.at += 1;
        }
        b'}'
    }

    fn value(&mut self) {
        match self.next() {
            b'{' => self.object(),
            b'[' => self.list(),
            b'"' => {
                self.string();
            }
            b'-' | b'0'..=b'9' => self.number(),
            // `true`, `false` or `null`.
            _ => self.skip_word(),
        }
    }

    fn object(&mut self) {
        self.at += 1;
        let mut keys = HashSet::new();
        while self.next() == b'"' {
            let token = self.string();
            let key: String = serde_json::from_slice(token).unwrap_or_default();
            self.path.push(shortened(&key).into());
            if !keys.insert(key) {
                self.fault("is given twice in one object".to_owned(), "duplicate_key");
            }
            self.value();
            self.path.pop();
        }
        self.at += 1;
    }

    fn list(&mut self) {
        self.at += 1;
        let mut index = 0_usize;
        while self.at < self.text.len() && self.next() != b']' {
            self.path.push(index.into());
            self.value();
            self.path.pop();
            index += 1;
        }
        self.at += 1;
    }

    /// Skips a string, and returns it with its quotes.
    fn string(&mut self) -> &[u8] {
        let begin = self.at;
        self.at += 1;
        while let Some(byte) = self.text.get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == b'"' {
                break;
            }
        }
        self.at = self.at.min(self.text.len());
        &self.text[begin..self.at]
    }

    fn skip_word(&mut self) {
        let length = self.text[self.at.min(self.text.len())..]
            .iter()
            .take_while(|b| b.is_ascii_alphabetic())
            .count();
        self.at += length.max(1);
    }

    fn number(&mut self) {
        let begin = self.at;
        let digits = |b: &&u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        self.at += self.text[begin..].iter().take_while(digits).count();
        let token = std::str::from_utf8(&self.text[begin..self.at]).unwrap_or_default();
        if !number_survives(token) {
            let message = format!(
                "must be a number that 64 bits hold exactly, not {}; send it as a string to keep every digit",
                shortened(token)
            );
            self.fault(message, "number_not_exact");
        }
    }
}

/// Returns whether a decimal number keeps its value: it is an integer of 64 bits, or its nearest double, written with
/// as many significant digits, reads the same. So every double that a program printed with any number of correct
/// digits survives, and `123456789012345678901234567890`, `1e400` and `1e-400` do not.
///
/// `token` is a number as in JSON; a leading `+` and missing digits before or after the point are allowed too.
pub fn number_survives(token: &str) -> bool {
    let integer = token.strip_prefix('+').unwrap_or(token);
    if integer.parse::<i64>().is_ok() || integer.parse::<u64>().is_ok() {
        return true;
    }
    double_survives(token)
}

/// Returns whether the nearest double of a decimal number, written with as many significant digits, reads the same.
pub fn double_survives(token: &str) -> bool {
    let Ok(double) = token.parse::<f64>() else {
        return false;
    };
    let unsigned = token.trim_start_matches(['-', '+']);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let leading_zeros = all.len() - significant.len();
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        return double == 0.0;
    }
    if !double.is_finite() || double == 0.0 || significant.len() > MAX_DIGITS {
        return false;
    }
    // The power of ten of the first significant digit.
    let (Ok(exponent), Ok(whole), Ok(zeros)) = (
        exponent.parse::<i64>(),
        i64::try_from(whole.len()),
        i64::try_from(leading_zeros),
    ) else {
        return false;
    };
    let Some(power) = exponent.checked_add(whole - zeros - 1) else {
        return false;
    };
    let written = format!("{:.*e}", significant.len() - 1, double.abs());
    let Some((digits, written_power)) = written.split_once('e') else {
        return false;
    };
    written_power.parse() == Ok(power)
        && (digits.replace('.', "") == significant || is_tie(double, significant))
}

/// Returns whether a double lies exactly in the middle between these significant digits and their neighbours: then both
/// are as good, and programs print one or the other (1758585270956236.25 as …236.2 or as …236.3).
fn is_tie(double: f64, significant: &str) -> bool {
    let exact = format!("{:.*e}", MAX_DIGITS - 1, double.abs()).replace('.', "");
    let Some((below, rest)) = exact.split_at_checked(significant.len()) else {
        return false;
    };
    let half = rest
        .strip_prefix('5')
        .and_then(|rest| rest.split_once('e'))
        .is_some_and(|(rest, _)| rest.bytes().all(|digit| digit == b'0'));
    half && (below == significant || increment(below) == significant)
}

/// Adds one to the last of some decimal digits. A carry out of the first one is lost.
fn increment(digits: &str) -> String {
    let kept = digits.trim_end_matches('9');
    let mut sum: Vec<u8> = kept.into();
    if let Some(last) = sum.last_mut() {
        *last += 1;
    }
    sum.resize(digits.len(), b'0');
    sum.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn faults(text: &str) -> Vec<(String, &'static str)> {
        let faults = parse_exact(text.as_bytes()).map_or_else(|e| e.faults, |_| Vec::new());
        faults.iter().map(|f| (f.path(), f.rule)).collect()
    }

    // proves EDG-1
    #[test]
    fn a_key_that_comes_twice_is_refused_at_any_depth() {
        let text = r#"{"a": {"b": [1, {"c": 1, "d": "x\"}", "\u0063": 2}]}, "a\\": [], "a": {}}"#;
        assert_eq!(
            faults(text),
            [
                ("a.b[1].c".to_owned(), "duplicate_key"),
                ("a".to_owned(), "duplicate_key")
            ]
        );
        assert!(faults(r#"{"a": [{}, [], {"b": null}, true, ""], "c": -1.5e3}"#).is_empty());
    }

    // proves EDG-1
    #[test]
    fn numbers_are_kept_or_refused_but_never_rounded() {
        for kept in [
            "0",
            "-0",
            "-0.0",
            "0e999999999999999999999",
            "9223372036854775807",
            "18446744073709551615",
            "-9223372036854775808",
            "1e22",
            "10000000000000000000000",
            "0.1",
            "0.30000000000000004",
            "1.100000000000000089e+00",
            "3750.0",
            "3.75e3",
            "5e-324",
            "4.9406564584124654e-324",
            "1.7976931348623157e308",
            "100e-2",
            "0.00012300",
            // In the middle between two numbers of 17 digits, of which one program writes this and another that one.
            "1758585270956236.2",
            "1758585270956236.3",
            "-1.7585852709562363e15",
        ] {
            assert!(number_survives(kept), "{kept}");
            assert!(parse_exact(kept.as_bytes()).is_ok(), "{kept}");
        }
        for lost in [
            "123456789012345678901234567890",
            "18446744073709551617",
            "-9223372036854775809",
            "123456789.123456789123",
            "0.1000000000000000000000000001",
            "1e400",
            "-1e400",
            "1e-400",
            "3e-324",
            "1e99999999999999999999",
            // Between the middle and its neighbour on the other side.
            "1758585270956236.1",
            "1758585270956236.4",
            "1758585270956236.31",
        ] {
            assert!(!number_survives(lost), "{lost}");
            assert!(parse_exact(lost.as_bytes()).is_err(), "{lost}");
        }
        assert!(!double_survives("9007199254740993") && double_survives("9007199254740992"));
        assert_eq!(
            faults(r#"{"a": [1, 1e-400]}"#),
            [("a[1]".to_owned(), "number_not_exact")]
        );
    }

    // proves ISO-3
    #[test]
    fn what_would_take_too_much_memory_is_refused_before_it_is_read() {
        let many = format!("[{}1]", "{},".repeat(110_000));
        let error = parse_exact(many.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("bytes of memory"), "{error}");
        let fine = format!("[{}1]", "0.125,".repeat(110_000));
        assert!(parse_exact(fine.as_bytes()).is_ok());
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_nan_gets_a_hint() {
        assert!(parse_exact(b"\xef\xbb\xbf{}").is_ok());
        for text in ["{\"a\": NaN}", "[1,\n Infinity]", "[-Infinity]"] {
            let error = parse_exact(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("write null"), "{text}: {error}");
        }
        assert!(
            !parse_exact(b"{,}")
                .unwrap_err()
                .to_string()
                .contains("write null")
        );
    }

    proptest! {
        #[test]
        fn what_a_program_prints_of_a_double_survives(double in any::<f64>().prop_filter("finite", |f| f.is_finite()), digits in 17_usize..40) {
            for text in [format!("{double:e}"), format!("{double:?}"), format!("{double:.digits$e}")] {
                prop_assert!(number_survives(&text), "{}", text);
            }
        }

        #[test]
        fn the_scan_ends_on_any_json(value in any_json()) {
            let text = value.to_string();
            prop_assert_eq!(parse_exact(text.as_bytes()).unwrap(), value);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,0-9eE.\\\\ a-z+-]{0,60}") {
            let _ = parse_exact(&bytes);
            let _ = parse_exact(text.as_bytes());
            let _ = check_exact(text.as_bytes());
            let _ = number_survives(&text);
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("finite", |f| f.is_finite())
                .prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(".{0,5}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
