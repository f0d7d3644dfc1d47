//! Counts of tables without counting them for every reader (D31): a count is kept for as long as counting again would be out of
//! proportion, and its time is told with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ports::queries::{Table, TableCounts, TableQuery};
use ports::{Clock, DataQueries, StoreError};
use time::OffsetDateTime;

/// A count that took no longer is made again while its reader waits.
const QUICK: Duration = Duration::from_millis(100);
/// A count is kept for so many times as long as it took: at most a twentieth of one connection counts.
const KEPT: u32 = 20;
/// How long the first reader of a table waits for its count; then the planner's estimate must do.
const PATIENCE: Duration = Duration::from_secs(3);

/// The counts of a table, with their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Rows.
    pub rows: u64,
    /// Distinct records among them; none for an estimate.
    pub records: Option<u64>,
    /// When they were counted.
    pub counted_at: OffsetDateTime,
    /// Whether nobody counted them: the database's own guess.
    pub estimated: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    counted: Option<(Counted, Duration)>,
    counting: bool,
}

type Shelf = Arc<Mutex<HashMap<String, Kept>>>;

/// Counts tables.
pub(crate) struct TableCounter {
    data: Arc<dyn DataQueries>,
    clock: Arc<dyn Clock>,
    kept: Shelf,
}

impl TableCounter {
    pub(crate) fn new(data: Arc<dyn DataQueries>, clock: Arc<dyn Clock>) -> Self {
        Self {
            data,
            clock,
            kept: Shelf::default(),
        }
    }

    /// The counts of a table: as of now if `exact`, or if counting is quick; else as they were when it was last counted, which is done
    /// again meanwhile.
    pub(crate) async fn count(&self, table: &Table, exact: bool) -> Result<Counted, StoreError> {
        let key = key(table);
        let kept = self.look(&key);
        if let (Some((counted, took)), false) = (kept.counted, exact) {
            let age = self.clock.now() - counted.counted_at;
            if age < took.saturating_mul(KEPT) {
                return Ok(counted);
            }
            if took > QUICK {
                if !kept.counting {
                    drop(self.counting(key, table));
                }
                return Ok(counted);
            }
        }
        let counting = self.counting(key, table);
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

    fn look(&self, key: &str) -> Kept {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).copied().unwrap_or_default()
    }

    /// Counts, whoever waits for it.
    fn counting(&self, key: String, table: &Table) -> tokio::task::JoinHandle<Result<Counted, StoreError>> {
        let change = |shelf: &Shelf, key: &str, change: &dyn Fn(&mut Kept)| {
            let mut kept = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            change(kept.entry(key.to_owned()).or_default());
        };
        change(&self.kept, &key, &|kept| kept.counting = true);
        let (data, clock, shelf, table) = (
            Arc::clone(&self.data),
            Arc::clone(&self.clock),
            Arc::clone(&self.kept),
            table.clone(),
        );
        tokio::spawn(async move {
            let begun = clock.now();
            let counts = data.counts(&table, &TableQuery::default()).await;
            let took = (clock.now() - begun).unsigned_abs();
            let counted = counts.map(|TableCounts { rows, records }| Counted {
                rows,
                records: Some(records),
                counted_at: begun,
                estimated: false,
            });
            change(&shelf, &key, &|kept| {
                kept.counting = false;
                if let Ok(counted) = &counted {
                    kept.counted = Some((*counted, took));
                }
            });
            counted
        })
    }
}

fn key(table: &Table) -> String {
    format!("{} {} {}", table.schema, table.versions.join(","), table.name())
}
