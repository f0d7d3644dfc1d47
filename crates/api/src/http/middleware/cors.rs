//! CORS for reads (Fetch standard, 3.2): pages of configured origins may read public data. Credentials are never
//! allowed.

use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};

use super::tags::vary;

/// Origins whose pages may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Only the server's own origin.
    #[default]
    None,
    /// All origins.
    Any,
    /// These origins, such as `https://lab.example.org`.
    These(Vec<String>),
}

impl Origins {
    fn admit(&self, origin: &str) -> bool {
        match self {
            Self::None => false,
            Self::Any => true,
            Self::These(all) => all.iter().any(|one| one == origin),
        }
    }
}

/// The CORS properties of a request.
pub(super) struct CorsRequest {
    /// Value of `Access-Control-Allow-Origin`, if the page's origin may read this.
    allow: Option<HeaderValue>,
    /// Whether responses depend on the origin.
    distinguished: bool,
    preflight: bool,
}

/// Reading: GET and HEAD, and the queries of tables by POST.
fn is_read(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
        || (*method == Method::POST && path.starts_with("/api/v1/data/"))
}

impl CorsRequest {
    pub(super) fn of(request: &Request, origins: &Origins) -> Self {
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN);
        let wanted = headers
            .get(header::ACCESS_CONTROL_REQUEST_METHOD)
            .and_then(|v| v.to_str().ok())
            .and_then(|name| name.parse::<Method>().ok())
            .filter(|_| request.method() == Method::OPTIONS);
        let method = wanted.as_ref().unwrap_or(request.method());
        let admitted = origin
            .filter(|origin| origin.to_str().is_ok_and(|origin| origins.admit(origin)))
            .filter(|_| is_read(method, request.uri().path()));
        let allow = admitted.map(|origin| match origins {
            Origins::Any => HeaderValue::from_static("*"),
            _ => origin.clone(),
        });
        Self {
            preflight: wanted.is_some() && allow.is_some(),
            distinguished: matches!(origins, Origins::These(_)),
            allow,
        }
    }

    /// Returns the response to a preflight request.
    pub(super) fn preflight(&self) -> Option<Response> {
        self.preflight.then(|| {
            Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST")
                .header(
                    header::ACCESS_CONTROL_ALLOW_HEADERS,
                    "Content-Type, If-None-Match, X-Request-Id",
                )
                .header(header::ACCESS_CONTROL_MAX_AGE, "3600")
                .finish()
        })
    }

    /// Allows the page to read the response.
    pub(super) fn allow(&self, response: &mut Response) {
        let headers = response.headers_mut();
        if self.distinguished {
            vary(headers, "Origin");
        }
        if let Some(origin) = &self.allow {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("ETag, Retry-After, X-Request-Id"),
            );
        }
    }
}
