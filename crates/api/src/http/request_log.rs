//! Database use of a request, for the log line at its end.
//!
//! Every port call to PostgreSQL is a span named `db.<port>.<method>`. [`DatabaseUse`] sums their number and time,
//! including the wait for a connection, at the request's own span.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Name of a request's span.
pub(crate) const REQUEST: &str = "http";
/// Name prefix of database spans.
const DATABASE: &str = "db.";

/// Requests in progress, by the id of their span. It connects the layer, which a span cannot access, with the requests.
static REQUESTS: LazyLock<Mutex<HashMap<u64, Arc<Use>>>> = LazyLock::new(Mutex::default);

/// Number of database calls and their total time.
#[derive(Debug, Default)]
pub(crate) struct Use {
    calls: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Use {
    /// Returns the number of calls.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns their total time in milliseconds. Concurrent calls each count in full.
    pub(crate) fn milliseconds(&self) -> u64 {
        let time = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed));
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    }
}

fn requests() -> std::sync::MutexGuard<'static, HashMap<u64, Arc<Use>>> {
    REQUESTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the database use of a request's span until it is dropped.
pub(crate) struct Counting(Option<u64>, Arc<Use>);

impl Counting {
    /// Starts counting. Without a subscriber it counts nothing.
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

/// A subscriber layer that counts the database use of requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatabaseUse;

/// Start time of a database span.
struct Begun(Instant);

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
                        tracing::info_span!("db.hooks.lock")
                            .in_scope(|| std::thread::sleep(Duration::from_millis(2)));
                    }
                });
            });
            assert_eq!((counting.used().calls(), others.used().calls()), (2, 0));
            assert!(counting.used().milliseconds() >= 4);
        });
    }
}
