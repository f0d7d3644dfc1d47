//! What several lists take as parameters of their query.

use std::time::Duration;

use domain::{Actor, Invalid, ServiceAccountId, UserId};

use crate::problem::Problem;

/// A parameter that breaks a rule.
pub(crate) fn refused(field: &str, invalid: Invalid) -> Problem {
    Problem::invalid(&invalid.of_field(field), "query")
}

/// A field of a body that breaks a rule.
pub(crate) fn refused_body(field: &str, invalid: Invalid) -> Problem {
    Problem::invalid(&invalid.of_field(field), "body")
}

/// How many are on a page, where nothing is said and at most.
pub(crate) fn page_size(limit: Option<i64>, (usual, most): (u32, u32)) -> u32 {
    limit.map_or(usual, |n| {
        u32::try_from(n.clamp(1, i64::from(most))).unwrap_or(most)
    })
}

/// For how long to wait: at most 30 s.
pub(crate) fn wait(seconds: Option<i64>) -> Duration {
    Duration::from_secs(seconds.unwrap_or(0).clamp(0, 30).unsigned_abs())
}

/// `user:<id>` or `service_account:<id>`.
pub(crate) fn actor(text: &str) -> Result<Actor, Invalid> {
    let rule = || Invalid::value("must be user:<id> or service_account:<id>, with a UUID as id");
    match text.split_once(':') {
        Some(("user", id)) => id.parse::<UserId>().map(Actor::User).map_err(|_| rule()),
        Some(("service_account", id)) => id
            .parse::<ServiceAccountId>()
            .map(Actor::ServiceAccount)
            .map_err(|_| rule()),
        _ => Err(rule()),
    }
}

/// A text of a body of at most so many bytes.
pub(crate) fn bounded(field: &str, text: Option<String>, most: usize) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.is_empty() || text.len() > most => Err(refused_body(
            field,
            Invalid::value(format!("must have 1 to {most} bytes")),
        )),
        other => Ok(other),
    }
}

/// A JSON value of a body of at most so many bytes.
pub(crate) fn bounded_json(field: &str, value: &serde_json::Value, most: usize) -> Result<(), Problem> {
    let size = value.to_string().len();
    if size > most {
        return Err(refused_body(
            field,
            Invalid::value(format!("must have at most {most} bytes as JSON, and has {size}")),
        ));
    }
    Ok(())
}
