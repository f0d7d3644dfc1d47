//! The three parts of a token (RFC 7515 7.1), read but not trusted.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::AuthError;

/// The longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A token taken apart.
pub(super) struct Parts<'a> {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// What the signature is over: header, dot, claims, as they came.
    pub(super) signed: &'a str,
    /// The signature, base64url.
    pub(super) signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Result<Self, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::InvalidToken("it is longer than 8 KiB"));
        }
        let three = || AuthError::InvalidToken("it does not have three parts");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(three)?;
        let (header, claims) = signed.split_once('.').ok_or_else(three)?;
        if claims.contains('.') {
            return Err(three());
        }
        let header = object(header)?;
        // RFC 7515 4.1.11: extensions named as critical must be understood; we know none.
        if header.contains_key("crit") {
            return Err(AuthError::InvalidToken("its header names a critical extension"));
        }
        // RFC 8725 3.10: a key that the token brings itself proves nothing.
        if ["jwk", "jku", "x5u", "x5c"]
            .iter()
            .any(|name| header.contains_key(*name))
        {
            return Err(AuthError::InvalidToken("its header brings a key of its own"));
        }
        Ok(Self {
            header,
            claims: object(claims)?,
            signed,
            signature,
        })
    }

    /// What the header calls the algorithm; only ever compared with the one that must be.
    pub(super) fn algorithm(&self) -> Option<&str> {
        self.header.get("alg").and_then(Value::as_str)
    }
}

/// The JSON object of one part of a token, in which no key may stand twice: two readers could see two different tokens (RFC 7519 4).
fn object(part: &str) -> Result<Map<String, Value>, AuthError> {
    struct Unique;
    impl<'de> Visitor<'de> for Unique {
        type Value = Map<String, Value>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object in which no key stands twice")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = Map::new();
            while let Some((key, value)) = access.next_entry::<String, Value>()? {
                if map.insert(key, value).is_some() {
                    return Err(serde::de::Error::custom("a key stands twice"));
                }
            }
            Ok(map)
        }
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| AuthError::InvalidToken("it is not base64url"))?;
    let unreadable = || AuthError::InvalidToken("a part of it is no JSON object with unique keys");
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let map = reader.deserialize_map(Unique).map_err(|_| unreadable())?;
    reader.end().map_err(|_| unreadable())?;
    Ok(map)
}
