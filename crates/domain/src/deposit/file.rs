//! Files of records and depositions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::deposit::deposition::MAX_FILES;
use crate::kind::Invalid;

/// Maximum length of a file name, in bytes, as in common file systems.
pub const MAX_NAME_BYTES: usize = 255;

/// The name of a file within its record or deposition. It becomes a name in a directory of the container contract, so
/// it contains no slash, no backslash and no control character, and is neither `.` nor `..` (WC-D8, WC-D11).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part from the last dot on, in lower case, as in `accepted_types` of a convention; empty without a
    /// dot.
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

/// Files that a deposition may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRequirements {
    /// Extensions such as `.cif`; an empty list allows all.
    pub accepted_types: Vec<String>,
    /// Minimum number of files.
    pub min_count: i64,
    /// Maximum number of files.
    pub max_count: i64,
    /// Maximum size of one file, in bytes.
    pub max_file_size: i64,
}

impl FileRequirements {
    /// Checks whether a file of this name may be uploaded next to `others` other files.
    pub fn check_upload(&self, name: &FileName, others: u64) -> Result<(), Invalid> {
        let ending = name.ending();
        if !self.accepted_types.is_empty()
            && !self
                .accepted_types
                .iter()
                .any(|accepted| accepted.eq_ignore_ascii_case(&ending))
        {
            return Err(Invalid::value(format!(
                "{:?} has the extension {ending:?}; this convention accepts {}",
                name.as_str(),
                self.accepted_types.join(", ")
            ))
            .of_field("file"));
        }
        if others >= self.most_files() {
            return Err(Invalid::value(format!(
                "this convention accepts at most {} files",
                self.most_files()
            ))
            .of_field("file"));
        }
        Ok(())
    }

    /// Returns the maximum number of files of a deposition.
    pub fn most_files(&self) -> u64 {
        u64::try_from(self.max_count).unwrap_or(0).min(MAX_FILES)
    }

    /// Returns the maximum size of a file, in bytes.
    pub fn most_bytes(&self) -> u64 {
        u64::try_from(self.max_file_size).unwrap_or(0)
    }

    /// Checks whether a deposition with this many files may be submitted.
    pub fn check_count(&self, files: u64) -> Result<(), Invalid> {
        let least = u64::try_from(self.min_count).unwrap_or(0);
        if files < least {
            return Err(Invalid::value(format!(
                "has {files} files; this convention requires at least {least}"
            ))
            .of_field("files"));
        }
        Ok(())
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

    #[test]
    fn uploads_keep_the_conventions_rules() {
        let rules = FileRequirements {
            accepted_types: vec![".cif".into()],
            min_count: 1,
            max_count: 2,
            max_file_size: 10,
        };
        let name: FileName = "A.CIF".parse().unwrap();
        assert!(rules.check_upload(&name, 1).is_ok());
        assert!(rules.check_upload(&name, 2).is_err());
        assert!(rules.check_upload(&"a.txt".parse().unwrap(), 0).is_err());
        assert!(rules.check_count(0).is_err() && rules.check_count(1).is_ok());
        let all = FileRequirements {
            accepted_types: vec![],
            ..rules
        };
        assert!(all.check_upload(&"readme".parse().unwrap(), 0).is_ok());
    }
}
