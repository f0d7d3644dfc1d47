//! Rate limits per client: each client has a bucket that refills evenly over a minute (GCRA). Each server has its own
//! buckets.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use poem::Request;

use super::HttpOptions;
use super::cost::Cost;
use crate::http::client::Client;

type Buckets = RateLimiter<u64, HashMapStateStore<u64>, DefaultClock>;

/// Number of requests between two sweeps of full buckets. The sweep keeps a client with ever new paths from filling the
/// memory.
const SWEEP_EVERY: u32 = 4096;

/// The buckets.
pub(super) struct Limits {
    posts: Option<Buckets>,
    all: Option<Buckets>,
    clock: DefaultClock,
    since_sweep: AtomicU32,
}

impl Limits {
    pub(super) fn new(options: &HttpOptions) -> Self {
        let buckets = |rate: Option<NonZeroU32>| {
            rate.map(|rate| RateLimiter::hashmap_with_clock(Quota::per_minute(rate), DefaultClock::default()))
        };
        Self {
            posts: buckets(options.table_posts_per_minute),
            all: buckets(options.requests_per_minute),
            clock: DefaultClock::default(),
            since_sweep: AtomicU32::new(0),
        }
    }

    /// Takes one token from the client's buckets, or returns how long the client must wait. A query costs the same as
    /// POST and as GET.
    pub(super) fn check(&self, request: &Request, client: &Client, cost: Cost) -> Result<(), Duration> {
        if self.posts.is_none() && self.all.is_none() {
            return Ok(());
        }
        self.sweep();
        if let Some(all) = &self.all {
            self.take(all, &client.0, "")?;
        }
        match &self.posts {
            Some(posts) if cost.is_query => self.take(posts, &client.0, request.uri().path()),
            _ => Ok(()),
        }
    }

    fn take(&self, buckets: &Buckets, client: &str, path: &str) -> Result<(), Duration> {
        let mut key = DefaultHasher::new();
        (client, path).hash(&mut key);
        buckets
            .check_key(&key.finish())
            .map_err(|full| full.wait_time_from(self.clock.now()))
    }

    fn sweep(&self) {
        if self.since_sweep.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            for buckets in [&self.posts, &self.all].into_iter().flatten() {
                buckets.retain_recent();
                buckets.shrink_to_fit();
            }
        }
    }
}
