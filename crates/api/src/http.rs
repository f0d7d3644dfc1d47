//! Shared by every operation: gates, bodies, problems, rendering and middleware.

pub(crate) mod aliases;
pub(crate) mod allow;
pub(crate) mod base_path;
pub(crate) mod body;
pub(crate) mod body_clock;
pub(crate) mod client;
pub(crate) mod edge;
pub(crate) mod gate;
pub(crate) mod listen;
pub(crate) mod markdown;
pub(crate) mod middleware;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod query_params;
pub(crate) mod query_string;
pub(crate) mod render;
pub(crate) mod rendered;
pub(crate) mod request_log;
pub(crate) mod spec;
pub(crate) mod unread;
pub(crate) mod upload;
