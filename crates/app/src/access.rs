//! Access rules for single objects.

pub(crate) mod delegation;
pub(crate) mod deposition;
pub(crate) mod task;
pub(crate) mod withdrawal;
