//! Hook runs: output, outcomes and their rows, failures and the failure policy.

pub mod failure;
pub mod last_lines;
pub mod outcome;
pub mod output_file;
pub mod rows;
pub mod run;
