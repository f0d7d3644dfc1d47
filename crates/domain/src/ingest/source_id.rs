//! Ids of records in their sources, and the names of their directories.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::kind::Invalid;

/// Maximum length of an id, in bytes.
pub const MAX_SOURCE_ID_BYTES: usize = 1024;
/// Maximum length of a directory's name that is the encoded id itself, in bytes. File systems allow 255.
const MAX_PLAIN_NAME: usize = 200;
/// How much of a longer encoded id its directory's name begins with, in bytes.
const NAME_PREFIX: usize = 150;

/// The id of a record in its source: a DOI, an ARK, a URL, a number. The container contract
/// names a directory after it (WC-D11); see [`SourceId::directory_name`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(String);

impl SourceId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the directory with the record's files (WC-D11): the id, in which `%`, `/` and `\\` are
    /// `%25`, `%2F` and `%5C`. If that has more than 200 bytes, the name is its longest beginning of at most 150 bytes
    /// that ends between two characters, `~`, and the SHA-256 of the id in hexadecimal digits.
    ///
    /// Different ids have different names: a name with a hash is longer than 200 bytes, so no id is spelled like it.
    pub fn directory_name(&self) -> String {
        let encoded = self
            .0
            .replace('%', "%25")
            .replace('/', "%2F")
            .replace('\\', "%5C");
        if encoded.len() <= MAX_PLAIN_NAME {
            return encoded;
        }
        let mut end = NAME_PREFIX;
        while !encoded.is_char_boundary(end) {
            end -= 1;
        }
        let mut name = format!("{}~", &encoded[..end]);
        for byte in Sha256::digest(self.0.as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}

impl FromStr for SourceId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = if text.is_empty() {
            "is empty"
        } else if text.len() > MAX_SOURCE_ID_BYTES {
            "must have at most 1024 bytes"
        } else if text.chars().any(char::is_control) {
            "must not contain control characters, such as tabs and line breaks"
        } else if text.trim() != text {
            "must not begin or end with a blank"
        } else if matches!(text, "." | "..") {
            "must be neither \".\" nor \"..\""
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(Invalid::value(rule))
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // proves EDG-5
    #[test]
    fn ids_that_people_have_are_ids() {
        for good in [
            "a",
            "N1A2",
            "10.5061/dryad.8515",
            "ark:/65665/3854b337",
            "https://specimens.example.org/guid/MSB:Mamm:231731?seid=966527",
            "2012/01/01",
            "C:\\data\\1",
            "50 %",
            "Gentoo:7",
            "räksmörgås",
            ".hidden",
            "...",
            &"x".repeat(1024),
        ] {
            assert_eq!(good.parse::<SourceId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            " a",
            "a ",
            "a\tb",
            "a\n",
            "\u{0}",
            "\u{a0}a",
            &"x".repeat(1025),
        ] {
            assert!(bad.parse::<SourceId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_directory_name_is_the_id_unless_it_cannot_be() {
        let name = |id: &str| id.parse::<SourceId>().unwrap().directory_name();
        assert_eq!(name("Gentoo:7 ä"), "Gentoo:7 ä");
        assert_eq!(name("10.5061/dryad.8515"), "10.5061%2Fdryad.8515");
        assert_eq!(name("a%2Fb"), "a%252Fb");
        assert_eq!(name("../x"), "..%2Fx");
        assert_eq!(name("a\\b"), "a%5Cb");
        assert_eq!(name(&"x".repeat(200)), "x".repeat(200));
        let long = name(&"/".repeat(1024));
        assert_eq!(long.len(), 150 + 1 + 64);
        // The same example is in the test of the SDK.
        let hash = "471d40e12c184cf348f59976e491e3990f23e3824ec2b711be8bc348f9a4bde7";
        assert_eq!(name(&"é/".repeat(300)), format!("{}~{hash}", "é%2F".repeat(30)));
        // A name with a hash is no name of a short id.
        assert_ne!(name(&long), long);
    }

    proptest! {
        // An id that leaves its directory would read or overwrite the files of another record, or of the server.
        #[test]
        fn no_id_leaves_its_directory_and_no_two_share_one(a in "[a-c./%\\\\ä~2F5C]{1,9}", b in "[a-c./%\\\\ä~2F5C]{1,9}", times in 1_usize..110) {
            let ids: Vec<SourceId> = [a.repeat(times), b.repeat(times)].iter().filter_map(|id| id.parse().ok()).collect();
            for id in &ids {
                let name = id.directory_name();
                prop_assert!(!name.contains(['/', '\\', '\0']) && name != "." && name != ".." && name.len() <= 255, "{}", name);
            }
            if let [a, b] = ids.as_slice() {
                prop_assert_eq!(a == b, a.directory_name() == b.directory_name());
            }
        }
    }
}
