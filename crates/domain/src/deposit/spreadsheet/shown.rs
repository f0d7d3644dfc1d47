//! What a cell with a number format shows.

use crate::deposit::spreadsheet::decimal::{Decimal, Rounded};
use crate::deposit::spreadsheet::format_code::{Token, sections};

/// Maximum length of a format's code, in bytes. Spreadsheet programs allow 255 characters.
const MAX_CODE: usize = 1024;

/// How a cell shows its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// As a number.
    Number {
        /// The text, if it is known.
        text: Option<String>,
        /// Whether a person reads the number that the cell holds, possibly rounded.
        plain: bool,
        /// Whether the text has every digit of the number.
        exact: bool,
    },
    /// As a date, a time of day or both.
    Moment {
        /// Whether a date is shown.
        date: bool,
        /// Whether a time of day is shown.
        time: bool,
        /// Whether it is shown in the way of ISO 8601.
        iso: bool,
    },
    /// As a duration.
    Duration {
        /// Whether it is shown as hours, minutes and seconds.
        hms: bool,
    },
}

/// Returns how a cell with this format shows the number.
pub(super) fn number(code: &str, value: f64) -> Shown {
    let unknown = Shown::Number {
        text: None,
        plain: false,
        exact: false,
    };
    if code.len() > MAX_CODE {
        return unknown;
    }
    let mut sections = sections(code);
    if sections.iter().flatten().any(|token| *token == Token::Unknown) {
        return unknown;
    }
    if sections.len() > 1 && sections.last().is_some_and(|last| last.contains(&Token::Text)) {
        sections.pop();
    }
    let index = match sections.len() {
        2.. if value < 0.0 => 1,
        3.. if value == 0.0 => 2,
        _ => 0,
    };
    let mut section = sections.swap_remove(index);
    let digit = |token: &Token| matches!(token, Token::Digit(_));
    let dated = |token: &Token| matches!(token, Token::Date(_) | Token::Elapsed);
    if let Some(at) = section.iter().position(dated) {
        // An unquoted unit, as in `0 kg`, is no date.
        let unit = section[..at].iter().any(digit);
        return if unit { unknown } else { moment(code, &section) };
    }
    let minus = index == 0 && value < 0.0;
    let general = |token: &Token| matches!(token, Token::General | Token::Text);
    if code.trim().is_empty() || section.iter().any(general) {
        let digits = Decimal::of(value.abs()).plain();
        let text: String = section
            .iter()
            .map(|token| match token {
                Token::Literal(c) => c.to_string(),
                token if general(token) => digits.clone(),
                _ => String::new(),
            })
            .collect();
        let text = if section.is_empty() { digits } else { text };
        return as_number(value, minus, Some(text), &section, exactly(value));
    }
    let fraction = section
        .iter()
        .position(|token| *token == Token::Slash)
        .is_some_and(|at| {
            section[..at].iter().any(digit)
                && section[at..]
                    .iter()
                    .any(|t| digit(t) || matches!(t, Token::Literal('1'..='9')))
        });
    if section.contains(&Token::Exponent) || fraction {
        section.retain(|token| *token != Token::Slash);
        return as_number(value, minus, None, &section, false);
    }
    let (text, exact) = digits(&section, value);
    as_number(value, minus, Some(text), &section, exact && exactly(value))
}

/// Returns the text that a cell with this format shows instead of its text, if it is a different one.
pub(super) fn text(code: &str, text: &str) -> Option<String> {
    if code.len() > MAX_CODE {
        return None;
    }
    let sections = sections(code);
    let section = match sections.len() {
        4.. => sections.get(3),
        _ => sections.last().filter(|last| last.contains(&Token::Text)),
    }?;
    let shown: String = section
        .iter()
        .map(|token| match token {
            Token::Text | Token::General => text.to_owned(),
            Token::Literal(c) => c.to_string(),
            _ => String::new(),
        })
        .collect();
    (shown.trim() != text.trim()).then(|| shown.trim().to_owned())
}

/// Returns whether the 15 digits that are shown are the number.
fn exactly(value: f64) -> bool {
    Decimal::of(value).plain().parse() == Ok(value)
}

/// Returns how a section with letters of dates shows a number.
fn moment(code: &str, section: &[Token]) -> Shown {
    let code = code.to_ascii_lowercase();
    let first = code.split(';').next().unwrap_or_default();
    let mut bare = String::new();
    let mut bracket = false;
    for c in first.chars() {
        match c {
            // `[$-409]` names a language.
            '[' if first.contains("[$") => bracket = true,
            ']' if bracket => bracket = false,
            '"' | '\\' => {}
            c if !bracket => bare.push(c),
            _ => {}
        }
    }
    let letters: Vec<char> = section
        .iter()
        .filter_map(|token| match token {
            Token::Date(letter) => Some(*letter),
            Token::Elapsed => Some('h'),
            _ => None,
        })
        .collect();
    let mut date = letters.iter().any(|letter| "ydegb".contains(*letter));
    let time = letters.iter().any(|letter| "hsa".contains(*letter));
    // An `m` is a minute after hours and before seconds, and a month elsewhere.
    for (at, _) in letters.iter().enumerate().filter(|(_, letter)| **letter == 'm') {
        let other = |letter: &&char| **letter != 'm';
        let before = letters[..at].iter().rev().find(other);
        let after = letters[at..].iter().find(other);
        date |= before != Some(&'h') && after != Some(&'s');
    }
    if section.contains(&Token::Elapsed) && !date {
        let hms = ["[h]:mm:ss", "[hh]:mm:ss", "[h]:mm:ss.000", "[hh]:mm:ss.000"].contains(&bare.as_str());
        return Shown::Duration { hms };
    }
    let iso_date = bare.strip_prefix("yyyy-mm-dd");
    let clock = match iso_date {
        Some(rest) => rest.strip_prefix(['t', ' ']).unwrap_or(rest),
        None => &bare,
    };
    let clocks = ["h:mm", "hh:mm", "h:mm:ss", "hh:mm:ss", "hh:mm:ss.000"];
    let iso = if clock.is_empty() {
        iso_date.is_some()
    } else {
        clocks.contains(&clock) && (iso_date.is_some() || !date)
    };
    Shown::Moment { date, time, iso }
}

/// Judges whether a person reads the number.
fn as_number(value: f64, minus: bool, text: Option<String>, section: &[Token], exact: bool) -> Shown {
    let literal = |wanted: &[char]| {
        section
            .iter()
            .any(|token| matches!(token, Token::Literal(c) if wanted.contains(c)))
    };
    let negative = minus || literal(&['-', '(', '−']);
    let first = section.iter().position(|token| matches!(token, Token::Digit(_)));
    let neutral = section.iter().enumerate().all(|(at, token)| match token {
        Token::Literal('-' | '+' | '−') => first.is_none_or(|first| at < first),
        Token::Literal(c) => c.is_whitespace() || matches!(c, '(' | ')'),
        token => !matches!(token, Token::Percent | Token::Slash),
    });
    let text = text.map(|text| {
        let sign = if minus && text.bytes().any(|b| matches!(b, b'1'..=b'9')) {
            "-"
        } else {
            ""
        };
        format!("{sign}{}", text.trim())
    });
    // A dash is the usual way to show a zero.
    let dash = value == 0.0 && text.as_deref() == Some("-");
    let some = text
        .as_deref()
        .is_none_or(|text| text.bytes().any(|b| b.is_ascii_digit()));
    Shown::Number {
        plain: dash || (some && neutral && !divides(section) && (value == 0.0 || negative == (value < 0.0))),
        text,
        exact: exact && some,
    }
}

/// Returns the number of commas that divide by 1000 each: those after the last digit, before or after the point.
fn dividing(section: &[Token]) -> usize {
    let point = section
        .iter()
        .position(|token| *token == Token::Point)
        .unwrap_or(section.len());
    let (before, after) = section.split_at(point);
    let trailing = |part: &[Token]| {
        let last = part.iter().rposition(|token| matches!(token, Token::Digit(_)));
        last.map_or(0, |last| {
            part[last..]
                .iter()
                .filter(|token| **token == Token::Comma)
                .count()
        })
    };
    trailing(before) + trailing(after)
}

fn divides(section: &[Token]) -> bool {
    dividing(section) > 0
}

/// Writes a number's digits into the places of a section. Returns whether all of them are shown.
fn digits(section: &[Token], value: f64) -> (String, bool) {
    let point = section
        .iter()
        .position(|token| *token == Token::Point)
        .unwrap_or(section.len());
    let (before, after) = section.split_at(point);
    let places = |part: &[Token]| part.iter().filter(|t| matches!(t, Token::Digit(_))).count();
    let percents = section.iter().filter(|token| **token == Token::Percent).count();
    let commas = dividing(section);
    let power = |count: usize| i32::try_from(count).unwrap_or(0);
    let scale = 2 * power(percents) - 3 * power(commas);
    let Rounded {
        whole,
        fraction,
        exact,
    } = Decimal::of(value.abs()).scaled(scale).rounded(places(after));
    let first = before.iter().position(|token| matches!(token, Token::Digit(_)));
    let grouped = {
        let last = before.iter().rposition(|token| matches!(token, Token::Digit(_)));
        first
            .zip(last)
            .is_some_and(|(first, last)| before[first..last].contains(&Token::Comma))
    };
    // From the right, because the leftmost place shows all digits that are left.
    let mut shown: Vec<char> = Vec::new();
    let mut left = whole.iter().rev().map(|digit| char::from(*digit));
    let mut count = 0;
    let mut put = |digit: char, shown: &mut Vec<char>| {
        if grouped && count > 0 && count % 3 == 0 {
            shown.push(',');
        }
        count += 1;
        shown.push(digit);
    };
    for (index, token) in before.iter().enumerate().rev() {
        match token {
            Token::Digit(place) => {
                match (left.next(), place) {
                    (Some(digit), _) => put(digit, &mut shown),
                    (None, '0') => put('0', &mut shown),
                    (None, '?') => shown.push(' '),
                    (None, _) => {}
                }
                if Some(index) == first {
                    for digit in left.by_ref() {
                        put(digit, &mut shown);
                    }
                }
            }
            Token::Literal(c) => shown.push(*c),
            Token::Percent => shown.push('%'),
            Token::Slash => shown.push('/'),
            _ => {}
        }
    }
    let mut text: String = shown.into_iter().rev().collect();
    if first.is_none() && !after.is_empty() {
        text.extend(whole.iter().map(|digit| char::from(*digit)));
    }
    let mut digits = fraction.iter();
    for token in after {
        match token {
            Token::Point => text.push('.'),
            Token::Digit(place) => {
                let nothing_left = digits.as_slice().iter().all(|digit| *digit == b'0');
                match (digits.next(), place) {
                    (_, '#') if nothing_left => {}
                    (_, '?') if nothing_left => text.push(' '),
                    (digit, _) => text.push(digit.map_or('0', |digit| char::from(*digit))),
                }
            }
            Token::Literal(c) => text.push(*c),
            Token::Percent => text.push('%'),
            Token::Slash => text.push('/'),
            _ => {}
        }
    }
    (text, exact)
}

#[cfg(test)]
mod tests;
