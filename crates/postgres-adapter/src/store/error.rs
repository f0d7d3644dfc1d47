//! From sqlx's errors to the port's.

use ports::StoreError;

/// SQLSTATEs after which the whole unit of work may be retried: `serialization_failure`, `deadlock_detected`,
/// `lock_not_available`.
const CONTENDED: &[&str] = &["40001", "40P01", "55P03"];
/// SQLSTATE classes and codes of a server that shuts down, starts up, or is out of resources: class 08, 53, 57P.
const UNAVAILABLE: &[&str] = &["08", "53", "57P", "57014", "25P03"];

/// Maps an error of sqlx to a store error.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::Tls(_) => {
            StoreError::Unavailable(error.into())
        }
        sqlx::Error::Database(db) => {
            let code = db.code().unwrap_or_default();
            if CONTENDED.contains(&code.as_ref()) {
                StoreError::Contended(error.into())
            } else if UNAVAILABLE.iter().any(|prefix| code.starts_with(prefix)) {
                StoreError::Unavailable(error.into())
            } else {
                StoreError::Internal(error.into())
            }
        }
        _ => StoreError::Internal(error.into()),
    }
}
