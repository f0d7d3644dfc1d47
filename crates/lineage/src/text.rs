//! Safe encodings of texts: parts of IRIs, base addresses and times.

use domain::NodeDomain;
use time::{OffsetDateTime, UtcOffset};

/// Encodes `text` as one part of an IRI's path, and of a PROV qualified name, which has the same escapes.
///
/// A full stop at the end is escaped too, because a qualified name must not end in one.
pub(crate) fn part(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    let mut out = escape(text, plain);
    if out.ends_with('.') {
        out.pop();
        out.push_str("%2E");
    }
    out
}

/// Encodes `text` as an IRI: escapes invalid characters, keeps the structuring ones.
pub(crate) fn iri(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=".contains(&b);
    // A per cent sign stays only where it begins an escape.
    let mut out = String::with_capacity(text.len());
    for (n, piece) in text.split('%').enumerate() {
        if n > 0 {
            let escaped = piece
                .get(..2)
                .is_some_and(|p| p.bytes().all(|b| b.is_ascii_hexdigit()));
            out.push_str(if escaped { "%" } else { "%25" });
        }
        out.push_str(&escape(piece, plain));
    }
    out
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Returns the base address of the node's documents, without a slash at its end: `base_url`, or the node's own domain
/// if that is not a web address.
pub(crate) fn base(base_url: &str, node: &NodeDomain) -> String {
    let (scheme, rest) = match base_url.trim().split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest.trim_end_matches('/')),
        _ => ("https", ""),
    };
    if rest.is_empty() || rest.starts_with(['/', '?', '#']) {
        return format!("https://{node}");
    }
    let (host, tail) = address_literal(rest).unwrap_or(("", rest));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/!$&'()*+,;=".contains(&b);
    format!("{scheme}://{host}{}", escape(tail, plain))
}

/// Splits off an IPv6 address in its brackets at the front of `rest`, which is the one place where brackets are
/// allowed.
fn address_literal(rest: &str) -> Option<(&str, &str)> {
    let end = rest.strip_prefix('[')?.find(']')? + 2;
    let (host, tail) = rest.split_at_checked(end)?;
    host.trim_matches(['[', ']'])
        .parse::<std::net::Ipv6Addr>()
        .ok()
        .map(|_| (host, tail))
}

/// Formats a time per RFC 3339 and `xsd:dateTime`, in UTC with its offset, with `digits` digits of the second's
/// fraction.
///
/// The readers of these documents support the years 1 to 9999; a time outside becomes the nearest one inside.
pub(crate) fn time(at: OffsetDateTime, digits: u32) -> String {
    let inside = at
        .checked_to_offset(UtcOffset::UTC)
        .filter(|t| (1..=9999).contains(&t.year()));
    let Some(t) = inside else {
        let zeros = "0".repeat(digits as usize);
        return if at.year() < 1 {
            format!("0001-01-01T00:00:00.{zeros}+00:00")
        } else {
            format!("9999-12-31T23:59:59.{zeros}+00:00")
        };
    };
    let fraction = t.nanosecond() / 10_u32.pow(9_u32.saturating_sub(digits));
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{fraction:0width$}+00:00",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second(),
        width = digits as usize,
    )
}

/// Returns bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn node() -> NodeDomain {
        "archive.example.org".parse().unwrap()
    }

    // proves PRV-6
    #[test]
    fn a_part_holds_no_character_that_structures_an_iri_or_a_qualified_name() {
        assert_eq!(part("a b:c/\"ä\"@1."), "a%20b%3Ac%2F%22%C3%A4%22%401%2E");
        assert_eq!(part("1.0.0"), "1.0.0");
    }

    // proves PRV-6
    #[test]
    fn a_base_address_is_always_one_of_the_web() {
        for (given, made) in [
            ("https://a.example/", "https://a.example"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://127.0.0.1:8080/osa", "http://127.0.0.1:8080/osa"),
            ("https://a b\"?x#y", "https://a%20b%22%3Fx%23y"),
            ("https://[x", "https://%5Bx"),
            ("https://", "https://archive.example.org"),
            ("javascript:alert(1)", "https://archive.example.org"),
            ("", "https://archive.example.org"),
        ] {
            assert_eq!(base(given, &node()), made, "{given:?}");
        }
    }

    // proves PRV-6
    #[test]
    fn times_are_in_utc_and_within_the_years_that_readers_know() {
        let at = datetime!(2026-11-25 17:00:00.123456789 +02:00);
        assert_eq!(time(at, 6), "2026-11-25T15:00:00.123456+00:00");
        assert_eq!(time(at, 3), "2026-11-25T15:00:00.123+00:00");
        assert_eq!(
            time(datetime!(-0044-03-15 12:00 UTC), 3),
            "0001-01-01T00:00:00.000+00:00"
        );
        assert_eq!(
            time(datetime!(9999-12-31 23:30 -01:00), 3),
            "9999-12-31T23:59:59.000+00:00"
        );
    }
}
