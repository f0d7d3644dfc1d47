//! Files of records and depositions.

use std::fmt;
use std::str::FromStr;

use crate::kind::Invalid;

/// The most bytes of a file's name: what file systems hold.
pub const MAX_NAME_BYTES: usize = 255;

/// The name of a file within its record or deposition. It becomes a name in a directory of the container contract, so it
/// holds no slash, no backslash, no control character, and is neither `.` nor `..` (D8, D11).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part from the last dot on, in lower case, as `accepted_types` of a convention have it; empty if there is no dot.
    pub fn ending(&self) -> String {
        self.0
            .rfind('.')
            .and_then(|at| self.0.get(at..))
            .map(str::to_lowercase)
            .unwrap_or_default()
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FileName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = |c: char| !matches!(c, '/' | '\\') && !c.is_control();
        if text.is_empty()
            || text.len() > MAX_NAME_BYTES
            || matches!(text, "." | "..")
            || !text.chars().all(plain)
        {
            return Err(Invalid::value(
                "must be a plain file name of 1 to 255 bytes: no slash, no backslash, no control character, not . or ..",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_directory_is_none() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "../x",
            "/etc",
            "a\\b",
            "a\0b",
            "a\nb",
            &"x".repeat(256),
        ] {
            assert!(bad.parse::<FileName>().is_err(), "{bad:?}");
        }
        for good in ["a.cif", ".hidden", "Ünï cödé (1).TXT", "a:b@c", "..x"] {
            assert_eq!(good.parse::<FileName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn an_ending_is_what_follows_the_last_dot_in_lower_case() {
        let ending = |name: &str| name.parse::<FileName>().unwrap().ending();
        assert_eq!(ending("a.tar.GZ"), ".gz");
        assert_eq!(ending("readme"), "");
        assert_eq!(ending("ends."), ".");
    }
}
