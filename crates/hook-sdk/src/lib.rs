//! Write a Hallmark hook in Rust: a function from one record to rows, a rejection, or an error.
//!
//! A hook is a program that the server starts with a batch of records (WC-5.1). This crate reads them one by one,
//! passes each to your function with its metadata as your type, and writes the function's result. A failure for one
//! record (metadata that is not of your type, an error, a panic) is that record's error and never the batch's.
//! (Panics are caught, so do not build a hook with `panic = "abort"`.)
//!
//! ```no_run
//! use hook_sdk::{Context, HookError, Outcome, Record};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Penguin {
//!     body_mass_g: Option<f64>,
//!     flipper_length_mm: f64,
//! }
//!
//! #[derive(Serialize)]
//! struct Shape {
//!     grams_per_mm: f64,
//! }
//!
//! fn shape(_: &Context, record: Record<Penguin>) -> Result<Outcome<Shape>, HookError> {
//!     let penguin = record.metadata;
//!     let Some(mass) = penguin.body_mass_g else {
//!         return Ok(Outcome::reject("no body mass recorded"));
//!     };
//!     if penguin.flipper_length_mm <= 0.0 {
//!         return Err(HookError::new("a flipper cannot have no length"));
//!     }
//!     Ok(Outcome::pass(Shape { grams_per_mm: mass / penguin.flipper_length_mm }))
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     hook_sdk::run(shape)
//! }
//! ```
//!
//! An image with several hooks uses [`run_named`]. Memory is bounded by the largest record, independent of the size
//! of the batch.

mod environment;
mod outcome;
mod output;
mod run;

pub use environment::{ConfigError, Context, Environment, Record, RunError, directory_name};
pub use outcome::{HookError, Outcome};
pub use run::{NamedHook, Summary, hook, run, run_in, run_named, run_named_in};
