//! Addresses in fields of type `url`: pages and programs make links of them.

/// Schemes whose address is a program or a page of its own, which a link would run with the rights of the page that it
/// is on (HTML standard, 7.4.2.3.2 and the `javascript:` URL special case; `vbscript` is that of old browsers).
const REFUSED: [&str; 3] = ["javascript", "data", "vbscript"];

/// Returns the rule that a URL breaks, if any. It is kept as it is, and no other form is demanded: source data has
/// relative addresses and schemes of its own.
pub(super) fn broken_rule(url: &str) -> Option<String> {
    // Browsers remove these characters before they read a scheme (URL standard, 4.4).
    let scheme: String = url
        .trim_start_matches(|c: char| c <= ' ')
        .chars()
        .filter(|c| !matches!(c, '\t' | '\n' | '\r'))
        .take_while(|c| *c != ':')
        .take(16)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let refused = REFUSED.iter().find(|refused| **refused == scheme)?;
    let has_colon = url.contains(':');
    has_colon.then(|| format!("must not be an address with the scheme {refused}:"))
}

#[cfg(test)]
mod tests {
    use super::broken_rule;

    // proves ISO-5
    #[test]
    fn an_address_that_a_link_would_run_is_refused_however_it_is_written() {
        for bad in [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            " \u{1}javascript:alert(1)",
            "java\nscript\t:alert(1)",
            "data:text/html,<script>alert(1)</script>",
            "vbscript:x",
        ] {
            assert!(broken_rule(bad).is_some(), "{bad:?}");
        }
        for good in [
            "https://example.org/?a=javascript:b",
            "http://x",
            "ftp://x",
            "doi:10.1/x",
            "/data/x",
            "data",
            "database:x",
            "javascripts:x",
            "",
        ] {
            assert_eq!(broken_rule(good), None, "{good:?}");
        }
    }
}
