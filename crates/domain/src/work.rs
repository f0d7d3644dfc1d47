//! Hook runs: outcomes, failures and the failure policy.

pub mod failure;
pub mod outcome;
pub mod run;
