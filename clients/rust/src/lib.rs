//! What progenitor makes of `docs/api/openapi.json`.

include!(concat!(env!("OUT_DIR"), "/client.rs"));
