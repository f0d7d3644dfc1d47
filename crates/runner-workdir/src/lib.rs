//! Work directories of hooks and ingesters, the careful reading of their output, and the rules for the result of an
//! attempt: the common part of the runners (WC-5, WC-D11, WC-D19, WC-D30).
//!
//! A work directory is fresh for each attempt, laid out as the container contract requires, and removed afterwards.
//! Its content is hostile after a run: it is read without following links, without blocking, and within caps.

#[cfg(feature = "testing")]
pub mod attacks;
mod attempt;
mod disk;
mod held;
mod log;
mod output;
mod pulled;
mod spawning;
mod stage;
mod stored;
mod workdir;

pub use attempt::{Done, cancelled};
pub use disk::{DiskUse, measure};
pub use held::{Held, children, held, with_descendants};
pub use log::LogTail;
pub use output::{OutputCaps, Pulled, read_pull};
pub use spawning::{starting, writing};
pub use stage::stage;
pub use stored::spill;
pub use workdir::{
    NOBODY, Owner, Swept, WorkDir, check_root, closed_to_others, prepare_root, remove_all, sweep,
};
