//! Tasks and the delegation ledger.

pub(crate) mod callees;
pub(crate) mod claims;
pub(crate) mod delegations;
pub(crate) mod notifier;
pub(crate) mod queries;
pub(crate) mod task_queries;
pub(crate) mod tasks;
