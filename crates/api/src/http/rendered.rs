//! Pre-rendered JSON: what does not change is rendered once and sent as it is.

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use moka::sync::Cache;
use poem::http::header::CONTENT_TYPE;
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};
use uuid::Uuid;

/// The bytes of a `T` as JSON. The OpenAPI document describes it like `Json<T>`.
pub(crate) struct Rendered<T> {
    body: Bytes,
    of: PhantomData<fn() -> T>,
}

impl<T: ToJSON> Rendered<T> {
    /// Renders `value`.
    pub(crate) fn new(value: &T) -> Self {
        // Every JSON value can be written as text.
        Self::from_bytes(value.to_json().unwrap_or_default().to_string().into())
    }

    const fn from_bytes(body: Bytes) -> Self {
        Self {
            body,
            of: PhantomData,
        }
    }
}

impl<T: Type> Payload for Rendered<T> {
    const CONTENT_TYPE: &'static str = <Json<T> as Payload>::CONTENT_TYPE;

    fn check_content_type(content_type: &str) -> bool {
        <Json<T> as Payload>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> IntoResponse for Rendered<T> {
    fn into_response(self) -> Response {
        Response::builder()
            .header(CONTENT_TYPE, Self::CONTENT_TYPE)
            .body(self.body)
    }
}

impl<T: ToJSON> ApiResponse for Rendered<T> {
    fn meta() -> MetaResponses {
        <Json<T> as ApiResponse>::meta()
    }

    fn register(registry: &mut Registry) {
        <Json<T> as ApiResponse>::register(registry);
    }
}

/// A cache of rendered immutable resources. The key identifies everything that was rendered.
pub(crate) struct Renderings(Cache<RenderingKey, Bytes>);

/// What the rendering of a release depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RenderingKey {
    /// The release's id.
    pub(crate) release: Uuid,
    /// Whether it is live.
    pub(crate) is_live: bool,
    /// The number of its locations.
    pub(crate) locations: u32,
    /// Whether paths of files are shown.
    pub(crate) shows_places: bool,
}

impl Renderings {
    /// Approximate maximum size, in bytes.
    const MAX_BYTES: u64 = 16 << 20;

    /// Creates an empty cache.
    pub(crate) fn new() -> Self {
        let size = |_: &RenderingKey, body: &Bytes| u32::try_from(body.len() + 200).unwrap_or(u32::MAX);
        Self(
            Cache::builder()
                .max_capacity(Self::MAX_BYTES)
                .weigher(size)
                .build(),
        )
    }

    /// Returns the cached rendering under this key, or renders and caches `value`.
    pub(crate) fn get<T: ToJSON>(&self, key: RenderingKey, value: impl FnOnce() -> T) -> Rendered<T> {
        if let Some(body) = self.0.get(&key) {
            return Rendered::from_bytes(body);
        }
        let rendered = Rendered::new(&value());
        self.0.insert(key, rendered.body.clone());
        rendered
    }
}

/// The last rendering of a list that changes, with the state that it was read from.
pub(crate) struct LastRendering<S>(Mutex<Option<(S, Bytes)>>);

impl<S: PartialEq> LastRendering<S> {
    /// Creates it without a rendering.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Returns the last rendering if it is of this state.
    pub(crate) fn get<T: ToJSON>(&self, state: &S) -> Option<Rendered<T>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, body) = last.as_ref()?;
        (of == state).then(|| Rendered::from_bytes(body.clone()))
    }

    /// Renders `value`, which was read from this state, and keeps that.
    pub(crate) fn put<T: ToJSON>(&self, state: S, value: &T) -> Rendered<T> {
        let rendered = Rendered::new(value);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((state, rendered.body.clone()));
        rendered
    }
}
