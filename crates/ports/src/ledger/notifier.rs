//! Wake-ups across processes, which shorten long polls.

use std::time::Duration;

use async_trait::async_trait;

/// Hints across processes that something may have arrived. A missed hint costs one poll interval, never work.
pub trait Notifier: Send + Sync {
    /// Subscribes to a topic: a notification after this call is not missed.
    fn subscribe(&self, topic: &str) -> Box<dyn Subscription>;
    /// Wakes every subscriber of a topic in every process, soon. Call it after the commit.
    fn notify(&self, topic: &str);
}

/// Returns the topic for callees that wait for something to claim.
pub fn work_topic(callee: &str) -> String {
    format!("work:{callee}")
}

/// Returns the topic for callees whose claims may have been cancelled.
pub fn cancelled_topic(callee: &str) -> String {
    format!("cancelled:{callee}")
}

/// Returns the topic for callers that wait for messages in an inbox.
pub fn inbox_topic(caller: &str) -> String {
    format!("inbox:{caller}")
}

/// A subscription to one topic.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next hint since the last wait, at most `most`.
    async fn wait(&mut self, most: Duration);
}
