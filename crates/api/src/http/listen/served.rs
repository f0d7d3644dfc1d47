//! The body of a response, which keeps its request in flight until it has ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use super::connection::InFlight;

/// A body of a response. hyper drops it once it has written its end, or the connection has failed.
pub(super) struct Served<B> {
    body: B,
    _in_flight: InFlight,
}

impl<B> Served<B> {
    /// Returns a response that keeps its request in flight.
    pub(super) fn response(response: hyper::Response<B>, in_flight: InFlight) -> hyper::Response<Self> {
        response.map(|body| Self {
            body,
            _in_flight: in_flight,
        })
    }
}

impl<B: Body + Unpin> Body for Served<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
