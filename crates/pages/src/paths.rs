//! The paths of everything: the only place that defines a path. Each part is percent-encoded, so that no text leaves
//! its segment.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// A path of the archive, from the archive's own root.
///
/// It has no `Display`, so no page can write it: [`crate::BaseUrl`] makes a link or an address of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Cow<'static, str>);

impl Path {
    const fn fixed(path: &'static str) -> Self {
        Self(Cow::Borrowed(path))
    }

    /// Returns the path as the archive's router knows it. It is no link.
    pub fn route(&self) -> &str {
        &self.0
    }

    /// Appends a placeholder such as `/rows/<id>`, which the reader of a document replaces.
    pub(crate) fn with_placeholder(self, text: &str) -> Self {
        Self(Cow::Owned(format!("{}{text}", self.0)))
    }
}

/// The front page.
pub const FRONT: Path = Path::fixed("/");
/// The stylesheet's path; its text is [`crate::STYLESHEET`].
pub const STYLE: Path = Path::fixed("/style.css");
/// The API's documentation.
pub const API_DOCS: Path = Path::fixed("/docs");
/// The API's description.
pub const OPENAPI: Path = Path::fixed("/openapi.json");
/// The archive's description for agents.
pub const SKILL: Path = Path::fixed("/SKILL.md");
/// The server's metrics.
pub const METRICS: Path = Path::fixed("/metrics");
/// The catalogue, in JSON.
pub const CATALOGUE: Path = Path::fixed(DATA);
/// The events feed.
pub const EVENTS: Path = Path::fixed("/api/v1/events");
/// What lies below it is for signing in.
pub const AUTH: Path = Path::fixed("/api/v1/auth");
/// Where browsers return to from the identity provider.
pub const CALLBACK: Path = Path::fixed("/api/v1/auth/callback");
/// The page on which a person types a device's code.
pub const DEVICE_VERIFY: Path = Path::fixed("/api/v1/auth/device/verify");
/// The page that says that a device is signed in.
pub const DEVICE_COMPLETE: Path = Path::fixed("/api/v1/auth/device/complete");
/// The page that says why a device was not signed in.
pub const DEVICE_ERROR: Path = Path::fixed("/api/v1/auth/device/error");

/// The first segments of the archive's own paths.
pub(crate) const OWN: [&str; 7] = [
    "api",
    "data",
    "docs",
    "metrics",
    "openapi.json",
    "SKILL.md",
    "style.css",
];

const DATA: &str = "/api/v1/data";

/// For a path segment: what RFC 3986 leaves unreserved, and `@` and `:`, which read better unescaped.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@')
    .remove(b':');

/// For a query: unreserved characters only, so that `+`, `&` and `=` of a cursor keep their meaning.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// For a foreign address: only characters that no address may contain. `%` stays, because it belongs to the address.
const FOREIGN: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A page, in JSON.
    Json,
    /// The whole table, as CSV.
    Csv,
    /// The same, gzipped.
    CsvGz,
    /// The whole table, as Parquet.
    Parquet,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Json, Self::Csv, Self::CsvGz, Self::Parquet];

    /// Returns the suffix of the table's path.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Json => "",
            Self::Csv => ".csv",
            Self::CsvGz => ".csv.gz",
            Self::Parquet => ".parquet",
        }
    }

    /// Returns the name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Csv => "CSV",
            Self::CsvGz => "CSV, gzipped",
            Self::Parquet => "Parquet",
        }
    }
}

/// Encodes one segment of a path. `.` and `..` have a special meaning even if they are encoded, so they become `_`;
/// no name or id of the server equals either.
fn segment(text: &str) -> String {
    match text {
        "." | ".." => "_".repeat(text.len()),
        _ => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

/// Encodes a query, with its question mark, or returns an empty text.
fn query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(&utf8_percent_encode(name, QUERY).to_string());
        out.push('=');
        out.push_str(&utf8_percent_encode(value, QUERY).to_string());
    }
    out
}

fn made(path: String) -> Path {
    Path(Cow::Owned(path))
}

/// Returns the path of the first page of a table, for people.
pub fn table(schema: &str, table: &str) -> Path {
    made(format!("/data/{}/{}", segment(schema), segment(table)))
}

/// Returns the path of a page of a table, for people: the same query, from `cursor` on.
pub fn table_page(schema: &str, name: &str, asked: &[(String, String)], cursor: Option<&str>) -> Path {
    let asked = asked.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs = asked.chain(cursor.map(|cursor| ("cursor", cursor)));
    made(format!("{}{}", table(schema, name).route(), query(pairs)))
}

/// Returns the path of a record, for people.
pub fn record(id: &str) -> Path {
    made(format!("/data/records/{}", segment(id)))
}

/// Returns the path of a row's trace, for people.
pub fn trace(schema: &str, feature: &str, row_id: i64) -> Path {
    made(format!("{}/rows/{row_id}", table(schema, feature).route()))
}

/// Returns the path of a table for machines: a page of it, or the whole.
pub fn table_data(schema: &str, table: &str, format: Format, asked: &[(String, String)]) -> Path {
    let pairs = asked.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    made(format!(
        "{DATA}/{}/{}{}{}",
        segment(schema),
        segment(table),
        format.ending(),
        query(pairs)
    ))
}

/// Returns the path of a schema's manifest, in JSON.
pub fn manifest(schema: &str) -> Path {
    made(format!("{DATA}/{}", segment(schema)))
}

/// Returns the path of a schema's document, in markdown.
pub fn schema_doc(schema: &str) -> Path {
    made(format!("{DATA}/{}.md", segment(schema)))
}

/// Returns the path of a record, in JSON.
pub fn record_data(id: &str) -> Path {
    made(format!("{DATA}/records/{}", segment(id)))
}

/// Returns the path of a row's trace, in JSON.
pub fn trace_data(schema: &str, feature: &str, row_id: i64) -> Path {
    made(format!(
        "{DATA}/{}/{}/rows/{row_id}/trace",
        segment(schema),
        segment(feature)
    ))
}

/// Returns the path of a convention, in JSON.
pub fn convention(slug: &str) -> Path {
    made(format!("/api/v1/conventions/{}", segment(slug)))
}

/// Returns the path of a hook and its releases, in JSON.
pub fn hook(name: &str) -> Path {
    made(format!("/api/v1/hooks/{}/releases", segment(name)))
}

/// Returns a text as an address if it may be linked to: `http` and `https` only, whole, with a host.
pub fn external(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    // A backslash is a slash to browsers, so it must not hide where the host ends; a name before `@` only serves to
    // deceive.
    let honest = !host.is_empty() && !host.contains(['\\', '@']);
    (http && plain && honest).then(|| {
        let rest = utf8_percent_encode(rest, FOREIGN);
        format!("{}://{rest}", scheme.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves DAT-1: a link reaches its table for any name and cursor.
    #[test]
    fn every_part_stays_in_its_segment() {
        assert_eq!(
            table("quakes@1.0.0", "records").route(),
            "/data/quakes@1.0.0/records"
        );
        assert_eq!(
            table("a/b?c#d", "ü\"<").route(),
            "/data/a%2Fb%3Fc%23d/%C3%BC%22%3C"
        );
        assert_eq!(record("..").route(), "/data/records/__");
        let asked = [("sort".to_owned(), "a:desc,b".to_owned())];
        assert_eq!(
            table_page("s", "t", &asked, Some("eyJ+/=&")).route(),
            "/data/s/t?sort=a%3Adesc%2Cb&cursor=eyJ%2B%2F%3D%26"
        );
        assert_eq!(
            table_data("s", "t", Format::CsvGz, &[]).route(),
            "/api/v1/data/s/t.csv.gz"
        );
    }

    // proves EDG-7: no path begins with a segment that a base of another path could be taken for.
    #[test]
    fn every_path_begins_with_a_segment_of_our_own() {
        let all = [
            STYLE,
            API_DOCS,
            OPENAPI,
            SKILL,
            METRICS,
            CATALOGUE,
            EVENTS,
            AUTH,
            CALLBACK,
            DEVICE_VERIFY,
            DEVICE_COMPLETE,
            DEVICE_ERROR,
            table("s", "t"),
            record("r"),
            convention("c"),
            hook("h"),
        ];
        for path in all {
            let first = path.route().split('/').nth(1).unwrap();
            assert!(OWN.contains(&first), "{first}");
        }
    }

    // proves DAT-1: a link made of a foreign text leads to a web page and nowhere else.
    #[test]
    fn only_whole_web_addresses_are_linked() {
        for text in [
            "javascript:alert(1)",
            "java\nscript://x",
            "javascript://https://x",
            "data:text/html,x",
            "//host/x",
            "https://",
            "https:///x",
            "http://a b",
            "https://good.org@evil.org/",
            "https://good.org\\@evil.org/",
            " https://x.org",
            "see https://x.org",
        ] {
            assert_eq!(external(text), None, "{text}");
        }
        assert_eq!(
            external("HTTPS://x.org/a?b=%20"),
            Some("https://x.org/a?b=%20".to_owned())
        );
        assert_eq!(
            external("http://x.org/\"'<>"),
            Some("http://x.org/%22'%3C%3E".to_owned())
        );
    }
}
