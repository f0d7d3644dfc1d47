//! Coalesces concurrent reads into one statement.
//!
//! A caller that arrives during a statement waits for the next one, so a result is never older than its request. A
//! single caller never waits for another one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The maximum number of keys per statement.
const MOST: usize = 500;

/// Requests that wait for a statement.
pub(crate) struct ReadBatcher<K, V>(Mutex<State<K, V>>);

struct State<K, V> {
    waiting: Vec<(K, oneshot::Sender<V>)>,
    /// Whether a task reads; it continues until no request waits.
    reading: bool,
}

impl<K, V> std::fmt::Debug for ReadBatcher<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadBatcher").finish_non_exhaustive()
    }
}

impl<K, V> Default for ReadBatcher<K, V> {
    fn default() -> Self {
        Self(Mutex::new(State {
            waiting: Vec::new(),
            reading: false,
        }))
    }
}

/// The reading task's hold. If it ends with requests still waiting, the next request starts another task, and no
/// caller waits for this one.
struct Reading<K, V> {
    read_batcher: Arc<ReadBatcher<K, V>>,
    over: bool,
}

impl<K, V> Reading<K, V> {
    fn next(&mut self) -> Option<(Vec<K>, Vec<oneshot::Sender<V>>)> {
        let next = self.read_batcher.take();
        self.over = next.is_none();
        next
    }
}

impl<K, V> Drop for Reading<K, V> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut state = self.read_batcher.state();
        state.reading = false;
        state.waiting.clear();
    }
}

impl<K: Send + 'static, V: Send + 'static> ReadBatcher<K, V> {
    /// Returns the result of `read` for this key; `None` if it failed, as for all keys that were read with it.
    pub(crate) async fn get<F>(
        self: &Arc<Self>,
        key: K,
        read: impl Fn(Vec<K>) -> F + Send + 'static,
    ) -> Option<V>
    where
        F: Future<Output = Option<Vec<V>>> + Send,
    {
        let (answer, response) = oneshot::channel();
        let first = {
            let mut state = self.state();
            state.waiting.push((key, answer));
            !std::mem::replace(&mut state.reading, true)
        };
        if first {
            let mut reading = Reading {
                read_batcher: Arc::clone(self),
                over: false,
            };
            tokio::spawn(async move {
                loop {
                    // Callers that were just answered or are about to ask get a turn first: fewer statements, each
                    // for more.
                    tokio::task::yield_now().await;
                    let Some((keys, answers)) = reading.next() else {
                        break;
                    };
                    // Without values the channels are dropped, which wakes all waiting callers.
                    for (answer, value) in answers.into_iter().zip(read(keys).await.unwrap_or_default()) {
                        // The caller may have gone away.
                        let _ = answer.send(value);
                    }
                }
            });
        }
        response.await.ok()
    }
}

impl<K, V> ReadBatcher<K, V> {
    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        // No holder can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the waiting requests, at most [`MOST`]. If there are none, the reading ends at the same moment.
    fn take(&self) -> Option<(Vec<K>, Vec<oneshot::Sender<V>>)> {
        let mut state = self.state();
        let most = state.waiting.len().min(MOST);
        state.reading = most > 0;
        state.reading.then(|| state.waiting.drain(..most).unzip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_get_a_result_even_if_the_read_fails() {
        let read_batcher: Arc<ReadBatcher<u32, u32>> = Arc::default();
        let ask = |key: u32| {
            let read_batcher = Arc::clone(&read_batcher);
            tokio::spawn(async move {
                let read = |keys: Vec<u32>| async move {
                    tokio::task::yield_now().await;
                    (!keys.contains(&7)).then(|| keys.iter().map(|key| key * 2).collect())
                };
                read_batcher.get(key, read).await
            })
        };
        let asked: Vec<_> = (100..2000).map(ask).collect();
        for (key, asked) in (100..2000).zip(asked) {
            assert_eq!(asked.await.unwrap(), Some(key * 2));
        }
        assert_eq!(ask(7).await.unwrap(), None);
        assert_eq!(ask(8).await.unwrap(), Some(16));
    }
}
