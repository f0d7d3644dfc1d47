//! Retention: what has been final for long enough leaves the hot table and stays readable.

use std::sync::Arc;
use std::time::Duration;

use ports::Ledger;

use crate::failure::Failure;

/// How many rows one transaction moves.
const MAX_AT_ONCE: u32 = 1000;
/// How many rows one run moves at most, so that other work of its loop is not kept waiting.
const MAX_IN_A_RUN: u64 = 100_000;

/// Moves what is old.
pub struct Archive {
    ledger: Arc<dyn Ledger>,
    older_than: Duration,
}

impl Archive {
    /// A use case on the ledger, that keeps final rows in place for this long.
    pub fn new(ledger: Arc<dyn Ledger>, older_than: Duration) -> Self {
        Self { ledger, older_than }
    }

    /// How often to look for what is old.
    pub fn every(&self) -> Duration {
        Duration::from_mins(1).min(self.older_than)
    }

    /// Moves what is old, a bounded number of rows in each transaction; gives how many.
    pub async fn run(&self) -> Result<u64, Failure> {
        let mut all = 0;
        loop {
            let moved = self.ledger.archive(self.older_than, MAX_AT_ONCE).await?;
            all += moved;
            if moved < u64::from(MAX_AT_ONCE) || all >= MAX_IN_A_RUN {
                return Ok(all);
            }
        }
    }
}
