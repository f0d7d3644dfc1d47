//! Ingest runs and pulls.

pub(crate) mod detail;
pub(crate) mod ingests;
pub(crate) mod pulls;
pub(crate) mod queries;
pub(crate) mod refusals;
