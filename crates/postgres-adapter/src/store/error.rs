//! From sqlx's errors to the port's.

use ports::{Disk, StoreError};

use crate::store::refusal;

/// SQLSTATEs after which the whole unit of work may be retried: `serialization_failure`, `deadlock_detected`,
/// `lock_not_available`.
const CONTENDED: &[&str] = &["40001", "40P01", "55P03"];
/// SQLSTATE `disk_full`.
const FULL: &str = "53100";
/// SQLSTATE classes and codes of a server that shuts down, starts up, or is out of resources: class 08, 53, 57P.
const UNAVAILABLE: &[&str] = &["08", "53", "57P", "57014", "25P03"];

/// Maps an error of sqlx to a store error.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::Tls(_) => {
            unavailable(error)
        }
        sqlx::Error::Database(db) => {
            let code = db.code().unwrap_or_default();
            if CONTENDED.contains(&code.as_ref()) {
                StoreError::Contended(error.into())
            } else if code == FULL && !db.message().contains("shared memory") {
                // Shared memory is no disk: in a container, /dev/shm is small.
                refusal::remember();
                StoreError::full(Disk::Database, error)
            } else if UNAVAILABLE.iter().any(|prefix| code.starts_with(prefix)) {
                unavailable(error)
            } else if let Some(reason) = refusal(&code, db.message()) {
                StoreError::Refused {
                    reason,
                    cause: error.into(),
                }
            } else {
                StoreError::Internal(error.into())
            }
        }
        _ => StoreError::Internal(error.into()),
    }
}

/// Returns why a value cannot be stored, if that is what this SQLSTATE means. Other codes of class 22 are left out: only
/// a statement of ours could cause them.
fn refusal(code: &str, message: &str) -> Option<&'static str> {
    Some(match code {
        // program_limit_exceeded
        "54000" if message.starts_with("row is too big") => {
            "its values together are larger than a table row can hold: about 8 kB, not counting long texts, which are stored apart"
        }
        "54000" if message.starts_with("index row") => "a text is too long for the index of its column",
        "54000" => "a value exceeds a limit of the database",
        // too_many_columns
        "54011" => "it has more columns than a table can hold",
        // string_data_right_truncation
        "22001" => "a text is too long for its column",
        // numeric_value_out_of_range
        "22003" => "a number is out of the range of its column",
        // datetime_field_overflow
        "22008" => "a date or time is out of the range of its column",
        // character_not_in_repertoire, untranslatable_character
        "22021" | "22P05" => "a text contains a character that the database cannot store",
        _ => return None,
    })
}

/// Returns the error of a database that cannot be reached. After it ran out of room, that is the reason.
fn unavailable(error: sqlx::Error) -> StoreError {
    if refusal::is_recent() {
        StoreError::full(Disk::Database, error)
    } else {
        StoreError::Unavailable(error.into())
    }
}
