//! Limits concurrent writers of one hook: the others wait here and not in the database.
//!
//! Only the hook's row lock ensures correctness, on any number of servers (REG-2). This limiter keeps a crowd at one
//! hook from holding every connection of this server's pool while it queues, and PostgreSQL from waking a crowd at
//! each release of the lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use domain::HookName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many callers of this server work on a hook at a time: one that holds the lock, and one that has begun and
/// waits for it, so that no time is lost between the two.
const AT_ONCE: usize = 2;
/// From how many names on the unused ones are dropped.
const MANY: usize = 1000;

/// Per-hook turns.
#[derive(Debug, Default)]
pub(crate) struct HookLimiter(Mutex<HashMap<HookName, Weak<Semaphore>>>);

impl HookLimiter {
    /// Waits for a turn at this hook, in order of arrival. The turn lasts until it is dropped.
    pub(crate) async fn turn(&self, hook: &HookName) -> Option<OwnedSemaphorePermit> {
        // It is never closed, so this never fails.
        self.line(hook).acquire_owned().await.ok()
    }

    fn line(&self, hook: &HookName) -> Arc<Semaphore> {
        // No holder can leave it half changed.
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(hook).and_then(Weak::upgrade) {
            return line;
        }
        if lines.len() >= MANY {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        let line = Arc::new(Semaphore::new(AT_ONCE));
        lines.insert(hook.clone(), Arc::downgrade(&line));
        line
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn two_are_at_a_hook_and_nobody_waits_for_another_hook() {
        let turns = HookLimiter::default();
        let (a, b): (HookName, HookName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let first = turns.turn(&a).await;
        let second = turns.turn(&a).await;
        assert!(turns.turn(&b).await.is_some());
        let third = turns.turn(&a);
        tokio::pin!(third);
        assert!(
            tokio::time::timeout(Duration::from_millis(20), &mut third)
                .await
                .is_err()
        );
        drop(second);
        assert!(third.await.is_some());
        drop(first);
    }

    #[tokio::test]
    async fn names_that_nobody_uses_are_forgotten() {
        let turns = HookLimiter::default();
        for n in 0..5000 {
            drop(turns.turn(&format!("h{n}").parse().unwrap()).await);
        }
        assert!(turns.0.lock().unwrap().len() <= MANY);
    }
}
