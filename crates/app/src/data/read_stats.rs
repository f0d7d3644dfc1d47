//! `/stats` and `/metrics` (WC-1.8): statistics of the whole archive, cached instead of counted per reader (WC-D31).

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use ports::data::{Sample, Stats};
use ports::{Clock, StatsQueries};
use time::OffsetDateTime;

use crate::cached::Cached;
use crate::failure::Failure;
use crate::metrics::Metrics;

/// How long statistics are cached (WC-1.8).
const STATS_TTL: Duration = Duration::from_mins(5);
/// How long samples are cached, because scrapers request them often.
const SAMPLES_TTL: Duration = Duration::from_secs(10);

/// Reads statistics and metrics.
pub struct ReadStats {
    stats: Arc<dyn StatsQueries>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    counted: Cached<Stats>,
    samples: Cached<Vec<Sample>>,
}

impl ReadStats {
    /// Creates the use case over these ports.
    pub fn new(stats: Arc<dyn StatsQueries>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self {
            stats,
            clock,
            metrics,
            counted: Cached::new(),
            samples: Cached::new(),
        }
    }

    /// Returns the archive's statistics, and when they were counted.
    #[tracing::instrument(name = "app.read_stats.stats", skip_all)]
    pub async fn stats(&self, _permit: Permit<act::ReadData>) -> Result<(Stats, OffsetDateTime), Failure> {
        let counted = self.counted.get(&*self.clock, STATS_TTL, self.stats.stats());
        let (at, stats) = counted.await?;
        Ok((stats, at))
    }

    /// Returns the metrics of the whole archive and of this server. Without a database, this server still reports its
    /// own.
    #[tracing::instrument(name = "app.read_stats.samples", skip_all)]
    pub async fn samples(&self, _permit: Permit<act::ReadHealth>) -> Vec<Sample> {
        let read = self.samples.get(&*self.clock, SAMPLES_TTL, self.stats.samples());
        let mut samples = match read.await {
            Ok((_, samples)) => samples,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the archive's metrics could not be read"
                );
                Vec::new()
            }
        };
        samples.extend(self.metrics.samples(self.stats.pool()));
        samples
    }
}
