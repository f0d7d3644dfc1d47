//! The layer around the router: every error response has our body, and every started handler that may write runs to its
//! end.

use std::sync::Arc;

use app::Metrics;
use domain::{Fault, Invalid};
use pages::BaseUrl;
use poem::error::{MethodNotAllowedError, NotFoundError, ParsePathError, SizedLimitError};
use poem::http::{HeaderValue, Method, StatusCode, Uri, Version, header};
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use poem_openapi::error::{
    ContentTypeError, ParseParamError, ParsePathError as OaiPathError, ParseRequestPayloadError,
};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::http::aliases;
use crate::http::allow::Allowed;
use crate::http::body_clock::BodyClock;
use crate::http::middleware::REQUEST_ID;
use crate::http::problem::{Problem, ProblemJson, is_auth};
use crate::http::request_log::Counting;

/// Turns framework errors and panics into problems, and detaches handlers that may write from their connection.
/// Otherwise a client that resets the connection would drop the handler in the middle of a transaction. Reads end with
/// their connection.
#[derive(Clone)]
pub(crate) struct Edge {
    /// The methods of every path.
    pub(crate) allowed: Arc<Allowed>,
    pub(crate) metrics: Arc<Metrics>,
    /// The address that redirects begin with.
    pub(crate) base: BaseUrl,
}

pub(crate) struct EdgeEndpoint<E>(Arc<E>, Edge);

impl<E: Endpoint + 'static> Middleware<E> for Edge {
    type Output = EdgeEndpoint<E>;
    fn transform(&self, endpoint: E) -> Self::Output {
        EdgeEndpoint(Arc::new(endpoint), self.clone())
    }
}

impl<E: Endpoint + 'static> Endpoint for EdgeEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let Edge {
            allowed,
            metrics,
            base,
        } = &self.1;
        let auth = is_auth(request.uri().path());
        if let Some(bare) = without_slash(request.uri()) {
            return Ok(Response::builder()
                .status(StatusCode::TEMPORARY_REDIRECT)
                .header(header::LOCATION, format!("{}{bare}", base.path()))
                .finish());
        }
        if request.method() == Method::GET
            && let Some(target) = aliases::target(request.uri())
        {
            *request.uri_mut() = target;
        }
        let methods = allowed.at(request.uri().path());
        if request.uri().query().is_some() {
            let known = allowed.query(request.method().as_str(), request.uri().path());
            request.set_data(known);
        }
        let id = request.header(REQUEST_ID).unwrap_or_default();
        let operation = allowed.operation(request.method().as_str(), request.uri().path());
        let span = tracing::info_span!(
            // The name that OpenTelemetry shows; a span's own name is fixed.
            "http",
            otel.name = format!("http.{operation}"),
            operation,
            id,
            method = %request.method(),
            path = request.uri().path(),
        );
        let counting = Counting::of(&span);
        let begun = std::time::Instant::now();
        let is_read = !auth && is_read(request.method(), operation);
        let version = request.version();
        let clock = request.data::<BodyClock>().cloned().unwrap_or_default();
        let inner = Arc::clone(&self.0);
        let handler = async move { inner.call(request).await.map(IntoResponse::into_response) };
        let running = tokio::spawn(handler.instrument(span.clone()));
        let answer = if is_read {
            // Nothing is lost when it ends with its caller, and what the database computes for it ends as well.
            AbortOnDropHandle::new(running).await
        } else {
            running.await
        };
        let mut response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => of_framework(error, auth),
            Err(gone) => {
                tracing::error!(parent: &span, panic = gone.is_panic(), "a handler panicked or was aborted");
                let problem = Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal_error",
                    "internal server error; the fault was logged",
                );
                let problem = if auth { problem.for_auth() } else { problem };
                ProblemJson(problem.into_body()).into_response()
            }
        };
        if clock.is_late() && !response.status().is_success() {
            response = late(auth, version);
        }
        if response.status() == StatusCode::METHOD_NOT_ALLOWED
            && let Ok(methods) = HeaderValue::from_str(methods)
        {
            response.headers_mut().insert(header::ALLOW, methods);
        }
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
            metrics.unhandled_error();
        }
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let used = counting.used();
        tracing::info!(
            parent: &span,
            status = response.status().as_u16(),
            took_ms,
            db_ms = used.milliseconds(),
            db_calls = used.calls(),
            "request"
        );
        Ok(response)
    }
}

/// Returns whether a request only reads. A query of a table has a body, and is a read all the same.
fn is_read(method: &Method, operation: &str) -> bool {
    let queries = ["records_post_", "feature_post"];
    matches!(*method, Method::GET | Method::HEAD) || queries.iter().any(|query| operation.starts_with(query))
}

/// Returns the redirect target of an API path with a trailing slash (WC-1). Only our own paths: `//elsewhere/` would
/// lead to another host.
fn without_slash(uri: &Uri) -> Option<String> {
    let path = uri.path();
    let bare = path.trim_end_matches('/');
    if bare == path || !bare.starts_with("/api/v1/") {
        return None;
    }
    Some(
        uri.query()
            .map_or_else(|| bare.to_owned(), |query| format!("{bare}?{query}")),
    )
}

/// Returns the response to a request whose body came too slowly. The rest of the body may come later, so the connection
/// ends with it (RFC 9110 15.5.9). HTTP/2 ends only the stream, without a header for that.
fn late(auth: bool, version: Version) -> Response {
    let problem = Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "request_timeout",
        "the body of the request did not arrive in time",
    );
    let problem = if auth { problem.for_auth() } else { problem };
    let mut response = ProblemJson(problem.into_body()).into_response();
    if version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns the type of a fault in a parameter (WC-2). The framework states the reason as text only, which begins with
/// the name of the expected type.
fn rule_of(reason: &str) -> &'static str {
    if reason.contains("expects an input value") {
        "missing"
    } else if reason.starts_with("failed to parse \"integer") {
        "int_parsing"
    } else if reason.starts_with("failed to parse \"number") {
        "float_parsing"
    } else if reason.starts_with("failed to parse \"boolean") {
        "bool_parsing"
    } else {
        "value_error"
    }
}

fn of_framework(error: poem::Error, auth: bool) -> Response {
    if error.is_from_response() {
        return error.into_response();
    }
    let named = |name: &str, reason: &str, place| {
        let fault = Fault::typed(
            rule_of(reason),
            [name.into()],
            format!("cannot be read: {reason}"),
        );
        Problem::invalid(&Invalid::one(fault), place)
    };
    let problem = if error.is::<NotFoundError>() {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "no resource at this path")
    } else if error.is::<MethodNotAllowedError>() {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not support this method",
        )
    } else if let Some(e) = error.downcast_ref::<ParseParamError>() {
        named(e.name, &e.reason, "query")
    } else if let Some(e) = error.downcast_ref::<OaiPathError>() {
        named(e.name, &e.reason, "path")
    } else if error.is::<ParsePathError>() {
        Problem::invalid(&Invalid::value("the path is not valid UTF-8"), "path")
    } else if let Some(e) = error.downcast_ref::<ParseRequestPayloadError>() {
        Problem::invalid(&Invalid::value(e.reason.clone()), "body")
    } else if error.is::<ContentTypeError>() {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            error.to_string(),
        )
    } else if error.is::<SizedLimitError>() || error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the body is too large",
        )
    } else {
        let status = error.status();
        if status.is_server_error() {
            tracing::error!(%error, "request failed in the framework");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "internal server error; the fault was logged",
            )
        } else {
            Problem::new(StatusCode::BAD_REQUEST, "bad_request", error.to_string())
        }
    };
    let problem = if auth { problem.for_auth() } else { problem };
    ProblemJson(problem.into_body()).into_response()
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::{ParseError, ParseFromParameter as _};

    use super::*;
    use crate::http::query::Limit;

    // As WC-2 lists them.
    #[test]
    fn a_fault_in_a_parameter_has_its_type() {
        let reason = |text: &str| Limit::parse_from_parameter(text).unwrap_err().into_message();
        assert_eq!(rule_of(&reason("x")), "int_parsing");
        assert_eq!(rule_of(&reason("1.5")), "int_parsing");
        let reason = bool::parse_from_parameter("x").unwrap_err().into_message();
        assert_eq!(rule_of(&reason), "bool_parsing");
        let reason = ParseError::<String>::expected_input().into_message();
        assert_eq!(rule_of(&reason), "missing");
        assert_eq!(rule_of("must be something else"), "value_error");
    }
}
