//! A TTL cache with a single refresher.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ports::Clock;
use time::OffsetDateTime;

/// The last value read, and the turn to refresh it.
pub(crate) struct Cached<T> {
    last: Mutex<Option<(OffsetDateTime, T)>>,
    turn: tokio::sync::Mutex<()>,
}

impl<T: Clone> Cached<T> {
    /// Creates an empty cache.
    pub(crate) fn new() -> Self {
        Self {
            last: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    fn last(&self) -> Option<(OffsetDateTime, T)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the cached value if it is younger than `ttl` or is being refreshed; else the result of `read`.
    pub(crate) async fn get<E>(
        &self,
        clock: &dyn Clock,
        ttl: Duration,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<(OffsetDateTime, T), E> {
        let ttl = time::Duration::try_from(ttl).unwrap_or(time::Duration::MAX);
        // A clock that was set back must not keep a value fresh for longer.
        let young = |at: OffsetDateTime| (time::Duration::ZERO..ttl).contains(&(clock.now() - at));
        let _turn = match self.last() {
            Some(last) if young(last.0) => return Ok(last),
            Some(last) => match self.turn.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(last),
            },
            None => self.turn.lock().await,
        };
        if let Some(last) = self.last().filter(|(at, _)| young(*at)) {
            return Ok(last);
        }
        let new = (clock.now(), read.await?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(new.clone());
        Ok(new)
    }
}
