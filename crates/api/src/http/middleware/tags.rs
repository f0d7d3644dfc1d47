//! Entity tags and conditional requests (RFC 9110 8.8.3, 13.1.2).

use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{Body, Response};
use sha2::{Digest as _, Sha256};

/// Returns whether the content is a complete document in memory. Streams have other types.
pub(super) fn is_short(response: &Response) -> bool {
    let content_type = response.content_type().unwrap_or_default();
    [
        "application/json",
        "application/problem+json",
        "application/prov+json",
        "application/ld+json",
        "application/x-ndjson",
        "text/html",
        "text/markdown",
        "text/css",
    ]
    .iter()
    .any(|short| content_type.starts_with(short))
}

pub(super) fn vary(headers: &mut HeaderMap, on: &'static str) {
    let there = headers.get_all(header::VARY).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|names| names.split(',').any(|name| name.trim().eq_ignore_ascii_case(on)))
    });
    if !there {
        headers.append(header::VARY, HeaderValue::from_static(on));
    }
}

/// Returns whether one of the client's tags equals this one, by weak comparison as GET requires.
fn matches(asked: &HeaderValue, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    asked
        .to_str()
        .is_ok_and(|asked| asked.trim() == "*" || asked.split(',').any(|one| opaque(one) == opaque(tag)))
}

/// Tags the response with its content's hash, or returns 304 if the client has that content. The tag is weak: the same
/// content may be sent compressed.
pub(super) async fn tagged(mut response: Response, asked: Option<&HeaderValue>) -> Response {
    if !is_short(&response) || response.headers().contains_key(header::ETAG) {
        return response;
    }
    let Ok(bytes) = response.take_body().into_bytes().await else {
        // Incomplete: without a body it would look complete, so it becomes an error.
        response.set_status(StatusCode::INTERNAL_SERVER_ERROR);
        return response;
    };
    let hash = Sha256::digest(&bytes);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("W/\"{hex}\"");
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        // Caches may keep it but must revalidate: the tag makes that cheap. Even a version of a record may be withdrawn.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    // The content may depend on the caller.
    vary(headers, "Authorization");
    if asked.is_some_and(|asked| matches(asked, &tag)) {
        response.set_status(StatusCode::NOT_MODIFIED);
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.set_body(Body::empty());
    } else {
        response.set_body(bytes);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_and_in_lists() {
        let asked = |text: &'static str| HeaderValue::from_static(text);
        for text in ["W/\"a\"", "\"a\"", "*", "\"b\", W/\"a\"", " \"b\",\"a\" "] {
            assert!(matches(&asked(text), "W/\"a\""), "{text}");
        }
        for text in ["", "\"b\"", "a", "\"ab\""] {
            assert!(!matches(&asked(text), "W/\"a\""), "{text}");
        }
    }
}
