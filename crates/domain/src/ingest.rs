//! Ingest runs, and how pushed and pulled lines become records.

pub mod csv;
pub mod pulled;
pub mod run;
pub mod schedule;
