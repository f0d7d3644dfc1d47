//! Kinds of failures, and faults in requests.

use std::fmt::{self, Write as _};

/// Kind of a failure. The edge maps each kind to one status, and nothing else decides a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request breaks a rule (422).
    Invalid,
    /// The name belongs to the server itself (400, WC-2).
    Reserved,
    /// An OAuth request is refused (400, RFC 6749 5.2, RFC 8628 3.5).
    Refused,
    /// Missing or invalid credentials (401).
    Unauthenticated,
    /// The caller lacks the required permission (403).
    Forbidden,
    /// It does not exist, or the caller may not know that it does (404).
    NotFound,
    /// The request conflicts with the current state (409).
    Conflict,
    /// It existed and was withdrawn (410).
    Gone,
    /// Too many requests; the same request may succeed later (429).
    TooMany,
    /// A dependency is temporarily unavailable; the same request may succeed later (503).
    Unavailable,
    /// A disk of the server is full; the same request may succeed once there is room (503).
    Full,
    /// A bug of the server (500).
    Bug,
}

/// One step of the path to a fault: a key of an object or an index of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loc {
    /// A key, a parameter's name, or the part of the request (`body`, `query`, `path`).
    Key(String),
    /// A position in a list, from 0.
    Index(usize),
    /// An entry of a list that has a name.
    Item {
        /// The position, from 0; none if the request lacks the entry.
        index: Option<usize>,
        /// The name of the entry.
        name: String,
    },
}

impl From<&str> for Loc {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<String> for Loc {
    fn from(key: String) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Loc {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// One fault in a request: its place and the violated rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path to the fault, outermost step first, without the leading `body`.
    pub loc: Vec<Loc>,
    /// Description of the fault, which names the rule.
    pub message: String,
    /// Stable type of the fault (WC-2: `missing`, `value_error`, `extra_forbidden`, ...).
    pub rule: &'static str,
}

impl Fault {
    /// Creates a fault for a value that breaks a rule.
    pub fn value(loc: impl IntoIterator<Item = Loc>, message: impl Into<String>) -> Self {
        Self {
            loc: loc.into_iter().collect(),
            message: message.into(),
            rule: "value_error",
        }
    }

    /// Creates a fault of this type (WC-2).
    pub fn typed(rule: &'static str, loc: impl IntoIterator<Item = Loc>, message: impl Into<String>) -> Self {
        Self {
            loc: loc.into_iter().collect(),
            message: message.into(),
            rule,
        }
    }

    /// Creates a fault for a missing value.
    pub fn missing(loc: impl IntoIterator<Item = Loc>, message: impl Into<String>) -> Self {
        Self {
            loc: loc.into_iter().collect(),
            message: message.into(),
            rule: "missing",
        }
    }

    /// Returns the same fault with a prefix to its path.
    #[must_use]
    pub fn under(mut self, outer: &[Loc]) -> Self {
        let mut loc = outer.to_vec();
        loc.append(&mut self.loc);
        self.loc = loc;
        self
    }

    /// Returns the name of the faulty field: that of a named entry on the path, else the whole path.
    pub fn field(&self) -> String {
        let named = self.loc.iter().find_map(|step| match step {
            Loc::Item { name, .. } => Some(name.clone()),
            _ => None,
        });
        named.unwrap_or_else(|| self.path())
    }

    /// Returns the path in readable form: `hooks[0].name`.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.loc {
            match step {
                Loc::Key(key) | Loc::Item { name: key, .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Loc::Index(index) => {
                    // Writing to a String cannot fail.
                    let _ = write!(path, "[{index}]");
                }
            }
        }
        path
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.loc.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path(), self.message)
        }
    }
}

/// The request breaks at least one rule. It lists every fault found, never only the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", summary(.faults))]
pub struct Invalid {
    /// The faults; never empty.
    pub faults: Vec<Fault>,
}

fn summary(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl Invalid {
    /// Creates an error with one fault.
    pub fn one(fault: Fault) -> Self {
        Self { faults: vec![fault] }
    }

    /// Creates an error for a single invalid value, with an empty path.
    pub fn value(message: impl Into<String>) -> Self {
        Self::one(Fault::value([], message))
    }

    /// Creates an error for a single invalid value with a fault of this type, with an empty path.
    pub fn typed(rule: &'static str, message: impl Into<String>) -> Self {
        Self::one(Fault::typed(rule, [], message))
    }

    /// Returns `Ok` if there are no faults.
    pub fn unless_empty(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Self { faults })
        }
    }

    /// Returns the same faults with a prefix to their paths.
    #[must_use]
    pub fn under(self, outer: &[Loc]) -> Self {
        Self {
            faults: self.faults.into_iter().map(|fault| fault.under(outer)).collect(),
        }
    }

    /// Returns the same faults as those of one named field.
    #[must_use]
    pub fn of_field(self, field: &str) -> Self {
        self.under(&[Loc::from(field)])
    }
}

/// The properties of an error that the edge needs: its kind, its stable code, and its faults.
pub trait Coded: std::error::Error {
    /// Returns the kind, which decides the status.
    fn kind(&self) -> Kind;
    /// Returns the stable code of WC-2.
    fn code(&self) -> &'static str;
    /// Returns the faults in the request; empty if the error concerns something else.
    fn faults(&self) -> &[Fault] {
        &[]
    }
}

impl Coded for Invalid {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        "VALIDATION_ERROR"
    }
    fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

/// Returns a text as it is stored: with at most `most` characters, of which the last is `…` if the text has more. In place
/// of the character NUL, which PostgreSQL cannot store, it has U+FFFD.
pub fn limited(text: &str, most: usize) -> String {
    let storable = |c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c };
    if text.chars().nth(most).is_none() {
        text.chars().map(storable).collect()
    } else {
        let kept = text.chars().take(most.saturating_sub(1));
        kept.map(storable).chain(['…']).collect()
    }
}

/// Shortens a client's text for a message.
pub fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    if text.chars().count() <= MOST {
        text.to_owned()
    } else {
        text.chars().take(MOST).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_a_path_and_a_rule() {
        let fault = Fault::value(["name".into()], "must be lower case").under(&["hooks".into(), 0.into()]);
        assert_eq!(fault.to_string(), "hooks[0].name: must be lower case");
        assert_eq!(fault.field(), "hooks[0].name");
    }

    // proves EDG-1
    #[test]
    fn a_text_that_is_cut_or_cannot_be_stored_shows_it() {
        assert_eq!(limited("übel", 4), "übel");
        assert_eq!(limited("übler", 4), "übl…");
        assert_eq!(limited("a\0b", 3), "a\u{fffd}b");
        assert_eq!(limited("", 0), "");
    }

    #[test]
    fn a_fault_in_a_named_entry_names_it() {
        let item = Loc::Item {
            index: Some(3),
            name: "resolution".to_owned(),
        };
        let fault = Fault::value(["fields".into(), item, "type".into()], "changes");
        assert_eq!(fault.field(), "resolution");
        assert_eq!(fault.path(), "fields.resolution.type");
    }
}
