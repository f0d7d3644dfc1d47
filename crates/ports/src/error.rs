//! The one error of every store.

use domain::Kind;
use domain::kind::Coded;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation on the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, or has no connection free.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// A conflict with another transaction (deadlock, serialization failure). The whole unit of work may be retried.
    #[error("the store was contended")]
    Contended(#[source] Cause),
    /// The requested rows cannot be found in bounded time.
    #[error(
        "the rows cannot be found in time: narrow the filter, sort by fewer columns, or read the whole table as a stream (.csv, .parquet)"
    )]
    TooSlow(#[source] Cause),
    /// A stored row cannot be decoded.
    #[error("a stored row of {table} does not read back")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        #[source]
        cause: Cause,
    },
    /// An earlier statement of this unit of work failed, so it cannot commit.
    #[error("an earlier statement failed, so this unit of work cannot commit")]
    Poisoned,
    /// Any other error: a defect in the server.
    #[error("the store failed")]
    Internal(#[source] Cause),
}

impl StoreError {
    /// Creates the error of a stored row that cannot be decoded.
    pub fn corrupt(table: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Corrupt {
            table,
            cause: cause.into(),
        }
    }

    /// Returns whether an immediate retry of the same unit of work may succeed.
    pub const fn is_contention(&self) -> bool {
        matches!(self, Self::Contended(_))
    }
}

impl Coded for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unavailable(_) | Self::Contended(_) => Kind::Unavailable,
            Self::TooSlow(_) => Kind::Invalid,
            Self::Corrupt { .. } | Self::Poisoned | Self::Internal(_) => Kind::Bug,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) | Self::Contended(_) => "store_unavailable",
            Self::TooSlow(_) => "query_too_slow",
            _ => "internal_error",
        }
    }
}
