//! Users, roles, service accounts, sessions.

pub(crate) mod identities;
pub(crate) mod queries;
pub(crate) mod sessions;
