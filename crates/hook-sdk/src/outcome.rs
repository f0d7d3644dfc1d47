//! The result of a hook for one record.

use std::error::Error;

/// The result of a hook for a record that it could judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// The record passes, with these rows for the hook's feature table; there may be none.
    Passed(Vec<R>),
    /// The record does not pass, for this reason. Write it for people: name the fault of the record.
    Rejected(String),
}

impl<R> Outcome<R> {
    /// Creates a pass with one row.
    pub fn pass(row: R) -> Self {
        Self::Passed(vec![row])
    }

    /// Creates a pass with these rows; more than one only if the hook's cardinality is `many`.
    pub const fn rows(rows: Vec<R>) -> Self {
        Self::Passed(rows)
    }

    /// Creates a pass without a row.
    pub const fn none() -> Self {
        Self::Passed(Vec::new())
    }

    /// Creates a rejection.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Rejected(reason.into())
    }
}

/// Why a record could not be judged: neither passed nor rejected.
///
/// Every error type converts into one, so `?` works in a hook's function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookError {
    pub(crate) message: String,
    pub(crate) retryable: bool,
}

impl HookError {
    /// Creates an error with this message for people.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retryable: false,
        }
    }

    /// Marks the error as one that may not happen again (the contract's `retryable`).
    #[must_use]
    pub fn retryable(self) -> Self {
        Self {
            retryable: true,
            ..self
        }
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

// HookError itself does not implement Error: this conversion would then overlap with the one from a type to itself.
impl<E: Error> From<E> for HookError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::new(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_becomes_a_message_with_its_causes() {
        let cause = "x".parse::<u8>().unwrap_err();
        let error = crate::RunError::Input("a".into(), std::io::Error::other(cause));
        assert_eq!(
            HookError::from(error).message(),
            "a cannot be read: invalid digit found in string: invalid digit found in string"
        );
        assert!(HookError::new("x").retryable().retryable);
    }
}
