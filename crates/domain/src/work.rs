//! Hook runs: outcomes, failures and the failure policy.

pub mod failure;
pub mod last_lines;
pub mod outcome;
pub mod run;
