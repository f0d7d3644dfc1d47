//! The store: pool, transactions, errors, migrations.

pub(crate) mod copy;
pub(crate) mod error;
pub(crate) mod file_store;
pub(crate) mod migrate;
pub(crate) mod pool;
pub(crate) mod read_batcher;
pub(crate) mod reading;
pub(crate) mod refusal;
pub(crate) mod roles;
pub(crate) mod rows;
pub(crate) mod session;
pub(crate) mod tx;
