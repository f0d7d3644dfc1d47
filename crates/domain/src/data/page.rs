//! Pages of tables: keyset cursors that belong to one table and one order (WC-7.3, WC-D22).

use sha2::{Digest as _, Sha256};

use crate::registry::digest::hex;

/// Default page size.
pub const DEFAULT_LIMIT: u32 = 50;
/// Maximum page size.
pub const MAX_LIMIT: u32 = 1000;

/// Clamps the requested page size to the range from 1 to [`MAX_LIMIT`] (WC-7.1).
pub fn clamp_limit(asked: Option<i64>) -> u32 {
    let limit = asked
        .unwrap_or_else(|| i64::from(DEFAULT_LIMIT))
        .clamp(1, i64::from(MAX_LIMIT));
    u32::try_from(limit).unwrap_or(DEFAULT_LIMIT)
}

/// Scope of a cursor: a table and an order. A cursor of another scope is refused instead of silently returning rows
/// from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageScope(String);

impl PageScope {
    /// Creates the scope of these parts.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self(hex(&hash.finalize()[..8]))
    }

    /// Returns the scope as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_moved_into_their_range() {
        assert_eq!(
            [None, Some(0), Some(-5), Some(7), Some(i64::MAX)].map(clamp_limit),
            [50, 1, 1, 7, 1000]
        );
    }

    #[test]
    fn scopes_of_different_tables_differ() {
        assert_ne!(PageScope::of(&["a", "bc"]), PageScope::of(&["ab", "c"]));
    }
}
