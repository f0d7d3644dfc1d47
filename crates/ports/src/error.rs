//! The one error of every store.

use domain::Kind;
use domain::kind::Coded;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, or has no connection free.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// Another transaction was in the way (deadlock, serialization failure); the whole unit of work may be done again.
    #[error("the store was contended")]
    Contended(#[source] Cause),
    /// What was asked for cannot be found in bounded time.
    #[error(
        "the rows cannot be found in time: narrow the filter, sort by fewer columns, or read the whole table as a stream (.csv, .parquet)"
    )]
    TooSlow(#[source] Cause),
    /// A stored row does not read back as what it should be.
    #[error("a stored row of {table} does not read back")]
    Corrupt {
        /// Where it stands.
        table: &'static str,
        /// What is wrong with it.
        #[source]
        cause: Cause,
    },
    /// An earlier statement of this unit of work failed, so it cannot commit.
    #[error("an earlier statement failed, so this unit of work cannot commit")]
    Poisoned,
    /// Anything else; a defect of ours.
    #[error("the store failed")]
    Internal(#[source] Cause),
}

impl StoreError {
    /// A stored row that does not read back.
    pub fn corrupt(table: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Corrupt {
            table,
            cause: cause.into(),
        }
    }

    /// Whether the same unit of work may succeed when it is done again at once.
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
