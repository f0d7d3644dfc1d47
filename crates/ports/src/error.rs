//! The one error of every store.

use std::fmt;
use std::io;

use domain::Kind;
use domain::kind::Coded;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A disk that the server writes to. Each may be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Where the database keeps its data.
    Database,
    /// Where the blob store keeps files and logs.
    Files,
    /// Where hooks and ingesters run.
    Work,
}

impl fmt::Display for Disk {
    /// States that the disk is full and the remedy, without a path: the text is public.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => {
                "the disk of the database is full: free space where PostgreSQL keeps its data (in `postgres` of the data directory, if the server runs its own), then try again"
            }
            Self::Files => {
                "the disk of the blob store is full: free space in the directory of the setting `storage` (by default `blobs` of the data directory), then try again"
            }
            Self::Work => {
                "the disk of the work directories is full: free space in the data directory, then try again"
            }
        })
    }
}

/// Returns whether an error or one of its causes is that of a full disk, or of an exhausted quota.
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        })
}

/// Why an operation on the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, or has no connection free.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// A conflict with another transaction (deadlock, serialization failure). The whole unit of work may be retried.
    #[error("the store was contended")]
    Contended(#[source] Cause),
    /// A disk is full. The same write may succeed once there is room.
    #[error("{disk}")]
    Full {
        /// The disk.
        disk: Disk,
        /// The refused write.
        #[source]
        cause: Cause,
    },
    /// The requested rows cannot be found in bounded time.
    #[error(
        "the rows cannot be found in time: narrow the filter, sort by fewer columns, or read the whole table as a stream (.csv, .parquet)"
    )]
    TooSlow(#[source] Cause),
    /// The database can never store a value of the request.
    #[error("a value cannot be stored: {reason}")]
    Refused {
        /// Why, in words that its author understands.
        reason: &'static str,
        /// The database's own error.
        #[source]
        cause: Cause,
    },
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

    /// Creates the error of a full disk.
    pub fn full(disk: Disk, cause: impl Into<Cause>) -> Self {
        Self::Full {
            disk,
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
            Self::Full { .. } => Kind::Full,
            Self::TooSlow(_) | Self::Refused { .. } => Kind::Invalid,
            Self::Corrupt { .. } | Self::Poisoned | Self::Internal(_) => Kind::Bug,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) | Self::Contended(_) => "store_unavailable",
            Self::Full { .. } => "disk_full",
            Self::TooSlow(_) => "query_too_slow",
            Self::Refused { .. } => "value_not_storable",
            _ => "internal_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn a_full_disk_is_found_below_what_wraps_it() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert!(is_full(&full()) && is_full(&Wrapped(full())));
        assert!(is_full(&io::Error::other(Wrapped(
            io::ErrorKind::QuotaExceeded.into()
        ))));
        assert!(!is_full(&Wrapped(io::ErrorKind::BrokenPipe.into())));
        let error = StoreError::full(Disk::Files, full());
        assert_eq!((error.kind(), error.code()), (Kind::Full, "disk_full"));
        assert!(
            error
                .to_string()
                .starts_with("the disk of the blob store is full")
        );
    }
}
