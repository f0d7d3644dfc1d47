//! The three parts of a token (RFC 7515 7.1), read but not trusted.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::AuthError;

/// Maximum length of a token, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The parts of a token.
pub(super) struct Parts<'a> {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// The signed text: header, dot and claims, as received.
    pub(super) signed: &'a str,
    /// The signature in base64url.
    pub(super) signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Result<Self, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::InvalidToken("the token is longer than 8 KiB"));
        }
        let three = || AuthError::InvalidToken("the token does not have three parts");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(three)?;
        let (header, claims) = signed.split_once('.').ok_or_else(three)?;
        if claims.contains('.') {
            return Err(three());
        }
        let header = object(header)?;
        // RFC 7515 4.1.11: critical extensions must be understood; this node supports none.
        if header.contains_key("crit") {
            return Err(AuthError::InvalidToken("the header names a critical extension"));
        }
        // RFC 8725 3.10: a key from the token itself proves nothing.
        if ["jwk", "jku", "x5u", "x5c"]
            .iter()
            .any(|name| header.contains_key(*name))
        {
            return Err(AuthError::InvalidToken("the header contains a key"));
        }
        Ok(Self {
            header,
            claims: object(claims)?,
            signed,
            signature,
        })
    }

    /// Returns the algorithm in the header, which is only compared with the required one.
    pub(super) fn algorithm(&self) -> Option<&str> {
        self.header.get("alg").and_then(Value::as_str)
    }
}

/// Parses the JSON object of one part of a token. Duplicate keys are refused: two readers could see two different
/// tokens (RFC 7519 4).
fn object(part: &str) -> Result<Map<String, Value>, AuthError> {
    struct Unique;
    impl<'de> Visitor<'de> for Unique {
        type Value = Map<String, Value>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object without duplicate keys")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = Map::new();
            while let Some((key, value)) = access.next_entry::<String, Value>()? {
                if map.insert(key, value).is_some() {
                    return Err(serde::de::Error::custom("duplicate key"));
                }
            }
            Ok(map)
        }
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| AuthError::InvalidToken("a part is not base64url"))?;
    let unreadable = || AuthError::InvalidToken("a part is not a JSON object with unique keys");
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let map = reader.deserialize_map(Unique).map_err(|_| unreadable())?;
    reader.end().map_err(|_| unreadable())?;
    Ok(map)
}
