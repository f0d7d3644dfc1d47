//! The paths of everything: the only place that defines a path. Each part is percent-encoded, so that no text leaves
//! its segment.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// The front page.
pub const FRONT: &str = "/";
/// The stylesheet's path; its text is [`crate::STYLESHEET`].
pub const STYLE: &str = "/style.css";
/// The API's documentation.
pub const API_DOCS: &str = "/docs";
/// The API's description.
pub const OPENAPI: &str = "/openapi.json";
/// The archive's description for agents.
pub const SKILL: &str = "/SKILL.md";
/// The catalogue, in JSON.
pub const CATALOGUE: &str = "/api/v1/data";
/// The events feed.
pub const EVENTS: &str = "/api/v1/events";

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

/// Returns the path of the first page of a table, for people.
pub fn table(schema: &str, table: &str) -> String {
    format!("/data/{}/{}", segment(schema), segment(table))
}

/// Returns the path of a page of a table, for people: the same query, from `cursor` on.
pub fn table_page(schema: &str, name: &str, asked: &[(String, String)], cursor: Option<&str>) -> String {
    let asked = asked.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs = asked.chain(cursor.map(|cursor| ("cursor", cursor)));
    format!("{}{}", table(schema, name), query(pairs))
}

/// Returns the path of a record, for people.
pub fn record(id: &str) -> String {
    format!("/data/records/{}", segment(id))
}

/// Returns the path of a row's trace, for people.
pub fn trace(schema: &str, feature: &str, row_id: i64) -> String {
    format!("{}/rows/{row_id}", table(schema, feature))
}

/// Returns the path of a table for machines: a page of it, or the whole.
pub fn table_data(schema: &str, table: &str, format: Format, asked: &[(String, String)]) -> String {
    let pairs = asked.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    format!(
        "{CATALOGUE}/{}/{}{}{}",
        segment(schema),
        segment(table),
        format.ending(),
        query(pairs)
    )
}

/// Returns the path of a schema's manifest, in JSON.
pub fn manifest(schema: &str) -> String {
    format!("{CATALOGUE}/{}", segment(schema))
}

/// Returns the path of a schema's document, in markdown.
pub fn schema_doc(schema: &str) -> String {
    format!("{CATALOGUE}/{}.md", segment(schema))
}

/// Returns the path of a record, in JSON.
pub fn record_data(id: &str) -> String {
    format!("{CATALOGUE}/records/{}", segment(id))
}

/// Returns the path of a row's trace, in JSON.
pub fn trace_data(schema: &str, feature: &str, row_id: i64) -> String {
    format!(
        "{CATALOGUE}/{}/{}/rows/{row_id}/trace",
        segment(schema),
        segment(feature)
    )
}

/// Returns the path of a convention, in JSON.
pub fn convention(slug: &str) -> String {
    format!("/api/v1/conventions/{}", segment(slug))
}

/// Returns the path of a hook and its releases, in JSON.
pub fn hook(name: &str) -> String {
    format!("/api/v1/hooks/{}/releases", segment(name))
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
        assert_eq!(table("quakes@1.0.0", "records"), "/data/quakes@1.0.0/records");
        assert_eq!(table("a/b?c#d", "ü\"<"), "/data/a%2Fb%3Fc%23d/%C3%BC%22%3C");
        assert_eq!(record(".."), "/data/records/__");
        let asked = [("sort".to_owned(), "a:desc,b".to_owned())];
        assert_eq!(
            table_page("s", "t", &asked, Some("eyJ+/=&")),
            "/data/s/t?sort=a%3Adesc%2Cb&cursor=eyJ%2B%2F%3D%26"
        );
        assert_eq!(
            table_data("s", "t", Format::CsvGz, &[]),
            "/api/v1/data/s/t.csv.gz"
        );
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
