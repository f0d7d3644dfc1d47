//! Retrying a contended unit of work, a bounded number of times.

use std::time::Duration;

/// How often a unit of work is tried.
const MAX_TRIES: u32 = 6;

/// Counts tries.
pub(crate) struct Tries(u32);

impl Tries {
    pub(crate) const fn new() -> Self {
        Self(1)
    }

    /// Waits a little, longer each time, and returns whether there is another try.
    pub(crate) async fn another(&mut self) -> bool {
        if self.0 >= MAX_TRIES {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5 << self.0)).await;
        self.0 += 1;
        true
    }
}

/// Retries a method while it fails for contention.
macro_rules! retried {
    ($attempt:expr) => {{
        let mut tries = $crate::retry::Tries::new();
        loop {
            match $attempt.await {
                Err(failure) if failure.is_contention() && tries.another().await => {}
                other => break other,
            }
        }
    }};
}
pub(crate) use retried;
