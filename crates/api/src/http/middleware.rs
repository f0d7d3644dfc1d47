//! HTTP middleware around all routes: request ids, HEAD, entity tags and conditional requests (RFC 9110 8.8.3, 13),
//! compression both ways, CORS for reads (Fetch standard, 3.2), rate limits with `Retry-After` (RFC 6585 4, RFC 9110
//! 10.2.3), places per client, and `nosniff` (Fetch standard, 3.6).

mod compression;
mod cors;
mod cost;
mod decompression;
mod limits;
mod places;
mod tags;

use std::sync::Arc;

use app::memory::Memory;
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Body, Endpoint, IntoResponse, Middleware, Request, Response, Result};

use crate::http::body_clock::BodyLimits;
use crate::http::client::Client;
use crate::http::problem::{Problem, ProblemJson};

pub use cors::Origins;
use cost::Cost;
use limits::Limits;
use places::{Places, held};

/// Header with the id of a request.
pub(crate) const REQUEST_ID: &str = "x-request-id";
/// When a client without a free place may try again, in seconds.
const RETRY_SECONDS: u64 = 5;
/// Maximum length of a request id from outside.
const MAX_ID: usize = 128;

/// Settings of the HTTP middleware.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Origins whose pages may read; none by default.
    pub origins: Origins,
    /// Maximum number of queries (by POST, or with a filter) per client, table and minute; `None` means no limit.
    pub table_posts_per_minute: Option<std::num::NonZeroU32>,
    /// Maximum number of requests per client and minute; `None` means no limit.
    pub requests_per_minute: Option<std::num::NonZeroU32>,
    /// Header in which a proxy names its client; the last entry counts. `None` means the address of the connection.
    pub client_header: Option<String>,
    /// Maximum number of concurrent queries and other reads that may scan a table, per client; `None` means no limit.
    pub queries_per_client: Option<std::num::NonZeroU32>,
    /// Maximum number of whole tables that a client may read at once; `None` means no limit.
    pub streams_per_client: Option<std::num::NonZeroU32>,
    /// Time limits of the bodies of requests.
    pub body: BodyLimits,
}

/// The layer of all that this module names.
pub(crate) struct Layers(Arc<HttpOptions>, Arc<Limits>, Arc<Places>, Memory);

impl Layers {
    pub(crate) fn new(options: HttpOptions, memory: Memory) -> Self {
        let (limits, places) = (Limits::new(&options), Places::new(&options));
        Self(Arc::new(options), Arc::new(limits), Arc::new(places), memory)
    }
}

pub(crate) struct LayersEndpoint<E>(E, Arc<HttpOptions>, Arc<Limits>, Arc<Places>, Memory);

impl<E: Endpoint<Output = Response> + 'static> Middleware<E> for Layers {
    type Output = LayersEndpoint<E>;
    fn transform(&self, endpoint: E) -> Self::Output {
        LayersEndpoint(
            endpoint,
            Arc::clone(&self.0),
            Arc::clone(&self.1),
            Arc::clone(&self.2),
            self.3.clone(),
        )
    }
}

impl<E: Endpoint<Output = Response> + 'static> Endpoint for LayersEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let id = request_id(&mut request);
        let (options, limits, places, memory) = (&self.1, &self.2, &self.3, &self.4);
        let client = Client::of(&request, options.client_header.as_deref());
        let cost = Cost::of(&request);
        request.set_data(client.clone());
        let asked = cors::CorsRequest::of(&request, &options.origins);
        let head = request.method() == Method::HEAD;
        let read = head || request.method() == Method::GET;
        let tag = request.headers().get(header::IF_NONE_MATCH).cloned();
        let encoding = compression::Encoding::of(request.headers());
        let path = request.uri().path().to_owned();
        let mut response = if let Some(answer) = asked.preflight() {
            answer
        } else if let Err(wait) = limits.check(&request, &client, cost) {
            let what = "too many requests of this kind per minute";
            too_many(what, wait.as_secs() + 1, &path)
        } else if let Err(refused) = decompression::unpack(&mut request, &memory.share(&client.0)).await {
            *refused
        } else {
            if head {
                request.set_method(Method::GET);
            }
            match places.take(&client, cost.work).await {
                Ok(place) => {
                    // The handler goes on without its client, and then with its place.
                    if let Some(place) = &place {
                        request.set_data(Arc::clone(place));
                    }
                    held(self.0.call(request).await?, cost.work, place)
                }
                Err(_) => too_many(
                    "this client reads as much as it may at once",
                    RETRY_SECONDS,
                    &path,
                ),
            }
        };
        if read && response.status() == StatusCode::OK {
            response = tags::tagged(response, tag.as_ref()).await;
        }
        if response.status() == StatusCode::SERVICE_UNAVAILABLE
            && !response.headers().contains_key(header::RETRY_AFTER)
        {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        // What a browser would take for a page or a script is one only if its type says so.
        response.headers_mut().insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        asked.allow(&mut response);
        response = if head {
            without_body(response, encoding).await
        } else {
            compression::compressed(response, encoding)
        };
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        Ok(response)
    }
}

/// Returns the id from the client or proxy if it is safe to log, else a new one. Also sets it in the request, for the
/// log.
fn request_id(request: &mut Request) -> String {
    let fit = |id: &&str| {
        (1..=MAX_ID).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|v| v.to_str().ok())
        .filter(fit)
        .map(str::to_owned);
    let id = given.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    id
}

fn too_many(what: &str, seconds: u64, path: &str) -> Response {
    let problem = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        format!("{what}; try again in {seconds} s"),
    )
    .on(path);
    let mut response = ProblemJson(problem.into_body()).into_response();
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Returns the response to GET without its content. `Content-Length` is set if it is known without reading a stream or
/// compressing.
async fn without_body(mut response: Response, encoding: compression::Encoding) -> Response {
    let body = response.take_body();
    let compressed = compression::announce(&mut response, encoding);
    if !compressed
        && tags::is_short(&response)
        && let Ok(bytes) = body.into_bytes().await
    {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    response.set_body(Body::empty());
    response
}
