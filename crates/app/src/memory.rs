//! The memory that requests share for large bodies and what they are read into.
//!
//! Invariant: what is reserved never exceeds the budget, what one client reserved never exceeds half of it, and a
//! request that finds no room waits for a bounded time. Who can break it: a reader that takes memory without a
//! reservation. Small bodies do, for they are the usual ones: their number is that of the connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use domain::Kind;
use domain::kind::Coded;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of the budget, in bytes.
const UNIT: usize = 1024;
/// How long a request waits for memory that others have.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits before that for memory that its own client's requests have.
const OWN_PATIENCE: Duration = Duration::from_secs(10);
/// What a request may hold besides its largest part, in units: the window of zstd (8 MiB and two blocks) and the bytes of
/// a JSON body (4 MiB). A part of the whole share would wait for them in vain.
const BESIDE: u32 = 13 * 1024;
/// From how many clients on those without a reservation are dropped.
const MANY: usize = 1000;

/// A budget of memory. Its clones are the same budget.
#[derive(Clone, Debug)]
pub struct Memory {
    free: Arc<Semaphore>,
    /// What one client may have, in units.
    most: u32,
    clients: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

/// The part of a budget that one client may use.
#[derive(Clone, Debug)]
pub struct Share {
    free: Arc<Semaphore>,
    own: Arc<Semaphore>,
    most: u32,
}

/// A part of a budget, until it is dropped.
#[derive(Debug)]
pub struct Reserved {
    _part: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
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
        Self {
            free: Arc::new(semaphore(total)),
            most: (total / 2).max(1),
            clients: Arc::default(),
        }
    }

    /// Returns the share of this client: half of the budget, for all of its requests together.
    pub fn share(&self, client: &str) -> Share {
        // No holder can leave it half changed.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let known = clients.get(client).and_then(Weak::upgrade);
        let own = known.unwrap_or_else(|| {
            if clients.len() >= MANY {
                clients.retain(|_, own| own.strong_count() > 0);
            }
            let own = Arc::new(semaphore(self.most));
            clients.insert(client.to_owned(), Arc::downgrade(&own));
            own
        });
        Share {
            free: Arc::clone(&self.free),
            own,
            most: self.most,
        }
    }
}

impl Share {
    /// Reserves so many bytes, or what one part of a request may be in this share if that is less. Waits for at most
    /// 10 s for the client's other requests, and then for at most 5 s for those of others.
    pub async fn reserve(&self, bytes: usize) -> Result<Reserved, Busy> {
        self.reserve_within(bytes, OWN_PATIENCE, PATIENCE).await
    }

    async fn reserve_within(
        &self,
        bytes: usize,
        own_patience: Duration,
        patience: Duration,
    ) -> Result<Reserved, Busy> {
        let largest = self.most.saturating_sub(BESIDE).max(self.most / 2).max(1);
        let units = u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .min(largest);
        // A client that has its share waits for itself, and not in the queue of the others.
        let own = taken(&self.own, units, own_patience).await?;
        let part = taken(&self.free, units, patience).await?;
        Ok(Reserved {
            _part: part,
            _own: own,
        })
    }
}

async fn taken(from: &Arc<Semaphore>, units: u32, patience: Duration) -> Result<OwnedSemaphorePermit, Busy> {
    let part = Arc::clone(from).acquire_many_owned(units);
    match tokio::time::timeout(patience, part).await {
        Ok(Ok(part)) => Ok(part),
        Ok(Err(_)) | Err(_) => Err(Busy),
    }
}

fn semaphore(units: u32) -> Semaphore {
    let permits = usize::try_from(units).unwrap_or(Semaphore::MAX_PERMITS);
    Semaphore::new(permits.min(Semaphore::MAX_PERMITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    async fn reserve(share: &Share, bytes: usize) -> Result<Reserved, Busy> {
        share.reserve_within(bytes, Duration::ZERO, Duration::ZERO).await
    }

    // proves ISO-3
    #[tokio::test]
    async fn what_is_reserved_never_exceeds_the_budget() {
        let memory = Memory::new(60 << 20);
        let [a, b, c] = ["a", "b", "c"].map(|name| memory.share(name));
        let first = (reserve(&a, 15 * MIB).await, reserve(&a, 15 * MIB).await);
        assert!(first.0.is_ok() && first.1.is_ok());
        let second = reserve(&b, 15 * MIB).await.unwrap();
        let third = reserve(&b, 15 * MIB - 1).await.unwrap();
        assert!(reserve(&c, 1).await.is_err());
        drop(third);
        let fourth = reserve(&memory.clone().share("c"), 1).await.unwrap();
        drop((first, second, fourth));
        assert!(reserve(&c, 15 * MIB).await.is_ok());
    }

    // proves ISO-5
    #[tokio::test]
    async fn one_client_cannot_take_the_memory_of_another() {
        let memory = Memory::new(60 << 20);
        let first = reserve(&memory.share("a"), 15 * MIB).await.unwrap();
        let _second = reserve(&memory.share("a"), 15 * MIB).await.unwrap();
        // It waits for its own requests, and others do not wait behind it.
        let again = memory.share("a");
        let mut third = std::pin::pin!(again.reserve(1));
        assert!(futures::poll!(third.as_mut()).is_pending());
        assert!(reserve(&memory.share("a"), 1).await.is_err());
        assert!(reserve(&memory.share("b"), 15 * MIB).await.is_ok());
        drop(first);
        assert!(third.await.is_ok());
    }

    // proves ISO-3
    #[tokio::test]
    async fn a_request_never_waits_for_itself() {
        // The smallest budget that can be set, and the usual one.
        for mib in [64, 256] {
            let share = Memory::new(mib << 20).share("a");
            let window = reserve(&share, (8 << 20) + 256 * 1024).await.unwrap();
            let bytes = reserve(&share, 4 * MIB).await.unwrap();
            let value = reserve(&share, usize::MAX).await.unwrap();
            assert!(reserve(&share, 2 * MIB).await.is_err(), "{mib}");
            drop((window, bytes, value));
        }
    }

    // proves ISO-5
    #[tokio::test]
    async fn clients_that_left_are_forgotten() {
        let memory = Memory::new(1 << 20);
        let kept = memory.share("kept");
        let parts = (reserve(&kept, 256 << 10).await, reserve(&kept, 256 << 10).await);
        assert!(parts.0.is_ok() && parts.1.is_ok());
        drop(kept);
        for n in 0..3 * MANY {
            drop(memory.share(&n.to_string()));
        }
        assert!(memory.clients.lock().unwrap().len() <= MANY + 1);
        assert!(reserve(&memory.share("kept"), 1).await.is_err());
        drop(parts);
        assert!(reserve(&memory.share("kept"), 1).await.is_ok());
    }
}
