//! Types of settings: secrets, lenient booleans, times and URLs.

use std::time::Duration;

use url::Url;

use crate::source::Source;

/// A secret text, hidden in logs.
pub(crate) struct Secret(pub(crate) String);

impl Secret {
    /// Returns the secret text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// `true`, `1`, `yes`, `on` and their opposites, as the settings of OSA accept them.
pub(crate) struct LenientBool(pub(crate) bool);

impl std::str::FromStr for LenientBool {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Self(true)),
            "false" | "0" | "no" | "off" | "" => Ok(Self(false)),
            _ => Err(()),
        }
    }
}

/// Reads an http or https URL; other text is a fault.
pub(crate) fn url(s: &mut Source, key: &str) -> Option<Url> {
    let url: Option<Url> = s.parsed(key, "must be a URL such as https://archive.example.org");
    if url
        .as_ref()
        .is_some_and(|url| !matches!(url.scheme(), "http" | "https"))
    {
        s.fault(format!("{key}: must be an http or https URL"));
    }
    url
}

/// Reads a time in seconds, of at most a week.
pub(crate) fn seconds(s: &mut Source, key: &str, default: f64) -> Duration {
    let given: Option<f64> = s.parsed(key, "must be a number of seconds");
    let value = given.unwrap_or(default);
    Duration::try_from_secs_f64(value)
        .ok()
        .filter(|d| !d.is_zero() && *d <= Duration::from_secs(86_400 * 7))
        .unwrap_or_else(|| {
            s.fault(format!(
                "{key}: must be more than 0 and at most one week, in seconds"
            ));
            Duration::from_secs(1)
        })
}
