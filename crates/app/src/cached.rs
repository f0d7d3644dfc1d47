//! What was read last, for a while: many ask for it, and one of them reads.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ports::Clock;
use time::OffsetDateTime;

/// What was read last, and whose turn it is to read again.
pub(crate) struct Cached<T> {
    last: Mutex<Option<(OffsetDateTime, T)>>,
    turn: tokio::sync::Mutex<()>,
}

impl<T: Clone> Cached<T> {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            last: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    fn last(&self) -> Option<(OffsetDateTime, T)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was read last if it is younger than `kept`, or if somebody reads anew already; else what `read` gives.
    pub(crate) async fn get<E>(
        &self,
        clock: &dyn Clock,
        kept: Duration,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<(OffsetDateTime, T), E> {
        let kept = time::Duration::try_from(kept).unwrap_or(time::Duration::MAX);
        // A clock that was set back makes nothing young for longer.
        let young = |at: OffsetDateTime| (time::Duration::ZERO..kept).contains(&(clock.now() - at));
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
