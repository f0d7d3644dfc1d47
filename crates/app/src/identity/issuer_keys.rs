//! The keys of one issuer, refreshed from where it publishes them while they verify tokens (AUT-7).

use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::{IssuerKey, KeyError, KeyRing};
use ports::{KeyDocument, KeySource};
use tokio::sync::Mutex;

use crate::background::Pulse;

/// The keys read, per source.
struct Read {
    /// The last valid keys of each source.
    good: Vec<Vec<IssuerKey>>,
    /// When the sources were last read, even if that failed.
    at: Option<Instant>,
}

/// The keys of one issuer.
pub struct IssuerKeys {
    issuer: String,
    sources: Vec<Arc<dyn KeySource>>,
    ring: KeyRing,
    cool_down: Duration,
    max_age: Duration,
    read: Mutex<Read>,
}

impl IssuerKeys {
    /// Creates the keys of `issuer` from these sources, without reading them. They are refreshed when no key matches
    /// a token, at most once per `cool_down`, and when they are older than `max_age`.
    pub fn new(
        issuer: String,
        sources: Vec<Arc<dyn KeySource>>,
        cool_down: Duration,
        max_age: Duration,
    ) -> Self {
        let good = vec![Vec::new(); sources.len()];
        Self {
            issuer,
            sources,
            ring: KeyRing::default(),
            cool_down,
            max_age,
            read: Mutex::new(Read { good, at: None }),
        }
    }

    /// Returns the issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the key ring for a verifier.
    pub fn ring(&self) -> KeyRing {
        self.ring.clone()
    }

    /// Refreshes the keys, unless that was done within the cool-down. Returns whether they were refreshed. Concurrent
    /// callers wait for the running refresh instead of starting their own.
    pub async fn refresh(&self) -> bool {
        let came = Instant::now();
        let mut read = self.read.lock().await;
        if let Some(at) = read.at {
            // Another caller refreshed them while this one waited.
            if at > came {
                return true;
            }
            if at.elapsed() < self.cool_down {
                return false;
            }
        }
        for (source, good) in self.sources.iter().zip(&mut read.good) {
            match keys(&**source).await {
                Ok(keys) => *good = keys,
                // The last valid keys stay: an issuer that is down for an hour must not stop every deploy.
                Err(why) => {
                    tracing::warn!(
                        issuer = self.issuer,
                        source = source.describe(),
                        why,
                        kept = good.len(),
                        "keys of an issuer could not be read"
                    );
                }
            }
        }
        read.at = Some(Instant::now());
        let keys: Vec<IssuerKey> = read.good.iter().flatten().cloned().collect();
        tracing::info!(
            issuer = self.issuer,
            keys = keys.len(),
            "keys of an issuer were refreshed"
        );
        self.ring.replace(keys);
        true
    }

    /// Returns how old the keys of any of these issuers may become.
    pub fn max_age(all: &[Arc<Self>]) -> Duration {
        all.iter().map(|keys| keys.max_age).max().unwrap_or_default()
    }

    /// Refreshes the keys of these issuers periodically: a withdrawn key must not stay valid forever.
    pub async fn keep_fresh(all: &[Arc<Self>], pulse: Pulse) {
        let each = all.iter().map(|keys| async {
            loop {
                tokio::time::sleep(keys.max_age).await;
                keys.refresh().await;
                pulse.alive();
            }
        });
        futures::future::join_all(each).await;
    }
}

async fn keys(source: &dyn KeySource) -> Result<Vec<IssuerKey>, String> {
    let reason = |e: KeyError| e.to_string();
    match source.read().await? {
        KeyDocument::Pem { kid, text } => Ok(vec![IssuerKey::from_pem(kid, &text).map_err(reason)?]),
        // A document without usable keys is a mistake like one that cannot be read: an issuer that withdraws a key
        // publishes another. One that is not trusted any more is removed from the configuration.
        KeyDocument::Jwks(text) => IssuerKey::from_jwks(&text).map_err(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const KEY: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    const OTHER: &str = r#"{"keys":[{"kid":"new","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    /// Responses of an issuer, one after the other. The last one repeats forever.
    struct Scripted(Vec<Result<&'static str, &'static str>>, AtomicUsize);

    #[async_trait::async_trait]
    impl KeySource for Scripted {
        fn describe(&self) -> String {
            "scripted".into()
        }
        async fn read(&self) -> Result<KeyDocument, String> {
            tokio::task::yield_now().await;
            let n = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
            self.0[n]
                .map(|text| KeyDocument::Jwks(text.into()))
                .map_err(Into::into)
        }
    }

    // proves AUT-7
    #[tokio::test]
    async fn the_last_good_keys_stay_when_a_reading_fails() {
        let source = Arc::new(Scripted(
            vec![
                Ok(KEY),
                Err("away"),
                Ok("{}"),
                Ok("nonsense"),
                Ok("{\"keys\":[]}"),
                Ok(OTHER),
            ],
            AtomicUsize::new(0),
        ));
        let keys = IssuerKeys::new("i".into(), vec![source.clone()], Duration::ZERO, Duration::MAX);
        for _ in 0..5 {
            assert!(keys.refresh().await);
            assert_eq!(keys.ring().len(), 1);
        }
        assert_eq!(source.1.load(Ordering::SeqCst), 5);
        // A key that another one replaced does not stay.
        keys.refresh().await;
        assert_eq!(keys.ring().len(), 1);
        let read = keys.read.lock().await;
        assert_eq!(read.good[0][0].kid.as_deref(), Some("new"));
    }

    // proves AUT-7
    #[tokio::test]
    async fn a_flood_of_unknown_keys_reads_once_per_cool_down() {
        let source = Arc::new(Scripted(vec![Ok(KEY)], AtomicUsize::new(0)));
        let keys = IssuerKeys::new(
            "i".into(),
            vec![source.clone()],
            Duration::from_secs(3600),
            Duration::MAX,
        );
        let refreshed = futures::future::join_all((0..50).map(|_| keys.refresh())).await;
        assert!(refreshed[0]);
        assert!(!keys.refresh().await);
        assert_eq!(source.1.load(Ordering::SeqCst), 1);
    }
}
