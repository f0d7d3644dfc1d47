//! The line in a hook run's log that begins a try.

use std::fmt::Display;

/// Returns the line before what a try printed: how the try ended.
pub(crate) fn log_head(end: &dyn Display) -> String {
    format!("--- {end}\n")
}
