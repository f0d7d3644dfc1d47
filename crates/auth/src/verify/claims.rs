//! Reading the claims of a token with a verified signature.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::error::AuthError;

/// Tolerated clock difference, in seconds.
pub(super) const LEEWAY: f64 = 30.0;

/// Returns a claim that is a string.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// Checks that `jti`, if it is present, is a string (RFC 7519 4.1.7).
pub(super) fn check_id(claims: &Map<String, Value>) -> Result<(), AuthError> {
    match claims.get("jti") {
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(AuthError::InvalidToken("jti is not a string")),
    }
}

/// The times of a token, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) issued: Option<f64>,
    pub(super) not_before: Option<f64>,
    pub(super) expires: Option<f64>,
}

/// Reads `iat`, `nbf` and `exp`. RFC 7519 2: a `NumericDate` may have a fraction.
pub(super) fn times(claims: &Map<String, Value>) -> Result<Times, AuthError> {
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|t| t.is_finite() && t.abs() < 1e15)
            .map(Some)
            .ok_or(AuthError::InvalidToken("a time claim is not a number")),
    };
    Ok(Times {
        issued: time("iat")?,
        not_before: time("nbf")?,
        expires: time("exp")?,
    })
}

/// Checks the times. `exp` is required (WC-D28); `nbf` and `iat` are checked if present.
pub(super) fn check_times(times: &Times, now: i64) -> Result<(), AuthError> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are exact in a float"
    )]
    let now = now as f64;
    let Some(expires) = times.expires else {
        return Err(AuthError::InvalidToken("exp is missing"));
    };
    if expires + LEEWAY <= now {
        return Err(AuthError::TokenExpired);
    }
    let future = |time: Option<f64>| time.is_some_and(|at| at - LEEWAY > now);
    if future(times.not_before) || future(times.issued) {
        return Err(AuthError::InvalidToken("the token is not valid yet"));
    }
    Ok(())
}

/// Returns the audiences: `aud` is a string or a list of strings (RFC 7519 4.1.3).
pub(super) fn audiences(claims: &Map<String, Value>) -> BTreeSet<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => BTreeSet::from([one.as_str()]),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

/// Returns the scopes: a space-delimited string or a list of strings (AUT-4); any other value means none.
pub(super) fn scopes(claim: Option<&Value>) -> BTreeSet<String> {
    match claim {
        Some(Value::String(text)) => text
            .split(' ')
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect(),
        Some(Value::Array(items)) => texts(items).unwrap_or_default(),
        _ => BTreeSet::new(),
    }
}

/// Returns the hooks that a token is restricted to: a list of names. An unreadable restriction refuses the token,
/// because without it the token would be valid for every hook.
pub(super) fn hooks(claim: Option<&Value>) -> Result<Option<BTreeSet<String>>, AuthError> {
    match claim {
        None => Ok(None),
        Some(Value::Array(items)) => texts(items).map(Some),
        Some(_) => Err(()),
    }
    .map_err(|()| AuthError::InvalidToken("hooks is not a list of hook names"))
}

fn texts(items: &[Value]) -> Result<BTreeSet<String>, ()> {
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned).ok_or(()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // proves AUT-1
    #[test]
    fn the_id_of_a_token_is_a_string_if_it_has_one() {
        let id = |claims: Value| check_id(claims.as_object().unwrap());
        assert_eq!(id(json!({})), Ok(()));
        assert_eq!(id(json!({"jti": "a"})), Ok(()));
        for jti in [json!(7), json!(null), json!(["a"]), json!({"a": 1}), json!(true)] {
            assert!(id(json!({"jti": jti})).is_err(), "{jti}");
        }
    }
}
