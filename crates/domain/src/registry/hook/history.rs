//! History of releases and live pointers: moves and yanks, with their reasons.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;

use crate::data::activity::Actor;
use crate::kind::Invalid;
use crate::registry::version::ReleaseVersion;

/// Maximum length of a reason, in characters.
pub const MAX_REASON_CHARS: usize = 2000;

/// Reason for an action: a text for later readers, never blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Returns the reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the reason for moving the pointer away from a release that is being yanked.
    #[must_use]
    pub fn of_fallback(&self, yanked: ReleaseVersion) -> Self {
        Self(format!("release {yanked} was yanked: {}", self.0))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Reason {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Invalid::value("must not be blank"));
        }
        if text.chars().count() > MAX_REASON_CHARS
            || text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
        {
            return Err(Invalid::value(format!(
                "must have at most {MAX_REASON_CHARS} characters, and only line breaks and tabs as control characters"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The yank of a release: it and its rows stay readable, but it cannot become live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yank {
    /// Reason for the yank.
    pub reason: String,
    /// Who yanked the release.
    pub by: Actor,
    /// When the release was yanked.
    pub at: OffsetDateTime,
}

/// One move of a hook's live pointer. The moves of a hook are numbered 1, 2, 3, ... without gaps, and each starts where
/// the previous one ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMove {
    /// Number of the move.
    pub number: u32,
    /// The previously live version; `None` before the first release.
    pub from: Option<ReleaseVersion>,
    /// The version that became live.
    pub to: ReleaseVersion,
    /// Reason for the move, if one was given.
    pub reason: Option<String>,
    /// Who moved the pointer.
    pub by: Actor,
    /// Time of the move by the database's clock; never before that of the previous move.
    pub at: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something() {
        assert_eq!(" too\tlong \n".parse::<Reason>().unwrap().as_str(), "too\tlong");
        // Characters are counted, not bytes.
        assert!("é".repeat(MAX_REASON_CHARS).parse::<Reason>().is_ok());
        for bad in ["", " \n", "a\0", "\u{1b}[31m", &"a".repeat(MAX_REASON_CHARS + 1)] {
            assert!(bad.parse::<Reason>().is_err(), "{bad:?}");
        }
    }
}
