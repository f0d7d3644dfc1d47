//! A client's socket that tells its connection what is read and written.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use poem::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::answers::raw;
use super::connection::Connection;
use crate::http::unread::{MAX_BYTES, MAX_TIME};

/// The response to a head that came too late.
static LATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    raw(
        StatusCode::REQUEST_TIMEOUT,
        "request_timeout",
        "the head of the request did not arrive in time",
    )
});

/// A socket of a connection.
pub(super) struct Socket {
    stream: TcpStream,
    connection: Arc<Connection>,
    linger: Option<Linger>,
}

/// What is still read of a client whose connection ends in the middle of its request: closing with unread bytes would
/// discard the response, and the client would see a broken pipe instead (RFC 9112 9.6).
struct Linger {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Socket {
    pub(super) const fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        Self {
            stream,
            connection,
            linger: None,
        }
    }

    fn wrote<T>(&self, written: Poll<Result<T>>) -> Poll<Result<T>> {
        self.connection.wrote(written.is_pending());
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if this.connection.is_late() {
            // The only response on its way: the one before has ended. A client that does not take it gets none.
            let _ = this.stream.try_write(&LATE);
            return Poll::Ready(Err(Error::from(ErrorKind::TimedOut)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if !read.is_empty() {
            this.connection.received(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, pieces);
        this.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        if !this.connection.in_request() {
            return Poll::Ready(Ok(()));
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            until: Box::pin(tokio::time::sleep(MAX_TIME)),
            bytes: 0,
        });
        let mut rest = [0; 4096];
        while linger.bytes < MAX_BYTES && linger.until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut rest);
            // The response was sent; that the client is gone makes no difference to it.
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer));
            match buffer.filled().len() {
                more if read.is_ok() && more > 0 => linger.bytes += more,
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
