//! The rest of a body that its request's handler did not read.
//!
//! A client that is still writing when its connection ends sees a broken pipe instead of its response (RFC 9112 9.6).
//! A client that sent an unexpected body (an empty chunked one with a GET) would find its connection closed under its
//! next request. So every response waits until the body was read, within bounds, whichever layer made it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use poem::http::header;
use poem::{Body, Endpoint, Middleware, Request, Response, Result};
use tokio::sync::Mutex;

use crate::http::body_clock::{BodyClock, BodyLimits};
use crate::http::listen::Connection;

/// Maximum number of bytes that are read of what a handler left.
pub(crate) const MAX_BYTES: usize = 8 << 20;
/// Maximum time that a response waits for them.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(2);

/// Reads the unread rest of every request before its response. It is the outermost layer, around all that may answer.
pub(crate) struct ReadRest(pub(crate) BodyLimits);

pub(crate) struct ReadRestEndpoint<E>(E, BodyLimits);

impl<E: Endpoint<Output = Response> + 'static> Middleware<E> for ReadRest {
    type Output = ReadRestEndpoint<E>;
    fn transform(&self, endpoint: E) -> Self::Output {
        ReadRestEndpoint(endpoint, self.0)
    }
}

impl<E: Endpoint<Output = Response> + 'static> Endpoint for ReadRestEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let clock = BodyClock::default();
        request.set_data(clock.clone());
        let unread = Unread::share(&mut request, &clock, self.1);
        let response = self.0.call(request).await;
        if let Some(unread) = unread
            && !clock.is_late()
        {
            // The outcome, including a timeout, makes no difference to the response.
            let _ = tokio::time::timeout(MAX_TIME, unread.read()).await;
        }
        response
    }
}

type Pieces = Arc<Mutex<BoxStream<'static, std::io::Result<Bytes>>>>;

/// What of a body is not read yet.
struct Unread {
    pieces: Pieces,
    /// Whether the client sends the body at all before it has a response.
    comes: Arc<AtomicBool>,
}

impl Unread {
    /// Shares the request's body, which is timed, with its handler.
    fn share(request: &mut Request, clock: &BodyClock, limits: BodyLimits) -> Option<Self> {
        let body = request.take_body();
        if body.is_empty() {
            return None;
        }
        // RFC 9110 10.1.1: such a client waits until the body is asked for, which its first read does. When nothing
        // was read, the response spares it the body.
        let waits = request.version() < poem::http::Version::HTTP_2
            && request
                .headers()
                .get(header::EXPECT)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let comes = Arc::new(AtomicBool::new(!waits));
        let connection = request.data::<Arc<Connection>>().cloned();
        let pieces = clock.timed(body.into_bytes_stream().boxed(), limits, connection);
        let pieces: Pieces = Arc::new(Mutex::new(pieces));
        let shared = (Arc::clone(&pieces), Arc::clone(&comes));
        let handed = futures::stream::unfold(shared, |(pieces, comes)| async move {
            comes.store(true, Ordering::Relaxed);
            let piece = pieces.lock().await.next().await;
            piece.map(|piece| (piece, (pieces, comes)))
        });
        request.set_body(Body::from_bytes_stream(handed));
        Some(Self { pieces, comes })
    }

    /// Reads the rest, within bounds.
    async fn read(self) {
        if !self.comes.load(Ordering::Relaxed) {
            return;
        }
        let mut rest = self.pieces.lock().await;
        let mut read = 0;
        while let Some(Ok(piece)) = rest.next().await {
            read += piece.len();
            if read > MAX_BYTES {
                return;
            }
        }
    }
}
