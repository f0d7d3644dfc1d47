//! Wake-ups (LEDGER-6.6): `NOTIFY` inside a writing transaction would serialise commits (LEDGER-1.5), so writers
//! leave a note and one task per process sends at most one `NOTIFY` per [`PgNotifier::COALESCE`]. A missed one costs
//! a poll interval, never work.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use ports::{Notifier, StoreError, Subscription};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};

use crate::store::error::store_error;

const CHANNEL: &str = "hallmark_work";
/// PostgreSQL refuses a payload of 8000 bytes and more.
const MAX_PAYLOAD: usize = 7000;
/// How long a loop waits before it shows that it is alive.
const TURN: Duration = Duration::from_secs(1);
/// The number of topics above which those without subscribers are dropped.
const MANY_TOPICS: usize = 1000;

/// Wake-ups across the processes that share a database.
#[derive(Debug)]
pub struct PgNotifier {
    pool: PgPool,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Incremented at every hint.
    topics: Mutex<HashMap<String, watch::Sender<u64>>>,
    /// The hints to send to other processes.
    outgoing: Mutex<BTreeSet<String>>,
    to_send: Notify,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn bump(&self, topic: &str) {
        if let Some(sender) = locked(&self.topics).get(topic) {
            sender.send_modify(|hints| *hints = hints.wrapping_add(1));
        }
    }

    fn bump_all(&self) {
        for sender in locked(&self.topics).values() {
            sender.send_modify(|hints| *hints = hints.wrapping_add(1));
        }
    }
}

impl PgNotifier {
    /// The minimum time between two `NOTIFY`s of one process.
    pub const COALESCE: Duration = Duration::from_millis(25);

    /// Creates it. Hints stay in this process until [`PgNotifier::send`] and [`PgNotifier::listen`] run.
    pub fn new(pool: &PgPool) -> Self {
        Self {
            pool: pool.clone(),
            shared: Arc::default(),
        }
    }

    /// Creates it, and starts sending and listening until it is dropped, for tests. A server supervises both loops.
    pub fn start(pool: &PgPool) -> Self {
        let notifier = Self::new(pool);
        let of = |shared: &Weak<Shared>, pool: &PgPool| {
            let (shared, pool) = (shared.upgrade()?, pool.clone());
            (!pool.is_closed()).then_some(Self { pool, shared })
        };
        let (shared, own) = (Arc::downgrade(&notifier.shared), pool.clone());
        drop(tokio::spawn(async move {
            while let Some(notifier) = of(&shared, &own) {
                let _ = notifier.send().await;
            }
        }));
        let (shared, own) = (Arc::downgrade(&notifier.shared), pool.clone());
        drop(tokio::spawn(async move {
            while shared.strong_count() > 0 && !own.is_closed() {
                if listen(&own, &shared, &|| {}).await.is_err() {
                    tokio::time::sleep(TURN).await;
                }
            }
        }));
        notifier
    }

    /// Sends the hints that have come to the other processes; waits at most a second for one. After an error the other
    /// processes poll.
    pub async fn send(&self) -> Result<(), StoreError> {
        let woken = tokio::time::timeout(TURN, self.shared.to_send.notified()).await;
        if woken.is_err() {
            return Ok(());
        }
        let topics = std::mem::take(&mut *locked(&self.shared.outgoing));
        if topics.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "select pg_notify($1, payload) from unnest($2::text[]) payload",
            CHANNEL,
            &payloads(&topics)
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        tokio::time::sleep(Self::COALESCE).await;
        Ok(())
    }

    /// Listens to the other processes until the connection fails or this is dropped; meanwhile all waiting callers poll.
    /// Calls `alive` at least once a second.
    pub fn listen(
        &self,
        alive: impl Fn() + Send + Sync,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let (pool, shared) = (self.pool.clone(), Arc::downgrade(&self.shared));
        async move { listen(&pool, &shared, &alive).await.map_err(store_error) }
    }
}

impl Notifier for PgNotifier {
    fn subscribe(&self, topic: &str) -> Box<dyn Subscription> {
        let mut topics = locked(&self.shared.topics);
        if topics.len() >= MANY_TOPICS {
            topics.retain(|_, sender| sender.receiver_count() > 0);
        }
        let sender = topics
            .entry(topic.to_owned())
            .or_insert_with(|| watch::Sender::new(0));
        Box::new(WatchSubscription(sender.subscribe()))
    }

    fn notify(&self, topic: &str) {
        self.shared.bump(topic);
        locked(&self.shared.outgoing).insert(topic.to_owned());
        self.shared.to_send.notify_one();
    }
}

struct WatchSubscription(watch::Receiver<u64>);

#[async_trait]
impl Subscription for WatchSubscription {
    async fn wait(&mut self, most: Duration) {
        let ended = tokio::time::timeout(most, self.0.changed()).await;
        if matches!(ended, Ok(Err(_))) {
            // The sender is gone. Without this, a caller that polls after each wait would spin.
            tokio::time::sleep(most).await;
        }
    }
}

/// Packs topics into as few payloads as possible, one per line.
fn payloads(topics: &BTreeSet<String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for topic in topics {
        match all.last_mut() {
            Some(last) if last.len() + topic.len() < MAX_PAYLOAD => {
                last.push('\n');
                last.push_str(topic);
            }
            _ => all.push(topic.clone()),
        }
    }
    all
}

/// Listens until the notifier is dropped or the connection fails. It is always drained: a listener that is not read
/// holds back vacuum.
async fn listen(
    pool: &PgPool,
    shared: &Weak<Shared>,
    alive: &(dyn Fn() + Send + Sync),
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    if let Some(shared) = shared.upgrade() {
        // Covers what was sent before the listener started.
        shared.bump_all();
    }
    loop {
        alive();
        let received = tokio::time::timeout(TURN, listener.try_recv()).await;
        let Some(shared) = shared.upgrade() else {
            return Ok(());
        };
        if pool.is_closed() {
            return Ok(());
        }
        match received {
            Ok(Ok(Some(notification))) => notification
                .payload()
                .lines()
                .for_each(|topic| shared.bump(topic)),
            // The connection was lost and is reopened: notifications in between are unknown.
            Ok(Ok(None)) => shared.bump_all(),
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_hold_every_topic_and_stay_below_what_postgresql_takes() {
        let topics: BTreeSet<String> = (0..1000).map(|n| format!("work:user:{n:036}")).collect();
        let payloads = payloads(&topics);
        assert!(payloads.len() > 1 && payloads.iter().all(|p| p.len() < 8000));
        let read: BTreeSet<String> = payloads
            .iter()
            .flat_map(|p| p.lines())
            .map(str::to_owned)
            .collect();
        assert_eq!(read, topics);
    }
}
