//! Integers of any number of digits where their exact value does not matter, because they are clamped to a range.

use std::borrow::Cow;
use std::num::IntErrorKind;

/// Replaces integers beyond 64 bits with the nearest that 64 bits hold, if they are values of these keys of the outermost
/// object. Everything else stays as it is, and so does whether the text is valid JSON. A key counts as it is written: with
/// escapes it is another one.
pub fn saturate<'a>(text: &'a [u8], keys: &[&str]) -> Cow<'a, [u8]> {
    if keys.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut written = Vec::new();
    // How much of the text is written, the depth of objects and lists, and the last string of the outermost object: in
    // front of a number it is that number's key.
    let (mut at, mut done, mut depth, mut key) = (0, 0, 0_usize, None);
    while let Some(byte) = text.get(at) {
        let begin = at;
        at += 1;
        match byte {
            b'"' => {
                at = end_of_string(text, at);
                if depth == 1 {
                    key = text.get(begin + 1..at - 1);
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' if depth == 1 => {
                let digits = |b: &&u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                at += text[at..].iter().take_while(digits).count();
                if keys.iter().any(|known| key == Some(known.as_bytes()))
                    && let Some(nearest) = nearest(&text[begin..at])
                {
                    written.extend_from_slice(&text[done..begin]);
                    written.extend_from_slice(nearest.to_string().as_bytes());
                    done = at;
                }
            }
            _ => {}
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    written.extend_from_slice(&text[done..]);
    Cow::Owned(written)
}

/// Returns where a string ends, after its last quote, given where it begins after its first.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    while let Some(byte) = text.get(at) {
        at += if *byte == b'\\' { 2 } else { 1 };
        if *byte == b'"' {
            break;
        }
    }
    at.min(text.len())
}

/// Returns the nearest integer of 64 bits, if this is an integer beyond them.
fn nearest(token: &[u8]) -> Option<i64> {
    let token = std::str::from_utf8(token).ok()?;
    let digits = token.strip_prefix('-').unwrap_or(token);
    // JSON allows no leading zeros. Parsing would overflow before it saw a fraction.
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match token.parse::<i64>().err()?.kind() {
        IntErrorKind::PosOverflow => Some(i64::MAX),
        IntErrorKind::NegOverflow => Some(i64::MIN),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn saturated(text: &str) -> String {
        String::from_utf8(saturate(text.as_bytes(), &["limit", "wait"]).into_owned()).unwrap()
    }

    // proves EDG-1
    #[test]
    fn only_integers_of_the_keys_of_the_outermost_object_change() {
        let long = "9".repeat(400);
        for (text, expected) in [
            (
                format!(r#"{{"limit": {long}, "wait":-{long},"a":{long}}}"#),
                format!(r#"{{"limit": 9223372036854775807, "wait":-9223372036854775808,"a":{long}}}"#),
            ),
            (
                "\u{feff}{\"filter\":{\"limit\":99999999999999999999,\"a\":[]},\"limit\":99999999999999999999}".into(),
                "\u{feff}{\"filter\":{\"limit\":99999999999999999999,\"a\":[]},\"limit\":9223372036854775807}".into(),
            ),
        ] {
            assert_eq!(saturated(&text), expected);
        }
        for same in [
            r#"{"limit": 7, "wait": -9223372036854775808}"#,
            r#"{"limit": 99999999999999999999.5, "wait": 1e400}"#,
            r#"{"limit": 099999999999999999999}"#,
            r#"{"limit": "99999999999999999999", "a\"limit": 99999999999999999999}"#,
            r#"{"limit": [99999999999999999999], "a": 99999999999999999999}"#,
            r#"{"limit"#,
            "99999999999999999999",
            "",
        ] {
            assert_eq!(saturated(same), same);
        }
        assert_eq!(saturate(br#"{"limit":99999999999999999999}"#, &[]).len(), 30);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_it_changes_stays_json_or_none(text in "[\\[\\]{}\":,0-9eE.\\\\ \"limit\"-]{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = saturate(&bytes, &["limit"]);
            let parses = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).is_ok();
            let after = saturate(text.as_bytes(), &["limit"]);
            prop_assert_eq!(parses(text.as_bytes()), parses(&after));
        }
    }
}
