//! The display of values: numbers, times, cells, and texts that are too long or contain forbidden characters.

use serde_json::Value;
use time::{OffsetDateTime, UtcOffset};

use crate::model::Count;

/// Returns whether HTML, markdown or YAML forbids a character: most controls, and Unicode's noncharacters.
pub(crate) fn forbidden(c: char) -> bool {
    let control = c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    let low = u32::from(c) & 0xffff;
    control || matches!(c, '\u{fdd0}'..='\u{fdef}') || low >= 0xfffe
}

/// Replaces every forbidden character in a whole document. It is done once, at the end, where it cannot be forgotten:
/// no markup of the pages has one.
pub(crate) fn finished(document: String) -> String {
    if document.contains(forbidden) {
        document.replace(forbidden, "\u{fffd}")
    } else {
        document
    }
}

/// Formats a number, in groups of three: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a count: `1,234`, or `about 1,234`.
pub(crate) fn counted(count: Count) -> String {
    let about = if count.exact { "" } else { "about " };
    format!("{about}{}", grouped(count.value))
}

/// Formats a count of items: `1 row`, `about 2,000 rows`.
pub(crate) fn counted_of(count: Count, one: &str, many: &str) -> String {
    let what = if count.value == 1 { one } else { many };
    format!("{} {what}", counted(count))
}

/// Formats a time for people: `2026-11-21 04:05 UTC`.
pub(crate) fn people_time(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute())
}

/// Formats a time for machines: `2026-11-21T04:05:06Z`.
pub(crate) fn machine_time(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    format!(
        "{}T{:02}:{:02}:{:02}Z",
        at.date(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// Formats a duration: `0.25 s`, `12.3 s`, `4 min 05 s`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 10.0 {
        format!("{seconds:.2} s")
    } else if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        format!(
            "{} min {:02.0} s",
            (seconds / 60.0).floor(),
            (seconds % 60.0).floor()
        )
    }
}

/// Formats a value as a text: strings unchanged, the rest as JSON; an empty text for null.
pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the first `most` characters of a text, with an ellipsis in place of the last if there were more.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => {
            let start: String = text.chars().take(most.saturating_sub(1)).collect();
            format!("{}…", start.trim_end())
        }
    }
}

/// Puts a text on one line: each run of white space becomes one space.
pub(crate) fn one_line(text: &str) -> String {
    text.split(char::is_whitespace)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns the approximate width of a text: 1 for narrow characters, 2 for the scripts that are set in squares.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    if u32::from(c) >= 0x1100 && c != '…' && c != '→' {
        2
    } else {
        1
    }
}

/// Puts a text on one line, cut so that it is at most `most` wide.
pub(crate) fn fitted(text: &str, most: usize) -> String {
    // A bound first, so that a huge text costs no more than a long one.
    let line = one_line(&cut(text, most * 4));
    if width(&line) <= most {
        return line;
    }
    let mut room = most.saturating_sub(1);
    let mut out = String::new();
    for c in line.chars() {
        let Some(left) = room.checked_sub(char_width(c)) else {
            break;
        };
        room = left;
        out.push(c);
    }
    format!("{}…", out.trim_end())
}

/// Does the same, but keeps the end, for texts that differ there: an address with a commit.
pub(crate) fn fitted_end(text: &str, most: usize) -> String {
    let back = |text: &str| text.chars().rev().collect::<String>();
    back(&fitted(&back(text), most))
}

/// Shortens a digest so that people can still distinguish it: its scheme and first twelve characters.
pub(crate) fn short_digest(digest: &str) -> String {
    match digest.split_once(':') {
        Some((scheme, rest)) if !scheme.is_empty() => format!("{scheme}:{}", cut(rest, 13)),
        _ => cut(digest, 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    // proves DAT-1: counts and times look the same on every page.
    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        let about = Count {
            value: 2000,
            exact: false,
        };
        assert_eq!(counted_of(about, "row", "rows"), "about 2,000 rows");
        let at = datetime!(2026-11-21 06:05:04 +02:00);
        assert_eq!(people_time(at), "2026-11-21 04:05 UTC");
        assert_eq!(machine_time(at), "2026-11-21T04:05:04Z");
        assert_eq!(
            [0.25, 12.34, 245.0].map(duration),
            ["0.25 s", "12.3 s", "4 min 05 s"]
        );
    }

    // proves DAT-1: a cut text is still a text.
    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(fitted("a\n\n b", 10), "a b");
        assert!(width(&fitted(&"漢字".repeat(90), 20)) <= 20);
        assert_eq!(short_digest("sha256:0123456789abcdef"), "sha256:0123456789ab…");
        assert_eq!(short_digest("🦀"), "🦀");
        assert_eq!(fitted_end("https://example.org/commit/0123", 12), "…commit/0123");
    }

    // proves DAT-1: no document holds a character that breaks it.
    #[test]
    fn what_no_page_may_hold_is_replaced() {
        assert_eq!(
            finished("a\0b\u{1b}\u{85}\u{fffe}\u{fdd0}\t\n".to_owned()),
            "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}\t\n"
        );
    }
}
