//! Waiting for something to be there: woken by a hint, or looking again after a while; bounded in time and in number.

use std::sync::Arc;
use std::time::Duration;

use ports::Wakes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::failure::Failure;

/// The longest that a caller may wait.
pub(crate) const MOST_WAIT: Duration = Duration::from_secs(30);
/// How often one who waits looks when nothing wakes them: what was delayed becomes ready without a hint.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many may wait at one time; whoever comes when that many wait is answered at once.
const MOST_WAITING: usize = 1000;

/// Waits for what others do.
pub(crate) struct Waiting {
    wakes: Arc<dyn Wakes>,
    places: Semaphore,
}

impl Waiting {
    pub(crate) fn new(wakes: Arc<dyn Wakes>) -> Self {
        Self {
            wakes,
            places: Semaphore::new(MOST_WAITING),
        }
    }

    /// Looks until something is there or the time is over.
    pub(crate) async fn until_some<T, F: Future<Output = Result<Vec<T>, Failure>>>(
        &self,
        topic: &str,
        wait: Duration,
        mut look: impl FnMut() -> F,
    ) -> Result<Vec<T>, Failure> {
        let until = Instant::now() + wait.min(MOST_WAIT);
        // Before the first look: what comes after that look is not missed.
        let mut listening = self.wakes.listen(topic);
        let mut place = None;
        loop {
            let found = look().await?;
            let left = until.saturating_duration_since(Instant::now());
            if !found.is_empty() || left.is_zero() {
                return Ok(found);
            }
            if place.is_none() {
                let Ok(taken) = self.places.try_acquire() else {
                    return Ok(found);
                };
                place = Some(taken);
            }
            listening.wait(left.min(LOOK_EVERY)).await;
        }
    }
}
