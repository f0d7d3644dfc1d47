//! Tasks and delegations.

pub mod delegation;
pub mod task;
