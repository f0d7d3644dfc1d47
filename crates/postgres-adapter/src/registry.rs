//! Conventions, schemas, hooks and releases.

pub(crate) mod conventions;
pub(crate) mod hooks;
pub(crate) mod queries;
pub(crate) mod release_reads;
pub(crate) mod schemas;
