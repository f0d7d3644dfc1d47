//! Places per client: how much of the database's time one client may use at once. The statements of all clients have
//! places of their own (`postgres-adapter`), which one client alone must not fill.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use poem::{Body, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::HttpOptions;
use super::cost::Work;
use crate::http::client::Client;

/// The maximum time that a query waits for a place of its client.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The maximum time that a whole table waits for one (EDG-6): its client's other ones take as long as it reads.
const MAX_STREAM_WAIT: Duration = Duration::from_secs(30);
/// From how many clients on those without requests are dropped.
const MANY: usize = 1000;

/// Places of each client.
struct PerClient {
    most: Option<NonZeroU32>,
    /// How long a request waits for a place.
    patience: Duration,
    clients: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The places of all clients.
pub(super) struct Places {
    scans: PerClient,
    streams: PerClient,
}

/// A place, until its last holder is gone. None if there is no limit.
pub(super) type Place = Option<Arc<OwnedSemaphorePermit>>;

impl Places {
    pub(super) fn new(options: &HttpOptions) -> Self {
        let per_client = |most, patience| PerClient {
            most,
            patience,
            clients: Mutex::default(),
        };
        Self {
            scans: per_client(options.queries_per_client, MAX_WAIT),
            streams: per_client(options.streams_per_client, MAX_STREAM_WAIT),
        }
    }

    /// Takes a place for a request, the first who asks first, or returns that the client has none left.
    pub(super) async fn take(&self, client: &Client, work: Work) -> Result<Place, NoPlace> {
        let kind = match work {
            Work::Little => return Ok(None),
            Work::Scan => &self.scans,
            Work::Stream => &self.streams,
        };
        let Some(places) = kind.of(client) else {
            return Ok(None);
        };
        let place = tokio::time::timeout(kind.patience, places.acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or(NoPlace)?;
        Ok(Some(Arc::new(place)))
    }
}

/// All places of a client are taken.
#[derive(Debug)]
pub(super) struct NoPlace;

impl PerClient {
    fn of(&self, client: &Client) -> Option<Arc<Semaphore>> {
        let most = self.most?;
        // No holder can leave it half changed.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = clients.get(&client.0).and_then(Weak::upgrade) {
            return Some(places);
        }
        if clients.len() >= MANY {
            clients.retain(|_, places| places.strong_count() > 0);
        }
        let places = Arc::new(Semaphore::new(usize::try_from(most.get()).unwrap_or(1)));
        clients.insert(client.0.clone(), Arc::downgrade(&places));
        Some(places)
    }
}

/// Keeps the place of a whole table until its body has ended. Other responses are ready.
pub(super) fn held(mut response: Response, work: Work, place: Place) -> Response {
    if let Some(place) = place.filter(|_| work == Work::Stream && response.status().is_success()) {
        let pieces = response.take_body().into_bytes_stream();
        response.set_body(Body::from_bytes_stream(pieces.map(move |piece| {
            let _ = &place;
            piece
        })));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places::new(&HttpOptions {
            queries_per_client: NonZeroU32::new(2),
            streams_per_client: NonZeroU32::new(1),
            ..HttpOptions::default()
        })
    }

    // proves ISO-5
    #[tokio::test]
    async fn one_client_cannot_take_the_places_of_another() {
        let places = places();
        let (a, b) = (Client("a".to_owned()), Client("b".to_owned()));
        let stream = places.take(&a, Work::Stream).await.unwrap();
        let mut next = std::pin::pin!(places.take(&a, Work::Stream));
        assert!(stream.is_some() && futures::poll!(next.as_mut()).is_pending());
        assert!(places.take(&b, Work::Stream).await.is_ok());
        drop(stream);
        assert!(next.await.unwrap().is_some());
        // A query waits for the client's own ones, and for none of another client.
        let first = places.take(&a, Work::Scan).await.unwrap();
        let _second = places.take(&a, Work::Scan).await.unwrap();
        let mut third = std::pin::pin!(places.take(&a, Work::Scan));
        assert!(futures::poll!(third.as_mut()).is_pending());
        assert!(places.take(&b, Work::Scan).await.is_ok());
        assert!(places.take(&a, Work::Little).await.unwrap().is_none());
        drop(first);
        assert!(third.await.unwrap().is_some());
    }

    // proves ISO-5
    #[tokio::test]
    async fn who_waits_too_long_is_refused() {
        let mut places = places();
        (places.scans.patience, places.streams.patience) = (Duration::ZERO, Duration::from_millis(5));
        let client = Client("a".to_owned());
        let stream = places.take(&client, Work::Stream).await.unwrap();
        assert!(places.take(&client, Work::Stream).await.is_err());
        let scans = [
            places.take(&client, Work::Scan).await.unwrap(),
            places.take(&client, Work::Scan).await.unwrap(),
        ];
        assert!(places.take(&client, Work::Scan).await.is_err());
        drop((stream, scans));
        assert!(places.take(&client, Work::Stream).await.is_ok());
        assert!(places.take(&client, Work::Scan).await.is_ok());
    }

    // proves ISO-5
    #[tokio::test]
    async fn a_stream_has_its_place_until_its_body_is_gone() {
        let places = places();
        let client = Client("a".to_owned());
        let place = places.take(&client, Work::Stream).await.unwrap();
        let response = held(Response::builder().body("a table"), Work::Stream, place);
        let mut next = std::pin::pin!(places.take(&client, Work::Stream));
        assert!(futures::poll!(next.as_mut()).is_pending());
        assert_eq!(response.into_body().into_string().await.unwrap(), "a table");
        assert!(next.await.unwrap().is_some());
    }
}
