//! Alias paths: `/data/{schema}.md` (WC-1.11), and `?format=` for an export.
//!
//! They lead to separate operations, because typed clients cannot express an operation with two kinds of response.

use poem::http::Uri;

const API: &str = "/api/v1";

/// Returns the target of a GET of this address, if the address is an alias.
pub(crate) fn target(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_prefix(API)?;
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if let ["data", schema] = segments.as_slice()
        && let Some(schema) = schema.strip_suffix(".md")
    {
        return format!("{API}/data/{schema}/description.md").parse().ok();
    }
    let query = uri.query()?;
    let format = url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "format")
        .map(|(_, value)| value)?;
    if format.is_empty() || format == "json" {
        return None;
    }
    let subject = match segments.as_slice() {
        ["data", "records", _, "provenance"] => path.strip_suffix("/provenance")?,
        ["data", "records", _] | ["hooks", "runs", _] | ["hooks", _, "releases", _] => path,
        ["data", _, table] if *table != "records" && !table.contains('.') => path,
        _ => return None,
    };
    format!("{API}{subject}/export?{query}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_lead_to_operations_of_their_own() {
        let of = |text: &str| target(&text.parse().unwrap()).map(|uri| uri.to_string());
        for (asked, leads) in [
            ("/api/v1/data/birds.md", "/api/v1/data/birds/description.md"),
            (
                "/api/v1/data/birds@1.0.0.md",
                "/api/v1/data/birds@1.0.0/description.md",
            ),
            (
                "/api/v1/data/records/x@2?format=prov-json",
                "/api/v1/data/records/x@2/export?format=prov-json",
            ),
            (
                "/api/v1/data/records/x/provenance?format=ro-crate",
                "/api/v1/data/records/x/export?format=ro-crate",
            ),
            (
                "/api/v1/hooks/runs/x?format=openlineage",
                "/api/v1/hooks/runs/x/export?format=openlineage",
            ),
            (
                "/api/v1/hooks/h/releases/1?format=nonsense",
                "/api/v1/hooks/h/releases/1/export?format=nonsense",
            ),
            (
                "/api/v1/data/birds/h?limit=3&format=prov-json",
                "/api/v1/data/birds/h/export?limit=3&format=prov-json",
            ),
        ] {
            assert_eq!(of(asked).as_deref(), Some(leads), "{asked}");
        }
        for itself in [
            "/api/v1/data/birds",
            "/api/v1/data/birds/h",
            "/api/v1/data/birds/h?format=json",
            "/api/v1/data/birds/h.csv?format=prov-json",
            "/api/v1/data/birds/records?format=prov-json",
            "/api/v1/conventions?format=prov-json",
            "/data/birds.md",
        ] {
            assert_eq!(of(itself), None, "{itself}");
        }
    }
}
