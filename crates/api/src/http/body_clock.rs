//! The clock of a request's body. A client that sends nothing, or next to nothing, holds a connection, a handler and
//! often memory, so it has a time limit for each piece and a least speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use crate::http::listen::Connection;

/// Time of waiting for the client after which the speed is looked at.
const WINDOW: Duration = Duration::from_secs(30);

/// Limits of the time that a request's body takes.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Time for the next piece of a body.
    pub idle: Duration,
    /// Least number of bytes per second, over 30 s of waiting for the client; 0 means no limit.
    pub bytes_per_second: u32,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(20),
            bytes_per_second: 256,
        }
    }
}

type Pieces = BoxStream<'static, std::io::Result<Bytes>>;

/// Whether the body of a request came too slowly.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyClock(Arc<AtomicBool>);

/// A body that is being read.
struct Reading {
    pieces: Pieces,
    limits: BodyLimits,
    connection: Option<Arc<Connection>>,
    late: Arc<AtomicBool>,
    /// Of the current window: the time of waiting, and the bytes that came.
    waited: Duration,
    bytes: u64,
}

impl BodyClock {
    /// Returns whether the body came too slowly.
    pub(crate) fn is_late(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns a body that fails when it comes too slowly. Only the time in which a handler waits for it counts.
    pub(crate) fn timed(
        &self,
        pieces: Pieces,
        limits: BodyLimits,
        connection: Option<Arc<Connection>>,
    ) -> Pieces {
        let reading = Reading {
            pieces,
            limits,
            connection,
            late: Arc::clone(&self.0),
            waited: Duration::ZERO,
            bytes: 0,
        };
        futures::stream::unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            match reading.next().await {
                Some(Ok(piece)) => Some((Ok(piece), Some(reading))),
                Some(Err(error)) => Some((Err(error), None)),
                None => None,
            }
        })
        // After the end it is read again, for the rest that a handler left.
        .fuse()
        .boxed()
    }
}

impl Reading {
    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        let begun = Instant::now();
        let piece = {
            let _awaiting = self.connection.as_ref().map(Connection::await_body);
            tokio::time::timeout(self.limits.idle, self.pieces.next()).await
        };
        let Ok(piece) = piece else {
            let seconds = self.limits.idle.as_secs();
            return Some(Err(self.too_slow(format!("nothing of it came for {seconds} s"))));
        };
        let Some(Ok(bytes)) = &piece else {
            return piece;
        };
        self.waited += begun.elapsed();
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.waited < WINDOW {
            return piece;
        }
        let least = self.waited.as_secs() * u64::from(self.limits.bytes_per_second);
        if self.bytes < least {
            let rate = self.limits.bytes_per_second;
            return Some(Err(
                self.too_slow(format!("it came with less than {rate} bytes a second"))
            ));
        }
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        piece
    }

    fn too_slow(&self, why: String) -> std::io::Error {
        self.late.store(true, Ordering::Relaxed);
        std::io::Error::new(std::io::ErrorKind::TimedOut, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(idle_ms: u64, bytes_per_second: u32) -> BodyLimits {
        BodyLimits {
            idle: Duration::from_millis(idle_ms),
            bytes_per_second,
        }
    }

    // proves ISO-5
    #[tokio::test]
    async fn a_body_that_stops_fails_and_one_that_comes_does_not() {
        let clock = BodyClock::default();
        let piece = || Ok(Bytes::from_static(b"a"));
        let whole = futures::stream::iter([piece(), piece()]).boxed();
        let mut timed = clock.timed(whole, limits(60_000, 256), None);
        let read: Vec<_> = timed.by_ref().collect().await;
        assert!(read.len() == 2 && read.iter().all(Result::is_ok) && !clock.is_late());
        // Who drains what a handler left does not know that it left nothing.
        assert!(timed.next().await.is_none());

        let stalled = futures::stream::iter([piece()])
            .chain(futures::stream::pending())
            .boxed();
        let read: Vec<_> = clock.timed(stalled, limits(1, 0), None).collect().await;
        assert_eq!(read.len(), 2);
        let error = read[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(clock.is_late());
    }

    // proves ISO-5
    #[tokio::test]
    async fn a_body_that_trickles_fails() {
        let clock = BodyClock::default();
        let mut reading = Reading {
            pieces: futures::stream::repeat_with(|| Ok(Bytes::from_static(b"a"))).boxed(),
            limits: limits(60_000, 2),
            connection: None,
            late: Arc::clone(&clock.0),
            waited: Duration::ZERO,
            bytes: 0,
        };
        assert!(reading.next().await.unwrap().is_ok());
        // After a window with enough, the next one counts from its beginning.
        (reading.waited, reading.bytes) = (WINDOW, 60);
        assert!(reading.next().await.unwrap().is_ok());
        assert_eq!((reading.waited, reading.bytes), (Duration::ZERO, 0));
        (reading.waited, reading.bytes) = (WINDOW, 58);
        assert!(reading.next().await.unwrap().is_err());
        assert!(clock.is_late());
    }
}
