//! `/stats` and `/metrics` (wire contract 1.8): figures of the whole archive, counted now and then and not for every reader (D31).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auth::{Permit, act};
use ports::stats::{Figure, Stats};
use ports::{Clock, StatsQueries};
use time::OffsetDateTime;

use crate::failure::Failure;

/// How long stats are kept (wire contract 1.8).
const STATS_KEPT: Duration = Duration::from_mins(5);
/// How long figures are kept, which are asked for by scrapers.
const FIGURES_KEPT: Duration = Duration::from_secs(10);

/// What was read last, and whose turn it is to read again.
struct Kept<T> {
    last: Mutex<Option<(OffsetDateTime, T)>>,
    turn: tokio::sync::Mutex<()>,
}

impl<T: Clone> Kept<T> {
    fn new() -> Self {
        Self {
            last: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    fn last(&self) -> Option<(OffsetDateTime, T)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was read last if it is younger than `kept`, or if somebody reads anew already; else what `read` gives.
    async fn get<E>(
        &self,
        clock: &dyn Clock,
        kept: Duration,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<(OffsetDateTime, T), E> {
        let young = |at: OffsetDateTime| clock.now() - at < kept;
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

/// Reads figures.
pub struct ReadStats {
    stats: Arc<dyn StatsQueries>,
    clock: Arc<dyn Clock>,
    counted: Kept<Stats>,
    figures: Kept<Vec<Figure>>,
}

impl ReadStats {
    /// A use case on these ports.
    pub fn new(stats: Arc<dyn StatsQueries>, clock: Arc<dyn Clock>) -> Self {
        Self {
            stats,
            clock,
            counted: Kept::new(),
            figures: Kept::new(),
        }
    }

    /// How much the archive holds, and when that was counted.
    pub async fn stats(&self, _permit: Permit<act::ReadData>) -> Result<(Stats, OffsetDateTime), Failure> {
        let counted = self.counted.get(&*self.clock, STATS_KEPT, self.stats.stats());
        let (at, stats) = counted.await?;
        Ok((stats, at))
    }

    /// How the work goes, and the connections of this server's pool: in use, and all.
    pub async fn figures(
        &self,
        _permit: Permit<act::ReadHealth>,
    ) -> Result<(Vec<Figure>, (u32, u32)), Failure> {
        let read = self.figures.get(&*self.clock, FIGURES_KEPT, self.stats.figures());
        let (_, figures) = read.await?;
        Ok((figures, self.stats.pool()))
    }
}
