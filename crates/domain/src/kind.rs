//! What kind of failure an error is, and how faults in what a client sent are told.

use std::fmt::{self, Write as _};

/// What kind of failure this is. The edge maps each to one status and nothing else decides a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What was sent breaks a rule (422).
    Invalid,
    /// A name that belongs to the server itself (400, WC-2).
    Reserved,
    /// A request of OAuth that is refused (400, RFC 6749 5.2, RFC 8628 3.5).
    Refused,
    /// No credentials, or none that hold (401).
    Unauthenticated,
    /// The caller lacks the right (403).
    Forbidden,
    /// It does not exist, or the caller may not know that it does (404).
    NotFound,
    /// It clashes with what is there (409).
    Conflict,
    /// More of it than the server takes now; the same request may succeed later (429).
    TooMany,
    /// Something the server needs is not to be had now; the same request may succeed later (503).
    Unavailable,
    /// A defect of ours (500).
    Bug,
}

/// One step of the way to a fault: a key of an object or an index of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loc {
    /// A key, a parameter's name, or the part of the request (`body`, `query`, `path`).
    Key(String),
    /// A position in a list, from 0.
    Index(usize),
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

/// One fault in what a client sent: where it is and which rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The way to the fault, outermost first, without the leading `body`.
    pub loc: Vec<Loc>,
    /// What is wrong, in a sentence that names the rule.
    pub message: String,
    /// The fault's stable type (WC-2: `missing`, `value_error`, `extra_forbidden`, ...).
    pub rule: &'static str,
}

impl Fault {
    /// A value that breaks a rule.
    pub fn value(loc: impl IntoIterator<Item = Loc>, message: impl Into<String>) -> Self {
        Self {
            loc: loc.into_iter().collect(),
            message: message.into(),
            rule: "value_error",
        }
    }

    /// A value that is needed and not there.
    pub fn missing(loc: impl IntoIterator<Item = Loc>, message: impl Into<String>) -> Self {
        Self {
            loc: loc.into_iter().collect(),
            message: message.into(),
            rule: "missing",
        }
    }

    /// The same fault, seen from further out.
    #[must_use]
    pub fn under(mut self, outer: &[Loc]) -> Self {
        let mut loc = outer.to_vec();
        loc.append(&mut self.loc);
        self.loc = loc;
        self
    }

    /// The way to the fault as people write it: `hooks[0].name`.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.loc {
            match step {
                Loc::Key(key) => {
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

/// What was sent breaks at least one rule; every fault that was found, never only the first.
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
    /// One fault.
    pub fn one(fault: Fault) -> Self {
        Self { faults: vec![fault] }
    }

    /// A single value that breaks a rule, seen from where it stands.
    pub fn value(message: impl Into<String>) -> Self {
        Self::one(Fault::value([], message))
    }

    /// `Ok` when there is no fault.
    pub fn unless_empty(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Self { faults })
        }
    }

    /// The same faults, seen from further out.
    #[must_use]
    pub fn under(self, outer: &[Loc]) -> Self {
        Self {
            faults: self.faults.into_iter().map(|fault| fault.under(outer)).collect(),
        }
    }

    /// The same faults, as those of one named field.
    #[must_use]
    pub fn of_field(self, field: &str) -> Self {
        self.under(&[Loc::from(field)])
    }
}

/// What the edge asks of every error: its kind, its stable code, and the faults it carries.
pub trait Coded: std::error::Error {
    /// The kind, which decides the status.
    fn kind(&self) -> Kind;
    /// The stable string of WC-2.
    fn code(&self) -> &'static str;
    /// The faults in what was sent; empty when it is not about that.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_a_path_and_a_rule() {
        let fault = Fault::value(["name".into()], "must be lower case").under(&["hooks".into(), 0.into()]);
        assert_eq!(fault.to_string(), "hooks[0].name: must be lower case");
    }
}
