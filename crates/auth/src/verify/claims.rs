//! Reading claims of a token whose signature holds.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::error::AuthError;

/// How far clocks may differ, in seconds.
pub(super) const LEEWAY: f64 = 30.0;

/// A claim that is a text.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// The times of a token, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) issued: Option<f64>,
    pub(super) not_before: Option<f64>,
    pub(super) expires: Option<f64>,
}

/// `iat`, `nbf` and `exp`; RFC 7519 2: a `NumericDate` may have a fraction.
pub(super) fn times(claims: &Map<String, Value>) -> Result<Times, AuthError> {
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|t| t.is_finite() && t.abs() < 1e15)
            .map(Some)
            .ok_or(AuthError::InvalidToken("a time in it is no number")),
    };
    Ok(Times {
        issued: time("iat")?,
        not_before: time("nbf")?,
        expires: time("exp")?,
    })
}

/// `exp` is required (WC-D28); `nbf` and `iat` are checked where they stand.
pub(super) fn check_times(times: &Times, now: i64) -> Result<(), AuthError> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are exact in a float"
    )]
    let now = now as f64;
    let Some(expires) = times.expires else {
        return Err(AuthError::InvalidToken("it has no expiry"));
    };
    if expires + LEEWAY <= now {
        return Err(AuthError::TokenExpired);
    }
    let future = |time: Option<f64>| time.is_some_and(|at| at - LEEWAY > now);
    if future(times.not_before) || future(times.issued) {
        return Err(AuthError::InvalidToken("it is not valid yet"));
    }
    Ok(())
}

/// `aud` is a text or a list of texts (RFC 7519 4.1.3).
pub(super) fn audiences(claims: &Map<String, Value>) -> BTreeSet<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => BTreeSet::from([one.as_str()]),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

/// Scopes are a space-delimited text or a list of texts (AUT-4); anything else is none.
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

/// The hooks that a token is limited to: a list of names. A limit that cannot be read refuses the token, for without it the token
/// would be good for every hook.
pub(super) fn hooks(claim: Option<&Value>) -> Result<Option<BTreeSet<String>>, AuthError> {
    match claim {
        None => Ok(None),
        Some(Value::Array(items)) => texts(items).map(Some),
        Some(_) => Err(()),
    }
    .map_err(|()| AuthError::InvalidToken("its hooks are no list of names"))
}

fn texts(items: &[Value]) -> Result<BTreeSet<String>, ()> {
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned).ok_or(()))
        .collect()
}
