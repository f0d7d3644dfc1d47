//! The HTTP part of the configuration.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use api::{BodyLimits, HttpOptions, Origins};
use url::Url;

use crate::config::value::seconds;
use crate::source::Source;

/// Default maximum of queries per client, table and minute.
const TABLE_POSTS: u32 = 120;
/// Default maximum of concurrent queries per client.
const QUERIES: u32 = 4;
/// Default maximum of whole tables that a client reads at once.
const STREAMS: u32 = 3;
/// Default maximum of connections.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// Limits of connections, before it is known how many files this process may open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionConfig {
    /// Maximum number of connections.
    pub(crate) most: NonZeroUsize,
    /// Maximum number of connections of one address; 0 means no limit of its own, `None` the default.
    pub(crate) per_address: Option<usize>,
    /// Time for the head of a request.
    pub(crate) head: Duration,
    /// Time between two requests.
    pub(crate) idle: Duration,
    /// Time for a client to take a byte of its response.
    pub(crate) reader: Duration,
}

impl ConnectionConfig {
    /// Reads the settings.
    pub(crate) fn read(s: &mut Source) -> Self {
        Self {
            most: s
                .parsed("http.connections", "must be a positive integer")
                .unwrap_or(CONNECTIONS),
            per_address: s.parsed(
                "http.connections_per_address",
                "must be a non-negative integer; 0 means no limit",
            ),
            head: seconds(s, "http.head_seconds", 10.0),
            idle: seconds(s, "http.idle_seconds", 60.0),
            reader: seconds(s, "http.reader_seconds", 30.0),
        }
    }
}

/// Reads the HTTP settings.
pub(crate) fn read(s: &mut Source) -> HttpOptions {
    let rate = |s: &mut Source, key: &str, usual: u32| {
        let given = s.parsed::<u32>(key, "must be a non-negative integer; 0 means no limit");
        NonZeroU32::new(given.unwrap_or(usual))
    };
    HttpOptions {
        origins: origins(s),
        table_posts_per_minute: rate(s, "http.table_posts_per_minute", TABLE_POSTS),
        requests_per_minute: rate(s, "http.requests_per_minute", 0),
        client_header: s.text("http.client_header").filter(|name| !name.is_empty()),
        queries_per_client: rate(s, "http.queries_per_client", QUERIES),
        streams_per_client: rate(s, "http.streams_per_client", STREAMS),
        body: BodyLimits {
            idle: seconds(s, "http.body_seconds", 20.0),
            bytes_per_second: s
                .parsed(
                    "http.body_bytes_per_second",
                    "must be a non-negative integer; 0 means no limit",
                )
                .unwrap_or(BodyLimits::default().bytes_per_second),
        },
    }
}

fn origins(s: &mut Source) -> Origins {
    const KEY: &str = "http.cors_origins";
    let all = s.list(KEY).unwrap_or_default();
    if all.iter().any(|one| one == "*") {
        return Origins::Any;
    }
    let mut origins = Vec::new();
    for text in all {
        match Url::parse(&text) {
            Ok(url) if url.has_host() && url.path() == "/" && url.query().is_none() => {
                origins.push(url.origin().ascii_serialization());
            }
            _ => s.fault(format!(
                "{KEY}: {text:?} is neither an origin such as https://lab.example.org nor *"
            )),
        }
    }
    if origins.is_empty() {
        Origins::None
    } else {
        Origins::These(origins)
    }
}
