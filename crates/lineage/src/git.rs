//! The repository that a release's `source_ref` names.

use crate::text;

/// A place in a git repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// The repository's address.
    pub(crate) repository: String,
    /// The address of the commit where the host is known to have one, else the repository's.
    pub(crate) url: String,
    /// The commit or tag.
    pub(crate) version: Option<String>,
}

/// Parses `[git+]https://host/path[.git]` with a commit or tag behind `@` or `#`, and the address of a commit or tree
/// as code hosts form it. Returns `None` for a bare commit, which many clients send and which names no repository.
pub(crate) fn location(source_ref: &str) -> Option<Location> {
    let text = source_ref.trim();
    let text = text.strip_prefix("git+").unwrap_or(text);
    let (scheme, rest) = text.split_once("://")?;
    if !matches!(scheme, "https" | "http") {
        return None;
    }
    let (host, path) = rest.split_once('/')?;
    // A user's name or password before the host must not be published; a text without a host name is no location.
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
    if !host.bytes().all(plain) || !host.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let (path, version) = version_of(path);
    let path = path.trim_matches('/');
    if path.is_empty() {
        return None;
    }
    let repository = text::iri(&format!("{scheme}://{host}/{path}"));
    let page = path.strip_suffix(".git").unwrap_or(path);
    let url = match &version {
        Some(version) if host == "github.com" => {
            text::iri(&format!("{scheme}://{host}/{page}/tree/{}", text::part(version)))
        }
        _ => repository.clone(),
    };
    Some(Location {
        repository,
        url,
        version,
    })
}

/// Splits off the version behind the repository's path.
fn version_of(path: &str) -> (&str, Option<String>) {
    let mut found = ["/-/commit/", "/-/tree/", "/commit/", "/tree/"]
        .into_iter()
        .filter_map(|mark| path.split_once(mark));
    let split = found
        .next()
        .or_else(|| path.split_once('#'))
        .or_else(|| path.rsplit_once('@'));
    match split {
        Some((path, version)) => {
            let version = version.trim_matches('/');
            (path, (!version.is_empty()).then(|| version.to_owned()))
        }
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::location;

    // proves PRV-6
    #[test]
    fn a_source_ref_leads_to_a_repository_when_it_names_one() {
        let read = |text: &str| location(text).map(|l| (l.repository, l.url, l.version.unwrap_or_default()));
        let made = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        let tree = "https://github.com/o/r/tree/0123abc";
        assert_eq!(
            read("git+https://github.com/o/r.git@0123abc"),
            made("https://github.com/o/r.git", tree, "0123abc")
        );
        assert_eq!(
            read("https://github.com/o/r/commit/0123abc"),
            made("https://github.com/o/r", tree, "0123abc")
        );
        assert_eq!(
            read("https://user:hush@gitlab.example/o/r/-/tree/v1"),
            made("https://gitlab.example/o/r", "https://gitlab.example/o/r", "v1")
        );
        assert_eq!(
            read("https://h.example/o/r%zz \"x#1"),
            made(
                "https://h.example/o/r%25zz%20%22x",
                "https://h.example/o/r%25zz%20%22x",
                "1"
            )
        );
        for nowhere in [
            "git:0123abc",
            "0123abc",
            "",
            "https://",
            "https://h",
            "https://[x/y",
            "file:///x/y",
        ] {
            assert_eq!(location(nowhere), None, "{nowhere:?}");
        }
    }
}
