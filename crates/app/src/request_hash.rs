//! The identity of requests: the SHA-256 of their content.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Hashes a request. Objects are written with sorted keys, so the order in which a client wrote them does not matter.
pub(crate) fn request_hash(request: &Value) -> [u8; 32] {
    Sha256::digest(request.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_count_and_everything_else_does() {
        let hash = |text: &str| request_hash(&serde_json::from_str(text).unwrap());
        assert_eq!(
            hash(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#),
            hash(r#"{"b":{"d":3,"c":2},"a":1}"#)
        );
        assert_ne!(hash(r#"{"a": 1}"#), hash(r#"{"a": "1"}"#));
        assert_ne!(hash(r#"{"a": [1, 2]}"#), hash(r#"{"a": [2, 1]}"#));
    }
}
