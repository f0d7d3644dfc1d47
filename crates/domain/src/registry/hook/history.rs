//! What happens to releases and pointers after a release: moves and yanks, and why somebody did it.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;

use crate::data::activity::Actor;
use crate::kind::Invalid;
use crate::registry::version::ReleaseVersion;

/// The most bytes of a reason.
pub const MAX_REASON_BYTES: usize = 2000;

/// Why somebody did something: a text that people read later, never blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reason with which a pointer leaves a release that is being yanked.
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
            return Err(Invalid::value("must not be blank: people will ask why"));
        }
        if text.len() > MAX_REASON_BYTES || text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(Invalid::value(format!(
                "must have at most {MAX_REASON_BYTES} bytes and no control characters but line breaks and tabs"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

/// That a release was withdrawn: it stays readable, rows made by it stay, and it cannot be made live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yank {
    /// Why.
    pub reason: String,
    /// Who withdrew it.
    pub by: Actor,
    /// When.
    pub at: OffsetDateTime,
}

/// One move of a hook's pointer. A hook's moves are numbered 1, 2, 3, ... without gaps, and each begins where the one before it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMove {
    /// Its number.
    pub number: u32,
    /// What was live before; nothing before the first release.
    pub from: Option<ReleaseVersion>,
    /// What is live since.
    pub to: ReleaseVersion,
    /// Why, if somebody said so.
    pub reason: Option<String>,
    /// Who moved it.
    pub by: Actor,
    /// When, by the database's clock; never before the move before it.
    pub at: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something() {
        assert_eq!(" too\tlong \n".parse::<Reason>().unwrap().as_str(), "too\tlong");
        for bad in ["", " \n", "a\0", "\u{1b}[31m", &"a".repeat(MAX_REASON_BYTES + 1)] {
            assert!(bad.parse::<Reason>().is_err(), "{bad:?}");
        }
    }
}
