//! `/stats` and `/metrics` (wire contract 1.8): figures of the whole archive, counted now and then and not for every reader (D31).

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use ports::stats::{Figure, Stats};
use ports::{Clock, StatsQueries};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::failure::Failure;

/// How long stats are kept (wire contract 1.8).
const STATS_KEPT: Duration = Duration::from_mins(5);
/// How long figures are kept, which are asked for by scrapers.
const FIGURES_KEPT: Duration = Duration::from_secs(10);

type Kept<T> = Mutex<Option<(OffsetDateTime, T)>>;

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
            counted: Kept::default(),
            figures: Kept::default(),
        }
    }

    /// How much the archive holds, and when that was counted.
    pub async fn stats(&self, _permit: Permit<act::ReadData>) -> Result<(Stats, OffsetDateTime), Failure> {
        // Whoever comes while it is counted waits for that count.
        let mut kept = self.counted.lock().await;
        let now = self.clock.now();
        if let Some((at, stats)) = *kept
            && now - at < STATS_KEPT
        {
            return Ok((stats, at));
        }
        let stats = self.stats.stats().await?;
        *kept = Some((now, stats));
        Ok((stats, now))
    }

    /// How the work goes, and the connections of this server's pool: in use, and all.
    pub async fn figures(
        &self,
        _permit: Permit<act::ReadHealth>,
    ) -> Result<(Vec<Figure>, (u32, u32)), Failure> {
        let mut kept = self.figures.lock().await;
        let now = self.clock.now();
        let fresh = kept.as_ref().filter(|(at, _)| now - *at < FIGURES_KEPT);
        let figures = match fresh {
            Some((_, figures)) => figures.clone(),
            None => {
                let figures = self.stats.figures().await?;
                *kept = Some((now, figures.clone()));
                figures
            }
        };
        Ok((figures, self.stats.pool()))
    }
}
