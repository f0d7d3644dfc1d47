//! References to images: `[registry/]path[:tag][@digest]`, as engines read them.

use std::fmt;

/// A reference, with defaults for omitted parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    registry: String,
    path: String,
    tag: String,
}

/// The default registry.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The directory of its images whose names have none.
const DEFAULT_DIRECTORY: &str = "library";
/// The default tag.
const DEFAULT_TAG: &str = "latest";
/// The maximum length of a name; registries refuse longer ones.
const MAX_LENGTH: usize = 255;

impl Reference {
    /// Parses a reference. A digest in it is ignored: the release's digest counts (WC-D18).
    ///
    /// Accepts only characters that a reference may have, because the name becomes part of the engine's URLs.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|d| {
            !d.split_once(':')
                .is_some_and(|(a, hex)| is_word(a) && is_word(hex))
        }) {
            return None;
        }
        // A colon before the last slash belongs to the registry's port.
        let start = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name.get(start..)?.find(':') {
            Some(colon) => (name.get(..start + colon)?, name.get(start + colon + 1..)?),
            None => (name, DEFAULT_TAG),
        };
        let (registry, path) = match repository.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => (DEFAULT_REGISTRY, repository),
        };
        let registry = if registry == "index.docker.io" {
            DEFAULT_REGISTRY
        } else {
            registry
        };
        let path = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("{DEFAULT_DIRECTORY}/{path}")
        } else {
            path.to_owned()
        };
        let good = is_registry(registry) && path.split('/').all(is_component) && is_tag(tag);
        (good && registry.len() + path.len() < MAX_LENGTH).then(|| Self {
            registry: registry.to_owned(),
            path,
            tag: tag.to_owned(),
        })
    }

    /// Returns the repository, with its registry.
    pub(crate) fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.path, self.tag)
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Returns whether it is a host name or address with an optional port.
fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "1"));
    !port.is_empty()
        && port.bytes().all(|b| b.is_ascii_digit())
        && !host.is_empty()
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// Returns whether it is lower-case words with separators between them.
fn is_component(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && !text.contains("..")
        && bytes
            .iter()
            .all(|b| edge(Some(b)) || matches!(b, b'.' | b'_' | b'-'))
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves PIP-5
    #[test]
    fn what_a_reference_leaves_out_is_filled_in() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, full) in [
            ("hook", "docker.io/library/hook:latest"),
            ("hook:1", "docker.io/library/hook:1"),
            ("lab/hook", "docker.io/lab/hook:latest"),
            ("docker.io/hook", "docker.io/library/hook:latest"),
            ("index.docker.io/lab/hook:2", "docker.io/lab/hook:2"),
            (
                "ghcr.io/lab/deep/hook:v1.2-rc_3",
                "ghcr.io/lab/deep/hook:v1.2-rc_3",
            ),
            ("localhost/hook", "localhost/hook:latest"),
            ("localhost:5000/hook:1", "localhost:5000/hook:1"),
            ("10.0.0.1:5000/a/b", "10.0.0.1:5000/a/b:latest"),
            ("Lab.example/hook", "Lab.example/hook:latest"),
            (&format!("ghcr.io/lab/hook@{digest}"), "ghcr.io/lab/hook:latest"),
            (
                &format!("localhost:5000/hook:1@{digest}"),
                "localhost:5000/hook:1",
            ),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), full, "{text}");
        }
        assert_eq!(
            Reference::parse("localhost:5000/hook:1").unwrap().repository(),
            "localhost:5000/hook"
        );
    }

    #[test]
    fn what_is_no_reference_never_becomes_part_of_a_url() {
        let long = "a".repeat(300);
        for bad in [
            "",
            ":",
            "@",
            "hook:",
            "hook@",
            "hook@sha256",
            "hook@sha256:a?b",
            "Hook",
            "lab//hook",
            "/hook",
            "hook/",
            "../containers/json",
            "a/../b",
            "a..b",
            "hook?force=1",
            "hook#x",
            "hook%2e",
            "ho ok",
            "hook:a/b:c",
            "hook:.x",
            "é",
            "a.b:port/hook",
            "file:/opt/hook",
            "https://ghcr.io/lab/hook",
            long.as_str(),
        ] {
            assert_eq!(Reference::parse(bad), None, "{bad:?}");
        }
    }
}
