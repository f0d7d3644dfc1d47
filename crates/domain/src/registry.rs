//! Conventions, schemas, hooks, releases and their versions.

pub mod convention;
pub mod digest;
pub mod hook;
pub mod limits;
pub mod row_size;
pub mod schema;
pub mod version;
