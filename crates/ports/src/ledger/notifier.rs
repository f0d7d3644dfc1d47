//! Wake-ups across processes, which make waiting short.

use std::time::Duration;

use async_trait::async_trait;

/// Hints that something may be there, across processes. One that is missed costs a poll's wait, never work.
pub trait Notifier: Send + Sync {
    /// Listens for a topic from now on: what is woken after this call is not missed.
    fn subscribe(&self, topic: &str) -> Box<dyn Subscription>;
    /// Wakes every subscriber of a topic in any process, soon. Called after the commit.
    fn notify(&self, topic: &str);
}

/// The topic of those who wait for something to claim.
pub fn work_topic(callee: &str) -> String {
    format!("work:{callee}")
}

/// The topic of those who wait for messages in an inbox.
pub fn inbox_topic(caller: &str) -> String {
    format!("inbox:{caller}")
}

/// Somebody who listens.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next hint since the last wait, at most `most`.
    async fn wait(&mut self, most: Duration);
}
