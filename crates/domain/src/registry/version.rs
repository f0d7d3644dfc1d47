//! Versions: a release's number, a schema's semantic version, and the pair `id@version`.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::kind::Invalid;
use crate::names::SchemaId;

/// Number of a hook's release: 1, 2, 3, ... without gaps (REG-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseVersion(NonZeroU32);

impl ReleaseVersion {
    /// The first release of a hook.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// Returns the version with this number; `None` for 0 and for numbers that PostgreSQL's `integer` cannot represent.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number)
            .filter(|n| n.get() <= i32::MAX.unsigned_abs())
            .map(Self)
    }

    /// Returns the number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A schema's semantic version (WC-4.3), stored trimmed and in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaVersion {
    major: u64,
    minor: u64,
    patch: u64,
    pre: String,
    build: String,
}

impl SchemaVersion {
    /// Returns the major version. Schemas of one major share a metadata table.
    pub const fn major(&self) -> u64 {
        self.major
    }

    /// Returns major, minor and patch.
    pub const fn triple(&self) -> (u64, u64, u64) {
        (self.major, self.minor, self.patch)
    }

    /// Compares by Semantic Versioning 2.0.0 section 11, then by text, so that the order is total.
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.triple()
            .cmp(&other.triple())
            .then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                _ => pre_release_order(&self.pre, &other.pre),
            })
            .then_with(|| self.build.cmp(&other.build))
    }
}

fn pre_release_order(this: &str, that: &str) -> Ordering {
    let (mut left, mut right) = (this.split('.'), that.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(other)) => match (one.parse::<u64>(), other.parse::<u64>()) {
                (Ok(low), Ok(high)) => low.cmp(&high),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => one.cmp(other),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

const SEMVER_RULE: &str = "must be a semantic version such as 1.0.0 or 2.1.0-rc.1";

impl FromStr for SchemaVersion {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = || Invalid::value(SEMVER_RULE);
        let text = text.trim().to_ascii_lowercase();
        if text.len() > 64 {
            return Err(Invalid::value("is longer than 64 characters"));
        }
        let (rest, build) = text
            .split_once('+')
            .map_or((text.as_str(), None), |(r, b)| (r, Some(b)));
        let (core, pre) = rest.split_once('-').map_or((rest, None), |(c, p)| (c, Some(p)));
        let tail = |part: Option<&str>| match part {
            None => Ok(String::new()),
            Some(p)
                if !p.is_empty()
                    && p.bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.') =>
            {
                Ok(p.to_owned())
            }
            Some(_) => Err(rule()),
        };
        let mut numbers = core.split('.').map(|n| {
            let plain =
                !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) && (n == "0" || !n.starts_with('0'));
            // PostgreSQL sorts versions by these numbers as `bigint`.
            if plain {
                n.parse::<u64>().ok().filter(|n| i64::try_from(*n).is_ok())
            } else {
                None
            }
        });
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => Ok(Self {
                major,
                minor,
                patch,
                pre: tail(pre)?,
                build: tail(build)?,
            }),
            _ => Err(rule()),
        }
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if !self.build.is_empty() {
            write!(f, "+{}", self.build)?;
        }
        Ok(())
    }
}

/// One version of one schema: `id@version`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaRef {
    /// Id of the schema.
    pub id: SchemaId,
    /// Version of the schema.
    pub version: SchemaVersion,
}

impl SchemaRef {
    /// Returns the schema's SRN on a node (WC-4.7).
    pub fn srn(&self, node: &crate::names::NodeDomain) -> String {
        format!("urn:osa:{node}:schema:{self}")
    }
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

impl FromStr for SchemaRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some((id, version)) = text.split_once('@') else {
            return Err(Invalid::value("must be id@version, such as penguins@1.0.0"));
        };
        // WC-4.5: the id in `id@version` is converted to lower case when read.
        Ok(Self {
            id: id.to_ascii_lowercase().parse()?,
            version: version.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v(text: &str) -> SchemaVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_trimmed_and_lower_cased_and_print_as_they_are_stored() {
        assert_eq!(v(" 1.0.0-RC.1+B ").to_string(), "1.0.0-rc.1+b");
        assert_eq!(v("1.0.0+b").to_string(), "1.0.0+b");
    }

    #[test]
    fn what_is_no_semantic_version_is_refused() {
        for bad in [
            "",
            "1",
            "1.0",
            "01.0.0",
            "1.0.0-",
            "1.0.0+",
            "1.0.0.0",
            "1.0.x",
            "99999999999999999999.0.0",
            "-1.0.0",
            "1.0.0-é",
        ] {
            assert!(bad.parse::<SchemaVersion>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn precedence_is_that_of_semver() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.10.0",
        ];
        for pair in order.windows(2) {
            assert_eq!(v(pair[0]).precedence(&v(pair[1])), Ordering::Less, "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_to_what_it_prints_or_to_a_fault(text in "[ 0-9a-zA-Z.+-]{0,24}") {
            if let Ok(version) = text.parse::<SchemaVersion>() {
                prop_assert_eq!(version.to_string().parse::<SchemaVersion>().unwrap(), version);
            }
        }
    }
}
