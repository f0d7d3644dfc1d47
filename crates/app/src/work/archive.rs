//! Retention: rows that have been final for long enough leave the hot table and stay readable.

use std::sync::Arc;
use std::time::Duration;

use ports::Ledger;

use crate::failure::Failure;

/// How many rows one transaction moves.
const MAX_AT_ONCE: u32 = 1000;
/// The maximum number of rows per run, so that other work of its loop is not delayed.
const MAX_IN_A_RUN: u64 = 100_000;

/// Archives old rows.
pub struct Archive {
    ledger: Arc<dyn Ledger>,
    older_than: Duration,
}

impl Archive {
    /// Creates the use case over the ledger. Final rows stay in place for `older_than`.
    pub fn new(ledger: Arc<dyn Ledger>, older_than: Duration) -> Self {
        Self { ledger, older_than }
    }

    /// Returns the interval between runs.
    pub fn every(&self) -> Duration {
        Duration::from_mins(1).min(self.older_than)
    }

    /// Archives old rows, a bounded number in each transaction. Returns the total number.
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
