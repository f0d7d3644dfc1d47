//! One connection and its clocks: how long it may wait for its client.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::framing::Framing;

/// A request whose body is awaited makes way only after this long without a byte of it.
const STALLED_BODY: Duration = Duration::from_millis(200);
/// A client that reads its response makes way only after this long without taking a byte of it.
const STALLED_READER: Duration = Duration::from_secs(10);
/// Shortest time between two looks at the clocks of a connection.
const SHORTEST_LOOK: Duration = Duration::from_millis(50);

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Maximum number of connections.
    pub total: NonZeroUsize,
    /// Maximum number of connections of one address (of an IPv6 client: of one /64); `None` means no limit of its own.
    pub per_address: Option<NonZeroUsize>,
    /// Time from the first byte of a head to its end, and from the start of a connection to its first byte.
    pub head: Duration,
    /// Time from the end of a response to the next request.
    pub idle: Duration,
    /// Time for a client to take a byte of its response.
    pub write: Duration,
}

/// Reason to end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The client did not send the whole head of a request in time.
    Head,
    /// No request came for a while.
    Idle,
    /// The client took nothing of its response for a while.
    Reader,
    /// Another connection needs the room.
    Room,
}

/// One connection and its clocks.
pub(crate) struct Connection {
    limits: ConnectionLimits,
    clocks: Mutex<Clocks>,
    /// Whether the head of a request came too late, so that the next read answers that and fails.
    late: AtomicBool,
    /// Told when the connection has to make way.
    room: Notify,
}

struct Clocks {
    framing: Framing,
    /// Of the heads that were read and not handled yet, whether their length is ambiguous.
    heads: VecDeque<bool>,
    /// Number of requests from the end of their head to the end of their response.
    in_flight: usize,
    /// Number of these whose handler waits for their body.
    awaiting_body: usize,
    /// When one of these began to wait, at the latest.
    body: Instant,
    /// When the connection began, or a response ended.
    free: Instant,
    /// Whether a request was handled.
    used: bool,
    /// When the head that is being read began.
    head: Option<Instant>,
    /// Since when the client takes nothing.
    blocked: Option<Instant>,
}

impl Connection {
    pub(super) fn new(limits: ConnectionLimits, now: Instant) -> Self {
        Self {
            limits,
            clocks: Mutex::new(Clocks {
                framing: Framing::new(),
                heads: VecDeque::new(),
                in_flight: 0,
                awaiting_body: 0,
                body: now,
                free: now,
                used: false,
                head: None,
                blocked: None,
            }),
            late: AtomicBool::new(false),
            room: Notify::new(),
        }
    }

    /// Notes what the client sent.
    pub(super) fn received(&self, bytes: &[u8]) {
        let mut guard = locked(&self.clocks);
        let Clocks {
            framing, heads, head, ..
        } = &mut *guard;
        let mut ended = false;
        framing.read(bytes, |ambiguous| {
            ended = true;
            heads.push_back(ambiguous);
        });
        *head = match *head {
            Some(begun) if !ended && framing.in_head() => Some(begun),
            _ => framing.in_head().then(Instant::now),
        };
    }

    /// Returns whether the client may still be sending a request.
    pub(super) fn in_request(&self) -> bool {
        locked(&self.clocks).framing.in_request()
    }

    /// Notes whether the client took what was written.
    pub(super) fn wrote(&self, blocked: bool) {
        let mut clocks = locked(&self.clocks);
        clocks.blocked = match clocks.blocked {
            Some(since) if blocked => Some(since),
            _ => blocked.then(Instant::now),
        };
    }

    /// Begins a request whose head was read. Returns whether its length is ambiguous.
    pub(super) fn begin(self: &Arc<Self>) -> (bool, InFlight) {
        let mut clocks = locked(&self.clocks);
        clocks.in_flight += 1;
        clocks.used = true;
        let ambiguous = clocks.heads.pop_front().unwrap_or_default();
        (ambiguous, InFlight(Arc::clone(self)))
    }

    /// Notes that a handler waits for the body of its request, until the guard is dropped.
    pub(crate) fn await_body(self: &Arc<Self>) -> AwaitingBody {
        let mut clocks = locked(&self.clocks);
        clocks.awaiting_body += 1;
        clocks.body = Instant::now();
        AwaitingBody(Arc::clone(self))
    }

    /// Returns since when this connection waits for its client and for nothing else.
    pub(super) fn waiting_since(&self, now: Instant) -> Option<Instant> {
        let clocks = locked(&self.clocks);
        let longer = |since: Instant, than: Duration| now.saturating_duration_since(since) >= than;
        if clocks.in_flight == 0 {
            return Some(clocks.free);
        }
        let body = (clocks.awaiting_body == clocks.in_flight && longer(clocks.body, STALLED_BODY))
            .then_some(clocks.body);
        let reader = clocks.blocked.filter(|since| longer(*since, STALLED_READER));
        body.or(reader)
    }

    /// Returns why the connection is to end, once it is.
    pub(super) async fn overdue(&self) -> Overdue {
        loop {
            let pause = match self.look(Instant::now()) {
                Ok(pause) => pause,
                Err(overdue) => return overdue,
            };
            tokio::select! {
                () = self.room.notified() => return Overdue::Room,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Tells the connection that another one needs its room.
    pub(super) fn make_way(&self) {
        self.room.notify_one();
    }

    /// Looks at the clocks. Returns how long none of them can expire.
    fn look(&self, now: Instant) -> Result<Duration, Overdue> {
        let clocks = locked(&self.clocks);
        let ConnectionLimits {
            head, idle, write, ..
        } = self.limits;
        let left = |since: Instant, limit: Duration, overdue: Overdue| {
            let left = limit.saturating_sub(now.saturating_duration_since(since));
            if left.is_zero() { Err(overdue) } else { Ok(left) }
        };
        let mut pause = head.min(idle).min(write);
        if let Some(since) = clocks.blocked {
            pause = pause.min(left(since, write, Overdue::Reader)?);
        } else if clocks.in_flight == 0 {
            // A head that came while a response was on its way has its time from then on.
            let of_head = clocks
                .head
                .map(|begun| left(begun.max(clocks.free), head, Overdue::Head));
            let of_idle = || left(clocks.free, if clocks.used { idle } else { head }, Overdue::Idle);
            pause = pause.min(of_head.unwrap_or_else(of_idle)?);
        }
        Ok(pause.max(SHORTEST_LOOK))
    }

    /// Lets the next read answer that the head came too late.
    pub(super) fn refuse_late(&self) {
        self.late.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }
}

/// A request, from the end of its head to the end of its response.
pub(super) struct InFlight(Arc<Connection>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut clocks = locked(&self.0.clocks);
        clocks.in_flight -= 1;
        clocks.free = Instant::now();
    }
}

/// A handler waits for the body of its request.
pub(crate) struct AwaitingBody(Arc<Connection>);

impl Drop for AwaitingBody {
    fn drop(&mut self) {
        locked(&self.0.clocks).awaiting_body -= 1;
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(total: usize, per_address: usize) -> ConnectionLimits {
        ConnectionLimits {
            total: NonZeroUsize::new(total).unwrap(),
            per_address: NonZeroUsize::new(per_address),
            head: 10 * SECOND,
            idle: 60 * SECOND,
            write: 30 * SECOND,
        }
    }

    // proves ISO-5
    #[test]
    fn each_clock_runs_only_while_the_client_has_to_act() {
        let now = Instant::now();
        let of = || Arc::new(Connection::new(limits(9, 9), now));
        // Without a byte.
        let silent = of();
        assert!(silent.look(now + 9 * SECOND).is_ok());
        assert_eq!(silent.look(now + 10 * SECOND), Err(Overdue::Idle));
        // In a head.
        let slow = of();
        slow.received(b"GET / HT");
        assert!(slow.look(Instant::now() + 9 * SECOND).is_ok());
        assert_eq!(slow.look(Instant::now() + 10 * SECOND), Err(Overdue::Head));
        slow.received(b"TP/1.1\r\n\r\n");
        // While it is served.
        let (ambiguous, in_flight) = slow.begin();
        assert!(!ambiguous);
        assert!(slow.look(Instant::now() + 1000 * SECOND).is_ok());
        assert_eq!(slow.waiting_since(Instant::now() + 1000 * SECOND), None);
        // While it takes nothing.
        slow.wrote(true);
        assert!(slow.look(Instant::now() + 29 * SECOND).is_ok());
        assert_eq!(slow.look(Instant::now() + 30 * SECOND), Err(Overdue::Reader));
        assert!(slow.waiting_since(Instant::now() + 30 * SECOND).is_some());
        slow.wrote(false);
        assert!(slow.look(Instant::now() + 1000 * SECOND).is_ok());
        // Between two requests.
        drop(in_flight);
        assert!(slow.look(Instant::now() + 59 * SECOND).is_ok());
        assert_eq!(slow.look(Instant::now() + 60 * SECOND), Err(Overdue::Idle));
    }

    #[test]
    fn a_request_that_waits_for_its_body_waits_for_its_client() {
        let connection = Arc::new(Connection::new(limits(9, 9), Instant::now()));
        let (_, in_flight) = connection.begin();
        let awaiting = connection.await_body();
        assert_eq!(connection.waiting_since(Instant::now()), None);
        assert!(connection.waiting_since(Instant::now() + 2 * SECOND).is_some());
        drop(awaiting);
        assert_eq!(connection.waiting_since(Instant::now() + 2 * SECOND), None);
        drop(in_flight);
    }
}
