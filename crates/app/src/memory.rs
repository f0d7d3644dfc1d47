//! The memory that requests share for large bodies and what they are read into.
//!
//! Invariant: what is reserved never exceeds the budget, and a request that finds no room waits for a bounded time. Who
//! can break it: a reader that takes memory without a reservation. Small bodies do, for they are the usual ones: their
//! number is that of the connections.

use std::sync::Arc;
use std::time::Duration;

use domain::Kind;
use domain::kind::Coded;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of the budget, in bytes.
const UNIT: usize = 1024;
/// How long a request waits for memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// A budget of memory. Its clones are the same budget.
#[derive(Clone, Debug)]
pub struct Memory {
    free: Arc<Semaphore>,
    total: u32,
}

/// A part of a budget, until it is dropped.
#[derive(Debug)]
pub struct Reserved {
    _part: OwnedSemaphorePermit,
}

/// The memory for bodies of requests is in use.
#[derive(Debug, thiserror::Error)]
#[error("the memory for large request bodies is in use")]
pub struct Busy;

impl Coded for Busy {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }
    fn code(&self) -> &'static str {
        "server_busy"
    }
}

impl Memory {
    /// Creates a budget of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let total = u32::try_from(bytes / UNIT as u64).unwrap_or(u32::MAX).max(1);
        let permits = usize::try_from(total).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            total,
        }
    }

    /// Reserves so many bytes, or the whole budget if it is smaller. Waits for at most 5 s.
    pub async fn reserve(&self, bytes: usize) -> Result<Reserved, Busy> {
        self.reserve_within(bytes, PATIENCE).await
    }

    async fn reserve_within(&self, bytes: usize, patience: Duration) -> Result<Reserved, Busy> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let part = Arc::clone(&self.free).acquire_many_owned(units.min(self.total));
        match tokio::time::timeout(patience, part).await {
            Ok(Ok(part)) => Ok(Reserved { _part: part }),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-3
    #[tokio::test]
    async fn what_is_reserved_never_exceeds_the_budget() {
        let memory = Memory::new(100 * 1024);
        let reserve = |bytes| memory.reserve_within(bytes, Duration::ZERO);
        let first = reserve(60 * 1024).await.unwrap();
        let second = reserve(40 * 1024 - 1).await.unwrap();
        assert!(reserve(1).await.is_err());
        drop(second);
        let third = reserve(1).await.unwrap();
        drop((first, third));
        // More than there is means all of it.
        let all = reserve(usize::MAX).await.unwrap();
        assert!(memory.clone().reserve_within(1, Duration::ZERO).await.is_err());
        drop(all);
        assert!(reserve(1).await.is_ok());
    }
}
