//! Names chosen by people, each parsed once at the edge (WC-4.4, WC-4.5).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::kind::{Coded, Fault, Invalid, Kind};

/// Names of the server's own paths. Neither a schema nor a hook may use one.
pub const RESERVED: &[&str] = &["records", "datasets", "runs"];

/// Columns that the server adds to every table. Neither a field nor a feature column may use one (WC-D12).
pub const IMPLICIT_COLUMNS: &[&str] = &[
    "id",
    "srn",
    "schema_id",
    "version",
    "created_at",
    "published_at",
    "record_srn",
    "run_id",
    "superseded_by",
];

/// PostgreSQL's system columns, which no table can declare (manual, 5.5 "System Columns").
const SYSTEM_COLUMNS: &[&str] = &["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Reason for refusing a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name does not match the required form.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The name is one of [`RESERVED`].
    #[error("{0:?} is reserved: it is a path of the server itself")]
    Reserved(String),
}

impl Coded for NameError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::Reserved(_) => Kind::Reserved,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.code(),
            Self::Reserved(_) => "reserved_name",
        }
    }
    fn faults(&self) -> &[Fault] {
        match self {
            Self::Invalid(invalid) => invalid.faults(),
            Self::Reserved(_) => &[],
        }
    }
}

/// Returns whether `text` is a lower-case letter followed by lower-case letters, digits and `also`, of `min` to `max`
/// bytes.
fn is_lower_name(text: &str, also: u8, min: usize, max: usize) -> bool {
    let bytes = text.as_bytes();
    (min..=max).contains(&bytes.len())
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == also)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $check:expr, $rule:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(Invalid::value($rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> { text.parse() }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String { name.0 }
        }
    )+};
}

names! {
    /// Name of a hook, and of its feature table (REG-1).
    HookName: |t| is_lower_name(t, b'_', 1, 40), "must match ^[a-z][a-z0-9_]{0,39}$: a lower-case letter, then at most 39 lower-case letters, digits or underscores";
    /// A column of a feature or metadata table.
    ColumnName: |t| is_lower_name(t, b'_', 1, 63), "must match ^[a-z][a-z0-9_]{0,62}$: a lower-case letter, then at most 62 lower-case letters, digits or underscores";
    /// Key of a convention, derived from its title.
    ConventionSlug: |t| is_lower_name(t, b'-', 3, 64), "must match ^[a-z][a-z0-9-]{2,63}$";
    /// Id of a schema, without its version.
    SchemaId: |t| is_lower_name(t, b'-', 3, 64), "must match ^[a-z][a-z0-9-]{2,63}$: a lower-case letter, then 2 to 63 lower-case letters, digits or hyphens";
    /// Domain of the node, the third part of every SRN.
    NodeDomain: is_domain, "must be a lower-case host name such as archive.example.org";
}

fn is_domain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

impl HookName {
    /// Parses the name of a new hook: well-formed and not [`RESERVED`].
    pub fn for_new_hook(text: &str) -> Result<Self, NameError> {
        let name: Self = text.parse()?;
        if RESERVED.contains(&text) {
            Err(NameError::Reserved(text.to_owned()))
        } else {
            Ok(name)
        }
    }
}

impl SchemaId {
    /// Parses the id of a new schema: well-formed, not [`RESERVED`], and short enough that its metadata table's name
    /// fits a PostgreSQL identifier with the major version's suffix.
    pub fn for_new_schema(text: &str, major: u64) -> Result<Self, NameError> {
        let id: Self = text.parse()?;
        if RESERVED.contains(&text) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        let table = id.metadata_table(major);
        if table.len() > 63 {
            return Err(Invalid::value(format!(
                "is too long: its metadata table's name {table:?} has {} bytes, but PostgreSQL allows 63",
                table.len()
            ))
            .into());
        }
        Ok(id)
    }

    /// Returns the metadata table that all versions of one major share (WC-4.6): each run of hyphens becomes one
    /// underscore.
    pub fn metadata_table(&self, major: u64) -> String {
        let mut slug = String::with_capacity(self.0.len() + 8);
        for c in self.0.chars() {
            if c != '-' {
                slug.push(c);
            } else if !slug.ends_with('_') {
                slug.push('_');
            }
        }
        format!("{slug}_v{major}")
    }
}

impl ColumnName {
    /// Parses the name of a declared column: well-formed and not one that the server adds itself (WC-D12).
    pub fn for_declared(text: &str) -> Result<Self, Invalid> {
        let name: Self = text.parse()?;
        if SYSTEM_COLUMNS.contains(&text) {
            return Err(Invalid::value(format!(
                "{text:?} is a system column of PostgreSQL; choose another name"
            )));
        }
        if IMPLICIT_COLUMNS.contains(&text) {
            return Err(Invalid::value(format!(
                "{text:?} is a column that the server adds to every table; choose another name"
            )));
        }
        Ok(name)
    }
}

impl ConventionSlug {
    /// Derives the slug of a title (WC-4.4): lower case, every run of characters other than `a-z0-9` replaced by one
    /// hyphen, trimmed, at most 64 characters.
    pub fn from_title(title: &str) -> Result<Self, Invalid> {
        let mut slug = String::new();
        for c in title.to_lowercase().chars() {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                slug.push(c);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(64);
        let slug = slug.trim_matches('-');
        slug.parse().map_err(|_: Invalid| {
            Invalid::value(format!(
                "results in the slug {slug:?}, which must match ^[a-z][a-z0-9-]{{2,63}}$: a title must have at least three ASCII letters or digits and begin with a letter"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // proves REG-1
    #[test]
    fn hook_names_are_identifiers_of_at_most_40_characters_and_not_reserved() {
        assert!(HookName::for_new_hook(&"a".repeat(40)).is_ok());
        for bad in [
            "",
            "A",
            "1a",
            "_a",
            "a-b",
            "a b",
            "é",
            &"a".repeat(41),
            "a\0",
            "a;drop",
        ] {
            assert!(
                matches!(HookName::for_new_hook(bad), Err(NameError::Invalid(_))),
                "{bad:?}"
            );
        }
        for reserved in RESERVED {
            assert!(
                matches!(HookName::for_new_hook(reserved), Err(NameError::Reserved(_))),
                "{reserved}"
            );
        }
    }

    #[test]
    fn the_contracts_example_title_gives_its_slug() {
        assert_eq!(
            ConventionSlug::from_title(" Émile's Data__Set!! ")
                .unwrap()
                .as_str(),
            "mile-s-data-set"
        );
        assert!(ConventionSlug::from_title("1 2").is_err());
    }

    #[test]
    fn runs_of_hyphens_share_one_table_name() {
        let (one, two): (SchemaId, SchemaId) = ("a-b".parse().unwrap(), "a--b".parse().unwrap());
        assert_eq!(one.metadata_table(1), two.metadata_table(1));
    }

    proptest! {
        #[test]
        fn a_title_gives_a_slug_or_a_fault_and_never_panics(title in ".{0,200}") {
            if let Ok(slug) = ConventionSlug::from_title(&title) {
                prop_assert_eq!(slug.as_str().parse::<ConventionSlug>().unwrap(), slug);
            }
        }
    }
}
