//! The path that the archive lies below, in requests that a proxy passed on as they came.
//!
//! A proxy in front of an archive below a path strips that path. Many are set up without, and the answer is
//! unambiguous, so such requests are served too (`docs/operating.md`).

use pages::BaseUrl;
use poem::http::Uri;
use poem::http::uri::PathAndQuery;
use poem::{Endpoint, Middleware, Request, Response, Result};

/// Removes the path of the base from requests. All layers that look at a path are inside it, and see the archive's own paths.
pub(crate) struct BasePath(pub(crate) BaseUrl);

pub(crate) struct BasePathEndpoint<E>(E, BaseUrl);

impl<E: Endpoint<Output = Response> + 'static> Middleware<E> for BasePath {
    type Output = BasePathEndpoint<E>;
    fn transform(&self, endpoint: E) -> Self::Output {
        BasePathEndpoint(endpoint, self.0.clone())
    }
}

impl<E: Endpoint<Output = Response> + 'static> Endpoint for BasePathEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        if let Some(own) = own_uri(&self.1, request.uri()) {
            *request.uri_mut() = own;
        }
        self.0.call(request).await
    }
}

/// Returns the archive's own address of a request that has the path of the base.
fn own_uri(base: &BaseUrl, uri: &Uri) -> Option<Uri> {
    let path = base.without_path(uri.path())?;
    let text = uri
        .query()
        .map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::own_uri;

    // proves EDG-7
    #[test]
    fn the_path_of_the_base_is_removed_and_the_query_stays() {
        let base = "https://example.org/labs/archive".parse().unwrap();
        let own = |text: &str| own_uri(&base, &text.parse().unwrap()).map(|uri| uri.to_string());
        for (asked, expected) in [
            ("/labs/archive", Some("/")),
            ("/labs/archive?a=%2F", Some("/?a=%2F")),
            (
                "/labs/archive/data/s/records?limit=2",
                Some("/data/s/records?limit=2"),
            ),
            (
                "http://example.org/labs/archive/docs",
                Some("http://example.org/docs"),
            ),
            ("/data/s/records?limit=2", None),
            ("/labs/archives", None),
        ] {
            assert_eq!(own(asked).as_deref(), expected, "{asked}");
        }
    }
}
