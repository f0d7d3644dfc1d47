//! The digest that identifies the bytes of an image.

use std::fmt;
use std::str::FromStr;

use crate::kind::Invalid;

/// An image's digest, `algorithm:hex`, with an algorithm that the OCI image specification registers (image-spec 1.1,
/// descriptor.md, "Registered Algorithms").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

/// Registered algorithms and their numbers of hex digits.
const ALGORITHMS: &[(&str, usize)] = &[("sha256", 64), ("sha512", 128), ("blake3", 64)];

impl Digest {
    /// Returns the digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the algorithm.
    pub fn algorithm(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// Creates a digest from SHA-256 bytes.
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        Self(format!("sha256:{}", hex(&bytes)))
    }
}

/// Formats bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl FromStr for Digest {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = ALGORITHMS
            .iter()
            .find(|(name, _)| text.split(':').next() == Some(name));
        let Some((name, digits)) = known else {
            return Err(Invalid::value(
                "must begin with a registered algorithm: sha256:, sha512: or blake3:",
            ));
        };
        let value = text.get(name.len() + 1..).unwrap_or_default();
        if value.len() == *digits && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::value(format!(
                "must be {name}: and {digits} lower-case hex digits"
            )))
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lower_case_digests_of_registered_algorithms_are_taken() {
        assert!(format!("sha256:{}", "a".repeat(64)).parse::<Digest>().is_ok());
        assert!(format!("sha512:{}", "0".repeat(128)).parse::<Digest>().is_ok());
        let (upper, short, long) = (
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{}", "a".repeat(63)),
            format!("sha256:{}", "a".repeat(65)),
        );
        let padded = format!("sha256:{}\n", "a".repeat(63));
        for bad in [
            "",
            "sha256",
            "sha256:",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:é",
            &upper,
            &short,
            &long,
            &padded,
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
        }
    }
}
