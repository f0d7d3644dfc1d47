//! Responses to what never becomes a request of a handler: malformed heads, late heads, connections without a place.

use std::time::Duration;

use poem::http::{HeaderValue, StatusCode, Version, header};
use poem::{IntoResponse as _, Response};
use poem_openapi::types::ToJSON as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::problem::{Problem, ProblemJson};

/// Time for a refused client to read that it is refused.
const LINGER: Duration = Duration::from_millis(500);
/// Maximum number of bytes that are read of a refused client.
const MAX_LINGER_BYTES: usize = 64 * 1024;

/// Returns why a request is malformed (RFC 9112 3.2, 6.3), `ambiguous` if its length is.
pub(super) fn malformed<B>(request: &hyper::Request<B>, ambiguous: bool) -> Option<&'static str> {
    if ambiguous {
        return Some("a request must not have both Content-Length and Transfer-Encoding");
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => Some("a request must have the header Host"),
        (_, Some(_)) => Some("a request must not have several headers Host"),
        (Some(host), None) if !is_host(host) => {
            Some("the header Host must be a host name and an optional port")
        }
        _ => None,
    }
}

/// Returns whether the value of `Host` is valid. It may be empty (RFC 9112 3.2).
fn is_host(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| {
        text.is_empty() || (!text.contains('@') && text.parse::<poem::http::uri::Authority>().is_ok())
    })
}

/// Returns the response to a malformed request. It ends the connection: where the next request begins is uncertain.
pub(super) fn refusal(why: &'static str) -> Response {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "bad_request", why);
    let mut response = ProblemJson(problem.into_body()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Returns a whole response as it is written to a socket. It ends the connection.
pub(super) fn raw(status: StatusCode, code: &str, message: &str) -> Vec<u8> {
    let body = Problem::new(status, code, message).into_body().to_json_string();
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE {
        "Retry-After: 5\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nConnection: close\r\n\
         X-Content-Type-Options: nosniff\r\n{retry}\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    )
    .into_bytes()
}

/// Writes a response and ends the connection, so that the client can read it: closing with unread bytes would discard
/// it (RFC 9112 9.6).
pub(super) async fn write_and_close(mut socket: TcpStream, response: &[u8]) {
    let writing = async {
        socket.write_all(response).await?;
        socket.shutdown().await?;
        let mut rest = [0; 4096];
        let mut read = 0;
        while read < MAX_LINGER_BYTES {
            match socket.read(&mut rest).await? {
                0 => break,
                more => read += more,
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // The client may be gone, or slow; it is refused either way.
    let _ = tokio::time::timeout(LINGER, writing).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-5
    #[test]
    fn a_request_has_one_host() {
        let of = |version: Version, hosts: &[&str]| {
            let mut request = hyper::Request::new(());
            *request.version_mut() = version;
            for host in hosts {
                let value = HeaderValue::from_str(host).unwrap();
                request.headers_mut().append(header::HOST, value);
            }
            malformed(&request, false)
        };
        for host in ["", "x", "x:80", "[::1]:8000", "127.0.0.1", "hallmark_1:8000"] {
            assert_eq!(of(Version::HTTP_11, &[host]), None, "{host}");
        }
        for host in ["a b", "x/y", "user@x", "x, y", "x:y:z"] {
            assert!(of(Version::HTTP_11, &[host]).is_some(), "{host}");
        }
        assert!(of(Version::HTTP_11, &[]).is_some());
        assert!(of(Version::HTTP_11, &["x", "x"]).is_some());
        assert!(of(Version::HTTP_10, &["x", "y"]).is_some());
        assert_eq!(of(Version::HTTP_10, &[]), None);
        // Its name is in the URI there.
        assert_eq!(of(Version::HTTP_2, &[]), None);
    }

    #[test]
    fn a_raw_response_is_a_whole_one() {
        let text = String::from_utf8(raw(StatusCode::REQUEST_TIMEOUT, "request_timeout", "late")).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{head}");
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"], 408);
    }
}
