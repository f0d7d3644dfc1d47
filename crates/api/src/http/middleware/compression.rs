//! Compression of responses (RFC 9110 8.4, 12.5.3): zstd (RFC 8878) or gzip, as the client prefers.

use async_compression::Level;
use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{Body, Response};
use tokio::io::BufReader;

use super::tags::vary;

/// Content encoding of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Zstd,
    Gzip,
    Identity,
}

impl Encoding {
    /// Returns the encoding with the highest weight. On a tie zstd wins, which is faster and smaller. `*` means gzip,
    /// which every client supports.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut best = (0.0_f32, Self::Identity);
        let (mut gzip, mut any) = (None, 0.0_f32);
        let accepted = headers
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok());
        for one in accepted.flat_map(|value| value.split(',')) {
            let mut parts = one.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let q = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
            let encoding = if name.eq_ignore_ascii_case("zstd") {
                Self::Zstd
            } else if name.eq_ignore_ascii_case("gzip") {
                gzip = Some(q);
                Self::Gzip
            } else {
                if name == "*" {
                    any = q;
                }
                continue;
            };
            if q > best.0 || (q > 0.0 && (q - best.0).abs() < f32::EPSILON && encoding == Self::Zstd) {
                best = (q, encoding);
            }
        }
        if gzip.is_none() && any > best.0 {
            return Self::Gzip;
        }
        best.1
    }

    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Zstd => Some("zstd"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }
}

/// Returns whether compression is worthwhile.
fn pays(response: &Response) -> bool {
    let content_type = response.content_type().unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let text = kind.starts_with("text/")
        || kind == "application/json"
        || kind.ends_with("+json")
        || kind == "application/x-ndjson";
    text && response.status() == StatusCode::OK && !response.headers().contains_key(header::CONTENT_ENCODING)
}

/// Sets the headers for this encoding and returns whether the content is to be compressed.
pub(super) fn announce(response: &mut Response, encoding: Encoding) -> bool {
    if !pays(response) {
        return false;
    }
    let headers = response.headers_mut();
    vary(headers, "Accept-Encoding");
    let Some(name) = encoding.name() else {
        return false;
    };
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    true
}

/// Compresses the response as a stream: a failure midway also fails for the client.
pub(super) fn compressed(mut response: Response, encoding: Encoding) -> Response {
    if response.status() == StatusCode::NOT_MODIFIED {
        // The cached content depends on the encoding even without a body.
        vary(response.headers_mut(), "Accept-Encoding");
    }
    if !announce(&mut response, encoding) {
        return response;
    }
    let plain = BufReader::new(response.take_body().into_async_read());
    response.set_body(if encoding == Encoding::Zstd {
        Body::from_async_read(ZstdEncoder::with_quality(plain, Level::Fastest))
    } else {
        Body::from_async_read(GzipEncoder::with_quality(plain, Level::Fastest))
    });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
            Encoding::of(&headers)
        };
        assert_eq!(of("gzip, deflate, br, zstd"), Encoding::Zstd);
        assert_eq!(of("gzip, deflate"), Encoding::Gzip);
        assert_eq!(of("gzip;q=1.0, zstd;q=0.5"), Encoding::Gzip);
        assert_eq!(of("*"), Encoding::Gzip);
        assert_eq!(of("gzip;q=0, *"), Encoding::Identity);
        assert_eq!(of("identity"), Encoding::Identity);
        assert_eq!(of("gzip;q=0, zstd;q=0"), Encoding::Identity);
        assert_eq!(of("gzip;q=x"), Encoding::Identity);
        assert_eq!(Encoding::of(&HeaderMap::new()), Encoding::Identity);
    }
}
