//! What a request may cost the database, from its method and address alone.

use poem::Request;
use poem::http::{Method, Uri};

/// How long a request may keep the database busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// A few rows by their keys.
    Little,
    /// It may scan a whole table, for as long as a statement may take.
    Scan,
    /// A whole table: it works for as long as the client reads.
    Stream,
}

/// What a request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) work: Work,
    /// Whether it is a query of a table: by POST, or with a filter.
    pub(super) is_query: bool,
}

/// Suffixes of whole tables (WC-7.1).
const WHOLE: [&str; 3] = [".csv", ".csv.gz", ".parquet"];

/// What is read of the output of a release (PRV-7).
const RECALL: [&str; 4] = ["/recall", "/rows", "/records", "/export"];

impl Cost {
    pub(super) fn of(request: &Request) -> Self {
        Self::at(request.method(), request.uri())
    }

    fn at(method: &Method, uri: &Uri) -> Self {
        let path = uri.path();
        let (of_api, of_site) = (path.starts_with("/api/v1/data/"), path.starts_with("/data/"));
        let of_release = path
            .strip_prefix("/api/v1/hooks/")
            .is_some_and(|rest| rest.contains("/releases/"));
        let posted = of_api && *method == Method::POST;
        let filtered = (of_api || of_site) && has(uri, &["filter"]);
        // The router reads a percent-encoded name of a table like any other.
        let name = decoded(path.rsplit('/').next().unwrap_or_default());
        let whole = (of_api || of_release) && WHOLE.iter().any(|suffix| name.ends_with(suffix.as_bytes()));
        let sorted = (of_api || of_site) && has(uri, &["sort", "as_of", "counts"]);
        let recalled = of_release && RECALL.iter().any(|suffix| path.ends_with(suffix));
        let work = if whole {
            Work::Stream
        } else if posted || filtered || sorted || recalled {
            Work::Scan
        } else {
            Work::Little
        };
        Self {
            work,
            is_query: posted || filtered,
        }
    }
}

/// Returns a segment of a path without percent-encoding.
fn decoded(segment: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (bytes, mut plain, mut at) = (segment.as_bytes(), Vec::with_capacity(segment.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let encoded = if *byte == b'%' {
            let (high, low) = (digit(bytes.get(at + 1)), digit(bytes.get(at + 2)));
            high.zip(low)
                .and_then(|(high, low)| u8::try_from(16 * high + low).ok())
        } else {
            None
        };
        plain.push(encoded.unwrap_or(*byte));
        at += if encoded.is_some() { 3 } else { 1 };
    }
    plain
}

/// Returns whether the query string has one of these parameters, with a value.
fn has(uri: &Uri, names: &[&str]) -> bool {
    let query = uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| names.contains(&name.as_ref()) && !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-5
    #[test]
    fn a_query_costs_the_same_however_it_is_sent() {
        let of = |method: Method, uri: &str| {
            let cost = Cost::at(&method, &uri.parse().unwrap());
            (cost.work, cost.is_query)
        };
        let table = "/api/v1/data/birds/records";
        assert_eq!(of(Method::POST, table), (Work::Scan, true));
        for filtered in ["?filter=%7B%7D", "?limit=2&filter=x", "?f%69lter=x"] {
            assert_eq!(of(Method::GET, &format!("{table}{filtered}")), (Work::Scan, true));
            assert_eq!(
                of(Method::GET, &format!("/data/birds/records{filtered}")),
                (Work::Scan, true)
            );
        }
        assert_eq!(
            of(Method::GET, &format!("{table}?sort=mass")),
            (Work::Scan, false)
        );
        for cheap in ["", "?filter=", "?limit=1000&cursor=x"] {
            assert_eq!(of(Method::GET, &format!("{table}{cheap}")), (Work::Little, false));
        }
        for whole in [".csv", ".csv.gz", ".parquet", "%2Ecsv", ".c%73v", "%2e%70arquet"] {
            assert_eq!(of(Method::GET, &format!("{table}{whole}")), (Work::Stream, false));
            assert_eq!(of(Method::POST, &format!("{table}{whole}")), (Work::Stream, true));
        }
        let release = "/api/v1/hooks/shape/releases/1";
        assert_eq!(
            of(Method::GET, &format!("{release}/rows.csv")),
            (Work::Stream, false)
        );
        assert_eq!(of(Method::GET, &format!("{release}/recall")), (Work::Scan, false));
        assert_eq!(of(Method::GET, release), (Work::Little, false));
        assert_eq!(
            of(Method::POST, "/api/v1/hooks/shape/releases"),
            (Work::Little, false)
        );
    }
}
