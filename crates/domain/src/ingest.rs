//! Ingest runs, and the conversion of pushed and pulled lines to records.

pub mod csv;
pub mod pulled;
pub mod refused;
pub mod run;
pub mod schedule;
pub mod source_id;
