//! Counts of tables without counting per reader (WC-D31): a count is cached while counting again would be out of
//! proportion, and its time is reported with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ports::data::{Table, TableCounts, TableQuery};
use ports::{Clock, DataQueries, StoreError};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

/// A table whose last count took at most this long is counted again while its reader waits.
const QUICK: Duration = Duration::from_millis(100);
/// A count is cached for so many times as long as it took: at most a twentieth of one connection's time goes to
/// counting.
const TTL_FACTOR: u32 = 20;
/// How long the first reader of a table waits for its count. After that, the planner's estimate is returned.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many tables are counted concurrently.
const AT_ONCE: usize = 2;

/// The counts of a table, with their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Rows.
    pub rows: u64,
    /// Distinct records among them; none for an estimate.
    pub records: Option<u64>,
    /// When they were counted.
    pub counted_at: OffsetDateTime,
    /// Whether the counts are the database's own estimate.
    pub estimated: bool,
}

/// The cached count of one table.
#[derive(Debug, Default)]
struct CachedCount {
    counted: Mutex<Option<(Counted, Duration)>>,
    /// Held while counting: a table is counted once at a time, for all concurrent readers.
    counting: tokio::sync::Mutex<()>,
}

impl CachedCount {
    fn counted(&self) -> Option<(Counted, Duration)> {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts tables.
pub(crate) struct TableCounter {
    data: Arc<dyn DataQueries>,
    clock: Arc<dyn Clock>,
    cached: Mutex<HashMap<String, Arc<CachedCount>>>,
    /// Limits how many tables are counted concurrently.
    places: Arc<Semaphore>,
}

impl TableCounter {
    pub(crate) fn new(data: Arc<dyn DataQueries>, clock: Arc<dyn Clock>) -> Self {
        Self {
            data,
            clock,
            cached: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Returns the counts of a table: as of now if `exact` or if counting is quick; else as of the last count, which
    /// is refreshed in the background.
    pub(crate) async fn count(&self, table: &Table, exact: bool) -> Result<Counted, StoreError> {
        let cached = {
            let mut all = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(key(table)).or_default())
        };
        if let (Some((counted, took)), false) = (cached.counted(), exact) {
            let age = self.clock.now() - counted.counted_at;
            if age < took.saturating_mul(TTL_FACTOR) {
                return Ok(counted);
            }
            if took > QUICK {
                // A count that is already running is sufficient.
                if cached.counting.try_lock().is_ok() {
                    drop(self.counting(&cached, table));
                }
                return Ok(counted);
            }
        }
        let counting = self.counting(&cached, table);
        let ended = |ended: Result<Result<Counted, StoreError>, tokio::task::JoinError>| {
            ended.map_err(|e| StoreError::Internal(e.into()))?
        };
        if exact {
            return ended(counting.await);
        }
        match tokio::time::timeout(PATIENCE, counting).await {
            Ok(counted) => ended(counted),
            Err(_) => Ok(Counted {
                rows: self.data.estimated_rows(table).await?,
                records: None,
                counted_at: self.clock.now(),
                estimated: true,
            }),
        }
    }

    /// Counts, independently of who waits for it; or joins a count that began after this call, which is as recent.
    fn counting(
        &self,
        cached: &Arc<CachedCount>,
        table: &Table,
    ) -> tokio::task::JoinHandle<Result<Counted, StoreError>> {
        let (data, clock, places) = (
            Arc::clone(&self.data),
            Arc::clone(&self.clock),
            Arc::clone(&self.places),
        );
        let (cached, table, asked) = (Arc::clone(cached), table.clone(), self.clock.now());
        tokio::spawn(async move {
            let _turn = cached.counting.lock().await;
            if let Some((counted, _)) = cached.counted()
                && counted.counted_at >= asked
            {
                return Ok(counted);
            }
            let _place = places.acquire().await;
            let begun = clock.now();
            let TableCounts { rows, records } = data.counts(&table, &TableQuery::default()).await?;
            let counted = Counted {
                rows,
                records: Some(records),
                counted_at: begun,
                estimated: false,
            };
            let took = (clock.now() - begun).unsigned_abs();
            *cached.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((counted, took));
            Ok(counted)
        })
    }
}

fn key(table: &Table) -> String {
    format!("{} {} {}", table.schema, table.versions.join(","), table.name())
}
