//! Decimal digits of numbers, as spreadsheet programs show them.

/// A number with at most 15 significant digits, which is what spreadsheet programs keep and show:
/// 0.d₁d₂d₃… × 10^exponent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Without trailing zeros; empty for zero.
    digits: Vec<u8>,
    exponent: i32,
}

/// A number with a fixed number of decimals.
pub(super) struct Rounded {
    /// Digits before the point, without leading zeros.
    pub(super) whole: Vec<u8>,
    /// Digits after the point.
    pub(super) fraction: Vec<u8>,
    /// Whether no digit was lost.
    pub(super) exact: bool,
}

impl Decimal {
    /// Returns the 15 significant digits of a finite number.
    pub(super) fn of(value: f64) -> Self {
        let text = format!("{:.14e}", value.abs());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        Self {
            negative: value < 0.0,
            exponent: if digits.is_empty() {
                0
            } else {
                exponent.parse().unwrap_or(0) + 1
            },
            digits,
        }
    }

    /// Multiplies by a power of ten.
    pub(super) fn scaled(mut self, power: i32) -> Self {
        if !self.digits.is_empty() {
            self.exponent += power;
        }
        self
    }

    /// Returns the number of significant digits.
    pub(super) fn len(&self) -> usize {
        self.digits.len()
    }

    /// Rounds to this number of decimals, half away from zero.
    pub(super) fn rounded(&self, decimals: usize) -> Rounded {
        let places = i32::try_from(decimals).unwrap_or(i32::MAX);
        let kept = usize::try_from(self.exponent.saturating_add(places)).ok();
        let mut exponent = self.exponent;
        let mut digits = match kept {
            None => Vec::new(),
            Some(kept) => {
                let mut digits: Vec<u8> = self.digits.iter().take(kept).copied().collect();
                if self.digits.get(kept).is_some_and(|digit| *digit >= b'5') {
                    let nines = digits.iter().rev().take_while(|digit| **digit == b'9').count();
                    digits.truncate(digits.len() - nines);
                    match digits.last_mut() {
                        Some(last) => *last += 1,
                        None => {
                            digits.push(b'1');
                            exponent += 1;
                        }
                    }
                }
                digits
            }
        };
        if digits.is_empty() {
            exponent = 0;
        }
        let before = usize::try_from(exponent).unwrap_or(0);
        let zeros = usize::try_from(-exponent).unwrap_or(0).min(decimals);
        while digits.len() < before {
            digits.push(b'0');
        }
        let mut fraction = vec![b'0'; zeros];
        fraction.extend(digits.drain(before..));
        fraction.resize(decimals, b'0');
        Rounded {
            whole: digits,
            fraction,
            exact: kept.map_or(self.digits.is_empty(), |kept| self.digits.len() <= kept),
        }
    }

    /// Spells the number without a format: `3.75`, `-0.001`, `1.5E-9`.
    pub(super) fn plain(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        if self.digits.is_empty() {
            return "0".to_owned();
        }
        if !(-6..=21).contains(&self.exponent) {
            let rest = text(self.digits.get(1..).unwrap_or_default());
            let point = if rest.is_empty() { "" } else { "." };
            let first = text(self.digits.get(..1).unwrap_or_default());
            let power = self.exponent - 1;
            return format!("{sign}{first}{point}{rest}E{power}");
        }
        let decimals = i32::try_from(self.digits.len()).unwrap_or(i32::MAX) - self.exponent;
        let parts = self.rounded(usize::try_from(decimals).unwrap_or(0));
        let whole = if parts.whole.is_empty() {
            "0".to_owned()
        } else {
            text(&parts.whole)
        };
        let point = if parts.fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{}", text(&parts.fraction))
    }
}

/// Returns ASCII digits as text.
fn text(digits: &[u8]) -> String {
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// Parses a decimal number: digits with a sign, a point and an exponent, and nothing else that floats can be.
pub(super) fn parse(text: &str) -> Option<f64> {
    let decimal = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.bytes().all(decimal) || !text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n: &f64| n.is_finite())
}

/// Returns whether a number that is spelled like this has more digits than spreadsheet programs and floats keep.
pub(super) fn is_too_long(spelled: &str, value: f64) -> bool {
    let mantissa = spelled.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let significant = digits.trim_matches('0').len();
    // Up to 17 digits is how a float is written down; a whole number of more than 15 digits was cut by a program.
    significant > 17
        || (value == 0.0 && significant > 0)
        || (value.abs() >= 1e15 && significant >= 15 && Decimal::of(value).len() >= 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_with_fifteen_digits() {
        for (value, spelled) in [
            (0.0, "0"),
            (-0.0, "0"),
            (7.0, "7"),
            (-7.5, "-7.5"),
            (3.750_000_000_000_000_4, "3.75"),
            (0.1 + 0.2, "0.3"),
            (0.001, "0.001"),
            (1e-9, "1E-9"),
            (1.5e-9, "1.5E-9"),
            (6.02e23, "6.02E23"),
            (123_456_789_012.0, "123456789012"),
            (1e20, "100000000000000000000"),
        ] {
            assert_eq!(Decimal::of(value).plain(), spelled);
        }
    }

    #[test]
    fn rounding_is_away_from_zero_and_carries() {
        let shown = |value: f64, decimals: usize| {
            let parts = Decimal::of(value).rounded(decimals);
            (text(&parts.whole), text(&parts.fraction), parts.exact)
        };
        let is = |whole: &str, fraction: &str, exact| (whole.to_owned(), fraction.to_owned(), exact);
        assert_eq!(shown(0.125, 2), is("", "13", false));
        assert_eq!(shown(9.996, 2), is("10", "00", false));
        assert_eq!(shown(0.996, 2), is("1", "00", false));
        assert_eq!(shown(0.5, 0), is("1", "", false));
        assert_eq!(shown(0.04, 1), is("", "0", false));
        assert_eq!(shown(0.06, 1), is("", "1", false));
        assert_eq!(shown(0.001, 1), is("", "0", false));
        assert_eq!(shown(0.0, 2), is("", "00", true));
        assert_eq!(shown(1500.0, 1), is("1500", "0", true));
        assert_eq!(shown(0.05, 3), is("", "050", true));
    }

    #[test]
    fn only_decimal_numbers_are_numbers() {
        for good in ["1", "-1.5", "+1", "1e5", "1E-5", ".5", "5."] {
            assert!(parse(good).is_some(), "{good}");
        }
        for bad in [
            "", "inf", "NaN", "infinity", "1,5", "1 000", "e", ".", "1e999", "0x10", "١",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_no_float_keeps_is_too_long() {
        for (spelled, too_long) in [
            ("0.10000000000000001", false),
            ("3.7500000000000004", false),
            ("123456789012345", false),
            ("6.02E+23", false),
            ("6.0199999999999995E+23", false),
            ("1.23456789012345E+16", true),
            ("9007199254740993", true),
            ("12345678901234567890", true),
            ("0.1234567890123456789", true),
            ("1e-400", true),
        ] {
            let value = spelled.parse().unwrap();
            assert_eq!(is_too_long(spelled, value), too_long, "{spelled}");
        }
    }
}
