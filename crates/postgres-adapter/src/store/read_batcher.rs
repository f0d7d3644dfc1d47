//! Reads that many ask for at one time, made together: one statement answers all who wait.
//!
//! Who asks while a statement is under way waits for the next one, so what is read is never older than the question. Whoever asks
//! alone waits for nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The most keys of one statement.
const MOST: usize = 500;

/// Questions that wait for a statement.
pub(crate) struct ReadBatcher<K, V>(Mutex<State<K, V>>);

struct State<K, V> {
    waiting: Vec<(K, oneshot::Sender<V>)>,
    /// Whether a task reads; it goes on until nobody waits.
    reading: bool,
}

impl<K, V> std::fmt::Debug for ReadBatcher<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
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

/// The reading task's hold. If it ends otherwise than with nobody waiting, the next question starts another, and nobody waits for
/// this one.
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
    /// What `read` gives for this key; nothing if it failed, as for all that were read with it.
    pub(crate) async fn get<F>(
        self: &Arc<Self>,
        key: K,
        read: impl Fn(Vec<K>) -> F + Send + 'static,
    ) -> Option<V>
    where
        F: Future<Output = Option<Vec<V>>> + Send,
    {
        let (answer, told) = oneshot::channel();
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
                    // Whoever was just answered, and whoever is about to ask, gets a turn first: fewer statements, each for more.
                    tokio::task::yield_now().await;
                    let Some((keys, answers)) = reading.next() else {
                        break;
                    };
                    // Without values the channels are dropped, which tells all who wait.
                    for (answer, value) in answers.into_iter().zip(read(keys).await.unwrap_or_default()) {
                        // Somebody may have gone away.
                        let _ = answer.send(value);
                    }
                }
            });
        }
        told.await.ok()
    }
}

impl<K, V> ReadBatcher<K, V> {
    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        // Nothing that holds it can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who wait, at most [`MOST`]; if nobody does, the reading is over in the same moment.
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
    async fn all_who_wait_are_answered_and_a_failure_leaves_nobody_waiting() {
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
