//! Depositions.

mod depositions;
mod queries;

pub use depositions::{Depositions, LockedDeposition, Submission, SubmissionResult};
pub use queries::{DepositionFile, DepositionQueries, DepositionView, ValidationResult, ValidationView};
