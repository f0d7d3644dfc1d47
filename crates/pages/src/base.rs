//! The address that an archive has for its readers, and the only way from a path to a link.

use std::fmt;
use std::str::FromStr;

use crate::paths::{self, Path};

/// The public address of an archive, which may lie below a path of its host: `https://example.org/labs/archive`.
///
/// A [`Path`] cannot be displayed. A link, a redirect or a cookie needs a base, which puts its own path
/// in front, so nothing that the archive sends can lead to the root of a host that it shares.
///
/// ```
/// let base: pages::BaseUrl = "https://example.org/labs/archive/".parse().unwrap();
/// assert_eq!(base.href(&pages::paths::SKILL), "/labs/archive/SKILL.md");
/// assert_eq!(base.url(&pages::paths::SKILL), "https://example.org/labs/archive/SKILL.md");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// The whole address, without a slash at its end.
    text: String,
    /// Where its path begins.
    path_at: usize,
}

/// A text that is not the address of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotABaseUrl;

impl fmt::Display for NotABaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be an address such as https://example.org/labs/archive: http or https, a host, and a path of letters, \
             digits, '-', '.', '_' and '~'; no user, query or fragment",
        )
    }
}

impl std::error::Error for NotABaseUrl {}

impl FromStr for BaseUrl {
    type Err = NotABaseUrl;

    fn from_str(text: &str) -> Result<Self, NotABaseUrl> {
        let text = text.trim_end_matches('/');
        let (scheme, rest) = text.split_once("://").ok_or(NotABaseUrl)?;
        let (host, path) = rest.split_once('/').map_or((rest, None), |(h, p)| (h, Some(p)));
        let in_host = |c: char| c.is_ascii_alphanumeric() || "-._~[]:".contains(c);
        // No character that ends an attribute of a cookie, a quoted text, or has a meaning in a template of OpenAPI.
        let in_path = |c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c);
        let is_dots = |s: &str| matches!(s.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        let is_segment = |s: &str| !s.is_empty() && !is_dots(s) && s.chars().all(in_path);
        let fits = matches!(scheme, "http" | "https")
            && !host.is_empty()
            && host.chars().all(in_host)
            && path.is_none_or(|path| path.split('/').all(is_segment));
        fits.then(|| Self {
            text: text.to_owned(),
            path_at: scheme.len() + "://".len() + host.len(),
        })
        .ok_or(NotABaseUrl)
    }
}

impl BaseUrl {
    /// Returns the address, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether readers come over TLS.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }

    /// Returns the path of the address, without a slash at its end: empty for an archive at the root of its host.
    pub fn path(&self) -> &str {
        self.text.get(self.path_at..).unwrap_or_default()
    }

    /// Returns a link to `path` for a page, a redirect or a cookie. It names no host, so it also works where readers
    /// use another name of the host.
    pub fn href(&self, path: &Path) -> String {
        format!("{}{}", self.path(), path.route())
    }

    /// Returns the whole address of `path`, for a reader elsewhere.
    pub fn url(&self, path: &Path) -> String {
        format!("{}{}", self.text, path.route())
    }

    /// Returns the archive's own path of a request that a proxy passed on with the path of this address; `None` if
    /// `path` does not begin with it.
    ///
    /// Where the archive has paths of its own that begin alike (`/data`, `/api`), a request of a proxy that strips the
    /// path could not be distinguished. There the proxy must strip it.
    pub fn without_path<'p>(&self, path: &'p str) -> Option<&'p str> {
        let own = self.path();
        let first = own.split('/').nth(1).unwrap_or_default();
        if first.is_empty() || paths::OWN.contains(&first) {
            return None;
        }
        match path.strip_prefix(own)? {
            "" => Some("/"),
            rest if rest.starts_with('/') => Some(rest),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> BaseUrl {
        text.parse().unwrap()
    }

    // proves EDG-7: a link keeps the path that the archive lies below.
    #[test]
    fn a_link_begins_with_the_path_of_the_base() {
        for (given, path) in [
            ("https://example.org", ""),
            ("https://example.org/", ""),
            ("http://[::1]:8000", ""),
            ("http://127.0.0.1:1/labs/archive/", "/labs/archive"),
            ("https://example.org/a%20b", "/a%20b"),
        ] {
            let base = base(given);
            assert_eq!(base.path(), path, "{given}");
            assert_eq!(base.as_str(), given.trim_end_matches('/'));
            assert_eq!(base.href(&paths::FRONT), format!("{path}/"));
            assert_eq!(
                base.href(&paths::record("x/y")),
                format!("{path}/data/records/x%2Fy")
            );
            assert_eq!(base.url(&paths::STYLE), format!("{}/style.css", base.as_str()));
            assert_eq!(base.is_https(), given.starts_with("https"));
        }
    }

    // proves EDG-7: what would lead elsewhere, or end a cookie's path, is no base.
    #[test]
    fn only_plain_web_addresses_are_bases() {
        for text in [
            "",
            "example.org",
            "ftp://example.org",
            "https://",
            "https:///x",
            "https://u@example.org",
            "https://u:p@example.org",
            "https://example.org?x",
            "https://example.org/x?y",
            "https://example.org/x#y",
            "https://example.org//evil.org",
            "https://example.org/a//b",
            "https://example.org/a/../b",
            "https://example.org/a/%2E./b",
            "https://example.org/a;b",
            "https://example.org/a\"b",
            "https://example.org/{a}",
            "https://example.org/a b",
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(NotABaseUrl), "{text}");
        }
    }

    // proves EDG-7: a proxy may pass the path on, where that is unambiguous.
    #[test]
    fn a_request_may_bring_the_path_of_the_base() {
        let below = base("https://example.org/labs/archive");
        for (asked, own) in [
            ("/labs/archive", Some("/")),
            ("/labs/archive/", Some("/")),
            ("/labs/archive/api/v1/data", Some("/api/v1/data")),
            ("/labs/archives", None),
            ("/labs", None),
            ("/", None),
            ("/api/v1/data", None),
        ] {
            assert_eq!(below.without_path(asked), own, "{asked}");
        }
        assert_eq!(base("https://example.org").without_path("/docs"), None);
        let taken = base("https://example.org/data");
        assert_eq!(taken.without_path("/data/records/x"), None);
        assert_eq!(taken.href(&paths::CATALOGUE), "/data/api/v1/data");
    }
}
