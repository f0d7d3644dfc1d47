//! Depositions and their files.

pub mod deposition;
pub mod file;
pub mod spreadsheet;
