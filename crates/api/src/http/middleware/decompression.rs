//! Decompression of request bodies (RFC 9110 8.4.1): gzip (RFC 1952) and zstd (RFC 8878), with bounds on memory and on
//! the ratio. Other encodings are refused with 415 (RFC 9110 15.5.16), and never read as if they were text.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use app::Failure;
use app::memory::{Busy, Reserved, Share};
use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Body, IntoResponse as _, Request, Response};
use tokio::io::{AsyncRead, BufReader, ReadBuf};

use crate::http::problem::{Problem, ProblemJson};

/// A zstd frame may ask for a window of this size, as an exponent of 2: the 8 MiB that RFC 8878 3.1.1.1.2 recommends
/// to support.
const MAX_WINDOW_LOG: u32 = 23;
/// The memory that unpacking zstd takes, in bytes: its window and two blocks.
const WINDOW: usize = (1 << MAX_WINDOW_LOG) + 256 * 1024;
/// Maximum ratio of what is unpacked to what arrived. Tables of measurements reach 10 to 50.
const MAX_RATIO: u64 = 256;
/// This much may be unpacked at any ratio, in bytes.
const FREE: u64 = 16 * 1024 * 1024;

/// Replaces a compressed body by the unpacked one. An error is the response to a body in an unknown encoding, or to one
/// for which its client has no memory now. The caller is not known yet, so the window counts in the client's `share`.
pub(super) async fn unpack(request: &mut Request, share: &Share) -> Result<(), Box<Response>> {
    let headers = request.headers();
    let mut encodings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let text = value.to_str().unwrap_or("?");
        encodings.extend(text.split(',').map(|name| name.trim().to_ascii_lowercase()));
    }
    encodings.retain(|name| name != "identity" && !name.is_empty());
    let zstd = match encodings.as_slice() {
        [] => return Ok(()),
        // RFC 9110 8.4.1.3: x-gzip is equivalent to gzip.
        [one] if matches!(one.as_str(), "gzip" | "x-gzip") => false,
        [one] if one == "zstd" => true,
        _ => return Err(Box::new(unknown(&encodings.join(", "), request.uri().path()))),
    };
    let room = if zstd {
        let path = request.uri().path();
        let busy = |busy: Busy| Box::new(response(Problem::from(Failure::from(busy)).on(path)));
        Some(share.reserve(WINDOW).await.map_err(busy)?)
    } else {
        None
    };
    let arrived = Arc::new(AtomicU64::new(0));
    let packed = BufReader::new(Counted {
        inner: Box::pin(request.take_body().into_async_read()),
        arrived: Arc::clone(&arrived),
    });
    // A file may consist of several members or frames, as bgzip and zstd --rsyncable write them.
    let (name, inner): (_, Reader) = if zstd {
        let mut decoder = ZstdDecoder::with_params(packed, &[DParameter::window_log_max(MAX_WINDOW_LOG)]);
        decoder.multiple_members(true);
        ("zstd", Box::pin(decoder))
    } else {
        let mut decoder = GzipDecoder::new(packed);
        decoder.multiple_members(true);
        ("gzip", Box::pin(decoder))
    };
    request.set_body(Body::from_async_read(Unpacked {
        inner,
        name,
        arrived,
        unpacked: 0,
        _room: room,
    }));
    let headers = request.headers_mut();
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
    Ok(())
}

fn response(problem: Problem) -> Response {
    ProblemJson(problem.into_body()).into_response()
}

fn unknown(encodings: &str, path: &str) -> Response {
    let problem = Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_content_encoding",
        format!(
            "Content-Encoding {:?} is not supported; send the body as gzip, zstd or without an encoding",
            domain::registry::schema::shortened(encodings)
        ),
    )
    .on(path);
    let mut response = response(problem);
    response
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
    response
}

type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// Counts what arrives.
struct Counted {
    inner: Reader,
    arrived: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.inner.as_mut().poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.arrived.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// Limits the ratio, and names the encoding in errors.
struct Unpacked {
    inner: Reader,
    name: &'static str,
    arrived: Arc<AtomicU64>,
    unpacked: u64,
    /// The memory for the window.
    _room: Option<Reserved>,
}

impl AsyncRead for Unpacked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let name = self.name;
        ready!(self.inner.as_mut().poll_read(cx, buf)).map_err(|e| {
            io::Error::new(e.kind(), format!("the {name} body is damaged or incomplete: {e}"))
        })?;
        self.unpacked += (buf.filled().len() - before) as u64;
        let most = self
            .arrived
            .load(Ordering::Relaxed)
            .saturating_mul(MAX_RATIO)
            .max(FREE);
        if self.unpacked > most {
            let why = format!("the {name} body unpacks to more than {MAX_RATIO} times its size");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use app::memory::Memory;
    use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
    use tokio::io::AsyncReadExt as _;

    async fn packed(text: &[u8], zstd: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if zstd {
            ZstdEncoder::new(text).read_to_end(&mut out).await.unwrap();
        } else {
            GzipEncoder::new(text).read_to_end(&mut out).await.unwrap();
        }
        out
    }

    async fn unpacked(encoding: &str, body: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut request = Request::builder().header("content-encoding", encoding).body(body);
        let share = Memory::new(32 << 20).share("a");
        unpack(&mut request, &share)
            .await
            .map_err(|response| response.status().to_string())?;
        assert!(request.header("content-encoding").is_none() || encoding == "identity");
        let mut reader = request.take_body().into_async_read();
        let mut out = Vec::new();
        reader.read_to_end(&mut out).await.map_err(|e| e.to_string())?;
        Ok(out)
    }

    // proves EDG-1
    #[tokio::test]
    async fn members_and_frames_are_all_unpacked_and_damage_is_an_error() {
        for (encoding, zstd) in [("gzip", false), ("X-GZIP", false), ("zstd", true)] {
            let mut body = packed(b"id,code\n", zstd).await;
            body.extend(packed(b"a,x\n", zstd).await);
            assert_eq!(unpacked(encoding, body.clone()).await.unwrap(), b"id,code\na,x\n");
            body.pop();
            assert!(
                unpacked(encoding, body.clone())
                    .await
                    .unwrap_err()
                    .contains("damaged"),
                "{encoding}"
            );
            let plain = unpacked(encoding, b"id,code\n".to_vec()).await;
            assert!(plain.unwrap_err().contains("damaged"), "{encoding}");
        }
        assert_eq!(unpacked("identity", b"x".to_vec()).await.unwrap(), b"x");
        for other in ["br", "deflate", "gzip, gzip", "zstd, gzip"] {
            assert!(
                unpacked(other, Vec::new()).await.unwrap_err().contains("415"),
                "{other}"
            );
        }
    }

    // proves EDG-1
    #[tokio::test]
    async fn a_bomb_is_cut_off() {
        let zeros = vec![0; 64 * 1024 * 1024];
        for (encoding, zstd) in [("gzip", false), ("zstd", true)] {
            let body = packed(&zeros, zstd).await;
            let error = unpacked(encoding, body).await.unwrap_err();
            assert!(error.contains("256 times its size"), "{encoding}: {error}");
        }
    }
}
