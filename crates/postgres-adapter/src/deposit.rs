//! Depositions.

pub(crate) mod depositions;
pub(crate) mod queries;
