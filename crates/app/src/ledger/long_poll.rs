//! A long poll: woken by a hint, or polling at intervals; bounded in time and in number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ports::Notifier;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// The maximum wait of a caller.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(30);
/// The poll interval if nothing wakes the waiting caller: delayed work becomes ready without a hint.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The maximum number of waiting callers. Further requests are answered at once.
const MAX_WAITING: usize = 1000;
/// How many of these may wait for the same topic, a callee's work or a caller's messages.
const MAX_OF_A_TOPIC: usize = 50;

/// Waits for what others do.
pub(crate) struct LongPoll {
    notifier: Arc<dyn Notifier>,
    stopping: CancellationToken,
    places: Semaphore,
    /// How many callers wait for each topic.
    topics: Mutex<HashMap<String, usize>>,
}

/// A waiting caller's place at a topic, until it is dropped.
struct Place<'a> {
    waiting: &'a LongPoll,
    topic: &'a str,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut topics = self.waiting.topics();
        if let Some(count) = topics.get_mut(self.topic) {
            *count -= 1;
            if *count == 0 {
                topics.remove(self.topic);
            }
        }
    }
}

impl LongPoll {
    /// Creates it over these hints. When the server is `stopping`, every wait ends.
    pub(crate) fn new(notifier: Arc<dyn Notifier>, stopping: CancellationToken) -> Self {
        Self {
            notifier,
            stopping,
            places: Semaphore::new(MAX_WAITING),
            topics: Mutex::default(),
        }
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a place if there is one; one topic cannot use up all places.
    fn place<'a>(&'a self, topic: &'a str) -> Option<Place<'a>> {
        let permit = self.places.try_acquire().ok()?;
        let mut topics = self.topics();
        let count = topics.entry(topic.to_owned()).or_default();
        if *count >= MAX_OF_A_TOPIC {
            return None;
        }
        *count += 1;
        Some(Place {
            waiting: self,
            topic,
            _permit: permit,
        })
    }

    /// Polls until there is a result or the time is over.
    pub(crate) async fn until_some<T, F: Future<Output = Result<Vec<T>, Failure>>>(
        &self,
        topic: &str,
        wait: Duration,
        mut look: impl FnMut() -> F,
    ) -> Result<Vec<T>, Failure> {
        let until = Instant::now() + wait.min(MAX_WAIT);
        // Subscribed before the first poll, so no later hint is missed.
        let mut listening = self.notifier.subscribe(topic);
        let mut place = None;
        loop {
            let found = look().await?;
            let left = until.saturating_duration_since(Instant::now());
            if !found.is_empty() || left.is_zero() || self.stopping.is_cancelled() {
                return Ok(found);
            }
            if place.is_none() {
                let Some(taken) = self.place(topic) else {
                    return Ok(found);
                };
                place = Some(taken);
            }
            tokio::select! {
                () = listening.wait(left.min(LOOK_EVERY)) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }
}
