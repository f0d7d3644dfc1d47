//! What a request used of the database, for the one line that is logged when it ends.
//!
//! Every call of a port on PostgreSQL is a span named `db.<port>.<method>`. [`DatabaseUse`] adds up their number and
//! their time, waiting for a connection included, at the request's own span.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Name of a request's span.
pub(crate) const REQUEST: &str = "http";
/// How names of spans on the database begin.
const DATABASE: &str = "db.";

/// Requests in progress, by the id of their span. A layer cannot be reached from a span, so both meet here.
static REQUESTS: LazyLock<Mutex<HashMap<u64, Arc<Use>>>> = LazyLock::new(Mutex::default);

/// Calls of the database, and their time.
#[derive(Debug, Default)]
pub(crate) struct Use {
    calls: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Use {
    /// Number of calls.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Their time in milliseconds. Calls beside each other count each.
    pub(crate) fn milliseconds(&self) -> u64 {
        let time = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed));
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    }
}

fn requests() -> std::sync::MutexGuard<'static, HashMap<u64, Arc<Use>>> {
    REQUESTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the use of a request's span until it is dropped.
pub(crate) struct Counting(Option<u64>, Arc<Use>);

impl Counting {
    /// Begins to count. Without a subscriber nothing is counted.
    pub(crate) fn of(span: &tracing::Span) -> Self {
        let used = Arc::new(Use::default());
        let id = span.id().map(|id| id.into_u64());
        if let Some(id) = id {
            requests().insert(id, Arc::clone(&used));
        }
        Self(id, used)
    }

    pub(crate) fn used(&self) -> &Use {
        &self.1
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            requests().remove(&id);
        }
    }
}

/// The layer of a subscriber that counts what requests use of the database.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatabaseUse;

/// When a span on the database began.
struct Begun(Instant);

fn is_counted(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && (metadata.name().starts_with(DATABASE) || metadata.name() == REQUEST)
}

impl DatabaseUse {
    /// Returns whether the layer needs spans of this kind, for a filter of its own: logs may want fewer.
    pub fn needs(metadata: &Metadata<'_>) -> bool {
        is_counted(metadata)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for DatabaseUse {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name().starts_with(DATABASE)
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(Begun(Instant::now()));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(took) = span.extensions().get::<Begun>().map(|begun| begun.0.elapsed()) else {
            return;
        };
        let Some(request) = span.scope().find(|above| above.name() == REQUEST) else {
            return;
        };
        let used = requests().get(&request.id().into_u64()).cloned();
        if let Some(used) = used {
            used.calls.fetch_add(1, Ordering::Relaxed);
            let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            used.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn calls_of_the_database_are_counted_at_the_request_that_made_them() {
        let subscriber = tracing_subscriber::registry().with(DatabaseUse);
        tracing::subscriber::with_default(subscriber, || {
            let request = tracing::info_span!("http");
            let other = tracing::info_span!("http");
            let (counting, others) = (Counting::of(&request), Counting::of(&other));
            request.in_scope(|| {
                tracing::info_span!("app.deploy").in_scope(|| {
                    for _ in 0..2 {
                        tracing::debug_span!("db.hooks.lock")
                            .in_scope(|| std::thread::sleep(Duration::from_millis(2)));
                    }
                });
            });
            assert_eq!((counting.used().calls(), others.used().calls()), (2, 0));
            assert!(counting.used().milliseconds() >= 4);
        });
    }
}
