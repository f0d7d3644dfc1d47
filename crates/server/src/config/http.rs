//! The HTTP part of the configuration.

use std::num::NonZeroU32;

use api::{HttpOptions, Origins};
use url::Url;

use crate::source::Source;

/// Default maximum of POST queries per client, table and minute.
const TABLE_POSTS: u32 = 120;

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
